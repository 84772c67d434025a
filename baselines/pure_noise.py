"""Noise: nothing to leak, and nothing to use."""

import torch
from torch import Tensor

import harness
from harness.studies.fairness import Problem


@harness.method(task="fairness", cite="a control of this study")
def pure_noise(problem: Problem, run: harness.Run) -> dict[str, Tensor]:
    """z ~ N(0, I) whatever x and u: all information is zero, so what is measured is the measures' error."""
    made = {}
    for part, rows in (("train", problem.train), ("test", problem.test)):
        shape = len(rows.y), problem.settings["latent"]
        made[f"z_{part}"] = torch.randn(shape, generator=run.stream(f"codes {part}"))
        made |= {f"mean_{part}": torch.zeros(shape), f"scale_{part}": torch.ones(shape)}
    problem.spend(0, 0.0)
    return made
