"""Separate source and channel coding: what a codec and a code cost together for a given distortion."""

from __future__ import annotations

import math

import numpy as np


def bits_for(bits: np.ndarray, distortion: np.ndarray, target: float) -> float:
    """The least mean bits per image at which a mixture of operating points has the distortion `target`.

    `bits` and `distortion` (Q,) are means over images, one pair an operating point. A scheme may use one
    point for some images and another for the rest, so the answer lies on the lower convex hull. Infinite
    where no point is as good as `target`.
    """
    bits, distortion = bits[np.isfinite(bits)], distortion[np.isfinite(bits)]
    good, poor = distortion <= target, distortion > target
    if not good.any():
        return math.inf
    best = float(bits[good].min())
    if not poor.any():
        return best
    above, below = distortion[poor][:, None], distortion[good][None, :]
    share = (above - target) / (above - below)
    mixed = bits[poor][:, None] * (1 - share) + bits[good][None, :] * share
    return min(best, float(mixed.min()))


def ideal(source_bits: np.ndarray, capacity: float) -> np.ndarray:
    """Channel bits for `source_bits` under a code that achieves capacity and never fails: s / C."""
    return source_bits / capacity if capacity > 0 else np.where(source_bits > 0, math.inf, 0.0)


def in_blocks(
    source_bits: np.ndarray, intact: np.ndarray, blank: np.ndarray, message: int, block: int, failing: float
) -> tuple[np.ndarray, np.ndarray]:
    """Mean channel bits and mean distortion (Q,) of files (Q, N) written one after another into blocks.

    Each block of `block` channel bits carries `message` bits and fails with probability `failing`. A file of
    s bits touches 1 + s/message blocks on average; if one of them fails the image is lost, and its
    distortion is `blank` (N,) instead of `intact` (Q, N).
    """
    lost = 1 - (1 - failing) ** (1 + source_bits / message)
    return (source_bits * block / message).mean(1), (intact + lost * (blank - intact)).mean(1)
