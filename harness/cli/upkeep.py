"""Verbs that keep data sets, results and the machine in order."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from harness.cli.options import JSON, RESULTS, Selection, lay_out, print_json, selecting
from harness.errors import UserError


@click.group("data")
def data_group() -> None:
    """Data sets: what is here, fetch, verify."""


@data_group.command("list")
@JSON
def data_list(as_json: bool) -> None:
    """Every data set, and whether it is here."""
    from harness import data

    located = [data.locate(name) for name in data.names()]
    if as_json:
        print_json(
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
        print_json({name: dict(files) for name, files in checked.items()})
    else:
        for name, files in checked.items():
            for file, status in files:
                click.echo(f"{name:18} {file}: {status}")
    if any(status not in ("ok", "missing") for files in checked.values() for _, status in files):
        sys.exit(1)


@click.command()
@selecting
def accept(chosen: Selection) -> None:
    """Bless results again whose code changed without changing behaviour (a renaming, a refactoring)."""
    from harness import accept as blessing
    from harness import ledger
    from harness import plan as planning

    suite, registry, store, cells = lay_out(chosen)
    accepted = blessing.accept(store, cells)
    if accepted:
        ledger.note(store, suite, accepted, planning.make(suite, registry, store))
    for planned in accepted:
        click.echo(f"accepted {planned.keys.key[:10]}  {planned.reason}")
    click.echo(f"{len(accepted)} of {len(cells)} cells accepted")


@click.command()
@RESULTS
@click.option("--delete", is_flag=True, help="Delete them; without it they are only listed.")
@click.option(
    "--keep",
    type=click.Choice(["fits", "metrics"]),
    default="fits",
    show_default=True,
    help="Of finished cells: metrics alone, so no arrays that training left, which no table needs.",
)
@JSON
def gc(results: Path, delete: bool, keep: str, as_json: bool) -> None:
    """List (or delete) what no suite's last run refers to: superseded cells, artifacts, leftovers."""
    from harness import garbage

    found = garbage.find(results, keep_fits=keep == "fits")
    megabytes = sum(map(garbage.size, found)) / 1e6
    kept = sum(map(garbage.size, set(results.glob("artifacts/[!.]*")) - set(found))) / 1e6
    if delete:
        garbage.delete(results, found)
    if as_json:
        print_json([str(path) for path in found])
        return
    for path in found:
        click.echo(path)
    ending = "deleted" if delete else "to delete (harness gc --delete)"
    click.echo(f"{len(found)} {ending}" + (f", {megabytes:.1f} MB" if found else ""))
    if keep == "fits" and kept:
        click.echo(f"the arrays of fits and assets that stay take {kept:.1f} MB (harness gc --keep metrics)")


@click.command()
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


@click.command()
@RESULTS
@JSON
def doctor(results: Path, as_json: bool) -> None:
    """Check this machine: versions, cores, memory, devices, peers, data sets, results folder."""
    from harness import doctor as checking

    checks = checking.examine(results)
    if as_json:
        print_json([{"check": name, "ok": ok, "found": found} for name, ok, found in checks])
    else:
        for name, ok, found in checks:
            click.echo(f"{'ok' if ok else '--':3} {name:18} {found}")


VERBS = (data_group, accept, gc, forget, doctor)
