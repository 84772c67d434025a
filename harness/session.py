"""One `harness run`: fetch data, compute cells, write tables, and say how it went."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from harness import data, environment, ledger
from harness import plan as planning
from harness.errors import UserError
from harness.plan import Planned
from harness.registry import FIGURES, HOME, PACKAGE, TABLES, Registry
from harness.store import Record, Store, write_file
from harness.suite import Suite

if TYPE_CHECKING:
    from harness.execution.executor import Executor
    from harness.execution.places import Places
    from harness.row import Row


@dataclasses.dataclass(frozen=True)
class Where:
    """Who starts jobs, how many at once (None: as many as there is room for), and what they compute on.

    `address` is that of a Ray cluster, `slurm` more options of Slurm's sbatch, NAME=VALUE.
    """

    executor: Literal["local", "inline", "ray", "slurm"] = "local"
    jobs: int | None = None
    device: str = "cpu"
    address: str | None = None
    slurm: tuple[str, ...] = ()


def complete(
    suite: Suite,
    registry: Registry,
    store: Store,
    plan: Sequence[Planned],
    where: Where,
) -> int:
    """Bring every cell of the plan to a result; how many ended otherwise than `ok` or `skipped`.

    Tables and report are of the whole suite: where the plan is of some cells only, what earlier runs gave of
    the others stays in them.
    """
    misses = [planned for planned in plan if planned.status == "miss"]
    records: dict[str, Record] = {}
    if misses:
        from harness.execution import devices

        devices.check(where.device, here=where.executor in ("local", "inline"))
        store.check_writable()
    part = len(plan) < len(suite.cells)
    whole = planning.make(suite, registry, store) if part else plan
    ledger.note(store, suite, plan, whole)
    if misses:
        records = compute(store, misses, where)
    now = [
        dataclasses.replace(planned, record=records.get(planned.keys.key, planned.record)) for planned in plan
    ]
    latest = {planned.keys.key: _as_stored(planned, store) for planned in now}
    stored = [latest.get(planned.keys.key, planned) for planned in whole]
    written = _write_tables(suite, registry, store, stored)
    failed = _summary(now, ran=len(misses), tables=written)
    _write_report(suite, registry, store, stored)
    return failed


def compute(store: Store, misses: Sequence[Planned], where: Where) -> dict[str, Record]:
    """Bring these cells to records."""
    from harness.execution import display
    from harness.execution.scheduler import Scheduler

    starting, places = _executor(where, store, misses)
    with display.choose(len(misses), inline=where.executor == "inline") as view:
        return Scheduler(store, starting, places=places, device=where.device, view=view).complete(misses)


def _executor(where: Where, store: Store, misses: Sequence[Planned]) -> tuple[Executor, Places]:
    """What starts jobs, and the room that it has for them."""
    from harness.execution import devices
    from harness.execution.places import Places

    if where.executor == "ray":
        from harness.execution.on_ray import OnRay

        cluster = OnRay(where.address, where.jobs, where.device, _code_files(misses))
        return cluster, cluster.places
    if where.executor == "slurm":
        from harness.execution.on_slurm import OnSlurm

        queue = OnSlurm(store.root.resolve(), where.jobs, where.device, where.slurm)
        return queue, queue.places
    gpus = devices.gpus_of(where.device)
    if where.executor == "inline":
        from harness.execution.inline import Inline

        return Inline(), Places(1, gpus)
    from harness.execution.local import Local

    return Local(where.device, _code_files(misses)), Places(where.jobs or environment.cores(), gpus)


def _code_files(misses: Sequence[Planned]) -> Iterator[Path]:
    """The source files behind these cells."""
    labels = {name for planned in misses for name in planned.inputs.score_code | planned.inputs.fit_code}
    yield from {planned.method.path for planned in misses}
    yield from (PACKAGE.parent / label for label in sorted(labels) if label.startswith("harness/"))


def _as_stored(planned: Planned, store: Store) -> Planned:
    """The cell with what the store holds of it: a forced one that failed has kept its earlier result."""
    if not planned.forced:
        return planned
    return dataclasses.replace(planned, record=store.read(planned.keys.key) or planned.record)


def fetch_missing(plan: Sequence[Planned]) -> dict[str, str] | None:
    """Fetch the data that misses of the plan lack: None if nothing was, else why sets could not be had."""
    wanted = {name for planned in plan if planned.status == "miss" for name in planned.score.datasets}
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


def _write_tables(suite: Suite, registry: Registry, store: Store, plan: Sequence[Planned]) -> list[Path]:
    """Write the suite's tables as markdown and csv; they show this suite's cells and no others."""
    paths = [store.root / "tables" / f"{name}.md" for name in suite.tables]
    if paths:
        from harness import rows
        from harness.views import render, table

        made = rows.of_plan(plan, registry, str(suite.path))
        for name, path in zip(suite.tables, paths, strict=True):
            shown = table.make(table.load(TABLES.find(name)), made)
            _write_if_new(path, render.to_markdown(render.brief(shown)))
            _write_if_new(path.with_suffix(".csv"), render.to_csv(shown))
    return paths


def _write_report(suite: Suite, registry: Registry, store: Store, plan: Sequence[Planned]) -> None:
    """Write the page about the suite and print where it is; what goes wrong with it is told and no more."""
    from harness import rows
    from harness.views import report

    path, tables = store.root / "report.html", list(map(TABLES.find, suite.tables))
    try:
        made = rows.of_plan(plan, registry, suite.name)
        of = f"suite {suite.name}"
        page = report.page(made, registry, of=of, tables=tables, store=store, frozen=brought())
        write_file(path, page.encode())
        print(f"report   {path}")
    except Exception as error:  # the cells are what counts: no fault of a view may fail the run
        print(f"report   not written: {type(error).__name__}: {error}", file=sys.stderr)


def _write_if_new(path: Path, text: str) -> None:
    if not path.is_file() or path.read_bytes() != text.encode():
        write_file(path, text.encode())


def _summary(plan: Sequence[Planned], ran: int, tables: Sequence[Path]) -> int:
    """Print how it went, what failed, what was skipped, where the tables are: (number of failed cells)."""
    there = sum(planned.status == "hit" for planned in plan)
    statuses = Counter(planned.record.status if planned.record else planned.status for planned in plan)
    words = [
        f"{count} {status}" for status, count in sorted(statuses.items(), key=lambda item: item[0] != "ok")
    ]
    print(f"{len(plan)} cells: {', '.join(words)}; {ran} ran now, {there} were there")
    from harness.execution.display import name

    for planned in plan:
        if planned.record and planned.record.status not in ("ok", "skipped"):
            record = planned.record
            print(f"{record.status:8} {name(planned)}: {record.reason}  (harness show {record.key[:10]})")
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


def rows_or_frozen(results: Path, frozen: Sequence[Path]) -> list[Row]:
    """The rows of frozen files if any are named, else of the results folder, else of the files shipped."""
    from harness import rows

    if not frozen and results.joinpath("cells").is_dir():
        return rows.stored(results)
    if not frozen:
        print(f"{results}: no cells, so these are the frozen values that harness brings", file=sys.stderr)
    return rows.frozen(frozen) if frozen else brought()


def brought() -> list[Row]:
    """The rows of the frozen values that harness brings."""
    from harness import rows

    return rows.frozen(sorted((HOME / "results" / "frozen").glob("*.json")))


def show_table(name: str, results: Path, form: str, *, whole: bool = False) -> str:
    """A declared table over all rows of the results folder, in one of the forms of `render`.

    Those for people are brief unless the `whole` table is asked for.
    """
    from harness import rows
    from harness.views import latex, render, table

    made = table.make(table.load(TABLES.find(name)), rows.stored(results))
    if form == "macros":
        return latex.to_macros(made, name)
    made = made if whole or form in render.FOR_PROGRAMS else render.brief(made)
    return latex.to_latex(made) if form == "latex" else render.FORMATS[form](made)


def draw_figure(
    name: str, rows: Sequence[Row], results: Path, registry: Registry, form: str
) -> tuple[bytes, list[str]]:
    """A declared figure over these rows, as svg, pdf or png, or its data as json; and its notes."""
    from harness.views import curve, drawing, figure_file, gallery

    spec = figure_file.load(FIGURES.find(name), registry)
    made: curve.Figure | gallery.Gallery
    if isinstance(spec, figure_file.GallerySpec):
        made = gallery.make(spec, rows, Store(results))
        drawn = drawing.hang(made, form) if made.rows and form != "json" else b""
    else:
        made = curve.make(spec, rows)
        drawn = drawing.draw(made, form) if made.panels and form != "json" else b""
    if form == "json":
        text = json.dumps(dataclasses.asdict(made), indent=1, ensure_ascii=False, default=str)
        return text.encode() + b"\n", made.notes
    if not drawn:
        raise UserError(f"{name}: nothing to draw. {' '.join(made.notes)}")
    return drawn, made.notes
