"""LAFTR as a setting of the multipliers."""

from typing import Annotated

from torch import Tensor

import harness
from harness.studies.fairness import Problem


@harness.method(task="fairness", cite="Madras, Creager, Pitassi, Zemel, ICML 2018, arXiv 1802.06309")
def laftr(
    problem: Problem,
    run: harness.Run,
    *,
    gamma: Annotated[float, "[0, inf)"] = 1.0,
    beta: Annotated[float, "(0, inf)"] = 1.0,
) -> dict[str, Tensor]:
    """Reconstruction with weight β against an adversary with weight γ, no rate: λ_c1 = 0, λ_c2 = γ / β.

    This is LAFTR as the authors of L-MIFR map it; the original's adversary has a group-normalised L1 loss
    where this one has a log-likelihood, and it can also predict y.
    """
    model, trace = problem.fit_fixed([0.0, gamma / beta, 0.0, 0.0])
    return problem.arrays(model) | trace.of(0)
