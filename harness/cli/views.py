"""Verbs that read results: rows, tables, figures, claims, the report."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from harness.cli.options import FORMS, JSON, METHODS, RESULTS, Selection, lay_out, print_json
from harness.errors import UserError


@click.command()
@click.argument("suite", required=False)
@METHODS
@RESULTS
@click.option(
    "--format", "form", type=click.Choice(["csv", "json", "parquet"]), default="csv", show_default=True
)
@click.option(
    "--output", type=click.Path(path_type=Path, dir_okay=False), help="File to write; parquet needs it."
)
def rows(suite: str | None, folders: tuple[Path, ...], results: Path, form: str, output: Path | None) -> None:
    """The long table: a row for each metric of each cell (of SUITE, or of all), published ones beside."""
    from harness import rows as making

    if suite:
        loaded, found, _, cells = lay_out(Selection(suite, (), (), folders, results))
        made = making.of_plan(cells, found, loaded.name)
    else:
        made = making.stored(results)
    making.export(made, form, output)


@click.command()
@click.argument("names", nargs=-1)
@RESULTS
@click.option(
    "--format", "form", type=click.Choice([*FORMS, "latex", "macros"]), default="text", show_default=True
)
@click.option("--all", "whole", is_flag=True, help="Show every column; CSV and JSON always do.")
def table(names: tuple[str, ...], results: Path, form: str, whole: bool) -> None:
    """Print tables by name (see suites/tables), or the list of them."""
    from harness import registry, session

    if not names:
        known = registry.TABLES.names()
        return print_json(known) if form == "json" else click.echo("\n".join(known))
    for name in names:
        click.echo(session.show_table(name, results, form, whole=whole))
    return None


@click.command()
@click.argument("names", nargs=-1)
@RESULTS
@click.option(
    "--format", "form", type=click.Choice(["svg", "pdf", "png", "json"]), default="svg", show_default=True
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder to write to.  [default: figures in the results folder]",
)
def figure(names: tuple[str, ...], results: Path, form: str, output: Path | None) -> None:
    """Draw figures by name (see suites/figures) and print their notes, or print the list of them."""
    from harness import registry, session

    if not names:
        return click.echo("\n".join(registry.FIGURES.names()))
    for name in names:
        registry.FIGURES.find(name)
    found, made = registry.scan(), session.rows_or_frozen(results, ())
    output = output or results / "figures"
    for name in names:
        drawn, notes = session.draw_figure(name, made, results, found, form)
        output.mkdir(parents=True, exist_ok=True)
        path = output / f"{name}.{form}"
        path.write_bytes(drawn)
        click.echo("\n".join([str(path), *(f"  {note}" for note in notes)]))
    return None


@click.command()
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
    """Whether each claim holds (those of STUDY, or of SUITE on its cells), and what would settle it."""
    from harness import registry, session
    from harness import rows as making
    from harness.views import claims as judging
    from harness.views import claims_file

    known = registry.CLAIMS.names()
    studies = [name] if name in known else known
    if name and name not in known:
        if frozen:
            raise UserError(f"--frozen: its values are judged by study, and not by suite; leave out {name}")
        loaded, found, _, cells = lay_out(Selection(name, (), (), folders, results))
        made, about = making.of_plan(cells, found, loaded.name), {cell.task.name for cell in cells}
    else:
        found = registry.scan(folders)
        made, about = session.rows_or_frozen(results, frozen), set(found.tasks)
    listed = [claim for study in studies for claim in claims_file.load(registry.CLAIMS.find(study), found)]
    listed = [claim for claim in listed if claim.task in about]
    verdicts = judging.judge(made, listed)
    covered = judging.coverage(made, map(registry.TABLES.find, registry.TABLES.names()))
    if as_json:
        print_json(judging.as_json(verdicts, covered))
    else:
        click.echo(judging.as_text(verdicts, covered))
    turned = judging.turned(verdicts, against) if against else []
    for line in turned:
        click.echo(f"turned: {line}", err=True)
    sys.exit(1 if turned else 0)


@click.command()
@click.argument("suite", required=False)
@METHODS
@RESULTS
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="[default: report.html in the results folder]",
)
def report(suite: str | None, folders: tuple[Path, ...], results: Path, output: Path | None) -> None:
    """Write one HTML page about SUITE, or about all results: claims, tables, pictures, failures, rows."""
    from harness import registry, session
    from harness import rows as making
    from harness.store import Store, write_file
    from harness.views import report as writing

    of, tables = str(results), list(map(registry.TABLES.find, registry.TABLES.names()))
    if suite:
        loaded, found, _, cells = lay_out(Selection(suite, (), (), folders, results))
        made, of = making.of_plan(cells, found, loaded.name), f"suite {loaded.name}"
        tables = list(map(registry.TABLES.find, loaded.tables))
    else:
        found, made = registry.scan(folders), session.rows_or_frozen(results, ())
        of = of if results.joinpath("cells").is_dir() else "the frozen values that harness brings"
    path, store, frozen = output or results / "report.html", Store(results), session.brought()
    page = writing.page(made, found, of=of, tables=tables, store=store, frozen=frozen)
    write_file(path, page.encode())
    click.echo(path)


VERBS = (rows, table, figure, claims, report)
