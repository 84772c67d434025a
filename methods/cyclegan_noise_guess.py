"""CycleGAN with both defences of Bashkirova et al. (NeurIPS 2019): noise, and a critic that guesses."""

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
def cyclegan_noise_guess(
    problem: Problem,
    run: harness.Run,
    *,
    noise: Annotated[float, "(0, inf)"] = 0.1,
    guess: Annotated[float, "(0, inf)"] = 2.0,
) -> dict[str, Tensor]:
    """As `cyclegan_noise` and `cyclegan_guess` together."""
    return train_cycle(problem, Weights(noise=noise, guess=guess))
