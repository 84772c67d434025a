"""The one long table: a row for each metric of each cell, measured and published alike."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import identity, published
from harness.declare import Metric
from harness.errors import UserError
from harness.plan import Planned
from harness.registry import HOME, Registry, scan
from harness.store import Damaged, Record, Store

if TYPE_CHECKING:
    import pandas

COLUMNS = [
    *("suite", "task", "dataset", "method", "params", "seed", "metric", "value", "error", "n"),
    *("unit", "direction", "kind", "tolerance", "status", "reason", "origin", "key", "source", "place"),
]


def load(path: str | Path = "results") -> pandas.DataFrame:
    """The rows of every suite's last run in the results folder `path`, and the published ones beside them.

    Cells that older code made are not among them, unless that code's run was the last.
    """
    store = Store(Path(path))
    if not store.root.is_dir():
        raise UserError(f"{path}: no such results folder; run a suite first")
    registry = scan()
    made: list[dict[str, Any]] = []
    for key, suites in sorted(suites_of_cells(store).items()):
        with contextlib.suppress(Damaged):
            record = store.read(key)
            made += _of_record(record, registry, suites) if record else []
    return frame(made)


def of_plan(plan: Sequence[Planned], registry: Registry, suite: str) -> pandas.DataFrame:
    """The rows of a suite's cells: what is not there says so in its status. Published rows stand beside."""
    made: list[dict[str, Any]] = []
    for planned in plan:
        if planned.record is not None:
            made += _of_record(planned.record, registry, suite)
        else:
            made.append(_unmeasured(planned, suite))
    tasks = {planned.cell.task for planned in plan}
    return frame(made, tasks)


def frame(made: list[dict[str, Any]], tasks: Iterable[str] | None = None) -> pandas.DataFrame:
    """Measured rows and, of the given tasks (all by default), published ones."""
    import pandas

    beside = [
        row for row in published.rows(HOME / "results" / "published") if tasks is None or row["task"] in tasks
    ]
    return pandas.DataFrame(made + beside, columns=COLUMNS)


def suites_of_cells(store: Store) -> dict[str, str]:
    """For each key the suites that last planned it, separated by commas."""
    import json

    named: dict[str, list[str]] = {}
    for path in sorted(store.root.glob("runs/*.json")):
        for key in json.loads(path.read_text())["keys"]:
            named.setdefault(key, []).append(path.stem)
    return {key: ",".join(names) for key, names in named.items()}


def _of_record(record: Record, registry: Registry, suite: str) -> list[dict[str, Any]]:
    base: dict[str, Any] = {
        "suite": suite,
        "task": record.task,
        "dataset": record.dataset,
        "method": record.method,
        "params": identity.canonical(record.params),
        "seed": record.seed,
        "status": record.status,
        "reason": record.reason,
        "origin": "measured",
        "key": record.key,
    }
    if record.status != "ok":
        return [base | {"metric": ""}]
    known: Mapping[str, Metric] = registry.tasks[record.task].metrics if record.task in registry.tasks else {}
    made = []
    for name, measurement in record.metrics.items():
        metric = known.get(name, Metric(name, "", "none", "quality"))
        made.append(
            base
            | {
                "metric": name,
                "value": measurement.value,
                "error": measurement.error,
                "n": measurement.n,
                "unit": metric.unit,
                "direction": metric.direction,
                "kind": metric.kind,
                "tolerance": metric.tolerance,
            }
        )
    return made


def _unmeasured(planned: Planned, suite: str) -> dict[str, Any]:
    cell = planned.cell
    return {
        "suite": suite,
        "task": cell.task,
        "dataset": cell.dataset,
        "method": cell.method,
        "params": identity.canonical(cell.params),
        "seed": cell.seed,
        "metric": "",
        "status": "skipped" if planned.status == "skipped" else "missing",
        "reason": planned.reason,
        "origin": "measured",
        "key": planned.keys.key,
    }


def export(made: pandas.DataFrame, form: str, output: Path | None) -> None:
    """Write the long table as csv, json or parquet, to a file or to standard output (not parquet)."""
    if form == "parquet":
        if output is None:
            raise UserError("parquet is binary: name a file with --output FILE")
        try:
            made.to_parquet(output)
        except ImportError:
            raise UserError("parquet needs pyarrow: pip install 'harness[parquet]'") from None
        return
    text = made.to_csv(index=False) if form == "csv" else made.to_json(orient="records", indent=1) + "\n"
    if output:
        output.write_text(text)
    else:
        print(text, end="")
