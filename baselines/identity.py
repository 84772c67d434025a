"""No translation at all: y is x in gray, and x is y in gray."""

from __future__ import annotations

import torch
from torch import Tensor

import harness
from harness.studies.steganography import Problem


@harness.method(task="steganography", cite="a control of ours")
def identity(problem: Problem, run: harness.Run) -> dict[str, Tensor]:
    """F is the mean of x's channels where Y has one, and G its copy: all bits stand open, none is hidden."""
    rich, poor = problem.channels
    if rich == poor:
        return {"F.matrix": torch.eye(rich), "G.matrix": torch.eye(rich)}
    return {"F.matrix": torch.full((poor, rich), 1 / rich), "G.matrix": torch.full((rich, poor), 1 / poor)}
