"""Has quality changed? Judges values by seed against earlier ones: pairs, holes, verdicts, their table.

Pairs share task, settings, seed and metric. A parameter at its default is as good as not there, so that a new
one unmatches nothing. What the numbers can tell is said in `harness.gates`.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from harness import gates, stats
from harness import groups as grouping
from harness.authoring import Metric
from harness.frozen import Frozen, Place, Setting
from harness.gates import Judgement
from harness.groups import Group
from harness.key import canonical
from harness.registry import Registry
from harness.views.render import Head, Table, TableCell

ORDER = ("regressed", "failed", "missing", "not finite", "inconclusive", "improved", "ok")
HOLES = {"failed", "missing", "not finite"}
SEEDS = (3, 5, 10, 20, 50, 100)
SHOWN = 60
"""Rows of a table for people, so that it fits into a comment on a pull request."""

NOTE = (
    "now − then: mean over n seeds, and its interval, which holds with 95 % for all that changed at once; "
    "noise is that of the frozen seeds. detectable: the loss that would have been found in 95 % of cases."
)


@dataclass(frozen=True)
class Verdict:
    """The judgement on one metric under one setting, of which it names what is not at its default.

    `metric` is "" where cells have no result at all.
    """

    task: str
    settings: dict[str, Any]
    metric: str
    judgement: Judgement
    tolerance: float | None = None


Only = Mapping[str, Sequence[str]]


def compare(then: Frozen, now: Frozen, registry: Registry, only: Only | None = None) -> list[Verdict]:
    """A verdict on every value of `then`, and on every setting whose cells are gone or failed, worst first.

    What is new is not judged. Directions, tolerances and defaults are those of `registry`. `only` keeps some
    tasks, methods, data sets and seeds, as for a plan; the other frozen seeds still tell the noise.
    """
    only = only or {}
    here = {_telling(setting, registry): setting for setting in now.statuses}
    twins = {each: here.get(_telling(each, registry), each) for each in then.statuses if _wanted(each, only)}
    verdicts = [hole for each in now.statuses if _wanted(each, only) for hole in _failed(each, now, only)]
    verdicts += [hole for each, twin in twins.items() for hole in _gone(each, twin, then, now, only)]
    gains: dict[Place, list[float]] = {}
    for place in then.values:
        if place[:2] in twins and not _undirected(place, registry):
            holes, gains[place] = _pair(place, (*twins[place[:2]], place[2]), then, now, registry, only)
            verdicts += holes
    family = sum(any(found) for found in gains.values())
    for place, found in gains.items():
        if found and (metric := _metric(place, registry)):
            frozen = [value for value in then.values[place].values() if math.isfinite(value)]
            judgement = gates.judge(found, frozen, metric.tolerance, family, metric.direction)
            verdicts.append(_verdict(place, judgement, metric.tolerance))
    shown = [replace(each, settings=_plain(each.task, each.settings, registry)) for each in verdicts]
    return sorted(shown, key=_worst_first)


def _pair(
    place: Place, twin: Place, then: Frozen, now: Frozen, registry: Registry, only: Only
) -> tuple[list[Verdict], list[float]]:
    """Holes of a metric where both sides have the cell, and its finite gains: how much better it is now."""
    frozen, here, metric = then.values[place], now.values.get(twin, {}), _metric(place, registry)
    statuses = now.statuses.get(twin[:2], {})
    ran = [seed for seed in _seeds(frozen, only) if statuses.get(seed) == "ok"]
    kept = [seed for seed in ran if seed in here] if metric else []
    finite = [seed for seed in kept if math.isfinite(frozen[seed]) and math.isfinite(here[seed])]
    holes = []
    if absent := len(ran) - len(kept):
        reason = "not measured any more" if metric else "not a metric any more"
        holes.append(_verdict(place, Judgement("missing", absent, reason=reason)))
    if odd := [seed for seed in kept if seed not in finite]:
        when = "now" if any(not math.isfinite(here[seed]) for seed in odd) else "when frozen"
        holes.append(_verdict(place, Judgement("not finite", len(odd), reason=f"not finite {when}")))
    if not metric:
        return holes, []
    sides = [here[seed] for seed in finite], [frozen[seed] for seed in finite]
    sign = -1.0 if metric.direction == "lower" else 1.0
    return holes, [sign * change for change in stats.differences(*sides)]


def _failed(setting: Setting, now: Frozen, only: Only) -> Iterator[Verdict]:
    """A verdict where cells ended without a result, whether anything was frozen of them or not."""
    statuses = now.statuses[setting]
    counts = Counter(statuses[seed] for seed in _seeds(statuses, only))
    for status in ("ok", "skipped", "missing"):
        del counts[status]
    if counts:
        reason = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
        yield _verdict((*setting, ""), Judgement("failed", counts.total(), reason=reason))


def _gone(setting: Setting, twin: Setting, then: Frozen, now: Frozen, only: Only) -> Iterator[Verdict]:
    """A verdict where cells that had a result then are not there now."""
    before, here = then.statuses[setting], now.statuses.get(twin, {})
    had = [seed for seed in _seeds(before, only) if before[seed] == "ok"]
    gone = sorted(seed for seed in had if here.get(seed, "missing") in ("missing", "skipped"))
    if gone:
        reason = f"{len(gone)} of {len(had)} seeds: {', '.join(map(str, gone))}"
        yield _verdict((*setting, ""), Judgement("missing", len(gone), reason=reason))


def _telling(setting: Setting, registry: Registry) -> Setting:
    """What tells a setting from others."""
    return setting[0], canonical(_plain(setting[0], json.loads(setting[1]), registry))


def _plain(task: str, given: dict[str, Any], registry: Registry) -> dict[str, Any]:
    """Settings without the parameters that are at their default; a data set is always named."""
    known = dict(registry.tasks[task].parameters) if task in registry.tasks else {}
    if method := registry.methods.get((task, given.get("method", ""))):
        known |= method.parameters
    return {
        name: value
        for name, value in given.items()
        if name not in known
        or name == "dataset"
        or known[name].required
        or canonical(known[name].default) != canonical(value)
    }


def _wanted(setting: Setting, only: Only) -> bool:
    given = json.loads(setting[1])
    shown = {"task": setting[0], "method": given.get("method"), "dataset": str(given.get("dataset"))}
    return all(shown[name] in values for name, values in only.items() if name != "seed")


def _seeds(by_seed: Mapping[int, Any], only: Only) -> list[int]:
    return sorted(seed for seed in by_seed if str(seed) in only.get("seed", [str(seed)]))


def _metric(place: Place, registry: Registry) -> Metric | None:
    """The metric as it is today; None if it is gone."""
    return registry.tasks[place[0]].metrics.get(place[2]) if place[0] in registry.tasks else None


def _undirected(place: Place, registry: Registry) -> bool:
    """Whether neither of two values of a metric is the better one today."""
    metric = _metric(place, registry)
    return metric is not None and (metric.direction == "none" or metric.kind == "speed")


def _verdict(place: Place, judgement: Judgement, tolerance: float | None = None) -> Verdict:
    return Verdict(place[0], json.loads(place[1]), place[2], judgement, tolerance)


def power(found: Frozen, registry: Registry) -> list[str]:
    """What comparisons with this reference can find, should everything change, as sentences."""
    judged = (place for place in found.values if not _undirected(place, registry))
    metrics = {place: metric for place in judged if (metric := _metric(place, registry))}
    noise = {place: gates.spread(list(found.values[place].values())) for place in metrics}
    counts = Counter("lone" if each is None else "noisy" if each else "steady" for each in noise.values())
    needed = [
        gates.seeds_needed(each, metrics[place].tolerance, counts["noisy"]) or math.inf
        for place, each in noise.items()
        if each
    ]
    shares = ", ".join(f"{sum(count <= n for count in needed)} with {n} seeds" for n in SEEDS)
    told = {
        "noisy": f"a loss of twice the tolerance is found, in 95 % of cases, in {shares}",
        "steady": "the same for all seeds; a loss beyond the tolerance is found",
        "lone": "of one seed, which does not tell their noise; no loss is certain",
    }
    return [f"{counts[kind]} of {len(noise)} values: {text}" for kind, text in told.items() if counts[kind]]


def exit_code(verdicts: Iterable[Verdict], *, allow_missing: bool = False) -> int:
    """0: nothing is worse. 1: something regressed, or has no result and that is not allowed. 2: nothing was
    judged. 3: some cannot be told."""
    outcomes = {verdict.judgement.outcome for verdict in verdicts}
    if outcomes <= {"missing"}:
        return 2
    if "regressed" in outcomes or (outcomes & HOLES and not allow_missing):
        return 1
    if outcomes <= HOLES:
        return 2
    return 3 if "inconclusive" in outcomes else 0


def origins(then: Frozen, now: Frozen) -> list[str]:
    """A line for each way in which the devices and the software behind two sides are known to differ."""
    before, after = ({"device": side.device} | side.versions for side in (then, now))
    return [
        f"{name}: {before[name]} then, {after[name]} now"
        for name in before
        if before[name] and after.get(name) and before[name] != after[name]
    ]


def reach(verdicts: Sequence[Verdict]) -> list[str]:
    """In how many values a loss of twice the tolerance would have been found, as a sentence."""
    judged = [each for each in verdicts if each.tolerance is not None]
    found = [
        each
        for each in judged
        if each.judgement.detectable is not None
        and each.judgement.detectable <= gates.LOSS * (each.tolerance or 0.0)
    ]
    if not judged:
        return []
    return [f"a loss of twice the tolerance would have been found in {len(found)} of {len(judged)} values"]


def summary(verdicts: Sequence[Verdict]) -> str:
    """How many verdicts came out how, the worst first."""
    counts: Counter[str] = Counter(verdict.judgement.outcome for verdict in verdicts)
    return ", ".join(f"{counts[name]} {name}" for name in ORDER if counts[name]) or "nothing to compare"


def as_table(verdicts: Sequence[Verdict], *notes: str, every: bool = True) -> Table:
    """The verdicts for people, settings named as far as they tell verdicts apart.

    Without `every`, those that are ok are left out, and of the others all but the worst.
    """
    shown = [each for each in verdicts if every or each.judgement.outcome != "ok"]
    left_out = 0 if every else max(len(shown) - SHOWN, 0)
    shown = shown[: len(shown) - left_out]
    heads = [Head(key, key) for key in ("outcome", "task", "dataset", "method", "metric")]
    heads += [Head("n", "n", "right"), Head("change", "now − then", "right")]
    heads += [Head(key, key, "right") for key in ("tolerance", "detectable")]
    heads += [Head("reason", "reason")]
    groups = {canonical(verdict.settings): Group(verdict.settings, {0: "ok"}) for verdict in shown}
    labels = grouping.labels(list(groups.values()), ["dataset", "method"], [])
    rows = [_row(verdict, labels[canonical(verdict.settings)]) for verdict in shown]
    more = [f"{left_out} more that are not ok: --all shows them"] if left_out else []
    return Table(summary(verdicts), heads, rows, [*more, *(notes or [NOTE])])


def _row(verdict: Verdict, label: str) -> list[TableCell]:
    judgement = verdict.judgement
    dataset = verdict.settings.get("dataset") or "–"
    texts = [judgement.outcome, verdict.task, dataset, label, verdict.metric or "–", str(judgement.n)]
    numbers = [verdict.tolerance, judgement.detectable]
    last = [TableCell("–" if number is None else f"{number:.3g}", {"": number}) for number in numbers]
    return [*map(TableCell, texts), _change(judgement), *last, TableCell(judgement.reason or "–")]


def _change(judgement: Judgement) -> TableCell:
    if judgement.change is None:
        return TableCell("–")
    numbers = {"": judgement.change, "low": judgement.low, "high": judgement.high}
    around = "" if judgement.low is None else f" ({judgement.low:+.3g} to {judgement.high:+.3g})"
    return TableCell(f"{judgement.change:+.3g}{around}" if judgement.change else "0", numbers)


def _worst_first(verdict: Verdict) -> tuple[Any, ...]:
    judgement = verdict.judgement
    size = abs(judgement.change or 0.0) / (verdict.tolerance or math.ulp(0.0))
    where = verdict.task, canonical(verdict.settings), verdict.metric
    return ORDER.index(judgement.outcome), -size, where
