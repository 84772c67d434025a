"""Judges, trained once for all cells, and what is known of the oracle that they make."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

import harness
from harness.studies.attack import images
from harness.studies.attack.generators import settled
from harness.studies.attack.judges import ARCHITECTURES, KNOWN, UNKNOWN, build, garbage, train_judge
from harness.studies.attack.oracle import ABSTAINS, VOTES, Oracle, calibrate, confidence, majority

HELD = {True: 12, False: 5}
"""One training image in so many is kept from the judges for calibration: of many images, of few."""

HELD_SURE, HELD_DIGIT = "held.sure", "held.digit"


@harness.asset
def judge(
    run: harness.Run, *, dataset: harness.DataSet, architecture: str, seed: int, effort: float
) -> dict[str, Tensor]:
    """The `state_dict` of a judge, and its confidence and digit (N,) on training images it was not shown."""
    split = images.load(run, dataset).to(run.device)
    held = held_out(len(split.x_train))
    with torch.random.fork_rng():
        # no two judges, and no auxiliary classifier, see the images in the same order
        torch.manual_seed(1_000_003 * (seed + 1) + ARCHITECTURES.index(architecture))
        network = train_judge(architecture, split.x_train[~held], split.y_train[~held], effort, run.progress)
    sure, digit = confidence(network, split.x_train[held])
    arrays = network.state_dict() | {HELD_SURE: sure, HELD_DIGIT: digit}
    return {name: value.cpu() for name, value in arrays.items()}


def held_out(rows: int) -> Tensor:
    """Which training images (N,) the judges are calibrated on, and not trained on."""
    return torch.arange(rows) % HELD[rows >= 10_000] == 0


def panel(dataset: str, seed: int, effort: float) -> list[Any]:
    """What `Run.assets` needs to be told for the five judges."""
    settings = {"dataset": dataset, "seed": seed, "effort": effort}
    return [(judge, settings | {"architecture": each}) for each in ARCHITECTURES]


def summoned(run: harness.Run, dataset: str, side: int, seed: int, effort: float) -> Oracle:
    """The five judges of a data set of S × S images, with thresholds from held-out training images.

    They sit on the run's device; thresholds are found on the CPU, by a search that asks for values.
    """
    known = [dict(arrays) for arrays in run.assets(panel(dataset, seed, effort))]
    sure = torch.stack([arrays.pop(HELD_SURE) for arrays in known])
    digit = torch.stack([arrays.pop(HELD_DIGIT) for arrays in known])
    judges = []
    for architecture, arrays in zip(ARCHITECTURES, known, strict=True):
        network = build(architecture, side)
        network.load_state_dict(arrays)
        judges.append(settled(network).to(run.device))
    return Oracle(judges, calibrate(sure, digit).to(run.device))


@harness.asset
def oracle_record(
    run: harness.Run, *, dataset: harness.DataSet, seed: int, effort: float
) -> dict[str, Tensor]:
    """How the oracle does on all test images, at three, four and five votes, and on what is no digit.

    `wrong` and `abstained` (3,) are shares of the `n` test images, `held_abstained` () of held-out training
    images; `judge_error` (5,) of each judge's own likeliest digit; `garbage_known` and `garbage_unknown` (3,)
    the shares of made-up non-digits that it takes for digits, of kinds it was trained to refuse and others.
    """
    split = images.load(run, dataset).to(run.device)
    oracle = summoned(run, dataset, split.shape[-1], seed, effort)
    votes = oracle.votes(split.x_test)
    held = oracle.votes(split.x_train[held_out(len(split.x_train))])
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        junk = [garbage(split.x_test, split.y_test, makers)[:2000] for makers in (KNOWN, UNKNOWN)]
    known, unknown = (oracle.votes(part) for part in junk)
    alone = [confidence(each, split.x_test)[1] != split.y_test for each in oracle.judges]
    return {
        "wrong": _shares(votes, lambda said: (said != split.y_test) & (said != ABSTAINS)),
        "abstained": _shares(votes, lambda said: said == ABSTAINS),
        "held_abstained": _shares(held, lambda said: said == ABSTAINS)[0],
        "garbage_known": _shares(known, lambda said: said != ABSTAINS),
        "garbage_unknown": _shares(unknown, lambda said: said != ABSTAINS),
        "judge_error": torch.stack(alone).double().mean(1),
        "n": torch.tensor(len(split.y_test)),
    }


def _shares(votes: Tensor, which: Any) -> Tensor:
    return torch.stack([which(majority(votes, needed)).double().mean() for needed in VOTES])
