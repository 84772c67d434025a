"""One round: `python turns.py OLD NEW KERNEL...` times kernels with the code of two trees by turns.

Each tree has a fresh process, see `timer.py`; while one works the other waits. For each kernel,
`file/function`, a line of JSON is printed:

    {"kernel": its name, "old": [seconds a call by turn], "new": [...], "megabytes": [old, new]}
    {"kernel": its name, "side": "old" or "new", "missing" or "failed": why}
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

SPAN, FEWEST, MOST = 2.0, 5, 50
"""old new new old or new old old new, as often as fits into so many seconds of turns, within these numbers.

What drifts, and what a turn owes to the one before, weighs as much on both."""


class Unmeasured(Exception):
    """What a timer answered instead."""


class Timer:
    """The process of one tree."""

    def __init__(self, side: str, tree: str) -> None:
        self.side = side
        self.process = subprocess.Popen(
            [sys.executable, "-P", str(Path(__file__).with_name("timer.py"))],
            env=os.environ | {"PYTHONPATH": tree},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, request: str) -> Any:
        """The value that a request is answered with. Raises `Unmeasured`."""
        assert self.process.stdin is not None and self.process.stdout is not None
        try:
            print(request, file=self.process.stdin, flush=True)
            answer = json.loads(self.process.stdout.readline())
        except (OSError, json.JSONDecodeError):
            answer = {"failed": "its process ended"}
        ((kind, value),) = answer.items()
        if kind in ("missing", "failed"):
            raise Unmeasured({"side": self.side, kind: value})
        return value

    def end(self) -> None:
        """End it, and with it what it serves."""
        self.process.kill()
        self.process.communicate()


def by_turns(old: Timer, new: Timer, kernel: str) -> dict[str, Any]:
    """What is printed of a kernel that can be timed."""
    calls = {timer: timer.ask(kernel) for timer in (old, new)}
    seconds: dict[str, list[float]] = {"old": [], "new": []}
    spent, blocks = 0.0, 0
    while blocks < FEWEST or (blocks < MOST and spent < SPAN):
        first, second = (old, new) if blocks % 2 == 0 else (new, old)
        blocks += 1
        for timer in (first, second, second, first):
            seconds[timer.side].append(timer.ask("again"))
            spent += seconds[timer.side][-1] * calls[timer]
    return {**seconds, "megabytes": [timer.ask("end") for timer in (old, new)]}


def main(old: str, new: str, *kernels: str) -> None:
    """Print a line for each kernel; one that fails takes its processes with it."""
    pair: tuple[Timer, ...] = ()
    for kernel in kernels:
        pair = pair or (Timer("old", old), Timer("new", new))
        try:
            found = by_turns(*pair, kernel)
        except Unmeasured as error:
            (found,) = error.args
            for timer in pair:
                timer.end()
            pair = ()
        print(json.dumps({"kernel": kernel} | found), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
