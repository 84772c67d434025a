"""The long table: a row for each metric of each cell, measured and published alike."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness import ledger, published
from harness.annotate.reports import rows as of_people
from harness.authoring import Metric
from harness.errors import UserError
from harness.frozen import thaw
from harness.plan import Planned
from harness.registry import HOME, Registry, scan
from harness.row import Row
from harness.store import Record, Store
from harness.suite import Cell

if TYPE_CHECKING:
    import pandas


def stored(results: Path) -> list[Row]:
    """The rows of every suite's last run in a results folder, and the published ones beside them.

    Cells that older code made are not among them, unless that code's run was the last.
    """
    store = Store(results)
    if not store.root.is_dir():
        raise UserError(f"{results}: no such results folder; run a suite first")
    registry = scan()
    made: list[Row] = []
    for key, suites in sorted(ledger.suites_of_cells(store).items()):
        if record := store.readable(key):
            made += _of_record(record, registry, ",".join(suites))
            made += of_people(results, record, _recorded(record, ",".join(suites)))
    return [*made, *of_papers()]


def of_plan(plan: Sequence[Planned], registry: Registry, suite: str) -> list[Row]:
    """The rows of a suite's cells: what is not there says so in its status. Published rows stand beside."""
    made: list[Row] = []
    for planned in plan:
        if planned.record is not None:
            made += _of_record(planned.record, registry, suite)
        else:
            status = "skipped" if planned.status == "skipped" else "missing"
            made.append(
                _cell(planned.cell, suite, key=planned.keys.key, status=status, reason=planned.reason)
            )
    return [*made, *of_papers({planned.cell.task for planned in plan})]


def frozen(paths: Iterable[Path]) -> list[Row]:
    """The values that `freeze` kept, as rows, published ones beside; of two for one cell the first counts."""
    made: dict[tuple[str, str, int, str], Row] = {}
    for path in paths:
        found = thaw(path)
        for (task, text, metric), values in found.values.items():
            settings, sketches = json.loads(text), found.sketches.get((task, text, metric), {})
            known = {"dataset": settings.get("dataset"), "method": settings["method"], "settings": settings}
            for seed, value in values.items():
                row = Row(path.stem, task, seed=seed, metric=metric, value=value, **known)
                row = row._replace(sketch=sketches.get(seed, ()))
                made.setdefault((task, text, seed, metric), row)
    return [*made.values(), *of_papers()]


def of_papers(tasks: Collection[str] | None = None) -> list[Row]:
    """The published rows of these tasks, or of all."""
    found = published.rows(HOME / "results" / "published")
    return [row for row in found if tasks is None or row.task in tasks]


def _of_record(record: Record, registry: Registry, suite: str) -> list[Row]:
    cell = _recorded(record, suite)
    if record.status != "ok":
        return [cell]
    known: Mapping[str, Metric] = registry.tasks[record.task].metrics if record.task in registry.tasks else {}
    made = []
    for name, measurement in record.metrics.items():
        metric = known.get(name, Metric(name, "", "none", "quality"))
        made.append(
            cell._replace(
                metric=name,
                value=measurement.number,
                error=math.nan if measurement.error is None else measurement.error,
                n=measurement.n or 0,
                sketch=measurement.sketch,
                unit=metric.unit,
                direction=metric.direction,
                kind=metric.kind,
                tolerance=metric.tolerance,
            )
        )
    return made


def _cell(of: Cell | Record, suite: str, **told: str) -> Row:
    """What all rows of a cell have in common."""
    return Row(suite, of.task, of.dataset, of.method, of.settings, of.seed, **told)  # type: ignore[arg-type]


def _recorded(record: Record, suite: str) -> Row:
    return _cell(record, suite, key=record.key, status=record.status, reason=record.reason)


def frame(made: Iterable[Row]) -> pandas.DataFrame:
    """Rows as a table of pandas; settings are canonical JSON there, less data set and method."""
    import pandas

    from harness.key import canonical

    plain = []
    for row in made:
        rest = {name: value for name, value in row.settings.items() if name not in ("dataset", "method")}
        plain.append(row._replace(settings=canonical(rest)))  # type: ignore[arg-type]
    return pandas.DataFrame(plain, columns=list(Row._fields)).drop(columns="sketch")


def export(made: Iterable[Row], form: str, output: Path | None) -> None:
    """Write the long table as csv, json or parquet, to a file or to standard output (not parquet)."""
    table = frame(made)
    if form == "parquet":
        if output is None:
            raise UserError("parquet is binary: name a file with --output FILE")
        try:
            table.to_parquet(output)
        except ImportError:
            raise UserError("parquet needs pyarrow: pip install 'harness[parquet]'") from None
        return
    text = table.to_csv(index=False) if form == "csv" else table.to_json(orient="records", indent=1) + "\n"
    if output:
        output.write_text(text, encoding="utf-8")
    else:
        print(text, end="")
