"""What codes of a finite length can do at best: the normal approximation.

Polyanskiy, Poor, Verdú, Channel coding rate in the finite blocklength regime, IEEE Trans. Inf. Theory 56
(2010), theorems 52 and 53. It is no strict bound, but within a few bits of the best code from n = 100 or so.
"""

from __future__ import annotations

import math
from statistics import NormalDist

from harness.kit.ldpc.channels import capacity_bec, capacity_bsc


def message_bits_bsc(n: int, eps: float, failing: float) -> float:
    """The most bits that n uses of a BSC carry if a share `failing`, in (0, 1), of blocks may be wrong."""
    if not 0 < eps < 0.5:
        return n * capacity_bsc(eps)
    dispersion = eps * (1 - eps) * math.log2((1 - eps) / eps) ** 2
    return _bits(n, capacity_bsc(eps), dispersion, failing) + 0.5 * math.log2(n)


def message_bits_bec(n: int, eps: float, failing: float) -> float:
    """The same for a BEC."""
    return _bits(n, capacity_bec(eps), eps * (1 - eps), failing)


def _bits(n: int, capacity: float, dispersion: float, failing: float) -> float:
    return n * capacity + math.sqrt(n * dispersion) * NormalDist().inv_cdf(failing)
