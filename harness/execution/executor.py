"""What the scheduler needs of whatever starts jobs: this machine, this process, a cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

LOST = 75
"""Exit status of a job that could not end where it was, through no fault of its own: its machine is gone, or
others went first (EX_TEMPFAIL of sysexits.h). It is started again."""

Handle = Any
"""Stands for a job that was started; only its executor looks inside."""


class Executor(Protocol):
    """Starts job files elsewhere. What comes back of a job lies in its folder: see `harness.execution.job`.

    `close` ends whatever the executor has started for itself, and nothing else.
    """

    def start(self, job: Path) -> Handle:
        """Start the job of a file."""
        ...

    def ended(self, seconds: float) -> dict[Handle, int]:
        """Jobs that have ended since the last call, with their supervisors' exit statuses. Waits for one up
        to `seconds`."""
        ...

    def stop(self, handle: Handle) -> None:
        """End a job that still runs, with all its processes."""
        ...

    def close(self) -> None: ...
