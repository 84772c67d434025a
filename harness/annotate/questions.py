"""The images that people are asked about: those of an attack among controls, in a blind order."""

from __future__ import annotations

import hashlib
import io
import random
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.annotate.votes import Ballot
from harness.errors import UserError
from harness.store import Record, Store

if TYPE_CHECKING:
    import numpy

FILE = "judged.npz"
"""What a cell keeps for people: `images` (N, H, W) uint8, `source` (N,), `oracle` (N,) of −1 to 9, and `kind`
(N,): "attack", "plain" or "real"."""


@dataclass(frozen=True)
class Question:
    """One image, named by its content, with what nobody is told before the report."""

    name: str
    image: numpy.ndarray
    source: int
    oracle: int
    kind: str


def kept(results: Path, record: Record) -> Path:
    """Where a cell's score keeps images to be judged, if it does."""
    return Store(results).cell_folder(record.key) / FILE


def of_record(results: Path, record: Record) -> list[Question]:
    """What a cell's score kept to be judged; never a pickle. The same image is asked about once.

    Raises `UserError` where it kept none.
    """
    import numpy

    path = kept(results, record)
    if not path.is_file():
        raise UserError(
            f"cell {record.key[:10]} ({record.task} {record.method}) kept no {FILE}; attacks by generators do"
        )
    with numpy.load(path, allow_pickle=False) as arrays:
        columns = [arrays[name] for name in ("images", "source", "oracle", "kind")]
    made: dict[str, Question] = {}
    for image, source, oracle, kind in zip(*columns, strict=True):
        name = hashlib.sha256(image.tobytes()).hexdigest()[:16]
        made.setdefault(name, Question(name, image, int(source), int(oracle), str(kind)))
    return list(made.values())


def ballot(results: Path, record: Record) -> Ballot:
    """Where the votes on a cell's images are kept: by its fit, so that they outlive another score of it."""
    return Ballot(results / "votes" / f"{record.fit}.jsonl")


def chosen(questions: list[Question], limit: int, fit: str) -> list[Question]:
    """At most `limit` questions, the same for everybody.

    Half of them are the attack's where it has so many; the rest are controls, of both kinds alike.
    """
    kinds: dict[str, list[Question]] = {}
    for question in sorted(questions, key=lambda question: question.name):
        kinds.setdefault(question.kind, []).append(question)
    shuffle = random.Random(fit).shuffle
    for group in kinds.values():
        shuffle(group)
    kept = kinds.pop("attack", [])[: max(limit // 2, 1)]
    share = (limit - len(kept)) // max(len(kinds), 1)
    return kept + [question for group in kinds.values() for question in group[:share]]


def order(questions: list[Question], annotator: str) -> list[Question]:
    """The questions in this annotator's own order, always the same."""
    shuffled = sorted(questions, key=lambda question: question.name)
    random.Random(annotator).shuffle(shuffled)
    return shuffled


def png(image: numpy.ndarray) -> bytes:
    """The image (H, W) uint8 as a PNG file, without a name or a comment."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(image).save(file, "png")
    return file.getvalue()
