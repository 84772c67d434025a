"""A process that times kernels by request: `python -P timer.py`, with the tree to time on PYTHONPATH.

A line on its input that names a kernel, `file/function`, starts it in a process forked for it. An answer is
a line of JSON: {"calls": how many make one measurement}, {"missing": why} where what the kernel imports is
not in the tree, or {"failed": why}. After that, every line "again" is answered with {"seconds": one call's,
mean over a measurement}, and "end" with {"megabytes": what set-up and calls took at most, beyond what the
process held before}.
"""

from __future__ import annotations

import json
import os
import resource
import runpy
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
SHORTEST = 0.01
"""Seconds that a measurement takes at least: a shorter call is repeated."""
WAITING = Path("/proc/self/schedstat")
TOGETHER = 2e-4
"""Seconds between two readings that count as one; after more, this process was not at work between them."""
LIMIT = 300
"""Seconds that one answer may take."""


def clock() -> tuple[float, float, float]:
    """Seconds of this process at work or asleep, at work, and of its ended children at work.

    Waiting for a processor counts nowhere, so a busy machine lengthens none of them much. Without Linux's
    count of that waiting, time asleep is left out too.
    """
    used, children = time.process_time(), resource.getrusage(resource.RUSAGE_CHILDREN)
    present = used
    while WAITING.exists():
        start = time.perf_counter()
        waited = int(WAITING.read_bytes().split()[1]) / 1e9
        present = time.perf_counter() - waited
        if present + waited - start < TOGETHER:
            break
    return present, used, children.ru_utime + children.ru_stime


def seconds(work: Callable[[], Any], calls: int) -> float:
    """Mean seconds of a call: present ones, or those at work where it hands its work to other processes."""
    before = clock()
    for _ in range(calls):
        work()
    present, used, children = (now - then for now, then in zip(clock(), before, strict=True))
    return (used + children if children else max(present, used)) / calls


def megabytes() -> float:
    """The most memory that this process, or a child of it, has held."""
    unit = 1 if sys.platform == "darwin" else 1024
    both = resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN
    return max(resource.getrusage(who).ru_maxrss for who in both) * unit / 1e6


def serve(
    make: Callable[[Path], Callable[[], Any]], ask: Callable[[], str], tell: Callable[..., None]
) -> None:
    """Set a kernel up and answer until "end"."""
    held = megabytes()
    signal.alarm(LIMIT)
    work = make(Path(tempfile.mkdtemp()))
    work()  # loads and compiles what the first call needs
    tell(calls=(calls := max(round(SHORTEST / max(seconds(work, 1), 1e-7)), 1)))
    while ask() == "again":
        signal.alarm(LIMIT)
        tell(seconds=seconds(work, calls))
    tell(megabytes=megabytes() - held)


def why(error: BaseException) -> dict[str, str]:
    """The answer that an error is."""
    kind = "missing" if isinstance(error, ImportError) else "failed"
    return {kind: f"{type(error).__name__}: {error}"}


def main() -> None:
    """Answer until the input ends."""
    requests, answers = open(0, "rb", buffering=0, closefd=False), os.fdopen(os.dup(1), "w")  # noqa: SIM115
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what a kernel prints is no answer

    def ask() -> str:
        return requests.readline().decode().strip()

    def tell(**answer: float | str) -> None:
        print(json.dumps(answer), file=answers, flush=True)

    sys.path.append(str(HERE))
    files: dict[str, dict[str, Any]] = {}
    while asked := ask():
        file, _, name = asked.partition("/")
        try:
            files[file] = files.get(file) or runpy.run_path(str(HERE / "kernels" / f"{file}.py"))
        except Exception as error:
            tell(**why(error))
            continue
        if not (child := os.fork()):
            try:
                serve(files[file][name], ask, tell)
            except BaseException as error:
                tell(**why(error))
            os._exit(0)
        if status := os.waitpid(child, 0)[1]:
            tell(failed=f"its process ended with {os.waitstatus_to_exitcode(status)}")


if __name__ == "__main__":
    main()
    os._exit(0)  # nothing is left to do: taking all modules down would cost a second
