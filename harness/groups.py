"""Groups of rows: one for each method and setting, with all its seeds.

Settings are everything that a result depends on beside its seed: data set, method, parameters. Rows whose
settings differ never share a group.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from harness import sketch, stats
from harness.errors import UserError
from harness.key import canonical, digest
from harness.row import Row

Scalar = str | int | float | bool | None
Where = Mapping[str, Scalar | list[Scalar]]

MAX_REASONS = 3
"""How many different reasons for missing results are told below a view."""


@dataclass
class Group:
    """What is known under one setting: statuses by seed, values by metric and seed, published records.

    `sketches` are those of the examples behind values, as far as cells keep them. `reasons` tells, once for
    each cell that has no result, its status and why.
    """

    settings: dict[str, Any]
    statuses: dict[int, str] = field(default_factory=dict)
    values: dict[str, dict[int, float]] = field(default_factory=dict)
    sketches: dict[str, dict[int, sketch.Sketch]] = field(default_factory=dict)
    published: dict[str, Row] = field(default_factory=dict)
    reasons: list[str] = field(default_factory=list)
    cells: set[str] = field(default_factory=set)
    suites: set[str] = field(default_factory=set)

    @cached_property
    def key(self) -> str:
        return canonical(self.settings)

    @property
    def ours(self) -> bool:
        """Whether cells of ours stand behind it, be they skipped or missing; else it is only published."""
        return bool(self.statuses)

    def finite(self, metric: str) -> dict[int, float]:
        """The finite values of a metric by seed."""
        return {seed: value for seed, value in self.values.get(metric, {}).items() if math.isfinite(value)}

    def shared(self, metric: str, rival: Group | None = None, seeds: Iterable[int] | None = None) -> float:
        """What the mean of a metric, less a rival's, owes to examples that these seeds share (`sketch`).

        All seeds with a finite value unless said; 0 where a cell keeps no sketch.
        """
        mine, theirs = (side.sketches.get(metric, {}) if side else {} for side in (self, rival))
        chosen = self.finite(metric) if seeds is None else seeds
        known = [mine.get(seed, ()) for seed in chosen]
        if rival:
            known = [sketch.less(own, theirs.get(seed, ())) for own, seed in zip(known, chosen, strict=True)]
        return sketch.shared(known)

    def states(self) -> str:
        """The seeds in words: "3" if all went well, else "2 ok, 1 timeout", or "not run"."""
        counts = Counter(self.statuses.values())
        if counts.keys() <= {"ok"}:
            return str(counts["ok"]) if counts else "not run"
        order = sorted(counts, key=lambda status: (status != "ok", status))
        return ", ".join(f"{counts[status]} {status}" for status in order)


def measured(rows: Sequence[Row], where: Where) -> list[Group]:
    """The groups of all measured rows that `where` keeps.

    Raises `UserError` if two rows of one seed disagree; suites that share a cell repeat it harmlessly.
    """
    groups: dict[str, Group] = {}
    keys: dict[int, str] = {}  # the metrics of a cell share one object; "" is not kept
    suites: dict[tuple[str, int, str], str] = {}
    for row in rows:
        if row.origin != "measured":
            continue
        key = keys.get(id(row.settings))
        if key is None:
            key = keys[id(row.settings)] = canonical(row.settings) if fits(row.settings, where) else ""
        if not key:
            continue
        group = groups.setdefault(key, Group(row.settings))
        first = suites.setdefault((key, row.seed, row.metric), row.suite)
        if not _add(group, row):
            raise UserError(
                f"two different results for {row.method}, seed {row.seed}, {row.metric or 'status'} under "
                f"{key}: different code made them, in the suites {first} and {row.suite}. Run again the one "
                "that is behind, or, if it is no longer wanted, drop it with: harness forget SUITE"
            )
    return list(groups.values())


def fits(settings: Mapping[str, Any], where: Where) -> bool:
    """Whether every setting that `where` names is what it says, or one of its list."""
    return all(_allowed(options, settings.get(name)) for name, options in where.items())


def published(rows: Iterable[Row], where: Where, table: str, metrics: set[str]) -> list[Row]:
    """The rows of a published table; `where` is held against what they state, and no more."""
    return [
        row
        for row in rows
        if row.origin == "published"
        and row.suite == table
        and row.metric in metrics
        and fits(row.settings, {name: where[name] for name in where.keys() & row.settings.keys()})
    ]


def attach(beside: Iterable[Row], groups: Sequence[Group], stand_ins: Mapping[str, str]) -> list[Group]:
    """Put each published row on the groups with all its settings; returns groups for what nobody ran.

    `stand_ins` gives the published data set that one of ours stands in for.
    """
    unrun: dict[str, Group] = {}
    for row in beside:
        stated = Group(row.settings)
        hits = [group for group in groups if row.settings.items() <= _standing_in(group, stand_ins).items()]
        for group in hits or [unrun.setdefault(stated.key, stated)]:
            group.published[row.metric] = row
    return list(unrun.values())


def shared_settings(groups: Iterable[Group]) -> dict[str, list[Any]]:
    """The settings that every group has, each with its distinct values."""
    listed = [group.settings for group in groups]
    names = set.intersection(*(set(settings) for settings in listed)) if listed else set()
    return {name: _distinct(settings[name] for settings in listed) for name in sorted(names)}


def labels(groups: Sequence[Group], rows: Sequence[str], show: Sequence[str]) -> dict[str, str]:
    """A label by group key: the method, and the settings that tell the group from others but have no column.

    Those are the settings that differ among groups with the same `rows`, and those that all groups have
    without agreeing on them: a preset or budget is never hidden. What nobody ran shows all it states.
    """
    mine = [group for group in groups if group.ours]
    telling = {name for name, values in shared_settings(mine).items() if len(values) > 1}
    constant = {name for name, values in shared_settings(groups).items() if len(values) == 1}
    made = {}
    for group in groups:
        kin = [other for other in mine if all(other.settings.get(n) == group.settings.get(n) for n in rows)]
        names = telling | differing(kin) if group.ours else group.settings.keys() - constant
        shown = sorted((names & group.settings.keys()) - {"method", *rows, *show})
        text = ", ".join(f"{name}={spell(group.settings[name])}" for name in shown)
        method = group.settings["method"]
        made[group.key] = f"{method} ({text})" if text else method
    return made


def summary(kind: str, values: Sequence[float], shared: float = 0.0) -> dict[str, float | None]:
    """Finite values over seeds as mean (""), low, high and n: 95 % t-interval; of speeds median and range.

    The interval covers examples, too, where the standard error is given that seeds share on their account.
    """
    if kind == "speed":
        return {"": statistics.median(values), "low": min(values), "high": max(values), "n": len(values)}
    interval = stats.t_interval(values, shared=shared)
    return {"": interval.mean, "low": interval.low, "high": interval.high, "n": interval.n}


def constants(groups: Iterable[Group], shown: Iterable[str]) -> str:
    """The settings that all groups of ours share and that are not shown elsewhere, as text."""
    shared = shared_settings(group for group in groups if group.ours)
    same = {name: values[0] for name, values in shared.items() if len(values) == 1}
    return ", ".join(f"{name}={spell(value)}" for name, value in same.items() if name not in {*shown})


def reasons(groups: Iterable[Group]) -> Iterable[str]:
    """Why cells have no result, the most frequent reasons first."""
    counts = Counter(reason for group in groups for reason in group.reasons)
    for reason, count in counts.most_common(MAX_REASONS):
        yield f"{reason}{f' ({count} cells)' if count > 1 else ''}."
    if len(counts) > MAX_REASONS:
        yield f"Cells without a result have {len(counts) - MAX_REASONS} more reasons; see harness rows."


def origins(groups: Sequence[Group]) -> str:
    """Which suites' cells a view is made of: how many, and a digest of their keys."""
    keys = sorted({key for group in groups for key in group.cells} - {""})
    suites = sorted({suite for group in groups for suite in group.suites})
    if not keys:
        return f"Shows frozen values of {', '.join(suites)}." if suites else "Shows no cell of ours."
    many = f"{len(keys)} cell{'s' * (len(keys) > 1)}"
    return f"Shows {many} of {', '.join(suites)} (cells {digest(keys)[:10]})."


def place(group: Group, names: Sequence[str]) -> str:
    """Where a group stands by these settings, as a title."""
    texts = {name: spell(group.settings.get(name)) for name in names}
    return ", ".join(
        text if name in ("dataset", "method") else f"{name} {text}" for name, text in texts.items()
    )


def order(group: Group, names: Sequence[str]) -> list[tuple[float, str]]:
    """A key that sorts groups by these settings, numbers by size."""
    values = [group.settings.get(name) for name in names]
    return [(float(value), "") if isinstance(value, (int, float)) else (0.0, str(value)) for value in values]


def short_labels(groups: Sequence[Group], within: Sequence[str], free: Sequence[str]) -> dict[str, str]:
    """A label by group key: the method, and what else tells its groups of one place apart, `free` aside."""
    kin: dict[tuple[str, str], list[Group]] = {}
    for group in groups:
        kin.setdefault((place(group, within), group.settings["method"]), []).append(group)
    made = {}
    for (_, method), listed in kin.items():
        names = sorted(differing(listed) - {*free})
        for group in listed:
            text = ", ".join(f"{n}={spell(group.settings[n])}" for n in names if n in group.settings)
            made[group.key] = f"{method} ({text})" if text else method
    return made


def spell(value: Any) -> str:
    """A setting as text."""
    return value if isinstance(value, str) else canonical(value)


def _standing_in(group: Group, stand_ins: Mapping[str, str]) -> dict[str, Any]:
    dataset = group.settings.get("dataset", "")
    return {**group.settings, "dataset": stand_ins[dataset]} if dataset in stand_ins else group.settings


def differing(groups: Sequence[Group]) -> set[str]:
    """The settings on which these groups do not agree, be it that only some have them."""
    names = {name for group in groups for name in group.settings}
    return {name for name in names if len(_distinct(group.settings.get(name) for group in groups)) > 1}


def _distinct(values: Iterable[Any]) -> list[Any]:
    return list({canonical(value): value for value in values}.values())


def _allowed(options: Scalar | list[Scalar], value: Any) -> bool:
    """Whether `value` is one of `options`; true is not 1."""
    listed = options if isinstance(options, list) else [options]
    return any(value == option and isinstance(value, bool) == isinstance(option, bool) for option in listed)


def _add(group: Group, row: Row) -> bool:
    """Take a row in; whether it agrees with what is known of its seed."""
    group.cells.add(row.key)
    group.suites |= set(row.suite.split(","))
    if row.seed not in group.statuses and row.status != "ok":
        group.reasons.append(f"{row.status}: {row.reason or 'no reason known'}")
    agrees = group.statuses.setdefault(row.seed, row.status) == row.status
    if row.metric:
        first = group.values.setdefault(row.metric, {}).setdefault(row.seed, row.value)
        agrees = agrees and (first == row.value or (math.isnan(first) and math.isnan(row.value)))
        if row.sketch:
            group.sketches.setdefault(row.metric, {})[row.seed] = row.sketch
    return agrees
