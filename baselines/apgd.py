"""Auto-PGD with both of its losses: a step size that needs no tuning."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

import harness
from harness.studies.attack import Problem, norm_attacks


@harness.method(task="attack", cite="Croce, Hein, ICML 2020, arXiv 2003.01690")
def apgd(
    problem: Problem,
    run: harness.Run,
    *,
    steps: Annotated[int, "[1, inf)"] = 100,
    restarts: Annotated[int, "[1, inf)"] = 1,
) -> dict[str, Tensor]:
    """`restarts` random starts with cross-entropy, then as many with the ratio of logit differences (DLR)."""
    stream, found = run.stream("apgd"), []
    with run.phase("attack"):
        for part, x, y, ball in norm_attacks.batches(problem.x_test, problem.y_test, problem.eps):
            run.progress(part.start, len(problem.x_test))
            best = norm_attacks.Best(problem.network, x, y)
            for loss in norm_attacks.AUTO_LOSSES * restarts:
                start = ball.draw(stream)
                norm_attacks.apgd(
                    problem.network, y, ball, best, start, eps=problem.eps, loss=loss, steps=steps
                )
            found.append(best.images)
    return {"adversarial": torch.cat(found)}
