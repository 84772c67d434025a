"""CycleGAN whose translations are disturbed before they are mapped back (Bashkirova et al., NeurIPS 2019)."""

from __future__ import annotations

from typing import Annotated

from torch import Tensor

import harness
from harness.studies.steganography import Problem
from harness.studies.steganography.training import Weights, train_cycle


@harness.method(
    task="steganography",
    cite="Bashkirova, Usman, Saenko. Adversarial self-defense for cycle-consistent GANs. NeurIPS 2019, "
    "1908.01517",
)
def cyclegan_noise(
    problem: Problem, run: harness.Run, *, noise: Annotated[float, "(0, inf)"] = 0.1
) -> dict[str, Tensor]:
    """In training, N(0, `noise`²) is added to F(x) and G(y) before they are mapped back; never afterwards."""
    return train_cycle(problem, Weights(noise=noise))
