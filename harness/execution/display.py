"""What a person sees while cells run: a live table on a terminal, one plain line per cell elsewhere."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.plan import Planned
from harness.store import Record

if TYPE_CHECKING:
    from rich.console import Group


def name(planned: Planned) -> str:
    """A cell in a few words: task, data, method, the parameters that are not defaults, seed."""
    cell, method, task = planned.cell, planned.method, planned.task
    known = task.parameters | method.parameters
    unusual = [
        f"{key}={value:g}" if isinstance(value, float) else f"{key}={value}"
        for key, value in cell.settings.items()
        if key in known and key != "dataset" and value != known[key].default
    ]
    where = f"{cell.task}/{cell.dataset}" if cell.dataset else cell.task
    return " ".join([where, cell.method, *unusual, f"seed={cell.seed}"])


class Plain:
    """One line per finished cell, no control characters."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.done = 0

    def __enter__(self) -> Plain:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def started(self, key: str, name: str, scratch: Path) -> None:
        pass

    def stopped(self, key: str) -> None:
        pass

    def finished(self, planned: Planned, record: Record) -> None:
        self.done += 1
        seconds = record.seconds.get("fit", 0.0) + record.seconds.get("score", 0.0)
        words = [f"[{self.done}/{self.total}]", f"{record.status:8} {seconds:7.1f} s", record.key[:10]]
        print("  ".join([*words, name(planned), record.reason]).rstrip(), flush=True)


class Live:
    """Cells done, running, failed, time left; each running cell's step and loss."""

    def __init__(self, total: int) -> None:
        from rich.live import Live as RichLive

        self.total = total
        self.began = time.monotonic()
        self.statuses: Counter[str] = Counter()
        self.running: dict[str, tuple[str, Path, float]] = {}
        self.live = RichLive(get_renderable=self._picture, refresh_per_second=4)

    def __enter__(self) -> Live:
        self.live.__enter__()
        return self

    def __exit__(self, *details: Any) -> None:
        self.live.__exit__(*details)

    def started(self, key: str, name: str, scratch: Path) -> None:
        self.running[key] = (name, scratch, time.monotonic())

    def stopped(self, key: str) -> None:
        self.running.pop(key, None)

    def finished(self, planned: Planned, record: Record) -> None:
        self.statuses[record.status] += 1
        if record.status != "ok":
            self.live.console.print(
                f"{record.status} {name(planned)}: {record.reason} (harness show {record.key[:10]})",
                markup=False,
                style="yellow" if record.status == "skipped" else "red",
            )

    def _picture(self) -> Group:
        from rich.console import Group
        from rich.table import Table

        done = sum(self.statuses.values())
        failed = done - self.statuses["ok"] - self.statuses["skipped"]
        title = (
            f"{done}/{self.total} cells done, {len(self.running)} running, {failed} failed{self._left(done)}"
        )
        table = Table(box=None, padding=(0, 2, 0, 0))
        for column in ("job", "step", "values", "seconds"):
            table.add_column(column, justify="right" if column == "seconds" else "left", overflow="fold")
        for shown, scratch, since in list(self.running.values()):  # drawn by a thread of its own
            step, values = _progress(scratch)
            table.add_row(shown, step, values, f"{time.monotonic() - since:.0f}")
        return Group(title, table) if self.running else Group(title)

    def _left(self, done: int) -> str:
        if not 0 < done < self.total:
            return ""
        seconds = (time.monotonic() - self.began) / done * (self.total - done)
        return f", about {seconds / 60:.0f} min left" if seconds > 90 else f", about {seconds:.0f} s left"


def _progress(scratch: Path) -> tuple[str, str]:
    """The step and the values a running cell last told."""
    with contextlib.suppress(OSError, ValueError):
        told: dict[str, Any] = json.loads((scratch / "progress.json").read_text())
        step, steps = told.pop("step"), told.pop("steps")
        return f"{step}/{steps}", " ".join(f"{key}={value:.4g}" for key, value in told.items())
    return "", ""


def choose(total: int, *, inline: bool = False) -> Plain | Live:
    """The live view where somebody watches, plain lines elsewhere and for a debugger."""
    return Live(total) if sys.stdout.isatty() and not inline else Plain(total)
