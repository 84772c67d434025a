"""The process that stands between the runner and a worker: it enforces limits and writes the cell.

Whatever the worker does (exits, hangs, fills the memory, leaves children) costs one cell and nothing else;
when the runner dies, however it dies, the keeper ends the worker's whole process tree.
`python -m harness.keeper JOB` is the same thing for schedulers that start one process per cell.
"""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import select
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import psutil

from harness import worker
from harness.store import Record, Store
from harness.worker import STORAGE_FAILED, Job, Outcome

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36

_UNWRITABLE = Outcome(status="failed", reason="its results could not be written")


def keep(job_file: str) -> None:
    """Run the job in a child process within its limits, then publish its record."""
    try:
        job = msgspec.json.decode(Path(job_file).read_bytes(), type=Job)
    except FileNotFoundError:
        return  # the runner has been stopped meanwhile
    with contextlib.suppress(PermissionError):  # already a session leader when started by a scheduler
        os.setsid()
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)  # what the worker orphans becomes ours to end
    wake = _wake_on_signals()
    pid = os.fork()
    if pid == 0:
        os.setpgid(0, 0)
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        worker.child(job)
    ended = _watch(pid, job, wake)
    left_behind = _end_tree(pid)
    if ended is None:
        shutil.rmtree(job.scratch, ignore_errors=True)
        sys.exit(0)
    if ended is _UNWRITABLE:
        sys.exit(STORAGE_FAILED)
    try:
        _publish(job, ended, left_behind)
    except OSError:
        sys.exit(STORAGE_FAILED)


def _wake_on_signals() -> int:
    """A descriptor that becomes readable when a child ends or SIGTERM comes."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGTERM, lambda *_: None)
    return reading


def _watch(pid: int, job: Job, wake: int) -> Outcome | None:
    """How the worker ended; None when the runner is gone or asked to stop."""
    limits = job.record.limits
    deadline = time.monotonic() + limits["seconds"]
    parent = multiprocessing.parent_process()
    watched: list[Any] = [wake] + ([parent.sentinel] if parent else [])
    process = psutil.Process(pid)
    next_census = 0.0
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return _outcome(job, os.waitstatus_to_exitcode(status))
        now = time.monotonic()
        if now > deadline:
            return Outcome(status="timeout", reason=f"took longer than {limits['seconds']:g} s")
        used = _resident(process)
        if now > next_census:
            used += sum(_resident(other) for other in _descendants(process))
            next_census = now + 0.5
        if used > limits["memory_gb"] * 1e9:
            return Outcome(status="oom", reason=f"took more than {limits['memory_gb']:g} GB of memory")
        readable = select.select(watched, [], [], 0.05)[0]
        if parent and parent.sentinel in readable:
            return None
        if wake in readable and signal.SIGTERM in os.read(wake, 4096):
            return None


def _resident(process: psutil.Process) -> int:
    with contextlib.suppress(psutil.Error):
        return process.memory_info().rss
    return 0


def _descendants(process: psutil.Process) -> list[psutil.Process]:
    with contextlib.suppress(psutil.Error):
        return process.children(recursive=True)
    return []


def _outcome(job: Job, exit_code: int) -> Outcome:
    if exit_code == STORAGE_FAILED:
        return _UNWRITABLE
    try:
        return msgspec.json.decode((Path(job.scratch) / "outcome.json").read_bytes(), type=Outcome)
    except (OSError, msgspec.MsgspecError):
        pass
    if exit_code < 0:
        name = signal.Signals(-exit_code).name
        hint = "; perhaps the system ran out of memory" if -exit_code == signal.SIGKILL else ""
        return Outcome(status="crashed", reason=f"ended by {name}{hint}")
    return Outcome(
        status="crashed", reason=f"the process exited with status {exit_code} before it had a result"
    )


def _end_tree(pid: int) -> int:
    """Kill the worker's process group and all that escaped from it; how many other processes there were."""
    left = _descendants(psutil.Process())
    others = sum(process.pid != pid and _runs(process) for process in left)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    while left:
        for process in left:
            with contextlib.suppress(psutil.Error):
                process.kill()
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        time.sleep(0.005)
        left = _descendants(psutil.Process())
    return others


def _runs(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return process.status() != psutil.STATUS_ZOMBIE
    return False


def _publish(job: Job, outcome: Outcome, left_behind: int) -> None:
    reason = outcome.reason
    if left_behind and outcome.status == "ok":
        reason = f"left {left_behind} process{'es' * (left_behind > 1)} behind, now ended"
    record: Record = msgspec.structs.replace(
        job.record,
        status=outcome.status,
        reason=reason,
        metrics=outcome.metrics,
        seconds=outcome.seconds,
        device=outcome.device,
        finished=time.time(),
    )
    Store(Path(job.results)).write(record, beside=job.files)
    shutil.rmtree(job.scratch, ignore_errors=True)


def _prctl(option: int, value: int) -> None:
    """Linux only; elsewhere the process group and the runner's pipe have to do."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


if __name__ == "__main__":
    keep(sys.argv[1])
