"""The process that stands between an executor and a worker: it enforces limits and says how the work ended.

Whatever the worker does (exits, hangs, fills the memory, leaves children) costs one job and nothing else;
when the executor dies, however it dies, the supervisor ends the worker's whole process tree.
`python -m harness.execution.supervisor JOB` is the same thing for schedulers that start one process per job.
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
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import msgspec
import psutil

from harness.execution import job as jobs
from harness.execution import worker
from harness.execution.job import Job, Outcome
from harness.execution.worker import STORAGE_FAILED

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36

_NOT_WRITTEN = Outcome(status="crashed", reason="its outcome could not be written")


def serve(jobs_to_do: Connection) -> None:
    """Supervise jobs one after another, as their files come in, and answer each with a status.

    Ends when the executor closes the connection or is gone, and at SIGTERM with all that runs.
    """
    while True:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        try:
            job_file = jobs_to_do.recv()
            status = supervise(job_file, jobs_to_do.fileno())
            if status is None:
                return
            jobs_to_do.send(status)
        except (EOFError, ConnectionError):
            return


def supervise(job_file: str, ours: int | None = None) -> int | None:
    """Run the job in a child process within its limits, and leave its outcome beside its file.

    `ours` is a descriptor that no other process may hold, for its closing is how our end is noticed.
    Returns 0, `STORAGE_FAILED` when the outcome could not be written, and None when it was stopped.
    """
    try:
        job = jobs.read(Path(job_file))
    except FileNotFoundError:
        return None  # whoever asked has been stopped meanwhile
    with contextlib.suppress(PermissionError):  # already a session leader
        os.setsid()
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)  # what the worker orphans becomes ours to end
    wake = _wake_on_signals()
    pid = os.fork()
    if pid == 0:
        os.setpgid(0, 0)
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if ours is not None:
            os.close(ours)
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        worker.child(job)
    try:
        outcome = _watch(pid, job, wake)
    finally:
        left_behind = _end_tree(pid)
        os.close(signal.set_wakeup_fd(-1))
        os.close(wake)
    if outcome is None:
        shutil.rmtree(job.scratch, ignore_errors=True)
        return None
    if outcome is _NOT_WRITTEN:
        return STORAGE_FAILED
    if left_behind and outcome.status == "ok":
        note = f"left {left_behind} process{'es' * (left_behind > 1)} behind, now ended"
        outcome = msgspec.structs.replace(outcome, reason="; ".join(filter(None, [outcome.reason, note])))
    try:
        jobs.end(job.folder, outcome)
    except OSError:
        return STORAGE_FAILED
    return 0


def _wake_on_signals() -> int:
    """A descriptor that becomes readable when a child ends or SIGTERM comes."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGTERM, lambda *_: None)
    return reading


def _watch(pid: int, job: Job, wake: int) -> Outcome | None:
    """How the worker ended; None when whoever asked is gone or wants it stopped."""
    deadline = time.monotonic() + job.limits["seconds"]
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
            return Outcome(status="timeout", reason=f"took longer than {job.limits['seconds']:g} s")
        family = [process]
        if now > next_census:
            family += _descendants(process)
            next_census = now + 0.5
        if _too_much(family, job.limits["memory_gb"] * 1e9):
            return Outcome(status="oom", reason=f"took more than {job.limits['memory_gb']:g} GB of memory")
        readable = select.select(watched, [], [], 0.05)[0]
        if parent and parent.sentinel in readable:
            return None
        if wake in readable and signal.SIGTERM in os.read(wake, 4096):
            return None


def _too_much(family: list[psutil.Process], limit: float) -> bool:
    """Whether the processes hold more than `limit` bytes of memory; what they share counts once.

    Resident sizes are cheap and count it for each, so they only say when to look closer.
    """
    return sum(map(_resident, family)) > limit and sum(map(_share, family)) > limit


def _resident(process: psutil.Process) -> int:
    with contextlib.suppress(psutil.Error):
        return process.memory_info().rss
    return 0


def _share(process: psutil.Process) -> int:
    """The proportional set size, where the system knows it: of shared pages this process's part."""
    with contextlib.suppress(psutil.Error):
        full = process.memory_full_info()
        return getattr(full, "pss", full.rss)
    return 0


def _descendants(process: psutil.Process) -> list[psutil.Process]:
    with contextlib.suppress(psutil.Error):
        return process.children(recursive=True)
    return []


def _outcome(job: Job, exit_code: int) -> Outcome:
    if exit_code == STORAGE_FAILED:
        return _NOT_WRITTEN
    if outcome := jobs.ended(job.folder):
        return outcome
    if exit_code < 0:
        name = signal.Signals(-exit_code).name
        hint = "; perhaps the system ran out of memory" if -exit_code == signal.SIGKILL else ""
        return Outcome(status="crashed", reason=f"ended by {name}{hint}")
    return Outcome(
        status="crashed", reason=f"the process exited with status {exit_code} before it had a result"
    )


def _end_tree(pid: int) -> int:
    """Kill the worker's process group and all that escaped from it; how many other processes there were."""
    left = _descendants(psutil.Process()) if _has_children() else []  # to look costs 4 ms
    others = sum(process.pid != pid and _runs(process) for process in left)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    while left:
        for process in left:
            with contextlib.suppress(psutil.Error):
                process.kill()
        time.sleep(0.005)
        left = _descendants(psutil.Process()) if _has_children() else []
    return others


def _has_children() -> bool:
    """Whether a child is alive, the orphans that we adopted among them; the dead ones are reaped."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
        return True
    return False


def _runs(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return process.status() != psutil.STATUS_ZOMBIE
    return False


def _prctl(option: int, value: int) -> None:
    """Linux only; elsewhere the process group and the executor's pipe have to do."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


if __name__ == "__main__":
    sys.exit(supervise(sys.argv[1]) or 0)
