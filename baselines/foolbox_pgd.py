"""The projected gradient descent of the package `foolbox`: a cross-check of ours."""

from __future__ import annotations

import importlib.util
from typing import Annotated

import torch
from torch import Tensor

import harness
from harness.studies.attack import Problem, norm_attacks


@harness.method(task="attack", cite="Rauber, Zimmermann, Bethge, Brendel, JOSS 2020 (foolbox 3.3.4)")
def foolbox_pgd(
    problem: Problem,
    run: harness.Run,
    *,
    steps: Annotated[int, "[1, inf)"] = 100,
    step_share: Annotated[float, "(0, 2]"] = 0.1,
) -> dict[str, Tensor]:
    """`steps` of `step_share` times eps on cross-entropy from a random start; the last step counts.

    Its images are rounded into the ball, which they miss by a bit of single precision. Where the last step is
    no better than the image itself, the image stays.
    """
    if importlib.util.find_spec("foolbox") is None:
        raise harness.Skip("the package foolbox is not installed: pip install 'harness[attack]'")
    import foolbox

    torch.manual_seed(run.seed)  # foolbox draws its starts from the global stream
    model = foolbox.PyTorchModel(problem.network, bounds=(0, 1), device=run.device)
    step = max(step_share * problem.eps, 1e-12)
    attack = foolbox.attacks.LinfPGD(abs_stepsize=step, steps=steps, random_start=True)
    found = []
    with run.phase("attack"):
        for part, x, y, ball in norm_attacks.batches(problem.x_test, problem.y_test, problem.eps):
            run.progress(part.start, len(problem.x_test))
            best = norm_attacks.Best(problem.network, x, y)
            (moved,) = attack(model, x, y, epsilons=[problem.eps])[1]
            best.look(problem.network, ball.project(moved), y)
            found.append(best.images)
    return {"adversarial": torch.cat(found)}
