"""Votes of people on images, kept in one file per fit: each line is on the disk before the page goes on."""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from harness.errors import UserError

NONE = -1
"""The answer "none of these"."""

ANSWERS = (*range(10), NONE)

Votes = dict[str, dict[str, int]]
"""By annotator, what each said of which image, by the image's name."""


def check_name(annotator: str) -> str:
    """The name, trimmed. Raises `UserError` unless it is 1 to 40 letters, digits, spaces, dots or dashes."""
    name = annotator.strip()
    if not re.fullmatch(r"[\w .-]{1,40}", name):
        raise UserError(
            f"annotator: {annotator!r} is no name of 1 to 40 letters, digits, spaces, dots, dashes"
        )
    return name


class Ballot:
    """The votes in `path`: lines of JSON that are only ever added to. An undone vote is a line, too."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def votes(self) -> Votes:
        """What stands. A line that was cut off when the machine stopped is passed over."""
        votes: Votes = {}
        for line in self.path.read_text().splitlines() if self.path.is_file() else ():
            with contextlib.suppress(ValueError):
                given = json.loads(line)
                said = votes.setdefault(given["annotator"], {})
                if given["answer"] is None:
                    said.pop(given["image"], None)
                else:
                    said[given["image"]] = given["answer"]
        return votes

    def vote(self, annotator: str, image: str, answer: int | None) -> None:
        """Write a vote, None to take one back; it is on the disk when this returns."""
        if answer is not None and answer not in ANSWERS:
            raise UserError(f"answer: {answer!r} is neither a digit nor {NONE} for none of these")
        line = {"annotator": annotator, "image": image, "answer": answer, "time": round(time.time(), 1)}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a+") as file:
            end = file.tell()
            if end and self._cut_off(end):
                file.write("\n")
            file.write(json.dumps(line) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def _cut_off(self, end: int) -> bool:
        with self.path.open("rb") as file:
            file.seek(end - 1)
            return file.read(1) != b"\n"


def majority(answers: Sequence[int]) -> int:
    """What more than half of the answers say; "none of these" where no digit has so many."""
    most = Counter(answers).most_common(1)
    return most[0][0] if most and most[0][1] > len(answers) / 2 else NONE


def by_image(votes: Votes) -> dict[str, list[int]]:
    """All answers to each image."""
    found: dict[str, list[int]] = {}
    for said in votes.values():
        for image, answer in said.items():
            found.setdefault(image, []).append(answer)
    return found


def cohen(first: Mapping[str, int], second: Mapping[str, int]) -> float | None:
    """Cohen's κ (1960) of two annotators over the images that both judged; None without a common image.

    Where both always gave one and the same answer, chance alone would agree: κ is 1 by convention.
    """
    common = first.keys() & second.keys()
    if not common:
        return None
    n = len(common)
    agreed = sum(first[image] == second[image] for image in common) / n
    counts = [Counter(said[image] for image in common) for said in (first, second)]
    chance = sum(counts[0][answer] * counts[1][answer] for answer in ANSWERS) / n**2
    return 1.0 if chance == 1 else (agreed - chance) / (1 - chance)


def fleiss(answers: Iterable[Sequence[int]]) -> float | None:
    """Fleiss' κ (1971) over the images that have the largest number of answers, two at least; else None."""
    rows = [Counter(given) for given in answers]
    raters = max((row.total() for row in rows), default=0)
    rows = [row for row in rows if row.total() == raters]
    if raters < 2:
        return None
    pairs = raters * (raters - 1)
    agreed = sum(sum(count * (count - 1) for count in row.values()) / pairs for row in rows) / len(rows)
    shares = [sum(row[answer] for row in rows) / (len(rows) * raters) for answer in ANSWERS]
    chance = sum(share**2 for share in shares)
    return 1.0 if chance == 1 else (agreed - chance) / (1 - chance)
