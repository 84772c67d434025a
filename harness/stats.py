"""Intervals and paired tests over seeds: plain floats in, plain floats out.

The sample is always one number per seed, so a statement covers the choice of seed (initialisation, order of
the data, noise). What all seeds have in common, above all the test examples, it covers where the standard
error that the mean owes to them is given as `shared` (`harness.sketch`). Below `MIN_SEEDS` nothing is
claimed.
"""

from __future__ import annotations

import functools
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

MIN_SEEDS = 3
"""Two seeds give a t-interval with a quantile of 12.7: formally right, and of no use to anybody."""

ROUNDING = 1e-12
"""Paired values closer than this, relative to their size, are the same number."""


@dataclass(frozen=True)
class Interval:
    """A mean over `n` values and its interval; `half_width` is None where n is too small for one."""

    mean: float
    half_width: float | None
    n: int

    @property
    def low(self) -> float | None:
        return None if self.half_width is None else self.mean - self.half_width

    @property
    def high(self) -> float | None:
        return None if self.half_width is None else self.mean + self.half_width


@dataclass(frozen=True)
class Standing:
    """Who is best, and who cannot be told from it.

    `unbeaten` holds the best and all it does not beat; `untested` is the part of it that shares too few
    seeds with the best for a test.
    """

    best: str
    unbeaten: frozenset[str]
    untested: frozenset[str]


def t_interval(values: Sequence[float], level: float = 0.95, *, shared: float = 0.0) -> Interval:
    """Student's interval of the mean of independent, roughly normal `values`.

    Equal values, with nothing `shared`, give a half-width of exactly zero; fewer than `MIN_SEEDS` give none.
    Raises ValueError for no values or values that are not finite.
    """
    _check_finite(values)
    if not values:
        raise ValueError("the mean of no values")
    n, mean = len(values), statistics.mean(values)
    if n < MIN_SEEDS:
        return Interval(mean, None, n)
    widths = (quantile(freedom, (1 + level) / 2) * error for error, freedom in _doubts(values, shared))
    return Interval(mean, max(widths), n)


@functools.cache
def quantile(freedom: float, share: float) -> float:
    """Of Student's distribution, below which `share` of it lies."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, share))


def differences(a: Sequence[float], b: Sequence[float]) -> list[float]:
    """a − b pair by pair; what only rounding keeps apart is exactly zero."""
    _check_finite([*a, *b])
    return [0.0 if abs(x - y) <= ROUNDING * max(abs(x), abs(y)) else x - y for x, y in zip(a, b, strict=True)]


def paired_test(a: Sequence[float], b: Sequence[float], *, shared: float = 0.0) -> float:
    """Two-sided p-value of the paired t-test for equal means of `a` and `b` (a[i] and b[i] share a seed).

    1.0 below `MIN_SEEDS` pairs: nothing can be claimed. Where every pair differs by the same amount, and
    nothing is `shared`, the test has no noise to measure against: the answer is 0.0 (1.0 if the amount is 0).
    """
    found = differences(a, b)
    if len(found) < MIN_SEEDS:
        return 1.0
    mean, doubts = statistics.mean(found), [each for each in _doubts(found, shared) if each[0]]
    if not doubts:
        return 1.0 if mean == 0 else 0.0
    from scipy.special import stdtr

    return max(2 * float(stdtr(freedom, -abs(mean) / error)) for error, freedom in doubts)


def _doubts(values: Sequence[float], shared: float) -> Sequence[tuple[float, float]]:
    """Standard errors of the mean, with degrees of freedom: over seeds alone, and with what is `shared`.

    The latter is taken to be known, for it rests on hundreds of examples (Welch and Satterthwaite). So the
    two together have more degrees of freedom than seeds alone, and may come out narrower; what covers more
    must not, hence both.
    """
    own, fewest = statistics.stdev(values) / math.sqrt(len(values)), len(values) - 1
    error = math.hypot(own, shared)
    return (own, fewest), (error, fewest * (error / own) ** 4 if own else math.inf)


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted for their number, in the order given (Holm 1979, step-down Bonferroni)."""
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    adjusted = [1.0] * len(p_values)
    reached = 0.0
    for rank, index in enumerate(order):
        reached = max(reached, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = reached
    return adjusted


def standing(
    values: Mapping[str, Mapping[int, float]],
    direction: str,
    shared: Callable[[str, str, Sequence[int]], float] = lambda a, b, seeds: 0.0,
) -> Standing:
    """The name with the best mean, and all that it does not beat, from {name: {seed: value}}.

    The best needs `MIN_SEEDS` seeds itself, unless nobody has them: one lucky seed makes no champion.
    Beaten means: worse on the seeds shared with the best, and so by a paired t-test whose two-sided p-value,
    Holm-corrected over all rivals tested, is at most 5 % / (k / 2), k the number that could have come
    out best. The best was picked by the same numbers: a one-sided test at 5 % / k for each that it might
    have been holds 5 % over the family, whatever the means and correlations. Ties go to more seeds, then
    to the name. `direction` is "higher" or "lower"; `shared` gives what the difference of two names over some
    seeds owes to examples. Raises ValueError without names, or for a name without values.
    """
    sign = {"higher": 1.0, "lower": -1.0}[direction]
    means = {name: sign * statistics.mean(seeds.values()) for name, seeds in values.items()}
    eligible = [name for name in values if len(values[name]) >= MIN_SEEDS] or list(values)
    best = min(eligible, key=lambda name: (-means[name], -len(values[name]), name))
    tested, leads, p_values = [], [], []
    for name in sorted(values.keys() - {best}):
        common = sorted(values[best].keys() & values[name].keys())
        if len(common) >= MIN_SEEDS:
            ours, theirs = [values[best][seed] for seed in common], [values[name][seed] for seed in common]
            tested.append(name)
            leads.append(sign * math.fsum(differences(ours, theirs)))
            p_values.append(paired_test(ours, theirs, shared=shared(best, name, common)))
    strict = 0.05 / (max(len(eligible), 2) / 2)
    beaten = {
        name for name, lead, p in zip(tested, leads, holm(p_values), strict=True) if lead > 0 and p <= strict
    }
    return Standing(best, frozenset(values.keys() - beaten), frozenset(values.keys() - {best, *tested}))


def _check_finite(values: Sequence[float]) -> None:
    for value in values:
        if not math.isfinite(value):
            raise ValueError(f"{value} is not a finite number")
