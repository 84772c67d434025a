"""What people said of a cell's images: rates beside the oracle's, agreement, and errors on controls."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from harness.annotate import questions as asking
from harness.annotate.questions import Question
from harness.annotate.votes import NONE, Votes, by_image, cohen, fleiss, majority
from harness.row import Row
from harness.store import Record


@dataclass(frozen=True)
class Share:
    """`count` of `n` images, n > 0."""

    count: int
    n: int

    @property
    def percent(self) -> float:
        return 100 * self.count / self.n

    @property
    def error(self) -> float:
        """In percent; half of Wilson's 68 % interval, never 0."""
        share = self.count / self.n
        return 100 * math.sqrt(share * (1 - share) / self.n + 1 / (4 * self.n**2)) / (1 + 1 / self.n)


def shares(questions: list[Question], votes: Votes) -> dict[str, Share]:
    """By the name of the metric: of the judged images of the attack, those that most people (and the oracle)
    read as their source, all and by digit, and those called none of these; of the controls, those misread."""
    said = {name: majority(answers) for name, answers in by_image(votes).items()}
    judged = [one for one in questions if one.name in said]
    attack = [one for one in judged if one.kind == "attack"]

    def right(one: Question) -> bool:
        return said[one.name] == one.source

    found = {
        "people_rate": _share(attack, right),
        "people_oracle_rate": _share(attack, lambda one: one.oracle == one.source),
        "people_none": _share(attack, lambda one: said[one.name] == NONE),
    }
    for digit in range(10):
        found[f"people_{digit}"] = _share([one for one in attack if one.source == digit], right)
    for kind in ("real", "plain"):
        controls = [one for one in judged if one.kind == kind]
        found[f"people_misread_{kind}"] = _share(controls, lambda one: not right(one))
    return {name: share for name, share in found.items() if share.n}


def _share(few: list[Question], which: Callable[[Question], bool]) -> Share:
    return Share(sum(which(one) for one in few), len(few))


def agreement(questions: list[Question], votes: Votes) -> dict[str, float]:
    """Kappas, those that can be had: all annotators, their majority and the oracle, and each two of them."""
    answers = by_image(votes)
    attack = [one for one in questions if one.kind == "attack" and one.name in answers]
    kappas = {
        "people_fleiss": fleiss(answers.values()),
        "people_oracle_kappa": cohen(
            {one.name: majority(answers[one.name]) for one in attack},
            {one.name: one.oracle for one in attack},
        ),
    }
    for first, second in combinations(sorted(votes), 2):
        kappas[f"Cohen's kappa, {first} and {second}"] = cohen(votes[first], votes[second])
    return {name: kappa for name, kappa in kappas.items() if kappa is not None}


def of_cell(results: Path, record: Record) -> tuple[list[Question], Votes]:
    """The questions of a cell, and the votes on them; votes on other images do not count."""
    questions = asking.of_record(results, record)
    known = {one.name for one in questions}
    votes = asking.ballot(results, record).votes()
    return questions, {who: {name: said[name] for name in said.keys() & known} for who, said in votes.items()}


def as_text(results: Path, record: Record) -> str:
    """The report for people to read."""
    questions, votes = of_cell(results, record)
    if not any(votes.values()):
        return "nobody has judged an image of this cell yet"
    lines = [f"judged by {who}: {len(said)} images" for who, said in sorted(votes.items())]
    lines += [
        f"{name:<20} {share.percent:5.1f} % ({share.count} of {share.n})"
        for name, share in shares(questions, votes).items()
    ]
    lines += [f"{name:<20} {kappa:.3f}" for name, kappa in agreement(questions, votes).items()]
    return "\n".join([*lines, "people_oracle_rate: the automatic oracle, not people, on the same images"])


def rows(results: Path, record: Record, cell: Row) -> list[Row]:
    """What people said of a cell, as rows beside those of its score; none where nobody has judged it.

    Votes belong to a fit. Where its score has failed since, or keeps no images, there are none either.
    """
    needed = [asking.kept(results, record), asking.ballot(results, record).path]
    if record.status != "ok" or not all(path.is_file() for path in needed):
        return []
    cell = cell._replace(kind="votes")
    questions, votes = of_cell(results, record)
    found = shares(questions, votes)
    made = [
        cell._replace(metric=name, value=share.percent, error=share.error, n=share.n, unit="%", tolerance=1.0)
        for name, share in found.items()
    ]
    digits = [found.get(f"people_{digit}") for digit in range(10)]
    if all(digits):
        mean = sum(share.percent for share in digits if share) / 10
        error = math.sqrt(sum(share.error**2 for share in digits if share)) / 10
        made.append(cell._replace(metric="people_mean", value=mean, error=error, unit="%", tolerance=1.0))
    kappas = {name: kappa for name, kappa in agreement(questions, votes).items() if name.startswith("people")}
    return made + [cell._replace(metric=name, value=kappa, unit="1") for name, kappa in kappas.items()]
