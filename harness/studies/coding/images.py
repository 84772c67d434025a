"""The images of a coding problem: rows of numbers in [0, 1], binary or not."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

import harness
from harness import data

VALIDATION = 2000
"""Training rows kept for choosing weights: the last tenth, at most so many."""

DICE = {"x_train": 1234, "x_valid": 1235, "x_test": 1236}
"""Seeds by which MNIST is binarised, once for all runs."""


@dataclass(frozen=True)
class Images:
    """x (N, D) float32 in [0, 1]; `shape` is an image's own; labels are None where there are none."""

    dataset: str
    shape: tuple[int, ...]
    binary: bool
    x_train: Tensor
    x_valid: Tensor
    x_test: Tensor
    y_train: Tensor | None
    y_test: Tensor | None

    @property
    def pixels(self) -> int:
        return self.x_train.shape[1]

    def pictures(self) -> np.ndarray:
        """The test images as a codec wants them: uint8 (N, H, W) or (N, H, W, 3), a binary 1 being 255.

        Raises ValueError where the data is no pictures.
        """
        if len(self.shape) < 2:
            raise ValueError(f"{self.dataset} has no pictures for an image codec: its rows are {self.shape}")
        return (self.x_test * 255).round().to(torch.uint8).reshape(-1, *self.shape).cpu().numpy()


def load(run: harness.Run, dataset: str, binary: bool, test_images: int) -> Images:
    """Training images without validation rows, and `test_images` test images (at most all), evenly spaced.

    Binary MNIST is sampled once, pixels being probabilities; all other data is rounded. Raises ValueError for
    pixels of the wrong range or shape, and for colour asked to be binary.
    """
    arrays, levels = run.data(dataset), data.describe(dataset).levels
    parts = {
        name: pixels(arrays[name], levels, dataset)
        for name in ("x_train", "x_valid", "x_test")
        if name in arrays
    }
    if binary:
        parts = {name: binarise(x, dataset, DICE[name]) for name, x in parts.items()}
    chosen = evenly(test_images, len(parts["x_test"]))
    labels = {name: torch.as_tensor(y.astype(np.int64)) for name, y in arrays.items() if name[0] == "y"}
    train = parts["x_train"]
    kept = len(train) if "x_valid" in parts else len(train) - min(len(train) // 10, VALIDATION)
    return Images(
        dataset=dataset,
        shape=tuple(train.shape[1:]),
        binary=binary,
        x_train=train[:kept].flatten(1).to(run.device),
        x_valid=parts.get("x_valid", train[kept:]).flatten(1).to(run.device),
        x_test=parts["x_test"][chosen].flatten(1).to(run.device),
        y_train=labels["y_train"][:kept] if "y_train" in labels else None,
        y_test=labels["y_test"][chosen] if "y_test" in labels else None,
    )


def evenly(count: int, rows: int) -> Tensor:
    """`count` of the row numbers 0 .. rows − 1 in even steps; all where there are no more."""
    count = min(count, rows)
    return torch.arange(count) * rows // count


def pixels(images: np.ndarray, levels: int | None, dataset: str) -> Tensor:
    """Whole numbers 0 to levels − 1 as float32 in [0, 1], in the same shape."""
    if levels is None:
        raise ValueError(f"{dataset} has no pixels: choose a data set of images or of bits")
    if images.ndim not in (2, 3, 4) or (images.ndim == 4 and images.shape[3] != 3):
        raise ValueError(f"{dataset}: images are (N, H, W), (N, H, W, 3) or rows (N, D), not {images.shape}")
    low, high = images.min(), images.max()
    if low < 0 or high > levels - 1:
        raise ValueError(f"{dataset}: pixels are 0 to {levels - 1}, but some are {low if low < 0 else high}")
    return torch.from_numpy(images.astype(np.float32)).div_(levels - 1)


def binarise(x: Tensor, dataset: str, seed: int) -> Tensor:
    """0 and 1 for pixels in [0, 1]: MNIST as coin flips of these probabilities, all else rounded."""
    if x.ndim == 4:
        raise ValueError(f"{dataset} is in colour: set binary: false")
    if dataset != "mnist":
        return (x >= 0.5).float()
    return (torch.rand(x.shape, generator=torch.Generator().manual_seed(seed)) < x).float()
