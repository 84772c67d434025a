"""Fashion-MNIST: 60,000 + 10,000 articles of clothing, 28 × 28 gray (Xiao, Rasul and Vollgraf 2017)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.data.sources import Address, Debian, File

if TYPE_CHECKING:
    import numpy

LICENCE = "MIT (Zalando SE)"
LEVELS = 256


def _file(name: str, size: int, sha256: str) -> File:
    sources = (
        Debian("dataset-fashion-mnist", f"usr/share/datasets/fashion-mnist/{name}.gz"),
        Address(f"http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/{name}.gz"),
        Address(f"https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/{name}.gz"),
    )
    return File(f"fashion_mnist/{name}", size, sha256, sources)


FILES = (
    _file(
        "train-images-idx3-ubyte",
        47040016,
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    ),
    _file(
        "train-labels-idx1-ubyte",
        60008,
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    ),
    _file(
        "t10k-images-idx3-ubyte",
        7840016,
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    ),
    _file(
        "t10k-labels-idx1-ubyte",
        10008,
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    ),
)


def load(files: dict[str, Path]) -> dict[str, numpy.ndarray]:
    """`x_*` uint8 (N, 28, 28), cloth 255; `y_*` uint8 (N,) of 0 to 9."""
    from harness.datasets._formats import idx

    return {
        "x_train": idx(files["fashion_mnist/train-images-idx3-ubyte"]),
        "y_train": idx(files["fashion_mnist/train-labels-idx1-ubyte"]),
        "x_test": idx(files["fashion_mnist/t10k-images-idx3-ubyte"]),
        "y_test": idx(files["fashion_mnist/t10k-labels-idx1-ubyte"]),
    }
