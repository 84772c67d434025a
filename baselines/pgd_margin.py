"""Projected gradient descent on the margin, with restarts: it sees gradients that cross-entropy hides."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

import harness
from harness.studies.attack import Problem, norm_attacks


@harness.method(
    task="attack", cite="Carlini, Wagner, S&P 2017, arXiv 1608.04644 (the loss); Madry et al. 2018"
)
def pgd_margin(
    problem: Problem,
    run: harness.Run,
    *,
    steps: Annotated[int, "[1, inf)"] = 40,
    step_share: Annotated[float, "(0, 2]"] = 0.2,
    restarts: Annotated[int, "[1, inf)"] = 5,
    keep: Annotated[float, "(0, 1]"] = 1.0,
) -> dict[str, Tensor]:
    """`restarts` random starts, `steps` signed steps of `step_share` times eps each; the best image is kept.

    After the first start only the `keep` share of each batch goes on: of the images classified rightly still,
    those of smallest margin.
    """
    stream, found = run.stream("pgd_margin"), []
    with run.phase("attack"):
        for part, x, y, ball in norm_attacks.batches(problem.x_test, problem.y_test, problem.eps):
            run.progress(part.start, len(problem.x_test))
            best = norm_attacks.Best(problem.network, x, y)
            step = step_share * problem.eps
            for turn in range(restarts):
                rows = best.nearest(1.0 if turn == 0 else keep)
                start = ball.draw(stream)
                norm_attacks.pgd(
                    problem.network, y, ball, best, start, loss="margin", steps=steps, step=step, rows=rows
                )
            found.append(best.images)
    return {"adversarial": torch.cat(found)}
