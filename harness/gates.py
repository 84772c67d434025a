"""What a change of values by seed can tell, at one error rate over all that is judged together.

The noise is that of the frozen seeds: the same code run again, on another machine say, may end as far from
the frozen run as another seed would, so the mean change over n seeds has at most twice their variance over n.
Later values never enter the noise, for one more bad seed would hide in it. Intervals are Student's and hold
at once for all that a comparison judges (Bonferroni), however the metrics of a cell hang together.
"""

from __future__ import annotations

import bisect
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from harness.stats import ROUNDING, quantile

LEVEL = 0.05
"""The chance that a comparison of equals, with nothing but noise between them, flags anything at all."""

LOSS = 2.0
"""The loss, in tolerances, that a gate is meant to find."""

POWER = 0.95
"""How often it is to be found."""

MOST = 1000
"""More seeds than this are not counted."""

Outcome = Literal["regressed", "failed", "missing", "not finite", "inconclusive", "improved", "ok"]


@dataclass(frozen=True)
class Judgement:
    """An outcome over `n` paired seeds, or over `n` cells that have none.

    `change` is the mean of now − then in the metric's unit; `low` and `high` bound it at once with all else
    that was judged; `detectable` is the loss that would have been found in 95 % of cases. None: not known.
    """

    outcome: Outcome
    n: int
    change: float | None = None
    low: float | None = None
    high: float | None = None
    detectable: float | None = None
    reason: str = ""


def judge(
    gains: Sequence[float], frozen: Sequence[float], tolerance: float, family: int, direction: str = "higher"
) -> Judgement:
    """The judgement on finite gains by seed (positive: better), one of `family` values that changed.

    `frozen` are the values of all frozen seeds, whose spread is the noise. The simultaneous interval says:

    - regressed: certainly a loss, and on average of more than the tolerance; improved: the same upwards
    - ok: a loss of `LOSS` tolerances is excluded, or no seed changed by more than the tolerance
    - inconclusive: neither

    From three seeds on, a loss of `LOSS` tolerances would hide within the tolerance at every seed in at most
    1.5 % of cases, however large the noise. Frozen seeds that agree exactly tell of little noise but not how
    little: then every seed must have changed by more than the tolerance. A single one tells nothing of it:
    then what is not within the tolerance is inconclusive.
    """
    n, mean, noise = len(gains), statistics.fmean(gains), spread(frozen)
    outcome: Outcome = "ok" if all(abs(gain) <= tolerance for gain in gains) else "inconclusive"
    if noise is None:
        reason = "" if outcome == "ok" else "one frozen seed does not tell the noise"
        return Judgement(outcome, n, _signed(mean, direction), reason=reason)
    reach = _reach(noise, len(frozen), n, family)
    least, most = (mean, mean) if noise else (min(gains), max(gains))
    if most < -max(reach, tolerance):
        outcome = "regressed"
    elif least > max(reach, tolerance):
        outcome = "improved"
    elif noise and mean - reach >= -LOSS * tolerance:
        outcome = "ok"
    found = detectable(noise, len(frozen), n, tolerance, family)
    reason = ""
    if outcome == "inconclusive" and noise and tolerance:
        needed = seeds_needed(noise, tolerance, family)
        reason = f"to find a loss of {LOSS * tolerance:g} takes {needed or f'over {MOST}'} seeds"
    change = _signed(mean, direction)
    low, high = (change - reach, change + reach) if noise else (None, None)
    return Judgement(outcome, n, change, low, high, found, reason)


def spread(values: Sequence[float]) -> float | None:
    """The standard deviation over seeds; 0 where only rounding keeps them apart, None below two."""
    if len(values) < 2:
        return None
    if max(values) - min(values) <= ROUNDING * max(map(abs, values)):
        return 0.0
    mean = statistics.fmean(values)
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))


def detectable(noise: float, frozen: int, n: int, tolerance: float, family: int) -> float:
    """The loss that is found in a share `POWER` of cases, over `n` of the `frozen` seeds."""
    surely = max(_reach(noise, frozen, n, family), tolerance)
    return surely + quantile(frozen - 1, POWER) * _error(noise, n)


def seeds_needed(noise: float, tolerance: float, family: int) -> int | None:
    """How many seeds, frozen and run, let a loss of `LOSS` tolerances be found in a share `POWER` of cases.

    Their spread will differ from the `noise` assumed, so that the mean over its error follows a noncentral t
    distribution. None: more than `MOST`.
    """
    from scipy.special import nctdtr

    def found(n: int) -> bool:
        size = LOSS * tolerance / _error(noise, n)
        return bool(nctdtr(n - 1, size, quantile(n - 1, _level(family))) <= 1 - POWER)

    counts = range(2, MOST + 1)
    first = bisect.bisect_left(counts, True, key=found)
    return counts[first] if first < len(counts) else None


def _error(noise: float, n: int) -> float:
    """At most the standard deviation of the mean change over `n` seeds where nothing but noise changed."""
    return noise * math.sqrt(2 / n)


def _reach(noise: float, frozen: int, n: int, family: int) -> float:
    """Half of the interval's width."""
    return quantile(frozen - 1, _level(family)) * _error(noise, n)


def _level(family: int) -> float:
    """Of one of so many two-sided intervals that hold at once: what lies below its upper end."""
    return 1 - LEVEL / (2 * max(family, 1))


def _signed(gain: float, direction: str) -> float:
    return -gain if direction == "lower" and gain else gain
