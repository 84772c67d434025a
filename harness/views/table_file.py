"""Table files: which rows, columns and published numbers a table shows. Strictly read, all faults at once."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness import strict_yaml
from harness.groups import Scalar
from harness.strict_yaml import Entry, Fault


@dataclass(frozen=True)
class Column:
    """A metric to show, and the metric of the published table that stands beside it, if any.

    `agree_within`, in the metric's unit, is how far our mean may lie from the published value.
    """

    metric: str
    decimals: int | None = None
    published: str = ""
    agree_within: float | None = None


@dataclass(frozen=True)
class TableSpec:
    """A table file.

    `where` keeps the rows whose data set, method or parameter equals the value or one of the list; null
    stands for "has no such parameter". `rows` are the label columns, `show` further settings to show.
    `headline` is the metric that ranks and is tested, among rows that agree in all of `within`; only rows
    whose metric `requires`, if one is named, is 1 in every seed may be marked.
    Where columns stand beside a `published` table, each says `agree_within`, or the table says why the two
    are `not_comparable`; with both, `comparable` tells the settings of the rows of ours that are compared.
    `stand_ins` names the published data set for one of ours that stands in for it.
    """

    title: str
    task: str
    columns: list[Column]
    headline: str
    requires: str = ""
    published: str = ""
    not_comparable: str = ""
    comparable: dict[str, Scalar | list[Scalar]] = field(default_factory=dict)
    stand_ins: dict[str, str] = field(default_factory=dict)
    where: dict[str, Scalar | list[Scalar]] = field(default_factory=dict)
    rows: list[str] = field(default_factory=lambda: ["method"])
    show: list[str] = field(default_factory=list)
    within: list[str] = field(default_factory=lambda: ["dataset", "preset"])


def load(path: Path) -> TableSpec:
    """Read a table file. Raises `InvalidFile` with all faults."""
    entry = strict_yaml.read(path)
    faults: list[Fault] = []
    spec = strict_yaml.build(TableSpec, entry, faults)
    if spec:
        faults += _faults_of(spec, entry)
    if faults or spec is None:
        raise strict_yaml.InvalidFile(path, faults)
    return spec


def _faults_of(spec: TableSpec, entry: Entry) -> Iterable[Fault]:
    def fault(key: str, message: str) -> Fault:
        return Fault(entry.value[key].line if key in entry.value else entry.line, key, message)

    metrics = [column.metric for column in spec.columns]
    beside = [column for column in spec.columns if column.published]
    if spec.headline not in metrics:
        yield fault("headline", f"{spec.headline!r} is not among the columns ({', '.join(metrics)})")
    if spec.requires and spec.requires not in metrics:
        yield fault("requires", f"{spec.requires!r} is not among the columns ({', '.join(metrics)})")
    for name in sorted(name for name, count in Counter(spec.rows + spec.show).items() if count > 1):
        yield fault("show" if name in spec.show else "rows", f"{name!r} would be shown twice")
    if "method" not in spec.rows:
        yield fault("rows", "must contain 'method', since methods never share a row")
    if bool(spec.published) != bool(beside):
        yield fault("published", "name the published table here, and its metric on the columns beside it")
    if spec.stand_ins and not spec.not_comparable:
        yield fault("stand_ins", "another data set cannot be compared: say not_comparable and why")
    if spec.not_comparable and not beside:
        yield fault("not_comparable", "there is no published metric on any column")
    if spec.comparable and not spec.not_comparable:
        yield fault("comparable", "say in not_comparable why rows with other settings are not compared")
    for index, (column, item) in enumerate(zip(spec.columns, entry.value["columns"].value, strict=True)):
        for message in _faults_of_column(column, spec, metrics[:index]):
            yield Fault(item.line, column.metric, message)


def _faults_of_column(column: Column, spec: TableSpec, before: Sequence[str]) -> Iterable[str]:
    judged = column.agree_within is not None
    if column.metric in before:
        yield "this metric has a column already"
    if column.decimals is not None and not 0 <= column.decimals <= 10:
        yield "decimals must be from 0 to 10"
    if column.agree_within is not None and not 0 <= column.agree_within < math.inf:
        yield "agree_within must be a finite number from 0"
    if judged and not column.published:
        yield "agree_within needs the published metric that it speaks of"
    if column.published and judged == (bool(spec.not_comparable) and not spec.comparable):
        yield "a published metric needs either agree_within here or the table's not_comparable"
