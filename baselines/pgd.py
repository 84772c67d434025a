"""Projected gradient descent with cross-entropy: the norm-bounded attack that the source compares with."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

import harness
from harness.studies.attack import Problem, norm_attacks


@harness.method(task="attack", cite="Madry, Makelov, Schmidt, Tsipras, Vladu, ICLR 2018, arXiv 1706.06083")
def pgd(
    problem: Problem,
    run: harness.Run,
    *,
    steps: Annotated[int, "[1, inf)"] = 100,
    step_share: Annotated[float, "(0, 2]"] = 0.1,
) -> dict[str, Tensor]:
    """`steps` signed steps of `step_share` times eps from the image itself, no restarts, as published.

    An image counts as soon as any step changes its class; the published code looks at the last step alone.
    """
    found = []
    with run.phase("attack"):
        for part, x, y, ball in norm_attacks.batches(problem.x_test, problem.y_test, problem.eps):
            run.progress(part.start, len(problem.x_test))
            best = norm_attacks.Best(problem.network, x, y)
            step = step_share * problem.eps
            norm_attacks.pgd(problem.network, y, ball, best, x, loss="ce", steps=steps, step=step)
            found.append(best.images)
    return {"adversarial": torch.cat(found)}
