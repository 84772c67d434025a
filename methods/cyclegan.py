"""CycleGAN: translate without pairs by mapping there and back (Zhu et al., ICCV 2017)."""

from __future__ import annotations

from typing import Annotated

from torch import Tensor

import harness
from harness.studies.steganography import Problem
from harness.studies.steganography.training import Weights, train_cycle


@harness.method(
    task="steganography",
    cite="Zhu, Park, Isola, Efros. Unpaired image-to-image translation using cycle-consistent adversarial "
    "networks. ICCV 2017, 1703.10593",
)
def cyclegan(
    problem: Problem,
    run: harness.Run,
    *,
    cycle_x: Annotated[float, "[0, inf)"] = 10.0,
    cycle_y: Annotated[float, "[0, inf)"] = 10.0,
    identity: Annotated[float, "[0, inf)"] = 0.0,
) -> dict[str, Tensor]:
    """Critics for both translations, and a cycle for both domains:

        (D_Y(F(x)) − 1)² + (D_X(G(y)) − 1)² + cycle_x |G(F(x)) − x| + cycle_y |F(G(y)) − y|

    plus `identity` (|F(y) − y| + |G(x) − x|). The published weights are 10, 10 and 5 (half of the cycle's). A
    lower `cycle_x`, the weight of the richer domain, is one of the defences of Bashkirova et al. (2019).
    """
    return train_cycle(problem, Weights(cycle_x, cycle_y, identity))
