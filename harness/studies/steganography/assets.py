"""What anybody can do without the hidden channel, measured once for all methods at a seed."""

from __future__ import annotations

from typing import Any

from torch import Tensor

import harness
from harness.studies.steganography import probes
from harness.studies.steganography.networks import translate
from harness.studies.steganography.one_way import regress
from harness.studies.steganography.task import steganography


@harness.asset
def honest_inverse(
    run: harness.Run, *, seed: int, dataset: harness.DataSet, others: dict[str, Any]
) -> dict[str, Tensor]:
    """`errors` (N,), mean |Ĝ(y) − x| of each test pair for a Ĝ fitted to true pairs: what y itself tells.

    `others` are the task's parameters but for the data set; Ĝ learns for all of its `steps`.
    """
    problem = steganography(run, dataset=dataset, **others)
    _, g = problem.generators()
    regress(problem, g, problem.train.y, problem.train.x, problem.budget.steps, "honest")
    return {"errors": (translate(g, problem.test.y) - problem.test.x).abs().mean((1, 2, 3)).cpu()}


@harness.asset
def blind_probe(
    run: harness.Run, *, seed: int, dataset: harness.DataSet, others: dict[str, Any], probe_steps: int
) -> dict[str, Tensor]:
    """`wrong` (N, 8, 8), where the best reader fitted to *true* partners errs: they tell it nothing."""
    problem = steganography(run, dataset=dataset, **others)
    train, test = problem.train, problem.test
    assert train.bits is not None and test.bits is not None
    read = probes.best_readings(
        probes.Material(train.y, train.bits),
        probes.Material(test.y, test.bits),
        {"none": lambda y: y},
        probe_steps,
        run.stream,
    )
    return {"wrong": read["none"].float().cpu()}
