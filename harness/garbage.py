"""What nobody needs any more in a results folder."""

from __future__ import annotations

import contextlib
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path

from harness import ledger
from harness.errors import UserError
from harness.store import Store

_RESTING = 3600.0
"""Seconds after which a scratch folder that nobody touches counts as left behind."""


def find(results: Path, *, keep_fits: bool = True) -> list[Path]:
    """Cells outside every suite's last run, fits and assets that no remaining cell uses, old scratch folders.

    An asset belongs to the cells that used it, or, while they are unfinished, to the cell that it was made
    for. Without `keep_fits` finished cells use none: their rows and files are their own, and only another
    score of the same fit would have it trained anew.
    """
    store = Store(results)
    if not results.is_dir():
        raise UserError(f"{results}: no such results folder")
    cells: set[str] = set()
    wanted: set[str] = set()
    for entry in ledger.entries(store):
        cells |= entry.cells.keys()
        for key, fit in entry.cells.items():
            record = store.readable(key)
            if keep_fits or record is None or record.status != "ok":
                wanted |= {fit} | ({record.fit, *record.assets} if record else set())
    artifacts = [path for path in _folders(results / "artifacts") if path.name not in wanted]
    return [
        *(path for path in _folders(results / "cells") if path.name not in cells),
        *(path for path in artifacts if not _made_for(path) & cells),
        *store.sweep(_RESTING),
    ]


def size(path: Path) -> int:
    """Bytes that would be free without a folder; what cells share with their fit would not."""
    total = 0
    for file in path.rglob("*"):
        with contextlib.suppress(FileNotFoundError):  # deleted meanwhile
            status = file.lstat()
            total += status.st_size if stat.S_ISREG(status.st_mode) and status.st_nlink == 1 else 0
    return total


def delete(results: Path, found: Iterable[Path]) -> None:
    """Delete what `find` found, passing over what a running suite has claimed."""
    for path in found:
        Store(results).discard(path)


def _folders(room: Path) -> Sequence[Path]:
    return sorted(room.glob("[!.]*"))


def _made_for(artifact: Path) -> set[str]:
    """The cell for whose sake an asset was made first, unless it has been finished without it."""
    note = artifact / "for"
    key = note.read_text() if note.is_file() else ""
    finished = artifact.parents[1] / "cells" / key / "cell.json"
    return {key} if key and not finished.is_file() else set()
