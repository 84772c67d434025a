"""SVHN, cropped digits in gray: 73,257 + 26,032 house numbers, 32 × 32 (Netzer et al. 2011).

Colour becomes luma by ITU-R BT.601, rounded. The 531,131 extra images are not used.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.data.sources import Address, File

if TYPE_CHECKING:
    import numpy

LICENCE = "for non-commercial use only (Stanford University)"
LEVELS = 256


def _file(name: str, size: int, sha256: str) -> File:
    return File(f"svhn/{name}", size, sha256, (Address(f"http://ufldl.stanford.edu/housenumbers/{name}"),))


FILES = (
    _file(
        "train_32x32.mat",
        182040794,
        "435e94d69a87fde4fd4d7f3dd208dfc32cb6ae8af2240d066de1df7508d083b8",
    ),
    _file(
        "test_32x32.mat",
        64275384,
        "cdce80dfb2a2c4c6160906d0bd7c68ec5a99d7ca4831afa54f09182025b6a75b",
    ),
)


def load(files: dict[str, Path]) -> dict[str, numpy.ndarray]:
    """`x_*` uint8 (N, 32, 32), luma; `y_*` uint8 (N,) of 0 to 9 (in the files, 10 means the digit 0)."""
    x_train, y_train = _part(files["svhn/train_32x32.mat"])
    x_test, y_test = _part(files["svhn/test_32x32.mat"])
    return {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test}


def _part(path: Path) -> tuple[numpy.ndarray, numpy.ndarray]:
    import io

    import numpy
    from scipy.io import loadmat

    from harness.datasets._formats import contents

    file = loadmat(io.BytesIO(contents(path)))
    images = file["X"]  # (32, 32, 3, N)
    luma = numpy.full(images.shape[:2] + images.shape[3:], 500, numpy.uint32)
    for channel, weight in enumerate((299, 587, 114)):
        luma += images[:, :, channel].astype(numpy.uint32) * weight
    gray = (luma // 1000).astype(numpy.uint8).transpose(2, 0, 1)
    return numpy.ascontiguousarray(gray), (file["y"].ravel() % 10).astype(numpy.uint8)
