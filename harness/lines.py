"""From long rows to the lines of a table: one line per method and setting, with all its seeds.

Settings are everything that a result depends on beside its seed: data set, method, parameters. Rows whose
settings differ never share a line.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from harness.errors import UserError
from harness.identity import canonical

Scalar = str | int | float | bool | None
Where = Mapping[str, Scalar | list[Scalar]]
Record = Mapping[str, Any]


@dataclass
class Line:
    """What is known under one setting: statuses by seed, values by metric and seed, published records.

    `reasons` tells, once for each cell that has no result, its status and why.
    """

    settings: dict[str, Any]
    statuses: dict[int, str] = field(default_factory=dict)
    values: dict[str, dict[int, float]] = field(default_factory=dict)
    published: dict[str, Record] = field(default_factory=dict)
    reasons: list[str] = field(default_factory=list)

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

    def states(self) -> str:
        """The seeds in words: "3" if all went well, else "2 ok, 1 timeout", or "not run"."""
        counts = Counter(self.statuses.values())
        if counts.keys() <= {"ok"}:
            return str(counts["ok"]) if counts else "not run"
        order = sorted(counts, key=lambda status: (status != "ok", status))
        return ", ".join(f"{counts[status]} {status}" for status in order)


def settings_of(record: Record) -> dict[str, Any]:
    """The settings of a row: its parameters, method, and its data set if the task has any."""
    settings = {**json.loads(record["params"]), "method": record["method"]}
    if isinstance(record["dataset"], str) and record["dataset"]:
        settings["dataset"] = record["dataset"]
    return settings


def measured(records: Iterable[Record], where: Where) -> list[Line]:
    """The lines of all measured records that `where` keeps.

    Raises `UserError` if two records of one seed disagree; suites that share a cell repeat it harmlessly.
    """
    lines: dict[str, Line] = {}
    for record in records:
        if record["origin"] == "measured":
            line = Line(settings_of(record))
            if all(_allowed(options, line.settings.get(name)) for name, options in where.items()):
                _add(lines.setdefault(line.key, line), record)
    return list(lines.values())


def published(records: Iterable[Record], where: Where, table: str, metrics: set[str]) -> list[Record]:
    """The records of a published table; `where` is held against what they state, and no more."""
    found = []
    for record in records:
        if record["origin"] == "published" and record["suite"] == table and record["metric"] in metrics:
            stated = settings_of(record)
            if all(_allowed(where[name], stated[name]) for name in where.keys() & stated.keys()):
                found.append(record)
    return found


def attach(beside: Iterable[Record], lines: Sequence[Line], stand_ins: Mapping[str, str]) -> list[Line]:
    """Put each published record on the lines with all its settings; returns lines for what nobody ran.

    `stand_ins` gives the published data set that one of ours stands in for.
    """
    unrun: dict[str, Line] = {}
    for record in beside:
        stated = Line(settings_of(record))
        hits = [line for line in lines if stated.settings.items() <= _standing_in(line, stand_ins).items()]
        for line in hits or [unrun.setdefault(stated.key, stated)]:
            line.published[record["metric"]] = record
    return list(unrun.values())


def shared_settings(lines: Iterable[Line]) -> dict[str, list[Any]]:
    """The settings that every line has, each with its distinct values."""
    listed = [line.settings for line in lines]
    names = set.intersection(*(set(settings) for settings in listed)) if listed else set()
    return {name: _distinct(settings[name] for settings in listed) for name in sorted(names)}


def labels(lines: Sequence[Line], rows: Sequence[str], show: Sequence[str]) -> dict[str, str]:
    """A label by line key: the method, and the settings that tell the line from others but have no column.

    Those are the settings that differ among lines with the same `rows`, and those that all lines have
    without agreeing on them: a preset or budget is never hidden. What nobody ran shows all it states.
    """
    mine = [line for line in lines if line.ours]
    telling = {name for name, values in shared_settings(mine).items() if len(values) > 1}
    constant = {name for name, values in shared_settings(lines).items() if len(values) == 1}
    made = {}
    for line in lines:
        kin = [other for other in mine if all(other.settings.get(n) == line.settings.get(n) for n in rows)]
        names = telling | _differing(kin) if line.ours else line.settings.keys() - constant
        shown = sorted((names & line.settings.keys()) - {"method", *rows, *show})
        text = ", ".join(f"{name}={spell(line.settings[name])}" for name in shown)
        method = line.settings["method"]
        made[line.key] = f"{method} ({text})" if text else method
    return made


def spell(value: Any) -> str:
    """A setting as text."""
    return value if isinstance(value, str) else canonical(value)


def _standing_in(line: Line, stand_ins: Mapping[str, str]) -> dict[str, Any]:
    dataset = line.settings.get("dataset", "")
    return {**line.settings, "dataset": stand_ins[dataset]} if dataset in stand_ins else line.settings


def _differing(lines: Sequence[Line]) -> set[str]:
    names = {name for line in lines for name in line.settings}
    return {name for name in names if len(_distinct(line.settings.get(name) for line in lines)) > 1}


def _distinct(values: Iterable[Any]) -> list[Any]:
    return list({canonical(value): value for value in values}.values())


def _allowed(options: Scalar | list[Scalar], value: Any) -> bool:
    """Whether `value` is one of `options`; true is not 1."""
    listed = options if isinstance(options, list) else [options]
    return any(value == option and isinstance(value, bool) == isinstance(option, bool) for option in listed)


def _add(line: Line, record: Record) -> None:
    seed, metric, value = int(record["seed"]), record["metric"], float(record["value"])
    if seed not in line.statuses and record["status"] != "ok":
        line.reasons.append(f"{record['status']}: {record.get('reason') or 'no reason known'}")
    agrees = line.statuses.setdefault(seed, record["status"]) == record["status"]
    if metric:
        first = line.values.setdefault(metric, {}).setdefault(seed, value)
        agrees = agrees and (first == value or (math.isnan(first) and math.isnan(value)))
    if not agrees:
        raise UserError(
            f"two different results for {line.settings['method']}, seed {seed}, {metric or 'status'} under "
            f"{line.key}: they were made by different code; run the suites again that contain this cell"
        )
