"""CIFAR-10, whole: 50,000 + 10,000 photographs of ten kinds of things, 32 × 32 in colour (Krizhevsky 2009).

From the binary archive on its author's page, in the canonical order; `cifar10` has a fifth of it to train on.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.data.sources import Address, File

if TYPE_CHECKING:
    import numpy

LICENCE = "none is given; cite Krizhevsky (2009)"
LEVELS = 256
NAME = "cifar10_whole/cifar-10-binary.tgz"
"""The archive as it is published, only with another ending: a name in `.gz` would stand for its content."""
FILES = (
    File(
        NAME,
        170052171,
        "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
        (Address("https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz", packed=True),),
    ),
)
FOLDER = "cifar-10-batches-bin"
TRAIN = tuple(f"{FOLDER}/data_batch_{number}.bin" for number in range(1, 6))
TEST = (f"{FOLDER}/test_batch.bin",)
SIDE, CHANNELS = 32, 3


def load(files: dict[str, Path]) -> dict[str, numpy.ndarray]:
    """`x_*` uint8 (N, 32, 32, 3), RGB; `y_*` uint8 (N,) of 0 to 9.

    Raises `UserError` where the archive is damaged, lacks a batch, or a batch does not hold whole images.
    """
    from harness.datasets._archives import DAMAGED, members
    from harness.errors import UserError

    archive = files[NAME]
    try:
        batches = {name: content() for name, content in members(archive) if name in TRAIN + TEST}
    except DAMAGED as error:
        raise UserError(f"{archive} is cut short or damaged ({error}): get it again") from None
    if missing := [name for name in TRAIN + TEST if name not in batches]:
        raise UserError(f"{archive}: there is no {', '.join(missing)} in it")
    x_train, y_train = _records(archive, b"".join(batches[name] for name in TRAIN))
    x_test, y_test = _records(archive, batches[TEST[0]])
    return {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test}


def _records(archive: Path, batch: bytes) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Images and labels: each record is a label, then all red pixels row by row, all green, all blue."""
    import numpy

    from harness.errors import UserError

    length = 1 + CHANNELS * SIDE * SIDE
    if not batch or len(batch) % length:
        raise UserError(f"{archive}: a batch of {len(batch)} bytes is not made of records of {length}")
    records = numpy.frombuffer(batch, numpy.uint8).reshape(-1, length)
    images = records[:, 1:].reshape(-1, CHANNELS, SIDE, SIDE).transpose(0, 2, 3, 1)
    return numpy.ascontiguousarray(images), records[:, 0].copy()
