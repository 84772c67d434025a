"""Verbs that look at a suite's cells, compute them, and show one."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli.options import (
    FORCE,
    JSON,
    METHODS,
    OFFLINE,
    RESULTS,
    Selection,
    lay_out,
    print_json,
    selecting,
)

if TYPE_CHECKING:
    from harness.plan import Planned
    from harness.store import Store


@click.command("list")
@METHODS
@JSON
def list_(folders: tuple[Path, ...], as_json: bool) -> None:
    """Tasks with their metrics, methods with their parameters, and suites."""
    from harness import registry, suite

    found = registry.scan(folders)
    if as_json:
        print_json(registry.as_json(found) | {"suites": suite.bundled()})
        return
    for task in found.tasks.values():
        click.echo(f"{task.name}: {_first_line(task.doc)}")
        click.echo(f"  measures {', '.join(task.metrics)}")
        for method in found.of_task(task.name).values():
            words = ", ".join(f"{word.name}={word.default!r}" for word in method.parameters.values())
            click.echo(f"  {method.name:16} {_first_line(method.doc)} ({words})  [{method.room}]")
    click.echo("suites: " + ", ".join(suite.bundled()))


@click.command()
@selecting
@FORCE
@OFFLINE
@JSON
def plan(chosen: Selection, force: bool, offline: bool, as_json: bool) -> None:
    """Say for every cell of SUITE whether it is there, and if not, why it must run."""
    from harness import environment
    from harness import plan as planning

    _, _, store, cells = lay_out(chosen, force=force, offline=offline)
    if as_json:
        print_json([planned.summary() for planned in cells])
        return
    _print_plan(cells, store)
    for line in planning.drift(cells, store, environment.describe()):
        click.echo(f"drift: {line}")


@click.command()
@selecting
@FORCE
@OFFLINE
@click.option(
    "--jobs", type=click.IntRange(min=1), help="Jobs at once.  [default: the cores, here or of the cluster]"
)
@click.option("--device", default="cpu", show_default=True, help="Where methods compute: cpu, cuda, cuda:1.")
@click.option(
    "--executor",
    type=click.Choice(["local", "inline", "ray", "slurm"]),
    default="local",
    show_default=True,
    help="A process per job, or all in this one, for a debugger, or jobs of a Ray cluster or of Slurm.",
)
@click.option(
    "--address", help="Of a Ray cluster, HOST:PORT or auto.  [default: RAY_ADDRESS, else a new one]"
)
@click.option("--slurm", multiple=True, metavar="NAME=VALUE", help="For sbatch, such as partition=gpu.")
def run(chosen: Selection, force: bool, offline: bool, **where: Any) -> None:
    """Compute what SUITE lacks, and write its tables. Run it again to go on where it was stopped."""
    from harness import session

    fetch = None if offline else session.fetch_missing
    suite, found, store, cells = lay_out(chosen, force=force, offline=offline, fetch=fetch)
    if session.complete(suite, found, store, cells, session.Where(**where)):
        sys.exit(1)


@click.command()
@click.argument("cell")
@RESULTS
@JSON
@click.option(
    "--lines",
    type=click.IntRange(min=0),
    default=30,
    show_default=True,
    help="How much of the log's end to print.",
)
def show(cell: str, results: Path, as_json: bool, lines: int) -> None:
    """One cell, by its key or the beginning of it: what it was made from, its metrics, its log's end."""
    from harness import show as showing

    click.echo(showing.as_json(results, cell) if as_json else showing.as_text(results, cell, lines))


@click.command()
@click.argument("cell")
@RESULTS
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Of the page; 0 takes a free one.")
@click.option("--annotator", default="", help="Who judges; without it the page asks.")
@click.option("--images", type=click.IntRange(min=4), default=200, show_default=True, help="At most so many.")
@click.option("--report", is_flag=True, help="Only print what people have said so far.")
def annotate(cell: str, results: Path, port: int, annotator: str, images: int, report: bool) -> None:
    """Let people judge the images of CELL on a page of this machine, and print how far they agree."""
    from harness.annotate import reports, server
    from harness.show import find

    record = find(results, cell)
    if not report:
        server.serve(results, record, port, annotator, images, click.echo)
    click.echo(reports.as_text(results, record))


def _print_plan(cells: Sequence[Planned], store: Store) -> None:
    from collections import Counter

    from harness.execution.display import name

    for planned in cells:
        reason = f"  {planned.reason}" if planned.reason else ""
        click.echo(f"{planned.status:8} {planned.keys.key[:10]}  {name(planned)}{reason}")
    users = Counter(asset for planned in cells if planned.record for asset in planned.record.assets.items())
    for (key, builder), count in sorted(users.items(), key=lambda item: (item[0][1], item[0][0])):
        state = "here" if store.has_artifact(key) else "gone"
        click.echo(f"{state:8} {key[:10]}  asset {builder}, used by {count} cell{'s' * (count > 1)}")
    counts = Counter(planned.status for planned in cells)
    click.echo(
        ", ".join(f"{counts[status]} {status}" for status in ("hit", "miss", "skipped") if counts[status])
    )


def _first_line(text: str) -> str:
    return text.split("\n", 1)[0].rstrip(".")


VERBS = (list_, plan, run, show, annotate)
