"""Pictures of many cells side by side, as plain data. Which seed is shown is decided before anybody looks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import groups as grouping
from harness.row import Row
from harness.store import Store
from harness.views.figure_file import GallerySpec


@dataclass(frozen=True)
class Picture:
    """A file of the cell `key`, and what it shows in words."""

    caption: str
    key: str
    path: Path


@dataclass(frozen=True)
class Gallery:
    """Pictures by title of their row; without any where none was found."""

    title: str
    rows: dict[str, list[Picture]]
    notes: list[str]


def make(spec: GallerySpec, rows: Iterable[Row], store: Store) -> Gallery:
    """The gallery that `spec` declares, of rows as `harness rows` prints them.

    Of each group the lowest seed that has a picture is shown.
    Raises `UserError` if the rows hold two different values for one metric of one cell.
    """
    rows = [row for row in rows if row.task == spec.task and row.origin == "measured"]
    groups = grouping.measured(rows, spec.where)
    labels = grouping.short_labels(groups, spec.panels, [])
    groups.sort(key=lambda group: (grouping.order(group, spec.panels), labels[group.key]))
    seeds = {row.key: row.seed for row in rows if row.key}
    made: dict[str, list[Picture]] = {}
    without = []
    for group in groups:
        keys = sorted(group.cells & seeds.keys(), key=lambda key: seeds[key])
        paths = {key: store.cell_folder(key) / spec.picture for key in keys}
        found = next(((key, path) for key, path in paths.items() if path.is_file()), None)
        if found:
            caption = f"{labels[group.key]}, seed {seeds[found[0]]}"
            made.setdefault(grouping.place(group, spec.panels), []).append(Picture(caption, *found))
        else:
            title = grouping.place(group, spec.panels)
            without.append(labels[group.key] + (f" [{title}]" if title else ""))
    return Gallery(spec.title, made, list(_notes(spec, groups, without)))


def _notes(spec: GallerySpec, groups: Sequence[grouping.Group], without: Sequence[str]) -> Iterable[str]:
    yield f"{spec.picture} of the lowest seed that has one."
    if without:
        yield f"No such picture: {'; '.join(without)}."
    if same := grouping.constants(groups, {*spec.panels, "method"}):
        yield f"In all rows: {same}."
    yield from grouping.reasons(groups)
    yield grouping.origins(groups)
