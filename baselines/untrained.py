"""Generators with their first weights: what architecture alone carries through."""

from __future__ import annotations

from torch import Tensor

import harness
from harness.studies.steganography import Problem
from harness.studies.steganography.networks import packed


@harness.method(task="steganography", cite="a control of ours")
def untrained(problem: Problem, run: harness.Run) -> dict[str, Tensor]:
    """F and G as all other methods start."""
    return packed(*problem.generators())
