"""CycleGAN whose translations have few gray levels, in training and ever after: a narrower channel."""

from __future__ import annotations

from typing import Annotated

from torch import Tensor

import harness
from harness.studies.steganography import Problem
from harness.studies.steganography.training import Weights, train_cycle


@harness.method(
    task="steganography",
    cite="ours, after 'make the hiding harder' of Chu, Zhmoginov, Sandler. 2017, 1712.02950",
)
def cyclegan_rounded(
    problem: Problem, run: harness.Run, *, levels: Annotated[int, "[2, 256]"] = 8
) -> dict[str, Tensor]:
    """F(x) is rounded to `levels` values a channel before it is mapped back or handed out.

    The gradient passes as if nothing had been rounded, and the critics see what came before.
    """
    return train_cycle(problem, Weights(levels=levels))
