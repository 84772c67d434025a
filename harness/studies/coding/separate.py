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


def offers(
    bits: np.ndarray, intact: np.ndarray, blank: np.ndarray, fields: float, flag: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Bits and distortion (Q + 1, N) of a sender's choices for each image; the last sends no file.

    `bits` and `intact` (Q, N) are those of files, `blank` (N,) the distortion without one. Every image pays
    `flag`, every file that is sent `fields` (its length and its quality).
    """
    return np.vstack([bits + fields, np.zeros_like(blank)[None]]) + flag, np.vstack([intact, blank[None]])


def chosen(
    bits: np.ndarray, intact: np.ndarray, blank: np.ndarray, fields: float, flag: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Mean bits and mean distortion (L + 1,) of senders who choose among `offers` for each image.

    Each minimises distortion + λ · bits; λ falls from 1 to 1e-8, which reaches the lower hull of all such
    choices. The last point sends nothing at all.
    """
    cost, distortion = offers(bits, intact, blank, fields, flag)
    images = np.arange(len(blank))
    best = [(distortion + price * cost).argmin(0) for price in np.geomspace(1, 1e-8, 200)]
    spent = [cost[each, images].mean() for each in best] + [0.0]
    return np.array(spent), np.array([distortion[each, images].mean() for each in best] + [blank.mean()])


def pooled(bits: np.ndarray, intact: np.ndarray, blank: np.ndarray, fields: float, room: float) -> np.ndarray:
    """The choice (N,) for each image, −1 for no file, if all together may take `room` bits.

    Each minimises distortion + λ · bits over its `offers` at the least λ that `room` allows. Where not even
    the flags fit, nothing is sent.
    """
    cost, distortion = offers(bits, intact, blank, fields)
    images, best = np.arange(len(blank)), np.full(len(blank), len(bits))
    low, high = -40.0, 2.0
    for _ in range(60):
        price = (low + high) / 2
        choice = (distortion + np.exp(price) * cost).argmin(0)
        if cost[choice, images].sum() <= room:
            best, high = choice, price
        else:
            low = price
    return np.where(best == len(bits), -1, best)


def fields(bits: np.ndarray) -> int:
    """Bits that say a file's quality and its length in bytes, for files of `bits` (Q, N)."""
    return math.ceil(math.log2(len(bits))) + math.ceil(math.log2(bits.max() / 8 + 1))


def ideal(source_bits: np.ndarray, capacity: float) -> np.ndarray:
    """Channel bits for `source_bits` under a code that achieves capacity and never fails: s / C."""
    return source_bits / capacity if capacity > 0 else np.where(source_bits > 0, math.inf, 0.0)


def in_blocks(
    source_bits: np.ndarray, intact: np.ndarray, blank: np.ndarray, message: float, block: int, failing: float
) -> tuple[np.ndarray, np.ndarray]:
    """Channel bits and expected distortion (Q, N) of files (Q, N) written one after another into blocks.

    Each block of `block` channel bits carries `message` bits and fails with probability `failing`. A file of
    s bits touches 1 + s/message blocks on average; if one of them fails the image is lost, and its
    distortion is `blank` (N,) instead of `intact` (Q, N).
    """
    lost = 1 - (1 - failing) ** (1 + source_bits / message)
    return source_bits * block / message, intact + lost * (blank - intact)
