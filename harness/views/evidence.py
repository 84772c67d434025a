"""What a results folder holds beside numbers: pictures, the ends of logs, what cells were made with."""

from __future__ import annotations

import base64
import contextlib
import io
import subprocess
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from harness import __version__
from harness import groups as grouping
from harness.groups import Group
from harness.registry import HOME
from harness.row import Row
from harness.store import LOG, Record, Store

WIDTH = 640
"""Pixels: wider pictures are made smaller."""

LOG_LINES, LOG_LETTERS = 12, 2000
"""What is shown of the end of a log, at most."""


@dataclass(frozen=True)
class Picture:
    """A picture that a cell kept; `told` is the cell in words."""

    path: Path
    told: str


@dataclass(frozen=True)
class Shown:
    """A picture for the page: its data as an address, and its size."""

    address: str
    width: int
    height: int


@dataclass(frozen=True)
class Failure:
    """Cells of one method that ended for one reason, and the end of the first one's log."""

    method: str
    status: str
    reason: str
    keys: list[str]
    log: str


def failures(rows: Iterable[Row], store: Store) -> list[Failure]:
    """The cells that failed, alike ones together."""
    alike: dict[tuple[str, str, str], list[str]] = {}
    for row in rows:
        if row.origin == "measured" and row.status not in ("ok", "skipped", "missing"):
            alike.setdefault((f"{row.task} {row.method}", row.status, row.reason), []).append(row.key)
    return [Failure(*place, keys, _end(store, keys[0])) for place, keys in alike.items()]


def _end(store: Store, key: str) -> str:
    with contextlib.suppress(OSError):
        text = store.cell_folder(key).joinpath(LOG).read_text(errors="replace")
        return "\n".join(text.splitlines()[-LOG_LINES:])[-LOG_LETTERS:]
    return ""


def pictures(tasks: Iterable[list[Group]], records: dict[str, Record], store: Store) -> list[Picture]:
    """The pictures of each setting's first good seed: one of each method and name first, then the others."""
    by_kind: dict[tuple[str, str], list[Picture]] = {}
    for groups in tasks:
        kept: list[tuple[Group, Record, list[Path]]] = []
        for group in groups:
            good = [records[key] for key in group.cells if key in records and records[key].status == "ok"]
            first = sorted(good, key=lambda record: record.seed)[:1]
            for record in first:  # what its fit left lies beside its own
                if paths := sorted(store.cell_folder(record.key).glob("*.png")):
                    kept.append((group, record, paths))
        labels = grouping.labels(groups, ["method", "dataset"], []) if kept else {}
        for group, record, paths in kept:
            told = f"{record.dataset or record.task}, {labels[group.key]}, seed {record.seed}"
            for path in paths:
                by_kind.setdefault((record.method, path.name), []).append(Picture(path, told))
    return [picture for turn in zip_longest(*by_kind.values()) for picture in turn if picture]


def within(studies: Sequence[Sequence[Picture]], most: int) -> dict[Path, Shown]:
    """As many pictures as `most` bytes allow, each study in its turn, by path."""
    found: dict[Path, Shown] = {}
    for turn in zip_longest(*studies):
        for picture in filter(None, turn):
            if (shown := _small(picture.path)) is None:
                continue
            most -= len(shown.address)
            if most < 0:
                return found
            found[picture.path] = shown
    return found


def _small(path: Path) -> Shown | None:
    """The picture made small; None where the file is none."""
    from PIL import Image

    try:
        with Image.open(path) as opened:
            picture = opened.convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None
    picture.thumbnail((WIDTH, 2 * WIDTH))
    content = io.BytesIO()
    picture.save(content, "WEBP", quality=80, method=2)
    text = base64.b64encode(content.getvalue()).decode()
    return Shown(f"data:image/webp;base64,{text}", *picture.size)


def provenance(rows: Sequence[Row], records: dict[str, Record], store: Store) -> dict[str, Any]:
    """What is known of how these cells were made, and of the code that made this page."""
    ours = [row for row in rows if row.origin == "measured"]
    made = list(records.values())
    seconds: Counter[str] = Counter()
    for record in made:
        seconds.update(record.seconds)
    days = sorted(time.strftime("%Y-%m-%d", time.localtime(record.finished)) for record in made)
    return {
        "cells": len({(row.key, row.task, str(row.settings), row.seed) for row in ours}),
        "records": len(made),
        "commit": commit(HOME),
        "version": __version__,
        "seeds": sorted({row.seed for row in ours}),
        "devices": Counter(record.device for record in made),
        "seconds": dict(seconds),
        "days": days[:1] + days[-1:] if days[:1] != days[-1:] else days[:1],
        "software": _software(made, store) if made else _frozen({row.suite for row in ours}),
    }


def _software(made: Iterable[Record], store: Store) -> list[tuple[dict[str, str], int]]:
    """The descriptions of software and machine that records name, with how many do."""
    counts = Counter(record.environment for record in made).most_common()
    return [(told, count) for name, count in counts if (told := store.software(name))]


def _frozen(suites: set[str]) -> list[tuple[dict[str, str], int]]:
    """The same of frozen files that harness brings, which stand for suites of these names."""
    from harness import frozen

    found = []
    for path in sorted(HOME.glob("results/frozen/*.json")):
        if path.stem in suites:
            told = frozen.thaw(path)
            seeds = {(*place[:2], seed) for place, values in told.values.items() for seed in values}
            found.append(({"file": path.name, "device": told.device, **told.versions}, len(seeds)))
    return found


def commit(home: Path) -> tuple[str, bool] | None:
    """The commit that lies in a clone's root, and whether files differ from it; None where there is none."""

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", "-C", str(home), *words], capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()

    if not home.joinpath(".git").exists():
        return None
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        return git("rev-parse", "--short=10", "HEAD"), bool(git("status", "--porcelain"))
    return None
