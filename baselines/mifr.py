"""MIFR: the same objective with multipliers that somebody has to choose."""

import harness


@harness.method(task="fairness", cite="Song, Kalluri, Grover, Zhao, Ermon, AISTATS 2019, arXiv 1812.04218")
def mifr(
    problem,
    run,
    *,
    lambda_c1: float = 1.0,
    lambda_c2: float = 1.0,
    lambda_eo: float = 0.0,
    lambda_eopp: float = 0.0,
):
    """Descend −E ln p(x | z, u) + λ · C with fixed λ (eq. 11); the bounds are only looked at afterwards."""
    model, trace = problem.fit_fixed([lambda_c1, lambda_c2, lambda_eo, lambda_eopp])
    return problem.arrays(model) | trace.of(0)
