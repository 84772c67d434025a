"""Care for a results folder: bless results after a refactoring, and find what nobody needs any more."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from harness.errors import UserError
from harness.plan import Planned
from harness.rows import suites_of_cells
from harness.store import Damaged, Store

_RESTING = 3600.0
"""Seconds after which a scratch folder that nobody touches counts as left behind."""


def accept(store: Store, plan: Sequence[Planned]) -> list[Planned]:
    """Give cells that miss only because code changed the result that the earlier code made."""
    store.check_writable()
    accepted = []
    for planned in plan:
        old = store.read(planned.predecessor) if planned.predecessor else None
        if old is None:
            continue
        with store.building(planned.keys.key):
            _copy_fit(store, old.fit, planned.keys.fit)
            record = msgspec.structs.replace(
                old,
                key=planned.keys.key,
                fit=planned.keys.fit,
                fit_code=planned.inputs.fit_code,
                score_code=planned.inputs.score_code,
                accepted_from=old.key,
                finished=time.time(),
            )
            beside = store.scratch(planned.keys.key)
            for item in store.cell_folder(old.key).iterdir():
                if item.name != "cell.json":
                    (shutil.copytree if item.is_dir() else shutil.copy2)(item, beside / item.name)
            store.write(record, beside)
            shutil.rmtree(beside)
        accepted.append(planned)
    return accepted


def _copy_fit(store: Store, old: str, new: str) -> None:
    if old == new or not store.has_artifact(old):
        return
    with store.building(new):
        if not store.has_artifact(new):
            store.copy_artifact(old, new)


def garbage(results: Path) -> list[Path]:
    """Cells outside every suite's last run, fits that no remaining cell uses, old scratch folders."""
    store = Store(results)
    if not results.is_dir():
        raise UserError(f"{results}: no such results folder")
    wanted = set(suites_of_cells(store))
    fits = set()
    for key in wanted:
        try:
            record = store.read(key)
        except Damaged:
            continue
        fits |= {record.fit} if record else set()
    cells = [path for path in sorted(results.glob("cells/*")) if path.name not in wanted]
    artifacts = [
        path
        for path in sorted(results.glob("artifacts/*"))
        if path.name not in fits and not store.is_asset(path.name)
    ]
    return [*cells, *artifacts, *store.sweep(_RESTING)]


def delete(results: Path, found: Sequence[Path]) -> None:
    """Delete what `garbage` found, passing over what a running suite has claimed."""
    for path in found:
        Store(results).discard(path)
