"""CUT: translate without pairs and without a way back, by a contrast of patches (Park et al., ECCV 2020)."""

from __future__ import annotations

from typing import Annotated

from torch import Tensor, nn

import harness
from harness.studies.steganography import Problem
from harness.studies.steganography.networks import with_channels
from harness.studies.steganography.one_way import PatchContrast, train_one_way


@harness.method(
    task="steganography",
    cite="Park, Efros, Zhang, Zhu. Contrastive learning for unpaired image-to-image translation. ECCV 2020, "
    "2007.15651",
)
def cut(
    problem: Problem,
    run: harness.Run,
    *,
    contrast: Annotated[float, "[0, inf)"] = 1.0,
    patches: Annotated[int, "[2, inf)"] = 64,
    temperature: Annotated[float, "(0, inf)"] = 0.07,
    decoder_steps: Annotated[int, "[1, inf)"] = 500,
) -> dict[str, Tensor]:
    """(D_Y(F(x)) − 1)² + contrast · (ℓ(x, F(x)) + ℓ(y, F(y))) / 2, with ℓ InfoNCE of patches.

    There is no G to hide anything for; one is fitted afterwards, in `decoder_steps` batches of (F(x), x), to
    find out what F(x) holds.
    """
    compare = PatchContrast(problem, patches, temperature)

    def extra(f: nn.Sequential, x: Tensor, fake: Tensor, y: Tensor) -> Tensor:
        y = with_channels(y, x.shape[1])
        return contrast * (compare(f, x, fake) + compare(f, y, f(y))) / 2

    return train_one_way(problem, extra, [compare], decoder_steps)
