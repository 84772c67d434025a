"""Declared views of rows: a YAML file says which rows, columns and published numbers; `make` fills it.

What a table never does: mix settings in one row, leave a failed cell blank, show a published number without
a tolerance or a reason why it cannot be compared, or end without saying what its intervals and marks mean.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from harness import groups as grouping
from harness import stats
from harness.groups import Group, spell
from harness.published import printed
from harness.row import Row
from harness.views.render import Head, Table, TableCell
from harness.views.table_file import Column, TableSpec, load

__all__ = ["Column", "TableSpec", "load", "make"]

DECIMALS = {"nats": 2, "%": 1, "dB": 2}
"""Decimals by unit; any other column shows three significant digits of its smallest value."""

ARROWS = {"higher": " ↑", "lower": " ↓", "none": ""}
Mark = Literal["", "unbeaten", "untested"]


@dataclass(frozen=True)
class _View:
    """All that the cells and footnotes of one table are made from."""

    spec: TableSpec
    groups: list[Group]
    metrics: dict[str, Row]
    marks: dict[str, Mark]
    decimals: dict[str, int]

    def kind(self, metric: str) -> str:
        return self.metrics[metric].kind if metric in self.metrics else "quality"

    def unit(self, metric: str) -> str:
        return self.metrics[metric].unit if metric in self.metrics else ""


def make(spec: TableSpec, rows: Iterable[Row]) -> Table:
    """The table that `spec` declares, of rows as `harness rows` prints them; frozen ones do not count.

    Raises `UserError` if the rows hold two different values for one metric of one cell.
    """
    rows = [row for row in rows if row.task == spec.task]
    groups = grouping.measured(rows, spec.where)
    wanted = {column.published for column in spec.columns}
    beside = grouping.published(rows, spec.where, spec.published, wanted)
    groups += grouping.attach(beside, groups, spec.stand_ins)
    metrics = _metrics(spec, rows)
    groups.sort(key=lambda group: _rank(spec, group, metrics.get(spec.headline)))
    marks = _marks(spec, groups, metrics.get(spec.headline))
    view = _View(spec, groups, metrics, marks, _decimals(spec, groups, metrics))
    heads, columns = _label_columns(view)
    for column in spec.columns:
        heads.append(_metric_head(view, column))
        columns.append([_with_published(view, group, column) for group in groups])
    body = [list(cells) for cells in zip(*columns, strict=True)]
    return Table(spec.title, heads, body, [*_footnotes(view, rows, beside), grouping.origins(groups)])


def _metrics(spec: TableSpec, rows: Sequence[Row]) -> dict[str, Row]:
    """A row by metric, for its unit, direction and kind: our own, else the published one beside it."""
    ours = {row.metric: row for row in rows if row.origin == "measured"}
    theirs = {row.metric: row for row in rows if row.origin == "published"}
    borrowed = {
        column.metric: theirs[column.published] for column in spec.columns if column.published in theirs
    }
    return borrowed | ours


def _rank(spec: TableSpec, group: Group, headline: Row | None) -> tuple[Any, ...]:
    """Sort key: by data set, what nobody ran last, by group, the best headline first, then by name."""
    values = list(group.finite(spec.headline).values())
    centre = 0.0
    if headline and values:
        centre = _centre(headline.kind, values) * (-1 if headline.direction == "higher" else 1)
    rivals = _field(spec, group)
    dataset = group.settings.get("dataset", "")
    return (dataset, not group.ours, rivals, not values, centre, group.settings["method"], group.key)


def _field(spec: TableSpec, group: Group) -> tuple[str, ...]:
    """Groups are ranked and tested against those of the same field."""
    return tuple(spell(group.settings.get(name)) for name in spec.within)


def _centre(kind: str, values: Sequence[float]) -> float:
    return statistics.median(values) if kind == "speed" else statistics.mean(values)


def _marks(spec: TableSpec, groups: Sequence[Group], headline: Row | None) -> dict[str, Mark]:
    """Marks by group key. Groups where no rival shares enough seeds with the best get none."""
    if headline is None or headline.kind == "speed" or headline.direction == "none":
        return {}
    rivals: dict[tuple[str, ...], dict[str, dict[int, float]]] = {}
    by_key = {group.key: group for group in groups}
    for group in groups:
        if (values := group.finite(spec.headline)) and _keeps(group, spec.requires):
            rivals.setdefault(_field(spec, group), {})[group.key] = values
    marks: dict[str, Mark] = {}
    for values_by_group in rivals.values():
        found = stats.standing(
            values_by_group,
            headline.direction,
            shared=lambda a, b, seeds: by_key[a].shared(spec.headline, by_key[b], seeds),
        )
        if len(found.untested) < len(values_by_group) - 1:
            marks |= {key: "untested" if key in found.untested else "unbeaten" for key in found.unbeaten}
    return marks


def _keeps(group: Group, requires: str) -> bool:
    """Whether the metric `requires`, if any, is 1 in every seed of a group."""
    return not requires or set(group.finite(requires).values()) == {1.0}


def _decimals(spec: TableSpec, groups: Sequence[Group], metrics: Mapping[str, Row]) -> dict[str, int]:
    made = {}
    for column in spec.columns:
        values = [abs(value) for group in groups for value in group.finite(column.metric).values() if value]
        smallest = math.floor(math.log10(min(values))) if values else 0
        by_size = min(max(2 - smallest, 0), 6)
        unit = metrics[column.metric].unit if column.metric in metrics else ""
        made[column.metric] = DECIMALS.get(unit, by_size) if column.decimals is None else column.decimals
    return made


def _label_columns(view: _View) -> tuple[list[Head], list[list[TableCell]]]:
    spec, names = view.spec, grouping.labels(view.groups, view.spec.rows, view.spec.show)
    heads = [Head(name, name, needed=name == "method") for name in spec.rows]
    heads += [Head(name, name, "right") for name in [*spec.show, "seeds"]]
    settings = [{name: spell(value) for name, value in group.settings.items()} for group in view.groups]
    columns = [[TableCell(texts.get(head.key, "–")) for texts in settings] for head in heads]
    columns[spec.rows.index("method")] = [TableCell(names[group.key]) for group in view.groups]
    columns[-1] = [TableCell(group.states()) for group in view.groups]
    return heads, columns


def _metric_head(view: _View, column: Column) -> Head:
    metric = column.metric
    unit = f" ({view.unit(metric)})" if view.unit(metric) else ""
    arrow = ARROWS[view.metrics[metric].direction] if metric in view.metrics else ""
    return Head(metric, metric + unit + arrow, "right", needed=metric == view.spec.headline)


def _metric_cell(view: _View, group: Group, metric: str) -> TableCell:
    """Mean ± half-width (speed: median and range), or why there is none."""
    values = list(group.finite(metric).values())
    if not values:
        return TableCell(_why_empty(group, metric))
    places, n = view.decimals[metric], len(values)
    numbers = grouping.summary(view.kind(metric), values, group.shared(metric))
    text, low, high = f"{numbers['']:.{places}f}", numbers["low"], numbers["high"]
    if view.kind(metric) == "speed":
        text += f" ({low:.{places}f}–{high:.{places}f})" if n > 1 else ""
    elif low is not None and high is not None:
        text += _half_width((high - low) / 2, places)
    mark = view.marks.get(group.key, "") if metric == view.spec.headline else ""
    return TableCell(text + _of_how_many(group, metric, n), numbers, mark)


def _why_empty(group: Group, metric: str) -> str:
    if not group.ours:
        return "–"
    if group.values.get(metric):
        return "not finite"
    if "ok" in group.statuses.values():
        return "not reported"
    return " or ".join(sorted(set(group.statuses.values())))


def _half_width(half_width: float, places: int) -> str:
    if 0 < half_width < 0.5 * 10**-places:
        return f" ± <{10**-places:.{places}f}"
    return f" ± {half_width:.{places}f}" if half_width else " ± 0"


def _of_how_many(group: Group, metric: str, n: int) -> str:
    """A remark where a value rests on fewer seeds than went well."""
    infinite = len(group.values[metric]) - n
    if infinite:
        return f" (n={n}, {infinite} not finite)"
    return "" if n == list(group.statuses.values()).count("ok") else f" (n={n})"


def _with_published(view: _View, group: Group, column: Column) -> TableCell:
    """Our value, and in the same cell the published one with a verdict; a difference is ours − theirs."""
    cell = _metric_cell(view, group, column.metric)
    row = group.published.get(column.published)
    if row is None:
        return cell
    value, error = row.value, None if math.isnan(row.error) else row.error
    numbers = {**cell.numbers, "published": value, "published_error": error}
    beside, verdict = printed(value, row.error), _verdict(view, group, column, value)
    return replace(cell, numbers=numbers, beside=beside, verdict=verdict)


def _verdict(view: _View, group: Group, column: Column, published: float) -> str:
    """Whether our mean lies within the tolerance of the published value."""
    values = list(group.finite(column.metric).values())
    if not values:
        return "no result" if group.ours else "not run"
    if column.agree_within is None or not grouping.fits(group.settings, view.spec.comparable):
        return "not comparable"
    difference = statistics.mean(values) - published
    if abs(difference) <= column.agree_within:
        return "agrees"
    return f"differs by {difference:+.{view.decimals[column.metric]}f}"


def _footnotes(view: _View, rows: Sequence[Row], beside: Sequence[Row]) -> list[str]:
    return [
        *_notes_on_published(view.spec, beside),
        *_notes_on_settings(view, rows),
        *filter(None, [" ".join(_interval_notes(view))]),
        " ".join(_mark_notes(view)),
    ]


def _notes_on_published(spec: TableSpec, beside: Sequence[Row]) -> Iterable[str]:
    if not beside:
        return
    judged = [column for column in spec.columns if column.agree_within is not None]
    names = ", ".join(
        column.metric if column.metric == column.published else f"{column.published} ({column.metric})"
        for column in spec.columns
        if column.published
    )
    yield f"In brackets, published: {names}; ✓ agrees with ours, ✗ differs, ~ not comparable."
    if spec.not_comparable:
        yield f"~ {spec.not_comparable}"
    if judged:
        limits = ", ".join(f"{column.agree_within:g} ({column.metric})" for column in judged)
        yield f"✓ our mean is within {limits} of the published value."
    for place in dict.fromkeys(row.place for row in beside):
        yield f"Published: {place}."


def _notes_on_settings(view: _View, rows: Sequence[Row]) -> Iterable[str]:
    """What all rows share, what `where` asks for in vain, and why cells have no result."""
    ours = [group for group in view.groups if group.ours]
    shown = {*view.spec.rows, *view.spec.show}
    same = grouping.constants(ours, shown)
    if same:
        yield f"In all our rows: {same}."
    known = {n for row in rows if row.origin == "measured" for n in row.settings}
    for name in view.spec.where:
        if known and name not in known:
            yield f"No row has the setting {name!r}, which the table's where asks for."
    yield from grouping.reasons(view.groups)


def _interval_notes(view: _View) -> Iterable[str]:
    quality = {column.metric for column in view.spec.columns if view.kind(column.metric) != "speed"}
    counts = {len(group.finite(metric)) for group in view.groups for metric in quality} - {0}
    tested = sorted(n for n in counts if n >= stats.MIN_SEEDS)
    if tested:
        n = str(tested[0]) if len(tested) == 1 else f"{tested[0]} to {tested[-1]}"
        both = [m for m in sorted(quality) if any(group.shared(m) for group in view.groups)]
        yield (
            f"Ours: mean ± half-width of the 95 % t-interval over seeds (n = {n}); it covers the choice of "
            + (f"seed and, of {', '.join(both)}, of test examples" if both else "seed")
            + " and nothing else."
        )
    if counts - set(tested):
        yield f"Fewer than {stats.MIN_SEEDS} seeds: the mean alone, without an interval."
    speeds = [column.metric for column in view.spec.columns if view.kind(column.metric) == "speed"]
    if any(group.finite(metric) for group in view.groups for metric in speeds):
        yield f"{', '.join(speeds)}: median (range) over seeds."


def _mark_notes(view: _View) -> Iterable[str]:
    headline = view.spec.headline
    if view.spec.requires:
        yield f"Only rows with {view.spec.requires} = 1 in every seed are ranked for ●."
    if not any(group.finite(headline) for group in view.groups):
        yield f"There is no result on {headline}, so no row is marked."
    elif not view.marks:
        yield (
            f"No row is marked: no rival of the best {headline} shares {stats.MIN_SEEDS} seeds with it, so "
            "nothing is claimed."
        )
    else:
        over = "seeds and examples" if any(group.shared(headline) for group in view.groups) else "seeds"
        yield (
            f"● best {headline} among rows with the same {', '.join(view.spec.within)}, and all that it does "
            f"not beat: paired t-test over common {over}, level 0.05 over rivals and the choice of the best."
        )
        groups = {_field(view.spec, group) for group in view.groups if group.finite(headline)}
        if groups - {_field(view.spec, group) for group in view.groups if group.key in view.marks}:
            yield f"Groups without ●: no rival shares {stats.MIN_SEEDS} seeds with the best."
    if "untested" in view.marks.values():
        yield f"○ not tested: shares fewer than {stats.MIN_SEEDS} seeds with the best that has as many."
