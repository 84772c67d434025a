"""The variational fair autoencoder as a setting of the multipliers."""

from typing import Annotated

from torch import Tensor

import harness
from harness.studies.fairness import Problem


@harness.method(task="fairness", cite="Louizos, Swersky, Li, Welling, Zemel, ICLR 2016, arXiv 1511.00830")
def vfae(
    problem: Problem, run: harness.Run, *, beta: Annotated[float, "[0, inf)"] = 1.0
) -> dict[str, Tensor]:
    """The evidence bound, λ_c1 = 1, and a penalty of weight β on what z tells of u: λ_c2 = β.

    This is the model as the authors of L-MIFR map it; the original penalises a maximum mean discrepancy
    between groups where this one has an adversary, and it also predicts y.
    """
    model, trace = problem.fit_fixed([1.0, beta, 0.0, 0.0])
    return problem.arrays(model) | trace.of(0)
