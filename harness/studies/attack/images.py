"""The images of the attack study: gray, in [0, 1], as (N, 1, H, W)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

import harness
from harness import data
from harness.errors import UserError


@dataclass(frozen=True)
class Images:
    """x (N, 1, H, W) float32 in [0, 1] and y (N,) int64 of 0 to 9, of the training and of the test split."""

    x_train: Tensor
    y_train: Tensor
    x_test: Tensor
    y_test: Tensor

    def to(self, device: str) -> Images:
        return Images(*(part.to(device) for part in (self.x_train, self.y_train, self.x_test, self.y_test)))

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.x_train.shape[1:])


def load(run: harness.Run, dataset: str, test_images: int = 0) -> Images:
    """Both splits of `dataset`; of the test split `test_images` evenly spread ones, or all where it is 0.

    Evenly spread, because the first images of MNIST's test split are harder than the rest. Raises `UserError`
    for data that is no gray image of ten classes.
    """
    arrays, levels = run.data(dataset), data.describe(dataset).levels
    if levels is None or "y_train" not in arrays:
        raise UserError(
            f"dataset: {dataset!r} has no images with classes; take mnist, fashion_mnist or digits"
        )
    parts = {name: gray(arrays[name], levels, dataset) for name in ("x_train", "x_test")}
    parts |= {name: classes(arrays[name], dataset) for name in ("y_train", "y_test")}
    rows = len(parts["x_test"])
    count = min(test_images or rows, rows)
    chosen = torch.arange(count) * rows // count
    return Images(parts["x_train"], parts["y_train"], parts["x_test"][chosen], parts["y_test"][chosen])


def gray(images: np.ndarray, levels: int, dataset: str) -> Tensor:
    """Whole numbers (N, H, W) of 0 to levels − 1 as float32 (N, 1, H, W) in [0, 1]."""
    if images.ndim != 3:
        raise UserError(
            f"dataset: {dataset!r} has arrays {images.shape}; this study takes gray images (N, H, W)"
        )
    low, high = images.min(), images.max()
    if low < 0 or high > levels - 1:
        wrong = low if low < 0 else high
        raise UserError(f"dataset: pixels of {dataset!r} are 0 to {levels - 1}, but some are {wrong}")
    return torch.from_numpy(images.astype(np.float32)).div_(levels - 1).unsqueeze(1)


def classes(labels: np.ndarray, dataset: str) -> Tensor:
    """Labels (N,) as int64; they must be 0 to 9."""
    found = labels.astype(np.int64)
    if found.min() < 0 or found.max() > 9:
        raise UserError(
            f"dataset: {dataset!r} has classes {int(found.min())} to {int(found.max())}, not 0 to 9"
        )
    return torch.from_numpy(found)
