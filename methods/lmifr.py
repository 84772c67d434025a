"""L-MIFR: as expressive a representation as the bounds on its unfairness allow."""

from typing import Annotated

from torch import Tensor

import harness
from harness.studies.fairness import Problem
from harness.studies.fairness.training import DualAscent


@harness.method(task="fairness", cite="Song, Kalluri, Grover, Zhao, Ermon, AISTATS 2019, arXiv 1812.04218")
def lmifr(
    problem: Problem,
    run: harness.Run,
    *,
    multiplier_start: Annotated[float, "[0.01, 100]"] = 1.0,
    multiplier_rate: Annotated[float, "(0, inf)"] = 1e-4,
) -> dict[str, Tensor]:
    """Dual ascent on the bounds C_i ≤ ε_i that the task sets (any of c1, c2, eo, eopp), in one run.

        max over λ ≥ 0  min over θ, φ  max over ψ    −E ln p_θ(x | z, u) + sum_i λ_i (C_i − ε_i)    (eq. 12)

    A multiplier rises while its bound is violated and falls while it is not, by RMSProp with
    `multiplier_rate`, and stays in [0.01, 100].
    """
    if not problem.epsilon.isfinite().any():
        raise ValueError("lmifr: constraints are empty; give at least one, as in 'c1 < 10, c2 < 0.1'")
    model, trace = problem.fit(DualAscent(problem.epsilon, 1, multiplier_start, multiplier_rate))
    return problem.arrays(model) | trace.of(0)
