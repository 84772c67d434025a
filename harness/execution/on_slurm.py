"""Jobs in the queue of Slurm, by submitit. What is ready at once and wants the same is one array of jobs.

The results folder, code and data sets must lie under the same paths on every node.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.errors import UserError
from harness.execution import job as jobs
from harness.execution import supervisor
from harness.execution.executor import LOST
from harness.execution.job import Outcome
from harness.execution.places import Places

_QUEUED = 1000
"""Jobs in Slurm's hands at once, unless told."""

_GRACE_MINUTES = 5
"""Between a job's own limit, which makes a row of it, and Slurm's."""


class OnSlurm:
    """An array of jobs for each kind of limits. `options` are more of sbatch's, as NAME=VALUE.

    Raises `UserError` without submitit or Slurm. `cluster` is submitit's: `local` plays Slurm here.
    """

    def __init__(
        self, results: Path, jobs: int | None, device: str, options: Sequence[str], cluster: str = "slurm"
    ) -> None:
        try:
            import submitit
        except ImportError:
            raise UserError("--executor slurm needs submitit: pip install 'harness[slurm]'") from None
        pairs = [option.partition("=") for option in options]
        if wrong := [name for name, equals, _ in pairs if not equals]:
            raise UserError(f"--slurm {wrong[0]}: write NAME=VALUE, such as partition=gpu")
        try:
            self._submitit = submitit.AutoExecutor(results / "slurm", cluster=cluster)
            self._submitit.update_parameters(**{f"slurm_{name}": value for name, _, value in pairs})
        except (RuntimeError, NameError) as error:
            raise UserError(f"--executor slurm: {error}") from None
        room = jobs or _QUEUED
        self.places = Places(room, map(str, range(room)) if device == "cuda" else ())
        self._ready: dict[tuple[int, int, float, int], list[Path]] = {}
        self._running: dict[Path, Any] = {}

    def start(self, job: Path) -> Path:
        limits = jobs.read(job).limits
        minutes = math.ceil(limits["seconds"] / 60) + _GRACE_MINUTES
        gpus = math.ceil(limits["gpus"]) if self.places.gpus else 0
        wants = (int(limits["cpus"]), gpus, limits["memory_gb"], minutes)
        self._ready.setdefault(wants, []).append(job)
        return job

    def ended(self, seconds: float) -> dict[Path, int]:
        self._submit()
        time.sleep(seconds)
        found = {path: _status(job, path) for path, job in self._running.items() if job.done()}
        for path in found:
            del self._running[path]
        return found

    def _submit(self) -> None:
        for (cpus, gpus, memory, minutes), waiting in self._ready.items():
            # Those that want none say so, for submitit remembers the last wish.
            wanted = {"gpus_per_node": gpus} if self.places.gpus else {}
            self._submitit.update_parameters(
                name="harness", cpus_per_task=cpus, mem_gb=memory, timeout_min=minutes, **wanted
            )
            started = self._submitit.map_array(supervisor.supervise, [str(path) for path in waiting])
            self._running |= dict(zip(waiting, started, strict=True))
        self._ready = {}

    def stop(self, handle: Path) -> None:
        if (job := self._running.pop(handle, None)) is not None:
            job.cancel()
        for waiting in self._ready.values():
            waiting[:] = [path for path in waiting if path != handle]

    def close(self) -> None:
        """There is nothing but jobs."""


def _status(job: Any, path: Path) -> int:
    """The exit status of a job's supervisor; `LOST` where Slurm took its node away, or gave it to others."""
    import submitit

    try:
        status: int | None = job.result()
    except submitit.core.utils.FailedJobError as error:
        _end(path, "crashed", (str(error).strip().splitlines() or ["submitit says nothing of it"])[-1])
        return 0
    except submitit.core.utils.UncompletedJobError:
        if not job.state.startswith("OUT_OF_ME"):
            return LOST
        _end(path, "oom", "ended by Slurm: out of memory")
        return 0
    return LOST if status is None else status


def _end(path: Path, status: str, reason: str) -> None:
    jobs.end(path.parent, Outcome(status=status, reason=reason))
