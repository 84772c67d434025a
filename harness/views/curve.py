"""Curves over rows, as plain data: what `drawing` draws and a report describes.

What a figure never does: join rows of different settings to one point, draw an interval without saying what
it covers, or hide that rows are missing.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from harness import groups as grouping
from harness import stats
from harness.groups import Group, spell
from harness.key import canonical
from harness.row import Row
from harness.views.figure_file import CurveSpec, Line, Scale

MAX_TICKS, MAX_PANELS = 8, 12
Number = float | None


@dataclass(frozen=True)
class Point:
    """A mean over `n` values and its interval in y, and in x where that is measured, too."""

    x: float
    y: float
    low: Number = None
    high: Number = None
    n: int = 0
    x_low: Number = None
    x_high: Number = None


@dataclass(frozen=True)
class Series:
    """Points by ascending x under one label; the same label looks the same in every panel."""

    label: str
    points: list[Point]
    kind: Literal["measured", "reference", "published"] = "measured"


@dataclass(frozen=True)
class Panel:
    """One pair of axes."""

    title: str
    series: list[Series]


@dataclass(frozen=True)
class Figure:
    """A figure, ready to be drawn; without panels where nothing was measured.

    `x_ticks` are the xs that occur, if these are few; else any will do.
    """

    title: str
    x_title: str
    y_title: str
    x_scale: Scale
    y_scale: Scale
    panels: list[Panel]
    notes: list[str] = field(default_factory=list)
    x_ticks: list[float] = field(default_factory=list)

    def labels_of(self, kind: str) -> list[str]:
        """The labels of one kind of series, each once, in the order of drawing."""
        series = itertools.chain.from_iterable(panel.series for panel in self.panels)
        return list(dict.fromkeys(each.label for each in series if each.kind == kind))


def make(spec: CurveSpec, rows: Iterable[Row]) -> Figure:
    """The figure that `spec` declares, of rows as `harness rows` prints them or of frozen ones.

    Raises `UserError` if the rows hold two different values for one metric of one cell.
    """
    rows = [row for row in rows if row.task == spec.task]
    kinds = {row.metric: row.kind for row in rows if row.origin == "measured"}
    by_line = [(line, _groups(spec, line, rows)) for line in spec.lines]
    every = list({group.key: group for _, found in by_line for group in found}.values())
    ours = {group.key: group for line, found in by_line if not line.reference for group in found}
    names = grouping.short_labels(list(ours.values()), spec.panels, [spec.x_setting, *spec.along])
    panels: dict[str, Panel] = {}
    for group in sorted(every, key=lambda group: grouping.order(group, spec.panels)):
        panels.setdefault(_panel(spec, group), Panel(_panel(spec, group), []))
    for line, found in by_line:
        for title, series in sorted(
            _series(spec, line, found, names, kinds), key=lambda placed: placed[1].label
        ):
            panels[title].series.append(series)
    for group, series in _published(spec, rows):
        for title in dict.fromkeys(_panel(spec, other) for other in every if _may_be(spec, group, other)):
            panels[title].series.append(series)
    drawn = [panel for panel in panels.values() if any(each.kind == "measured" for each in panel.series)]
    left_out, drawn = drawn[MAX_PANELS:], drawn[:MAX_PANELS]
    notes = [*_notes(spec, every, drawn, kinds), *_settings(spec, list(ours.values()), names)]
    notes += [*grouping.reasons(every), grouping.origins(every)]
    if left_out:
        notes.append(f"{len(left_out)} more panels are not drawn: keep fewer of them by `where`.")
    xs = {point.x for panel in drawn for series in panel.series for point in series.points}
    ticks = sorted(xs) if len(xs) <= MAX_TICKS and not spec.x_metric else []
    titles = (spec.title, spec.x_title, spec.y_title)
    return Figure(*titles, spec.x_scale, spec.y_scale, drawn, notes, ticks)


def _groups(spec: CurveSpec, line: Line, rows: Sequence[Row]) -> list[Group]:
    found = grouping.measured(rows, {**spec.where, **line.where})
    return [group for group in found if len({canonical(group.settings.get(n)) for n in line.same}) < 2]


def _panel(spec: CurveSpec, group: Group) -> str:
    return grouping.place(group, spec.panels)


def _series(
    spec: CurveSpec, line: Line, groups: Sequence[Group], names: Mapping[str, str], kinds: Mapping[str, str]
) -> Iterable[tuple[str, Series]]:
    """The curves of one line of the file, each with the title of its panel."""
    placed: dict[tuple[str, str], list[tuple[Group, Point]]] = {}
    for group in groups:
        along = set() if line.reference else group.settings.keys() - {spec.x_setting, *spec.along}
        which = canonical({name: group.settings[name] for name in along})
        placed.setdefault((_panel(spec, group), which), []).extend(
            (group, point) for point in _points(spec, line, group, kinds)
        )
    for (title, _), found in placed.items():
        if line.reference:
            yield from [(title, Series(line.label or line.y, _levels(found), "reference"))] if found else []
            continue
        for suffix, each in _apart(spec, found).items():
            group, label = each[0][0], names[each[0][0].key]
            label = line.label + label.removeprefix(group.settings["method"]) if line.label else label
            points = sorted((point for _, point in each), key=lambda point: point.x)
            yield title, Series(label + suffix, points)


def _apart(spec: CurveSpec, found: list[tuple[Group, Point]]) -> dict[str, list[tuple[Group, Point]]]:
    """One curve, or, where x is a setting at which two points fall together, by `along` as text."""
    xs = [point.x for _, point in found]
    if not spec.x_setting or len(set(xs)) == len(xs):
        return {"": found} if found else {}
    telling = sorted(grouping.differing([group for group, _ in found]) & {*spec.along})
    parts: dict[str, list[tuple[Group, Point]]] = {}
    for group, point in found:
        suffix = "".join(f", {name}={spell(group.settings.get(name))}" for name in telling)
        parts.setdefault(suffix, []).append((group, point))
    return parts


def _points(spec: CurveSpec, line: Line, group: Group, kinds: Mapping[str, str]) -> Iterable[Point]:
    beside = group.finite(spec.x_metric)
    places: Mapping[str, Any] = spec.x_values or {line.y or spec.y: group.settings.get(spec.x_setting)}
    for metric, x in places.items():
        values = group.finite(metric)
        across: dict[str, Any] = {"": x, "low": None, "high": None}
        if spec.x_metric:
            values = {seed: value for seed, value in values.items() if seed in beside}
            across = (
                grouping.summary(
                    kinds[spec.x_metric],
                    [beside[seed] for seed in values],
                    group.shared(spec.x_metric, seeds=values),
                )
                if values
                else {}
            )
        if not values or type(across[""]) not in (int, float):
            continue
        if line.complement is not None:
            values = {seed: line.complement - value for seed, value in values.items()}
        along: dict[str, Any] = grouping.summary(
            kinds[metric], list(values.values()), group.shared(metric, seeds=values)
        )
        bounds = (along["low"], along["high"], along["n"], across["low"], across["high"])
        yield Point(float(across[""]), along[""], *bounds)


def _levels(found: Sequence[tuple[Group, Point]]) -> list[Point]:
    """Means over all rows, and their range where they differ by more than rounding."""
    ys: dict[float, list[float]] = {}
    for _, point in found:
        ys.setdefault(point.x, []).append(point.y)
    levels = [(x, statistics.mean(ys[x]), min(ys[x]), max(ys[x])) for x in sorted(ys)]
    return [
        Point(x, y, n=len(ys[x])) if high - low <= 1e-6 * abs(high) else Point(x, y, low, high, len(ys[x]))
        for x, y, low, high in levels
    ]


def _published(spec: CurveSpec, rows: Sequence[Row]) -> Iterable[tuple[Group, Series]]:
    """One point for each published record that states both x and y."""
    beside = spec.published
    if beside is None:
        return
    records: dict[str, tuple[Group, dict[str, Any]]] = {}
    for row in grouping.published(rows, spec.where, beside.table, {beside.x, beside.y}):
        stated = Group(row.settings)
        known = records.setdefault(stated.key, (stated, {"": row.settings.get(spec.x_setting)}))[1]
        known[row.metric] = row.value
    for stated, known in records.values():
        if known.get(beside.x) is not None and beside.y in known:
            label = f"published: {stated.settings['method']}"
            yield stated, Series(label, [Point(float(known[beside.x]), known[beside.y])], "published")


def _may_be(spec: CurveSpec, stated: Group, ours: Group) -> bool:
    """Whether what a published record states leaves it in the panel of a group of ours."""
    names = stated.settings.keys() & {*spec.panels}
    return all(stated.settings[name] == ours.settings.get(name) for name in names)


def _notes(
    spec: CurveSpec, groups: Sequence[Group], panels: Sequence[Panel], kinds: Mapping[str, str]
) -> Iterable[str]:
    series = [each for panel in panels for each in panel.series]
    counts = sorted({point.n for each in series if each.kind == "measured" for point in each.points})
    metrics = {spec.y, spec.x_metric, *spec.x_values, *(line.y for line in spec.lines)} - {""}
    slow = sorted(metric for metric in metrics if kinds.get(metric) == "speed")
    if counts and counts[-1] >= stats.MIN_SEEDS and len(slow) < len(metrics):
        n = " or ".join(map(str, counts))
        both = sorted(metric for metric in metrics if any(group.shared(metric) for group in groups))
        yield (
            f"Bars: 95 % t-interval over seeds (n = {n}); it covers the choice of seed"
            + (f" and, of {', '.join(both)}, of test examples" if both else "")
            + " and nothing else."
        )
    if counts and counts[0] < stats.MIN_SEEDS:
        yield f"Points without a bar: fewer than {stats.MIN_SEEDS} seeds."
    if slow:
        yield f"{', '.join(slow)}: median, and range over seeds as bar."
    if any(each.kind == "reference" and point.low is not None for each in series for point in each.points):
        yield "Bars of grey lines: range over the rows that tell them."
    if spec.published and any(each.kind == "published" for each in series):
        yield f"Stars: published. {spec.published.note}"
    for name in spec.along:
        values = dict.fromkeys(spell(group.settings[name]) for group in groups if name in group.settings)
        if len(values) > 1:
            yield f"Along the curves {name} is {'; '.join(values)}."


def _settings(spec: CurveSpec, groups: Sequence[Group], names: Mapping[str, str]) -> Iterable[str]:
    """What neither axes nor labels tell: settings with one value wherever they apply, and the others."""
    told = {"method", spec.x_setting, *spec.panels, *spec.along}
    known = {name: value for group in groups for name, value in group.settings.items() if name not in told}
    mixed = {
        n for n, value in known.items() if any(group.settings.get(n, value) != value for group in groups)
    }
    if same := ", ".join(f"{name}={spell(known[name])}" for name in sorted(known.keys() - mixed)):
        yield f"In all rows to which they apply: {same}."
    found: dict[str, dict[str, list[str]]] = {}
    for group in groups:
        text = ", ".join(f"{n}={spell(group.settings[n])}" for n in sorted(mixed & group.settings.keys()))
        found.setdefault(names[group.key], {}).setdefault(text, []).append(_panel(spec, group))
    rest: dict[str, list[str]] = {}
    for label, by_text in found.items():
        for text, panels in by_text.items():
            where = "" if len(by_text) == 1 else f" [{'; '.join(dict.fromkeys(panels))}]"
            rest.setdefault(text, []).append(label + where)
    yield from (f"{text}: {'; '.join(labels)}." for text, labels in rest.items() if text)
