"""Which suites have been run on a results folder, and which cells each was last made of.

A suite is known by where its file lies, as seen from the results folder: two files of one name are two
suites, and a project that moves as a whole keeps its suites.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from harness.errors import UserError, did_you_mean
from harness.key import digest
from harness.plan import Planned
from harness.store import Store, explain, write_file
from harness.suite import Suite


class Entry(msgspec.Struct, frozen=True):
    """A suite's cells, by key, with the key of the fit that each is a score of."""

    suite: str
    path: str
    cells: dict[str, str]


def note(store: Store, suite: Suite, plan: Sequence[Planned], whole: Sequence[Planned]) -> None:
    """Remember what the suite is made of now: `rows` shows these cells, `gc` keeps them (unfinished too).

    Cells of the `whole` suite that are not in this plan stay as they were.
    """
    where = _seen_from(store.root, suite.path)
    path = _file(store, where)
    cells = {planned.keys.key: planned.keys.fit for planned in plan}
    others = [planned.keys for planned in whole if planned.keys.key not in cells]
    if others and (before := _read(path)):
        known = {each.key for each in others} | {each.address for each in others}
        for key, fit in before.cells.items():
            record = store.readable(key)
            if key in known or (record and record.address in known):
                cells[key] = fit
    content = msgspec.json.encode(Entry(suite.name, where, dict(sorted(cells.items()))))
    if not path.is_file() or path.read_bytes() != content:
        try:
            write_file(path, content)
        except OSError as error:
            raise explain(error, store.root) from None


def entries(store: Store) -> Iterator[Entry]:
    """Every suite that has been run on the store."""
    for path in sorted(store.root.glob("suites/[!.]*.json")):
        if entry := _read(path):
            yield entry


def suites_of_cells(store: Store) -> dict[str, list[str]]:
    """For each key the suites that last planned it, by name, or by path where two share a name."""
    known = list(entries(store))
    names = [entry.suite for entry in known]
    found: dict[str, list[str]] = {}
    for entry in known:
        name = entry.suite if names.count(entry.suite) == 1 else entry.path
        for key in entry.cells:
            found.setdefault(key, []).append(name)
    return found


def forget(store: Store, name: str) -> Entry:
    """Drop the memory of a suite, by its path or its name; its cells stay until `gc` collects them.

    Raises `UserError` unless exactly one suite is meant.
    """
    known = {entry.path: entry for entry in entries(store)}
    where = _seen_from(store.root, Path(name))
    meant = [known[where]] if where in known else [each for each in known.values() if each.suite == name]
    if len(meant) > 1:
        paths = ", ".join(entry.path for entry in meant)
        raise UserError(f"{len(meant)} suites are called {name!r}; name one by its path: {paths}")
    if not meant:
        hint = did_you_mean(name, {entry.suite for entry in known.values()})
        raise UserError(f"{store.root}: no suite {name!r} has been run here{hint}")
    _file(store, meant[0].path).unlink(missing_ok=True)
    return meant[0]


def _file(store: Store, where: str) -> Path:
    return store.root / "suites" / f"{digest(where)}.json"


def _seen_from(root: Path, path: Path) -> str:
    return os.path.relpath(path.resolve(), root.resolve())


def _read(path: Path) -> Entry | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Entry)
    except (OSError, msgspec.MsgspecError):
        return None
