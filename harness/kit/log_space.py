"""Means of numbers that are known by their logarithms: shared by the likelihood and the coding study."""

from __future__ import annotations

import math

from torch import Tensor


def log_mean_exp(logs: Tensor) -> Tensor:
    """ln of the mean over the first dimension of the numbers whose logarithms are `logs`, (k, B) -> (B,)."""
    return logs.logsumexp(0) - math.log(len(logs))
