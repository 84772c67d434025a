"""A small lossless codec for binary images: each pixel from those above and to the left, arithmetic-coded.

Pixel t is 1 with probability σ(b_t + Σ_{s<t} w_st x_s), s in reading order: a fully visible belief network
(Frey, Hinton, Dayan, NIPS 1995). Weights are rounded to whole numbers of 1/256, so that a logit is a sum of
whole numbers and sender and receiver cannot disagree about the last digit of a probability.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from harness.studies.coding import arithmetic

BATCH, UPDATES, RATE, CHECKS = 100, 1500, 0.01, 10
UNIT = 256
"""Steps of a logit per nat."""

LARGEST = 11 * UNIT
PIXEL_BITS = arithmetic.PRECISION
"""No pixel costs more."""


@dataclass(frozen=True)
class PixelModel:
    """weights (D, D), [s, t] what a 1 at pixel s adds to the logit of pixel t > s; bias (D,); in 1/256."""

    weights: np.ndarray
    bias: np.ndarray

    @classmethod
    def restore(cls, arrays: dict[str, Tensor]) -> PixelModel:
        """The model whose `weights` and `bias` an asset keeps."""
        return cls(arrays["weights"].numpy().astype(np.int64), arrays["bias"].numpy().astype(np.int64))

    def encode(self, images: np.ndarray) -> list[str]:
        """A file, a string of 0 and 1, for each image (N, D) of 0 and 1."""
        logits = images.astype(np.float64) @ self.weights.astype(np.float64) + self.bias  # exact: < 2^53
        ones = probabilities()[np.clip(logits, -LARGEST, LARGEST).astype(np.int64) + LARGEST]
        return [arithmetic.encode(*each) for each in zip(images.tolist(), ones.tolist(), strict=True)]

    def decode(self, file: str) -> tuple[np.ndarray, int]:
        """The image (D,) at the beginning of `file`, and how many of its bits it took.

        Raises ValueError for a file that breaks off.
        """
        logits, table = self.bias.copy(), probabilities().tolist()

        def one(pixels: list[int]) -> int:
            if pixels and pixels[-1]:
                logits[:] += self.weights[len(pixels) - 1]
            return table[min(max(int(logits[len(pixels)]), -LARGEST), LARGEST) + LARGEST]

        pixels, used = arithmetic.decode(file, len(self.bias), one)
        return np.array(pixels, np.uint8), used

    def decode_all(self, stream: str, count: int) -> np.ndarray:
        """The first `count` images (count, D) of files that follow one another without a gap."""
        images, start = np.empty((count, len(self.bias)), np.uint8), 0
        for image in images:
            image[:], used = self.decode(stream[start : start + PIXEL_BITS * len(self.bias)])
            start += used
        return images


def probabilities() -> np.ndarray:
    """σ of the logits −LARGEST .. LARGEST, in units of 2^-16, at least one and at most all but one."""
    logits = np.arange(-LARGEST, LARGEST + 1) / UNIT
    ones = np.rint(arithmetic.WHOLE / (1 + np.exp(-logits))).astype(np.int64)
    return np.clip(ones, 1, arithmetic.WHOLE - 1)


def fit(
    x_train: Tensor, x_valid: Tensor, generator: torch.Generator, updates: int = UPDATES
) -> dict[str, Tensor]:
    """Weights and bias, int32, as `PixelModel` wants them, for binary images (N, D) as floats.

    `updates` by Adam on batches of 100, the rate rising to .01 and falling to 0; of ten checkpoints the
    one with the least loss on the validation images.
    """
    pixels = x_train.shape[1]
    earlier = torch.ones(pixels, pixels).triu(1)
    weights = torch.zeros(pixels, pixels, requires_grad=True)
    bias = x_train.mean(0).clamp(1e-4, 1 - 1e-4).logit().clone().requires_grad_()
    optimiser = torch.optim.Adam([weights, bias], RATE, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=updates, pct_start=0.1)
    best, kept = float("inf"), {}

    def loss(x: Tensor) -> Tensor:
        logits = x @ (weights * earlier) + bias
        return F.binary_cross_entropy_with_logits(logits, x, reduction="sum") / len(x)

    for update in range(1, updates + 1):
        rows = torch.randint(len(x_train), (BATCH,), generator=generator)
        optimiser.zero_grad()
        loss(x_train[rows]).backward()
        optimiser.step()
        schedule.step()
        if update % (updates // CHECKS) == 0:
            judged = float(loss(x_valid).detach())
            if judged < best:
                best, kept = judged, {"weights": weights * earlier, "bias": bias.clone()}
    return {name: (UNIT * value).detach().round().int() for name, value in kept.items()}
