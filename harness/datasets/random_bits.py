"""Random bits: 5,000 + 1,000 + 1,000 vectors of 50 fair coin flips, made here and the same everywhere.

Nothing can be learned about the next vector, so 50 bits need 50 clean bits: a check on every code's claims.
Sizes and seed are those of the released NECST code; the numbers themselves are ours.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy

LICENCE = "none is needed: made up"
LEVELS = 2
FILES = ()


def load(files: dict[str, Path]) -> dict[str, numpy.ndarray]:
    """`x_train`, `x_valid`, `x_test` uint8 (N, 50) of 0 and 1."""
    import numpy

    flips = numpy.random.RandomState(1234).randint(0, 2, (7000, 50), dtype=numpy.uint8)
    return {"x_train": flips[:5000], "x_valid": flips[5000:6000], "x_test": flips[6000:]}
