"""Attacks outside any ball: how many tries get how far, and who says that they still show their digit.

Wherever "the oracle" stands it is five trained classifiers, not people.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

import harness
from harness import Estimate
from harness.studies.attack import assets, sheets
from harness.studies.attack.broken import broken
from harness.studies.attack.generators import CLASSES
from harness.studies.attack.oracle import ABSTAINS, VOTES, Oracle, confidence, majority
from harness.studies.attack.oracle_assets import oracle_record, panel, summoned
from harness.studies.attack.rates import mean, nearest, percent, wilson
from harness.studies.attack.search import UNTARGETED, fools
from harness.studies.attack.stages import Stages, reached
from harness.studies.attack.task import Problem

Found = dict[str, float | Estimate]

MEASURED = 100
"""Successes whose distance to test and training images is measured, evenly spread."""


@dataclass(frozen=True)
class Judging:
    """How much the judges, and the networks that transfer is measured to, are trained."""

    effort: float
    transfer_epochs: int
    transfer_images: int
    transfer_steps: int


def unrestricted(problem: Problem, arrays: dict[str, Tensor], run: harness.Run, judging: Judging) -> Found:
    """Rates in percent at each stage; distances, transfer, cost; how good generator and oracle are."""
    judges = panel(problem.dataset, 0, judging.effort)
    record = (oracle_record, {"dataset": problem.dataset, "seed": 0, "effort": judging.effort})
    hurt = (broken, problem.identity | {"eps": problem.eps})
    *_, known, bent = run.assets([*_trained(problem, judging).values(), *judges, record, hurt])
    bent = {name: value.to(run.device) for name, value in bent.items()}
    oracle = summoned(run, problem.dataset, problem.x_test.shape[-1], 0, judging.effort)
    _check(arrays)
    stages = reached(problem.network, arrays, oracle)
    success = arrays["images"][stages.joint()]
    found = rates(stages) | by_digit(stages) | cost(arrays, stages)
    found |= distances(problem, success) | transfer(problem, arrays, stages, run, judging)
    found |= of_generator(arrays, oracle) | of_oracle(oracle, known, bent)
    sheets.counts(stages, run)
    sheets.pictures(arrays, stages, run)
    sheets.keep(problem, arrays, stages, oracle, run)
    return found


def _check(arrays: dict[str, Tensor]) -> None:
    """Raise ValueError for images outside [0, 1], or arrays that do not fit together."""
    images, source = arrays["images"], arrays["source"]
    if not (len(images) == len(source) == len(arrays["accepted"]) > 0):
        raise ValueError("images, source and accepted must have one row for each try, and there must be one")
    if images.min() < 0 or images.max() > 1:
        raise ValueError(
            f"images are {float(images.min()):.3g} to {float(images.max()):.3g}; they must be within [0, 1]"
        )


def rates(stages: Stages) -> Found:
    """Of all tries, and of those that fooled and were accepted."""
    raw = stages.raw
    found: Found = {
        "tries": float(len(raw)),
        "fooled": percent(stages.fooled),
        "accepted": percent(stages.accepted),
        "raw_rate": percent(raw),
    }
    found |= _judged("joint", {votes: stages.joint(votes) for votes in VOTES})
    if raw.any():
        found |= _judged("conditional", {votes: stages.joint(votes)[raw] for votes in VOTES})
        found["abstained"] = percent(stages.seen[VOTES[0]][raw] == ABSTAINS)
    return found


def _judged(name: str, right: dict[int, Tensor]) -> Found:
    """The rate at the majority of votes with Wilson's interval, and the rates at more votes."""
    most, *more = VOTES
    low, high = wilson(int(right[most].sum()), len(right[most]))
    found: Found = {
        f"{name}_rate": percent(right[most]),
        f"{name}_low": 100 * low,
        f"{name}_high": 100 * high,
    }
    return found | {f"{name}_at_{votes}": percent(right[votes]) for votes in more}


def by_digit(stages: Stages) -> Found:
    """The three rates of each source digit, and the plain mean of ten where all ten are there."""
    kinds: dict[str, dict[int, Estimate]] = {"raw": {}, "joint": {}, "conditional": {}}
    for digit in range(CLASSES):
        rows = stages.source == digit
        if rows.any():
            kinds["raw"][digit] = percent(stages.raw[rows])
            kinds["joint"][digit] = percent(stages.joint()[rows])
        if (rows & stages.raw).any():
            kinds["conditional"][digit] = percent(stages.joint()[rows & stages.raw])
    found: Found = {}
    for kind, parts in kinds.items():
        found |= {f"{kind}_{digit}": part for digit, part in parts.items()}
        if len(parts) == CLASSES:
            found[f"{kind}_mean"] = mean(list(parts.values()))
    return found


def cost(arrays: dict[str, Tensor], stages: Stages) -> Found:
    """Seconds of the attack for each image that fools, is accepted and is judged its source."""
    successes = int(stages.joint().sum())
    if "cpu_seconds" not in arrays:
        return {}
    seconds = float(arrays["cpu_seconds"])
    found: Found = {"cpu_seconds_per_100": 100 * seconds / len(stages.source)}
    return found | ({"cpu_seconds_per_success": seconds / successes} if successes else {})


def distances(problem: Problem, success: Tensor) -> Found:
    """The smallest maximum-norm distance of any success to any test image and to any training image."""
    if not len(success):
        return {}
    some = success[torch.arange(min(len(success), MEASURED)) * len(success) // min(len(success), MEASURED)]
    parts = {"test": problem.x_test, "train": problem.x_train}
    return {
        f"linf_to_{part}": Estimate(float(nearest(some, images).min()), 0.0, len(some))
        for part, images in parts.items()
    }


def _trained(problem: Problem, judging: Judging) -> dict[str, Any]:
    """What `Run.assets` needs to be told for the networks trained here to show successes to, by name."""
    if not judging.transfer_epochs:
        return {}
    made = {}
    for name in assets.TRAINED:
        settings = {
            "dataset": problem.dataset,
            "target": name,
            "seed": 0,
            "epochs": judging.transfer_epochs,
            "train_images": judging.transfer_images,
            "eps": 0.1 if name != "plain" else 0.0,
            "attack_steps": judging.transfer_steps if name == "pgd" else 0,
        }
        made[name] = (assets.trained, settings)
    return made


def transfer(
    problem: Problem, arrays: dict[str, Tensor], stages: Stages, run: harness.Run, judging: Judging
) -> Found:
    """The share of successes that other networks get wrong too, whatever they say."""
    rows = stages.joint()
    if not rows.any() or not judging.transfer_epochs:
        return {}
    images, source = arrays["images"][rows], stages.source[rows]
    others = {
        name: assets.target(
            run,
            target=name,
            dataset=problem.dataset,
            weights=None,
            training={key: value for key, value in settings.items() if key not in ("dataset", "target")},
        )
        for name, (_, settings) in _trained(problem, judging).items()
    }
    weights = problem.identity.get("weights")
    published = ("wong_kolter", "raghunathan") if weights and problem.dataset == "mnist" else ()
    others |= {
        name: assets.target(run, target=name, dataset=problem.dataset, weights=weights, training={})
        for name in published
    }
    untargeted = torch.full_like(source, UNTARGETED)
    return {
        f"transfer_{name}": percent(fools(other.to(run.device), images, source, untargeted))
        for name, other in others.items()
        if name != problem.target
    }


def of_generator(arrays: dict[str, Tensor], oracle: Oracle) -> Found:
    """How plain samples are read: by the judges alone, by the oracle, and by the auxiliary classifier."""
    if "plain" not in arrays:
        return {}
    images, source = arrays["plain"], arrays["plain_source"]
    alone = [percent(confidence(judge, images)[1] == source) for judge in oracle.judges]
    seen = majority(oracle.votes(images), VOTES[0])
    return {
        "plain_worst_judge": min(alone, key=lambda share: share.value),
        "plain_mean_judge": mean(alone),
        "plain_oracle": percent(seen == source),
        "plain_abstained": percent(seen == ABSTAINS),
        "plain_accepted": percent(arrays["plain_accepted"].bool()),
    }


def of_oracle(oracle: Oracle, known: dict[str, Tensor], bent: dict[str, Tensor]) -> Found:
    """The oracle's errors on real test images, on garbage, and on images that were broken within eps.

    The last is its bias: people read nearly all of those as before.
    """
    n = int(known["n"])
    found: Found = {
        "oracle_error": Estimate(100 * float(known["wrong"][0]), 0.0, n),
        "oracle_abstention": Estimate(100 * float(known["abstained"][0]), 0.0, n),
        "oracle_held_abstention": 100 * float(known["held_abstained"]),
        "oracle_worst_judge_error": Estimate(100 * float(known["judge_error"].max()), 0.0, n),
        "oracle_takes_garbage": 100 * float(known["garbage_known"][0]),
        "oracle_takes_new_garbage": 100 * float(known["garbage_unknown"][0]),
    }
    if len(bent["source"]):
        seen = majority(oracle.votes(bent["images"]), VOTES[0])
        found["oracle_on_broken"] = percent(seen == bent["source"])
    return found
