"""MIFR with a greedy search over its multipliers: one notion at a time, 12 runs."""

import torch
from torch import Tensor

import harness
from harness.studies.fairness import Problem
from harness.studies.fairness.constraints import CONSTRAINTS, most_expressive

MULTIPLIERS = (0.2, 0.5, 1.0)


@harness.method(task="fairness", cite="Song, Kalluri, Grover, Zhao, Ermon, AISTATS 2019, arXiv 1812.04218")
def mifr_greedy(problem: Problem, run: harness.Run) -> dict[str, Tensor]:
    """For each bound, c1, c2, eo, eopp in turn, try three multipliers beside those chosen before.

    λ is 0.2, 0.5 or 1. The best is the most expressive run, by ln p(x | z, u), that keeps the bounds so far
    on the training rows; else the one that misses its worst bound by the smallest share. The
    three runs of a turn train at once, so four bounds cost 12 runs. The slides say "greedy, 12 runs" and no
    more; order and values are ours.
    """
    chosen, tried, judged, kept = [0.0] * len(CONSTRAINTS), [], [], {}
    for notion in problem.epsilon.isfinite().nonzero().flatten().tolist():
        turn = [[*chosen[:notion], value, *chosen[notion + 1 :]] for value in MULTIPLIERS]
        model, trace = problem.fit_fixed(*turn)
        constraints, reconstruction = problem.judge(model)
        so_far = problem.epsilon.clone()
        so_far[notion + 1 :] = torch.inf
        index = most_expressive(constraints, reconstruction, so_far)
        chosen = turn[index]
        run.log(f"{CONSTRAINTS[notion]}: chose the multipliers {chosen}")
        kept = problem.arrays(model.select(index)) | trace.of(index) | {"search_chosen": len(tried) + index}
        tried, judged = [*tried, *turn], [*judged, (constraints, reconstruction)]
    constraints, reconstruction = (torch.cat(parts).cpu() for parts in zip(*judged, strict=True))
    return kept | {
        "search_multipliers": torch.tensor(tried),
        "search_constraints": constraints,
        "search_reconstruction": reconstruction,
        "search_chosen": torch.tensor(kept["search_chosen"]),
    }
