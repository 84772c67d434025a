"""One comparison of a claim under one setting: both sides on every seed, the margin, its interval and test.

The margin is how far the larger side exceeds the smaller one, seed by seed; its p-value is two-sided.
"""

from __future__ import annotations

import contextlib
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any, Literal

from harness import sketch, stats
from harness.groups import Group
from harness.views import claims_file
from harness.views.claims_file import Claim, Comparison

LEVEL = 0.05
ENOUGH = 1000
"""More seeds than this are not advised."""

Outcome = Literal["holds", "does not hold", "inconclusive", "not measured"]


@dataclass(frozen=True)
class Part:
    """One comparison under one setting: both sides and the margin as means over `n` seeds.

    `low` and `high` bound the margin with 95 % confidence; they, `p` and `verdict` are of this part alone,
    uncorrected. They cover the choice of seed and, if `examples`, of test examples. About `seeds` more would
    decide it, as margin and spread stand. What cannot be said is None.
    """

    test: str
    where: dict[str, Any]
    budget: dict[str, Any]
    strict: bool
    verdict: Outcome = "not measured"
    n: int = 0
    small: float | None = None
    large: float | None = None
    margin: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    examples: bool = False
    seeds: int | None = None
    settles: str = ""

    @property
    def favours(self) -> bool:
        """Whether the margin, as far as it is known, speaks for the claim."""
        return self.margin is not None and (self.margin > 0 or (self.margin == 0 and not self.strict))


def measure(
    claim: Claim, blank: Part, test: Comparison, group: Group, other: Group | None, level: float
) -> Part:
    """`blank` with both sides on every seed that has all they name."""
    sides = _sides(test, group, other)
    reasons = "; ".join(dict.fromkeys(group.reasons + (other.reasons if other else [])))
    if not sides:
        named = claims_file.metrics(test.text)
        lacking = sorted(
            named[""] - group.values.keys() | (named["other"] - other.values.keys() if other else set())
        )
        return replace(blank, settles=reasons or claim.needs or f"values of {', '.join(lacking)}")
    smalls, larges = zip(*sides, strict=True)
    part = replace(blank, verdict="inconclusive", n=len(sides))
    if not all(map(math.isfinite, [*smalls, *larges])):
        return replace(part, settles="values that are finite")
    margins = stats.differences(larges, smalls)
    margin = min(margins) if claim.exact else statistics.mean(margins)
    part = replace(part, small=statistics.mean(smalls), large=statistics.mean(larges), margin=margin)
    if claim.exact:
        return replace(part, p=0.0, verdict="holds" if part.favours else "does not hold")
    if len(margins) < stats.MIN_SEEDS:
        return replace(part, settles=f"{stats.MIN_SEEDS} seeds or more" + (f"; {reasons}" if reasons else ""))
    shared = _shared(test, group, other, margins)
    interval = stats.t_interval(margins, shared=shared)
    # Equal on every seed is all that <= asks for, and not what < does.
    p = stats.paired_test(larges, smalls, shared=shared) if any(margins) else 0.0
    part = replace(part, p=p, low=interval.low, high=interval.high, examples=shared > 0)
    part = replace(part, verdict=outcome([part], significant=p <= LEVEL))
    return replace(part, **_more(margins, shared, level))


def outcome(parts: Sequence[Part], *, significant: bool) -> Outcome:
    """What the parts of a claim, or one alone, amount to, be it significant or not."""
    if all(part.verdict == "not measured" for part in parts):
        return "not measured"
    if not significant:
        return "inconclusive"
    return "holds" if all(part.favours for part in parts) else "does not hold"


def _sides(
    test: Comparison, group: Group, other: Group | None, place: int | None = None
) -> list[tuple[float, float]]:
    """The smaller and the larger side on each seed; with `place`, metrics move by that of their sketch."""
    published = SimpleNamespace(**{name: row.value for name, row in group.published.items()})
    made = []
    for seed in sorted(group.statuses):
        rival = SimpleNamespace(**_at(other, seed, place) if other else {})
        scope = {"max": max, "min": min, "abs": abs, "other": rival, "published": published}
        scope |= _at(group, seed, place)
        with contextlib.suppress(NameError, AttributeError):  # a metric that this seed has not
            made.append((_value(test.small, scope), _value(test.large, scope)))
    return made


def _at(group: Group, seed: int, place: int | None) -> dict[str, float]:
    at = {name: values[seed] for name, values in group.values.items() if seed in values}
    if place is not None:
        at |= {
            name: at[name] + known[seed][place] for name, known in group.sketches.items() if known.get(seed)
        }
    return at


def _shared(test: Comparison, group: Group, other: Group | None, margins: Sequence[float]) -> float:
    """What the mean margin owes to test examples that seeds share (delta method); 0 unless all sides tell."""
    named = claims_file.metrics(test.text)
    sides = [(group, named[""])] + ([(other, named["other"])] if other else [])
    for side, names in sides:
        if not all(side.values[name].keys() <= side.sketches.get(name, {}).keys() for name in names):
            return 0.0
    moved = [
        [large - small - margin for (small, large), margin in zip(sides, margins, strict=True)]
        for sides in (_sides(test, group, other, place) for place in range(sketch.SIZE))
    ]
    return sketch.shared(list(zip(*moved, strict=True)))


def _value(side: str, scope: dict[str, Any]) -> float:
    """One side on one seed; its text holds arithmetic and nothing else, as `claims_file` made sure."""
    try:
        return float(eval(side, {"__builtins__": {}}, scope))
    except ZeroDivisionError:
        return math.nan


def _more(margins: Sequence[float], shared: float, level: float) -> dict[str, Any]:
    """What would decide, if mean and spread stay: `seeds` more, or what `settles` it, or nothing."""
    mean = abs(statistics.mean(margins))
    if mean <= shared * stats.quantile(math.inf, 1 - level / 2):
        return {"settles": "more test examples"}
    spread, here = statistics.stdev(margins), len(margins)
    for n in range(here, here + ENOUGH):
        if mean >= stats.quantile(n - 1, 1 - level / 2) * math.hypot(spread / math.sqrt(n), shared):
            return {"seeds": n - here or None}
    return {"seeds": ENOUGH}
