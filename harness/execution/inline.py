"""Jobs in this very process, one after another: a debugger stops in them, and tracebacks are whole.

Limits are not enforced, and what a method prints goes where it would go without a harness.
"""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path

from harness.execution import job as jobs
from harness.execution import loading, worker


class Inline:
    """Does each job when it is started."""

    def __init__(self) -> None:
        self._ended: dict[Path, int] = {}

    def start(self, job: Path) -> Path:
        todo = jobs.read(job)
        path, variables = list(sys.path), dict(os.environ)
        status = 0
        try:
            loading.importable(todo)
            jobs.end(todo.folder, worker.work(todo, catch=False))
        except OSError:
            traceback.print_exc()
            status = worker.STORAGE_FAILED
        finally:
            sys.path[:] = path
            os.environ.clear()
            os.environ |= variables
        self._ended[job] = status
        return job

    def ended(self, seconds: float) -> dict[Path, int]:
        found, self._ended = self._ended, {}
        return found

    def stop(self, handle: Path) -> None:
        """There is nothing that runs."""

    def close(self) -> None:
        """There is nothing to end."""
