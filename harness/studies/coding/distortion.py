"""How far received images are from those that were sent: one number per image, pixels in [0, 1].

For binary pixels a receiver answers with a probability per pixel; `l1` takes its hard decision, so it is a
bit error rate, and the other measures take the probability.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

PSNR_CAP = 100.0
"""dB; the ratio of two equal images is infinite, which no mean survives."""


class Distortion(NamedTuple):
    """Means over the pixels of each image, (..., B); `cross_entropy` in nats a pixel, None where pixels are
    not binary or no probability is given; `psnr` in dB."""

    l1: Tensor
    l2: Tensor
    psnr: Tensor
    cross_entropy: Tensor | None = None

    def named(self) -> dict[str, Tensor]:
        """What there is, by name."""
        return {name: values for name, values in self._asdict().items() if values is not None}


def of_logits(x: Tensor, logits: Tensor, binary: bool) -> Distortion:
    """The distortion of answers given as logits (..., B, D) for the images x (B, D)."""
    if not binary:
        return of_means(x, torch.sigmoid(logits), binary)
    cross_entropy = (F.softplus(logits) - x * logits).mean(-1)
    return of_means(x, torch.sigmoid(logits), binary)._replace(cross_entropy=cross_entropy)


def of_means(x: Tensor, means: Tensor, binary: bool) -> Distortion:
    """The distortion of answers given as images (..., B, D) in [0, 1]."""
    difference = x - means
    l2 = difference.square().mean(-1)
    psnr = -10 * torch.log10(l2.clamp(min=10 ** (-PSNR_CAP / 10)))
    error = ((means > 0.5) != (x > 0.5)).to(x.dtype) if binary else difference.abs()
    return Distortion(error.mean(-1), l2, psnr)


def floor(x_train: Tensor, x: Tensor, binary: bool) -> Distortion:
    """What the best constant image of the training data gives: the score of whoever receives nothing.

    Best for each measure by itself: the mean for l2 and cross-entropy, the median for l1.
    """
    mean = x_train.mean(0)
    if binary:
        return of_logits(x, mean.clamp(1e-6, 1 - 1e-6).logit().expand_as(x), binary)
    return of_means(x, mean.expand_as(x), binary)._replace(l1=(x - x_train.median(0).values).abs().mean(-1))
