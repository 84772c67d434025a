"""The Square attack: random search that never asks for a gradient, so it sees through masked ones."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

import harness
from harness.studies.attack import Problem, norm_attacks


@harness.method(task="attack", cite="Andriushchenko, Croce, Flammarion, Hein, ECCV 2020, arXiv 1912.00049")
def square(
    problem: Problem, run: harness.Run, *, queries: Annotated[int, "[1, inf)"] = 1000
) -> dict[str, Tensor]:
    """`queries` looks at the logits of each image at most; squares that lower its margin stay."""
    stream, found = run.stream("square"), []
    with run.phase("attack"):
        for part, x, y, ball in norm_attacks.batches(problem.x_test, problem.y_test, problem.eps):
            run.progress(part.start, len(problem.x_test))
            best = norm_attacks.Best(problem.network, x, y)
            norm_attacks.square(problem.network, y, ball, best, stream, eps=problem.eps, queries=queries)
            found.append(best.images)
    return {"adversarial": torch.cat(found)}
