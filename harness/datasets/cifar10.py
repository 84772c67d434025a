"""CIFAR-10, in part: 10,000 of the 50,000 training images, and all 10,000 test images, 32 × 32 in colour.

Training images are those of `data_batch_1`, in the canonical order (Krizhevsky 2009). The file is ours, so
nobody offers it: whoever has CIFAR-10 can write it (see `load`). The whole is the dataset `cifar10_whole`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.data.sources import File

if TYPE_CHECKING:
    import numpy

LICENCE = "none is given; cite Krizhevsky (2009)"
LEVELS = 256
FILES = (
    File(
        "cifar10/cifar10_20k.npz",
        56503124,
        "1e34c5c202823c5290aa9d45d2735b77108e579785c75686f174fb62c02594ea",
        (),
    ),
)


def load(files: dict[str, Path]) -> dict[str, numpy.ndarray]:
    """`x_*` uint8 (10000, 32, 32, 3), RGB; `y_*` uint8 (10000,) of 0 to 9."""
    import io

    import numpy

    from harness.datasets._formats import contents

    with numpy.load(io.BytesIO(contents(files["cifar10/cifar10_20k.npz"]))) as file:
        return {name: file[name] for name in ("x_train", "y_train", "x_test", "y_test")}
