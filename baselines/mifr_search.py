"""MIFR with multipliers found by false position, at the gradient steps of one run."""

import math
from typing import Annotated

import torch
from torch import Tensor

import harness
from harness.studies.fairness import Problem
from harness.studies.fairness.constraints import most_expressive

START, FACTOR, LOWEST, HIGHEST = 1.0, 4.0, 0.01, 100.0
AIM = 0.98
"""The share of a bound that is aimed at: a run just above it is lost."""


@harness.method(task="fairness", cite="a control of this study, for one run of L-MIFR")
def mifr_search(
    problem: Problem, run: harness.Run, *, runs: Annotated[int, "[2, inf)"] = 4
) -> dict[str, Tensor]:
    """Share the budget's steps among `runs` runs of MIFR, one after the other; keep the best.

    All multipliers start at 1. Each looks for the λ at which its own constraint is at 98 % of its bound: by
    false position on ln λ as soon as runs on both sides of it are known (inverse quadratic interpolation from
    the third run on), else by a factor of 4 up or down, within [0.01, 100]. So those of bounds that do not
    bind end at the bottom. The best is the most expressive run, by ln p(x | z, u), that keeps the bounds on
    the training rows; else the one that misses its worst bound by the smallest share.
    """
    bound = problem.epsilon.isfinite().cpu()
    if not bound.any():
        raise ValueError("mifr_search: constraints are empty; give at least one, as in 'c1 < 10, c2 < 0.1'")
    epsilon, steps = problem.epsilon.cpu().double(), problem.budget.steps // runs
    if not steps:
        raise ValueError(f"mifr_search: {problem.budget.steps} steps are too few for {runs} runs")
    values, tried, excesses, judged, models = torch.full_like(epsilon, START), [], [], [], []
    for _ in range(runs):
        models.append(problem.fit_fixed((values * bound).tolist(), steps=steps))
        judged.append([part.cpu().double() for part in problem.judge(models[-1][0])])
        tried.append(values)
        excesses.append((judged[-1][0][0].clamp(min=1e-9) / (AIM * epsilon)).log())
        values = towards_the_bounds(torch.stack(tried), torch.stack(excesses))
    constraints, reconstruction = (torch.cat(parts) for parts in zip(*judged, strict=True))
    chosen = most_expressive(constraints, reconstruction, epsilon)
    run.log(f"chose the multipliers {(tried[chosen] * bound).tolist()}")
    model, trace = models[chosen]
    return (
        problem.arrays(model)
        | trace.of(0)
        | {
            "search_multipliers": torch.stack(tried) * bound,
            "search_constraints": constraints,
            "search_reconstruction": reconstruction,
            "search_chosen": torch.tensor(chosen),
        }
    )


def towards_the_bounds(tried: Tensor, excesses: Tensor) -> Tensor:
    """The next multipliers (M,), given those tried so far (R, M) and ln(C / aim) of their runs (R, M)."""
    following = [
        _next(values.tolist(), excess.tolist())
        for values, excess in zip(tried.log().T, excesses.T, strict=True)
    ]
    return torch.tensor(following, dtype=tried.dtype).exp().clamp(LOWEST, HIGHEST)


def _next(places: list[float], excess: list[float]) -> float:
    """Where ln λ is tried next: at excess 0 of the parabola through the three runs nearest to it."""
    over = [place for place, value in zip(places, excess, strict=True) if value > 0]
    under = [place for place, value in zip(places, excess, strict=True) if value <= 0]
    if not over or not under:
        return places[-1] + math.copysign(math.log(FACTOR), excess[-1])
    nearest = sorted(dict(zip(excess, places, strict=True)).items(), key=lambda pair: abs(pair[0]))[:3]
    place = sum(
        place * math.prod(other / (other - value) for other, _ in nearest if other != value)
        for value, place in nearest
    )
    low, high = sorted((max(over), min(under)))
    return min(max(place, low), high)
