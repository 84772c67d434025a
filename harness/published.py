"""Numbers that papers print, as rows beside our own. One YAML file per paper, each number with its place."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from harness import strict_yaml
from harness.errors import did_you_mean
from harness.key import canonical
from harness.row import Row
from harness.strict_yaml import Entry, Fault


@dataclass(frozen=True)
class _Metric:
    unit: str
    direction: Literal["higher", "lower", "none"]
    kind: Literal["quality", "size", "speed"] = "quality"


@dataclass(frozen=True)
class _Number:
    """One printed number. `covers` says what its ± is, where the source says so."""

    table: str
    task: str
    method: str
    metric: str
    value: float
    source: Literal["slides", "code", "third_party"]
    place: str
    dataset: str = ""
    error: float | None = None
    covers: str = ""
    settings: dict[str, str | int | float | bool | None] = field(default_factory=dict)


@dataclass(frozen=True)
class _Paper:
    citation: str
    url: str
    metrics: dict[str, _Metric]
    entries: list[Entry]


def rows(directory: Path) -> list[Row]:
    """The numbers of every `*.yaml` file in `directory`, as rows with origin "published".

    `suite` is the published table; `source` and `place` say where the number was read. `error` is what the
    paper prints after ±, whatever that is; `seed` is −1 and `n` 0, since papers seldom say. Raises
    `InvalidFile` with all faults of the first file that has any.
    """
    return [row for path in sorted(directory.glob("[!.]*.yaml")) for row in _read(path)]


def _read(path: Path) -> list[Row]:
    entry = strict_yaml.read(path)
    faults: list[Fault] = []
    paper = strict_yaml.build(_Paper, entry, faults)
    listed = entry.value.get("entries") if isinstance(entry.value, dict) else None
    items = listed.value if listed is not None and isinstance(listed.value, list) else []
    numbers = [strict_yaml.build(_Number, item, faults) for item in items]
    if paper:
        faults += _faults_of_numbers(paper, items, numbers)
    if faults or paper is None:
        raise strict_yaml.InvalidFile(path, faults)
    return [_row(paper, number) for number in numbers if number]


def _faults_of_numbers(paper: _Paper, items: list[Entry], numbers: list[_Number | None]) -> list[Fault]:
    faults: list[Fault] = []
    first: dict[str, int] = {}
    for item, number in zip(items, numbers, strict=True):
        if number is None:
            continue
        if number.metric not in paper.metrics:
            hint = did_you_mean(number.metric, paper.metrics)
            faults.append(
                Fault(item.line, "metric", f"{number.metric!r} is not among this file's metrics{hint}")
            )
        if not math.isfinite(number.value) or not math.isfinite(number.error or 0.0):
            faults.append(Fault(item.line, "value", "must be finite"))
        if number.error is not None and number.error < 0:
            faults.append(Fault(item.line, "error", "must not be negative"))
        place = (number.table, number.task, number.dataset, number.method, number.metric, number.settings)
        line = first.setdefault(canonical(place), item.line)
        if line != item.line:
            faults.append(Fault(item.line, "entries", f"the same number was given before (on line {line})"))
    return faults


def _row(paper: _Paper, number: _Number) -> Row:
    metric = paper.metrics[number.metric]
    covers = f" (± is {number.covers or 'not explained there'})" if number.error is not None else ""
    settings = {**number.settings, "method": number.method}
    return Row(
        suite=number.table,
        task=number.task,
        dataset=number.dataset,
        method=number.method,
        settings=settings | ({"dataset": number.dataset} if number.dataset else {}),
        seed=-1,
        metric=number.metric,
        value=number.value,
        error=math.nan if number.error is None else number.error,
        unit=metric.unit,
        direction=metric.direction,
        kind=metric.kind,
        origin="published",
        source=number.source,
        place=f"{number.place}{covers}; {paper.citation}",
    )


def printed(value: float, error: float) -> str:
    """A published number as in print: a fraction has the decimals of its ± (88.8 ± 0.03 was 88.80)."""
    places = _decimals(value)
    if math.isnan(error):
        return f"{value:.{places}f}"
    places = max(places, _decimals(error)) if places else 0
    return f"{value:.{places}f} ± {error:.{_decimals(error)}f}"


def _decimals(value: float) -> int:
    return len(f"{value:.10f}".rstrip("0").partition(".")[2])
