"""The command line. Each verb imports what it needs, so that `--help` costs nothing."""

from __future__ import annotations

import functools
import io
import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from harness.errors import UserError

if TYPE_CHECKING:
    from harness.plan import Planned
    from harness.registry import Registry
    from harness.store import Store
    from harness.suite import Suite

Command = Callable[..., Any]
FORMS = ["text", "markdown", "html", "csv", "json"]
RESULTS = click.option(
    "--results",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("results"),
    envvar="HARNESS_RESULTS",
    show_default=True,
    help="Folder that holds cells, artifacts and tables.",
)
METHODS = click.option(
    "--methods",
    "folders",
    type=click.Path(path_type=Path),
    multiple=True,
    help="Folder with method files of your own; may be given more than once.",
)
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
FORM = click.option("--format", "form", type=click.Choice(FORMS), default="text", show_default=True)


@dataclass(frozen=True)
class Selection:
    """What the verbs that look at a suite are told: which cells of it, where methods and results lie."""

    suite: str
    filters: tuple[str, ...]
    only: tuple[str, ...]
    folders: tuple[Path, ...]
    results: Path


def selecting(command: Command) -> Command:
    """Give a verb the argument SUITE and the options that choose its cells, as one `Selection`."""

    @functools.wraps(command)
    def bundled(
        suite: str,
        filters: tuple[str, ...],
        only: tuple[str, ...],
        folders: tuple[Path, ...],
        results: Path,
        **rest: Any,
    ) -> Any:
        return command(Selection(suite, filters, only, folders, results), **rest)

    for mark in (RESULTS, METHODS, ONLY, click.argument("filters", nargs=-1), click.argument("suite")):
        bundled = mark(bundled)
    return bundled


ONLY = click.option(
    "--only", multiple=True, metavar="NAME=VALUES", help="Keep cells with task=, method=, dataset= or seed=."
)
OFFLINE = click.option("--offline", is_flag=True, help="Never use the network.")
FORCE = click.option("--force", is_flag=True, help="Compute again what is already there.")


class _Verbs(click.Group):
    """A group that turns a user's error into its message and exit code."""

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except UserError as error:
            click.echo(f"harness: {error}", err=True)
            context.exit(error.exit_code)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            context.exit(0)
        except OSError as error:
            click.echo(f"harness: {error.filename or 'input or output'}: {error.strerror or error}", err=True)
            context.exit(2)
        except KeyboardInterrupt:
            click.echo("harness: stopped; finished cells are kept, the same command goes on", err=True)
            context.exit(130)


# A fixed width, for asking the terminal costs as much as the rest of the help.
@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"], "terminal_width": 100})
@click.version_option(package_name="harness", message="harness %(version)s")
def main() -> None:
    """Re-measure published claims about deep generative models, beside strong baselines."""
    _print_anything()
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # nohup asks for that
            signal.signal(number, _stop)


def _print_anything() -> None:
    """Let no letter end a verb: a terminal is shown "?" for what it has not; files and pipes get UTF-8."""
    if sys.stdout is None:
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115 it stays
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            if stream.isatty() or stream is sys.stderr:
                stream.reconfigure(errors="replace")
            else:
                stream.reconfigure(encoding="utf-8")


def _stop(*_: object) -> NoReturn:
    raise KeyboardInterrupt


@main.command("list")
@METHODS
@JSON
def list_(folders: tuple[Path, ...], as_json: bool) -> None:
    """Tasks with their metrics, methods with their parameters, and suites."""
    from harness import registry, suite

    found = registry.scan(folders)
    if as_json:
        _print_json(registry.as_json(found) | {"suites": suite.bundled()})
        return
    for task in found.tasks.values():
        click.echo(f"{task.name}: {_first_line(task.doc)}")
        click.echo(f"  measures {', '.join(task.metrics)}")
        for method in found.of_task(task.name).values():
            words = ", ".join(f"{word.name}={word.default!r}" for word in method.parameters.values())
            click.echo(f"  {method.name:16} {_first_line(method.doc)} ({words})  [{method.room}]")
    click.echo("suites: " + ", ".join(suite.bundled()))


@main.command()
@selecting
@FORCE
@OFFLINE
@click.option("--jobs", type=click.IntRange(min=1), hidden=True)
@click.option("--device", hidden=True)
@click.option("--executor", hidden=True)
@JSON
def plan(chosen: Selection, force: bool, offline: bool, as_json: bool, **like_run: object) -> None:
    """Say for every cell of SUITE whether it is there, and if not, why it must run."""
    from harness import environment
    from harness import plan as planning

    _, _, store, cells = _plan(chosen, force=force, offline=offline)
    if as_json:
        _print_json([planned.summary() for planned in cells])
        return
    _print_plan(cells, store)
    for line in planning.drift(cells, store.root, environment.describe()):
        click.echo(f"drift: {line}")


@main.command()
@selecting
@FORCE
@OFFLINE
@click.option("--jobs", type=click.IntRange(min=1), help="Jobs at once.  [default: the cores]")
@click.option("--device", default="cpu", show_default=True, help="Where methods compute: cpu, cuda, cuda:1.")
@click.option(
    "--executor",
    type=click.Choice(["local", "inline"]),
    default="local",
    show_default=True,
    help="A process per job, or all in this one, for a debugger.",
)
def run(chosen: Selection, force: bool, offline: bool, jobs: int | None, device: str, executor: str) -> None:
    """Compute what SUITE lacks, and write its tables. Run it again to go on where it was stopped."""
    from harness import session

    fetch = None if offline else session.fetch_missing
    suite, found, store, cells = _plan(chosen, force=force, offline=offline, fetch=fetch)
    if session.complete(suite, found, store, cells, jobs=jobs, device=device, executor=executor):
        sys.exit(1)


@main.command()
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


@main.command()
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


@main.command()
@click.argument("suite", required=False)
@METHODS
@RESULTS
@click.option(
    "--format", "form", type=click.Choice(["csv", "json", "parquet"]), default="csv", show_default=True
)
@click.option(
    "--output", type=click.Path(path_type=Path, dir_okay=False), help="File to write; parquet needs it."
)
@JSON
def rows(
    suite: str | None, folders: tuple[Path, ...], results: Path, form: str, output: Path | None, as_json: bool
) -> None:
    """The long table: a row for each metric of each cell (of SUITE, or of all), published ones beside."""
    from harness import rows as making

    if suite:
        loaded, found, _, cells = _plan(Selection(suite, (), (), folders, results))
        made = making.of_plan(cells, found, loaded.name)
    else:
        made = making.stored(results)
    making.export(made, "json" if as_json else form, output)


@main.command()
@click.argument("names", nargs=-1)
@RESULTS
@click.option("--format", "form", type=click.Choice(FORMS), default="text", show_default=True)
@JSON
def table(names: tuple[str, ...], results: Path, form: str, as_json: bool) -> None:
    """Print tables by name (see suites/tables), or the list of them."""
    from harness import session

    form = "json" if as_json else form
    if not names:
        known = session.table_names()
        return _print_json(known) if form == "json" else click.echo("\n".join(known))
    for name in names:
        click.echo(session.show_table(name, results, form))
    return None


@main.command()
@click.argument("name", metavar="[SUITE|STUDY]", required=False)
@METHODS
@RESULTS
@click.option(
    "--frozen",
    type=click.Path(path_type=Path, dir_okay=False),
    multiple=True,
    help="Judge frozen values instead of a results folder.  [default where there is none: those shipped]",
)
@click.option(
    "--against",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Earlier verdicts (--json): exit code 1 if any has turned.",
)
@JSON
def claims(
    name: str | None,
    folders: tuple[Path, ...],
    results: Path,
    frozen: tuple[Path, ...],
    against: Path | None,
    as_json: bool,
) -> None:
    """Whether each claim holds (those of STUDY, or on the cells of SUITE), and what would settle it."""
    from harness import registry, session
    from harness import rows as making
    from harness.views import claims as judging
    from harness.views import claims_file

    studies = [name] if name in claims_file.names() else claims_file.names()
    if name and name not in claims_file.names():
        loaded, found, _, cells = _plan(Selection(name, (), (), folders, results))
        made = making.of_plan(cells, found, loaded.name)
    else:
        found = registry.scan(folders)
        made = session.rows_or_frozen(results, frozen)
    listed = [claim for study in studies for claim in claims_file.load(claims_file.find(study), found)]
    verdicts = judging.judge(made, listed)
    covered = judging.coverage(made, session.TABLES.glob("[!.]*.yaml"))
    if as_json:
        _print_json(judging.as_json(verdicts, covered))
    else:
        click.echo(judging.as_text(verdicts, covered))
    turned = judging.turned(verdicts, against) if against else []
    for line in turned:
        click.echo(f"turned: {line}", err=True)
    sys.exit(1 if turned else 0)


@main.command()
@selecting
@click.option(
    "--output", type=click.Path(path_type=Path, dir_okay=False), help="[default: results/frozen/SUITE.json]"
)
def freeze(chosen: Selection, output: Path | None) -> None:
    """Keep the per-seed values of SUITE's finished cells as the reference that `compare` judges against."""
    from harness import compare as judging
    from harness import environment
    from harness import rows as making

    loaded, found, _, cells = _plan(chosen)
    output = output or Path("results") / "frozen" / f"{loaded.name}.json"
    devices = sorted({planned.record.device for planned in cells if planned.record})
    count = judging.freeze(
        making.of_plan(cells, found, loaded.name),
        output,
        suite=chosen.suite,
        device=", ".join(devices),
        versions=environment.describe(),
    )
    click.echo(f"{output}: {count} values")


@main.command()
@click.argument("frozen", type=click.Path(path_type=Path, dir_okay=False))
@METHODS
@RESULTS
@FORM
def compare(frozen: Path, folders: tuple[Path, ...], results: Path, form: str) -> None:
    """Judge the results of FROZEN's suite against it, seed by seed: ok, improved, regressed, inconclusive.

    Exit code 0: ok or improved; 1: something regressed or failed; 2: nothing in common; 3: inconclusive.
    """
    from harness import compare as judging
    from harness import rows as making
    from harness.views import render

    reference = judging.thaw(frozen)
    loaded, found, _, cells = _plan(Selection(reference.suite, (), (), folders, results))
    verdicts = judging.compare(reference, making.of_plan(cells, found, loaded.name))
    click.echo(getattr(render, f"to_{form}")(judging.as_table(verdicts)))
    sys.exit(judging.exit_code(verdicts))


@main.command()
@click.argument("suite")
@click.argument("filters", nargs=-1)
@ONLY
@click.option(
    "--against", required=True, metavar="REF", help="The git revision to compare this tree's speed with."
)
@click.option("--rounds", default=5, show_default=True, help="Pairs of runs, in the order ABBA.")
@click.option(
    "--threshold", default=0.05, show_default=True, help="The slowdown that counts as a regression."
)
@FORM
def bench(
    suite: str,
    filters: tuple[str, ...],
    only: tuple[str, ...],
    against: str,
    rounds: int,
    threshold: float,
    form: str,
) -> None:
    """Time SUITE's cells in this tree and at another revision by turns, and judge the paired ratios."""
    from harness import bench as timing
    from harness import compare as judging
    from harness.views import render

    verdicts = timing.bench(Path.cwd(), against, suite, (*filters, *only), rounds=rounds, threshold=threshold)
    click.echo(getattr(render, f"to_{form}")(timing.as_table(verdicts)))
    sys.exit(judging.exit_code(verdicts))


@main.group("data")
def data_group() -> None:
    """Data sets: what is here, fetch, verify."""


@data_group.command("list")
@JSON
def data_list(as_json: bool) -> None:
    """Every data set, and whether it is here."""
    from harness import data

    located = [data.locate(name) for name in data.names()]
    if as_json:
        _print_json(
            [
                {
                    "name": here.dataset.name,
                    "title": here.dataset.title,
                    "licence": here.dataset.licence,
                    "here": here.problem is None,
                    "problem": here.problem,
                    "command": here.command,
                }
                for here in located
            ]
        )
        return
    for here in located:
        state = "here" if here.problem is None else f"not here: {here.problem}"
        click.echo(f"{here.dataset.name:18} {state}\n{'':18} {here.dataset.title}")


@data_group.command("get")
@click.argument("names", nargs=-1, required=True)
def data_get(names: tuple[str, ...]) -> None:
    """Fetch data sets into the cache, from the first source that has them."""
    from harness import session

    for name in names:
        problem = session.fetch(name)
        if problem:
            raise UserError(problem)
        click.echo(f"{name}: here")


@data_group.command("verify")
@click.argument("names", nargs=-1)
@JSON
def data_verify(names: tuple[str, ...], as_json: bool) -> None:
    """Read every file again and compare it with its checksum."""
    from harness import data

    checked = {name: data.verify(name) for name in names or data.names()}
    if as_json:
        _print_json({name: dict(files) for name, files in checked.items()})
    else:
        for name, files in checked.items():
            for file, status in files:
                click.echo(f"{name:18} {file}: {status}")
    if any(status not in ("ok", "missing") for files in checked.values() for _, status in files):
        sys.exit(1)


@main.command()
@selecting
def accept(chosen: Selection) -> None:
    """Bless results again whose code changed without changing behaviour (a renaming, a refactoring)."""
    from harness import accept as blessing

    _, _, store, cells = _plan(chosen)
    accepted = blessing.accept(store, cells)
    for planned in accepted:
        click.echo(f"accepted {planned.keys.key[:10]}  {planned.reason}")
    click.echo(f"{len(accepted)} of {len(cells)} cells accepted")


@main.command()
@RESULTS
@click.option("--delete", is_flag=True, help="Delete them; without it they are only listed.")
@JSON
def gc(results: Path, delete: bool, as_json: bool) -> None:
    """List (or delete) what no suite's last run refers to: superseded cells, artifacts, leftovers."""
    from harness import garbage

    found = garbage.find(results)
    if delete:
        garbage.delete(results, found)
    if as_json:
        _print_json([str(path) for path in found])
    else:
        for path in found:
            click.echo(path)
        click.echo(f"{len(found)} {'deleted' if delete else 'to delete (harness gc --delete)'}")


@main.command()
@click.argument("suite")
@RESULTS
def forget(suite: str, results: Path) -> None:
    """Forget that SUITE was run here, by its path or name: a file that was renamed, moved or deleted.

    Its cells are no longer shown; `gc` finds those that no other suite has.
    """
    from harness import ledger
    from harness.store import Store

    entry = ledger.forget(Store(results), suite)
    click.echo(f"forgot {entry.path} ({len(entry.cells)} cells)")


@main.command()
@RESULTS
@JSON
def doctor(results: Path, as_json: bool) -> None:
    """Check this machine: versions, cores, memory, devices, peers, data sets, results folder."""
    from harness import doctor as checking

    checks = checking.examine(results)
    if as_json:
        _print_json([{"check": name, "ok": ok, "found": found} for name, ok, found in checks])
    else:
        for name, ok, found in checks:
            click.echo(f"{'ok' if ok else '--':3} {name:18} {found}")


def _plan(
    chosen: Selection,
    *,
    force: bool = False,
    offline: bool = True,
    fetch: Callable[[Sequence[Planned]], dict[str, str] | None] | None = None,
) -> tuple[Suite, Registry, Store, list[Planned]]:
    """Everything a verb needs of a suite. `fetch` may bring data in, after which all is planned anew."""
    from harness import plan as planning
    from harness import registry, suite
    from harness.store import Store

    only = planning.parse_filters((*chosen.filters, *chosen.only))
    found = registry.scan(chosen.folders)
    loaded = suite.load(suite.find(chosen.suite), found)
    store = Store(chosen.results)
    cells = planning.make(loaded, found, store, only=only, force=force, offline=offline)
    problems = fetch(cells) if fetch else None
    if problems is not None:
        cells = planning.make(
            loaded, found, store, only=only, force=force, offline=offline, unavailable=problems
        )
    return loaded, found, store, cells


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


def _print_json(value: Any) -> None:
    import json

    click.echo(json.dumps(value, indent=1))


def _first_line(text: str) -> str:
    return text.split("\n", 1)[0].rstrip(".")


if __name__ == "__main__":
    main()
