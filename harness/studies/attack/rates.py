"""Shares with binomial errors, and how far images lie from others."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from harness import Estimate


def percent(which: Tensor) -> Estimate:
    """The share of True in (N,), N > 0, in percent; its error is half of Wilson's 68 % interval, never 0."""
    n = len(which)
    share = float(which.double().mean())
    return Estimate(100 * share, 100 * _half_width(share, n, 1.0), n)


def wilson(count: int, n: int, z: float = 1.959964) -> tuple[float, float]:
    """Wilson's interval of a binomial share, count of n > 0, at z standard errors: from 0 to 1."""
    share = count / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = _half_width(share, n, z)
    return max(centre - half, 0.0), min(centre + half, 1.0)


def _half_width(share: float, n: int, z: float) -> float:
    return z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)


def mean(parts: list[Estimate]) -> Estimate:
    """The plain mean of independent estimates; n is their sum."""
    value = sum(part.value for part in parts) / len(parts)
    error = math.sqrt(sum(part.error**2 for part in parts)) / len(parts)
    return Estimate(value, error, sum(part.n for part in parts))


def nearest(images: Tensor, others: Tensor, at_once: int = 2000) -> Tensor:
    """The smallest maximum-norm distance of each image (N, …) to any of the others (M, …): (N,), exact."""
    rows, pool = images.flatten(1), others.flatten(1)
    best = torch.full((len(rows),), math.inf)
    for row, image in enumerate(rows):
        best[row] = min(float((part - image).abs().amax(1).min()) for part in pool.split(at_once))
    return best
