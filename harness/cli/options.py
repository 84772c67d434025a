"""What several verbs are told, in the same words, and what they make of it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

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


def lay_out(
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


def print_json(value: Any) -> None:
    import json

    click.echo(json.dumps(value, indent=1))
