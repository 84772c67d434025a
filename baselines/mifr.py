"""MIFR: the same objective with multipliers that somebody has to choose."""

from typing import Annotated

from torch import Tensor

import harness
from harness.studies.fairness import Problem


@harness.method(task="fairness", cite="Song, Kalluri, Grover, Zhao, Ermon, AISTATS 2019, arXiv 1812.04218")
def mifr(
    problem: Problem,
    run: harness.Run,
    *,
    lambda_c1: Annotated[float, "[0, inf)"] = 1.0,
    lambda_c2: Annotated[float, "[0, inf)"] = 1.0,
    lambda_eo: Annotated[float, "[0, inf)"] = 0.0,
    lambda_eopp: Annotated[float, "[0, inf)"] = 0.0,
) -> dict[str, Tensor]:
    """Descend −E ln p(x | z, u) + λ · C with fixed λ (eq. 11); the bounds are only looked at afterwards."""
    model, trace = problem.fit_fixed([lambda_c1, lambda_c2, lambda_eo, lambda_eopp])
    return problem.arrays(model) | trace.of(0)
