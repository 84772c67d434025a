"""CycleGAN whose reconstructions are to pass for the originals (Bashkirova et al., NeurIPS 2019)."""

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
def cyclegan_guess(
    problem: Problem, run: harness.Run, *, guess: Annotated[float, "(0, inf)"] = 2.0
) -> dict[str, Tensor]:
    """A critic a domain is shown an image and its reconstruction in random order, and says which is which.

    The generators gain by `guess` times its error (LSGAN), so that small traces of hiding cost them.
    """
    return train_cycle(problem, Weights(guess=guess))
