"""One `harness run`: fetch data, compute cells, write tables, and say how it went."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from harness import data, environment, execute, view
from harness.errors import UserError, did_you_mean
from harness.plan import Planned
from harness.registry import HOME, PACKAGE, Registry
from harness.store import Damaged, Store, explain, write_file
from harness.suite import Suite

TABLES = HOME / "suites" / "tables"


def run(
    suite: Suite,
    registry: Registry,
    store: Store,
    plan: Sequence[Planned],
    *,
    jobs: int | None,
    device: str,
) -> int:
    """Bring every cell of the plan to a result; how many ended otherwise than `ok` or `skipped`."""
    misses = [planned for planned in plan if planned.status == "miss"]
    _note_run(store, suite, plan)
    if misses:
        store.check_writable()
        jobs = jobs or environment.cores()
        with view.choose(len(misses), jobs) as watching:
            records = execute.run(plan, store, jobs=jobs, device=device, view=watching)
        plan = [
            dataclasses.replace(planned, record=records.get(planned.keys.key, planned.record))
            for planned in plan
        ]
    written = _write_tables(suite, registry, store, plan, anything_new=bool(misses))
    return _summary(plan, ran=len(misses), tables=written)


def fetch_missing(plan: Sequence[Planned]) -> dict[str, str] | None:
    """Fetch the data that misses of the plan lack: None if nothing was, else why sets could not be had."""
    wanted = {planned.cell.dataset for planned in plan if planned.status == "miss" and planned.cell.dataset}
    absent = [name for name in sorted(wanted) if data.locate(name).problem is not None]
    problems = {name: fetch(name) for name in absent}
    return {name: problem for name, problem in problems.items() if problem} if absent else None


def fetch(name: str) -> str | None:
    """Fetch one data set, with a progress bar where somebody watches: None, or why it cannot be had."""
    if data.locate(name).problem is None:
        return None
    with _bar(name) as report:
        try:
            data.fetch(name, report)
        except data.Unavailable as missing:
            return str(missing)
    return None


@contextlib.contextmanager
def _bar(name: str) -> Iterator[Callable[[str, int, int | None], None] | None]:
    """Something for `data.fetch` to report to: a progress bar on a terminal, else one line."""
    if not sys.stderr.isatty():
        print(f"fetching {name}", file=sys.stderr, flush=True)
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        tasks: dict[str, Any] = {}

        def report(file: str, done: int, total: int | None) -> None:
            if file not in tasks:
                tasks[file] = progress.add_task(file, total=total)
            progress.update(tasks[file], completed=done, total=total)

        yield report


def _note_run(store: Store, suite: Suite, plan: Sequence[Planned]) -> None:
    """Remember which cells the suite is made of now: `rows` shows these, `gc` keeps them (unfinished too)."""
    path = store.root / "runs" / f"{suite.name}.json"
    keys = {planned.keys.key for planned in plan}
    if len(plan) < len(suite.cells) and path.is_file():  # --only: the others stay as they were
        planned_now = {planned.keys.address for planned in plan}
        for key in msgspec.json.decode(path.read_bytes())["keys"]:
            with contextlib.suppress(Damaged):
                record = store.read(key)
                keys |= {key} if record and record.address not in planned_now else set()
    content = msgspec.json.encode({"suite": suite.name, "keys": sorted(keys)})
    if not path.is_file() or path.read_bytes() != content:
        try:
            write_file(path, content)
        except OSError as error:
            raise explain(error, store.root) from None


def _write_tables(
    suite: Suite, registry: Registry, store: Store, plan: Sequence[Planned], anything_new: bool
) -> list[Path]:
    """Write the suite's tables as markdown and csv, unless they are as new as all that they show."""
    paths = [store.root / "tables" / f"{name}.md" for name in suite.tables]
    if paths and (anything_new or not _fresh(paths, plan)):
        from harness import render, rows, table

        frame = rows.of_plan(plan, registry, suite.name)
        for name, path in zip(suite.tables, paths, strict=True):
            made = table.make(table.load(TABLES / f"{name}.yaml"), frame)
            write_file(path, render.to_markdown(made).encode())
            write_file(path.with_suffix(".csv"), render.to_csv(made).encode())
    return paths


def _fresh(paths: Sequence[Path], plan: Sequence[Planned]) -> bool:
    """Whether every table is newer than the cells, the published numbers and the code that make it."""
    if not all(path.is_file() for path in paths):
        return False
    sources = [*PACKAGE.glob("*.py"), *PACKAGE.glob("tasks/*.py"), *TABLES.glob("*.yaml")]
    sources += (HOME / "results" / "published").glob("*.yaml")
    newest = max(path.stat().st_mtime for path in sources)
    newest = max([newest, *(planned.record.finished for planned in plan if planned.record)])
    return min(path.stat().st_mtime for path in paths) > newest


def _summary(plan: Sequence[Planned], ran: int, tables: Sequence[Path]) -> int:
    """Print how it went, what failed, what was skipped, where the tables are: (number of failed cells)."""
    there = sum(planned.status == "hit" for planned in plan)
    statuses = Counter(planned.record.status if planned.record else planned.status for planned in plan)
    words = [
        f"{count} {status}" for status, count in sorted(statuses.items(), key=lambda item: item[0] != "ok")
    ]
    print(f"{len(plan)} cells: {', '.join(words)}; {ran} ran now, {there} were there")
    for planned in plan:
        if planned.record and planned.record.status not in ("ok", "skipped"):
            record = planned.record
            print(
                f"{record.status:8} {view.name(planned)}: {record.reason}  (harness show {record.key[:10]})"
            )
    skipped: dict[str, int] = {}
    for planned in plan:
        reason = planned.record.reason if planned.record else planned.reason
        if "skipped" in (planned.status, planned.record and planned.record.status):
            skipped[reason] = skipped.get(reason, 0) + 1
    for path in tables:
        print(f"table    {path}")
    for reason, count in skipped.items():
        print(f"skipped  {count} cell{'s' * (count > 1)}: {reason}")
    return sum(count for status, count in statuses.items() if status not in ("ok", "skipped"))


def table_names() -> list[str]:
    """Every declared table."""
    return sorted(path.stem for path in TABLES.glob("*.yaml"))


def show_table(name: str, results: Path, form: str) -> str:
    """A declared table over all rows of the results folder, as text, markdown, csv or json."""
    from harness import render, rows, table

    if name not in table_names():
        raise UserError(f"no table {name!r}{did_you_mean(name, table_names())}")
    made = table.make(table.load(TABLES / f"{name}.yaml"), rows.load(results))
    write: Callable[[render.Table], str] = getattr(render, f"to_{form}")
    return write(made)
