"""Digits: 1,797 handwritten digits, 8 × 8 pixels of 0 to 16 (Alpaydin and Kaynak 1998).

The test part of the UCI set "Optical Recognition of Handwritten Digits", as scikit-learn ships it.
The split is ours: every fifth row, from the first, is a test image, so 1,437 train and 360 test.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.data.sources import File, Installed

if TYPE_CHECKING:
    import numpy

LICENCE = "CC BY 4.0 (UCI Machine Learning Repository)"
LEVELS = 17
FILES = (
    File(
        "digits/digits.csv",
        264712,
        "6ebb3d2fee246a4e99363262ddf8a00a3c41bee6014c373ed9d9216ba7f651b8",
        (Installed("sklearn/datasets/data/digits.csv.gz"),),
    ),
)


def load(files: dict[str, Path]) -> dict[str, numpy.ndarray]:
    """`x_*` uint8 (N, 8, 8) of 0 to 16, ink high; `y_*` uint8 (N,) of 0 to 9."""
    import numpy

    table = numpy.loadtxt(files["digits/digits.csv"], delimiter=",", dtype=numpy.uint8)
    images, labels = table[:, :64].reshape(-1, 8, 8), table[:, 64]
    test = numpy.arange(len(table)) % 5 == 0
    return {
        "x_train": images[~test],
        "y_train": labels[~test],
        "x_test": images[test],
        "y_test": labels[test],
    }
