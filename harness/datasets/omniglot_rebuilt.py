"""Omniglot 28 × 28, rebuilt: 24,345 + 8,070 characters. NOT comparable with published likelihoods.

A stand-in for `chardata.mat` (dataset `omniglot`) with the same two sizes but its own resize and its own
split: the 105 × 105 drawings of Lake et al. (2015) with antialiased bicubic; drawers 1 to 15 train, 16 to
20 test, less drawer 20 of the 45 Glagolitic characters.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.data.sources import File

if TYPE_CHECKING:
    import numpy

LICENCE = "MIT (Omniglot, Brenden Lake)"
LEVELS = 256
FILES = (
    File(
        "omniglot/omniglot28_rebuilt.npz",
        5075028,
        "cad1293e0c20b3b73cbfeb88400487aa2577b49450824c8efaa009a48053dc53",
        (),
    ),
)


def load(files: dict[str, Path]) -> dict[str, numpy.ndarray]:
    """`x_*` uint8 (N, 28, 28), ink 255; `y_*` uint8 (N,), the alphabet, 0 to 49."""
    import io

    import numpy

    from harness.datasets._formats import contents

    with numpy.load(io.BytesIO(contents(files["omniglot/omniglot28_rebuilt.npz"]))) as file:
        return {
            "x_train": file["x_train"],
            "y_train": file["alphabet_train"],
            "x_test": file["x_test"],
            "y_test": file["alphabet_test"],
        }
