"""Has the code become slower? Kernels of `tests/benchmarks/kernels` are timed with old and new code by turns.

A stored wall-clock time is worth nothing: machines differ, and one machine differs from hour to hour. In a
round (`tests/benchmarks/turns.py`) a fresh process of each version takes turns, old new new old, so that what
drifts cancels. A round gives one log-ratio for each kernel, the median over these fours; rounds go on until
the interval of their mean decides. First the old code is timed against itself: that is the noise of machine
and method.
"""

from __future__ import annotations

import ast
import fnmatch
import json
import math
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from harness.errors import UserError, did_you_mean
from harness.stats import t_interval
from harness.views.render import Head, Table, TableCell

BENCHMARKS = Path("tests", "benchmarks")
NOISE_ROUNDS = 3
LOOKS = (4, 6, 9, 13, 19, 28, 41)
"""After how many rounds the intervals are looked at, and once more after the last."""
RISK = 0.05
"""The probability that any interval of a run, of any kernel at any look, misses its true ratio."""

Outcome = Literal["slower", "same", "faster", "undecided", "failed", "only here", "only there"]


@dataclass
class Kernel:
    """What is known of one kernel.

    Log-ratios by round: `noise` of the old code and itself, `ratios` of new over old; `low` and `high` bound
    the mean of those. `seconds` a call and peak `megabytes` are those of old and new in the last round.
    """

    name: str
    outcome: Outcome = "undecided"
    noise: list[float] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)
    low: float = math.nan
    high: float = math.nan
    seconds: tuple[float, float] = (math.nan, math.nan)
    megabytes: tuple[float, float] = (math.nan, math.nan)
    why: str = ""

    def add(self, told: dict[str, Any], series: list[float]) -> None:
        """What a round told of it; the log-ratio joins `series`."""
        if "old" in told:
            old, new = told["old"], told["new"]
            self.seconds, self.megabytes = (statistics.median(old), statistics.median(new)), told["megabytes"]
            turns = zip(old[::2], new[::2], new[1::2], old[1::2], strict=True)
            series.append(statistics.median(math.log(b * c / (a * d)) / 2 for a, b, c, d in turns))
        elif "missing" in told and told["side"] == "old":
            self.outcome, self.why = "only here", told["missing"]
        else:
            side = {"old": "the old code", "new": "this tree"}[told["side"]]
            self.outcome, self.why = "failed", f"{side}: {told.get('failed') or told['missing']}"

    def judge(self, risk: float, threshold: float) -> None:
        """Decide, where the interval, wrong with probability `risk`, lets one."""
        interval = t_interval(self.ratios, 1 - risk)
        if interval.low is not None and interval.high is not None:
            self.low, self.high = interval.low, interval.high
            self.outcome = decide(self.low, self.high, threshold)


def decide(low: float, high: float, threshold: float) -> Outcome:
    """What an interval of log-ratios, new over old, says.

    "slower": by more than `threshold` (0.1: a tenth); "same": by less either way; "faster": any other gain.
    """
    limit = math.log1p(threshold)
    if low > limit:
        return "slower"
    if -limit < low and high < limit:
        return "same"
    return "faster" if high < 0 else "undecided"


def looks(rounds: int) -> list[int]:
    """After which of at most `rounds` rounds the intervals are looked at."""
    return [*(look for look in LOOKS if look < rounds), rounds]


def bench(
    here: Path,
    ref: str,
    wanted: Sequence[str],
    *,
    rounds: int,
    seconds: float,
    threshold: float,
    told: Callable[[str], None],
) -> list[Kernel]:
    """Time the kernels that `wanted` names (none: all) with the code of git revision `ref` and of `here`.

    The kernels are those of `here`, the top of a clone; what is not committed counts. The risk of each
    interval is `RISK` divided by the numbers of kernels and of looks (Bonferroni), so stopping at any look is
    sound. No round but the first is begun after `seconds`. `told` hears how far it is. Raises `UserError` for
    wrong usage.
    """
    if rounds < LOOKS[0] or threshold <= 0 or seconds <= 0:
        raise UserError(f"bench needs at least {LOOKS[0]} rounds, a threshold above 0 and seconds above 0")
    until = time.monotonic() + seconds
    kernels = [Kernel(name) for name in _chosen(kernels_of(here), wanted)]
    risk = RISK / len(kernels) / len(looks(rounds))
    with _worktree(here, ref) as there:
        for number in range(1, NOISE_ROUNDS + 1):
            if time.monotonic() > until:
                break
            told(f"{ref} against itself, round {number} of {NOISE_ROUNDS}")
            _round(here, there, there, kernels, "noise")
        told(noise(kernels))
        for number in range(1, rounds + 1):
            told(f"{ref} against this tree, round {number} of at most {rounds}")
            _round(here, there, here, kernels, "ratios")
            late = time.monotonic() > until
            if number in looks(rounds) or late:
                for kernel in _open(kernels):
                    kernel.judge(risk, threshold)
            if late or not _open(kernels):
                break
        gone = [name for name in kernels_of(there) if name not in kernels_of(here)]
    return kernels + [Kernel(name, "only there") for name in gone if not wanted or _named(name, wanted)]


def kernels_of(tree: Path) -> list[str]:
    """`file/function` of every kernel in a tree, by its source: the public functions of its kernel files."""
    return [
        f"{path.stem}/{node.name}"
        for path in sorted((tree / BENCHMARKS / "kernels").glob("[!_]*.py"))
        for node in ast.parse(path.read_bytes()).body
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")
    ]


def noise(kernels: Sequence[Kernel]) -> str:
    """How much ratios of one code with itself differ from round to round, in words."""
    spreads = sorted(
        math.expm1(statistics.stdev(kernel.noise)) for kernel in kernels if len(kernel.noise) > 1
    )
    if not spreads:
        return "the machine's own noise: nothing could be timed twice"
    least, middle, most = spreads[0], statistics.median(spreads), spreads[-1]
    return f"the machine's own noise, a round's standard deviation: {least:.1%} to {most:.1%} ({middle:.1%})"


def exit_code(kernels: Sequence[Kernel]) -> int:
    """1: slower or failed; 2: nothing could be compared; 3: something undecided; 0: none of that."""
    outcomes = {kernel.outcome for kernel in kernels}
    if outcomes & {"slower", "failed"}:
        return 1
    if not outcomes & {"same", "faster", "undecided"}:
        return 2
    return 3 if "undecided" in outcomes else 0


def as_table(kernels: Sequence[Kernel], ref: str, threshold: float) -> Table:
    """The kernels for people: what ended early first, then the slowest change."""
    columns = ("change", "low", "high", "noise", "rounds", "old ms", "new ms", "old MB", "new MB")
    heads = [Head("outcome", "outcome"), Head("kernel", "kernel")]
    heads += [Head(name.replace(" ", "_"), name, "right") for name in columns]
    body, notes = [], []
    for kernel in sorted(kernels, key=lambda kernel: -statistics.mean(kernel.ratios or [math.inf])):
        change = statistics.mean(kernel.ratios) if kernel.ratios else math.nan
        spread = statistics.stdev(kernel.noise) if len(kernel.noise) > 1 else math.nan
        shares = [_number(math.expm1(each), "+.1%") for each in (change, kernel.low, kernel.high, spread)]
        rounds = _number(len(kernel.ratios), "d")
        milliseconds = [1e3 * each for each in kernel.seconds]
        pairs = [_number(each, ".3g") for each in (*milliseconds, *kernel.megabytes)]
        body.append([TableCell(kernel.outcome), TableCell(kernel.name), *shares, rounds, *pairs])
        notes += [f"{kernel.name}: {kernel.why}"] if kernel.why else []
    notes += [
        "change: new over old, a round's median, mean over rounds; low to high: its interval. All "
        f"intervals of a run hold together, at every look, with probability {1 - RISK:.0%}.",
        f"slower: by more than {threshold:.0%}; same: by less either way; faster: any other gain. noise: "
        "standard deviation of a round's change where old code is timed against itself.",
        "Times leave out waiting for a processor. MB: peak of set-up and calls, in the last round.",
    ]
    return Table(f"This tree against {ref}", heads, body, notes)


def _number(value: float, form: str) -> TableCell:
    return TableCell(format(value, form) if math.isfinite(value) else "–", {"": value})


def _open(kernels: Sequence[Kernel]) -> list[Kernel]:
    return [kernel for kernel in kernels if kernel.outcome == "undecided"]


def _chosen(names: Sequence[str], wanted: Sequence[str]) -> list[str]:
    if not names:
        raise UserError(f"there are no kernels in {BENCHMARKS / 'kernels'}: run bench at the top of a clone")
    for word in wanted:
        if not any(_named(name, [word]) for name in names):
            raise UserError(f"there is no kernel {word!r}{did_you_mean(word, names)}")
    return [name for name in names if not wanted or _named(name, wanted)]


def _named(name: str, wanted: Sequence[str]) -> bool:
    """Whether a word is the kernel's file, or a pattern of its name."""
    return any(word == name.partition("/")[0] or fnmatch.fnmatchcase(name, word) for word in wanted)


def _round(here: Path, old: Path, new: Path, kernels: Sequence[Kernel], series: str) -> None:
    """Time each undecided kernel once, with the code of `old` and `new`."""
    left = {kernel.name: kernel for kernel in _open(kernels)}
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HARNESS_")}
    environment |= {f"{library}_NUM_THREADS": "1" for library in ("OMP", "MKL", "OPENBLAS", "NUMBA")}
    with tempfile.TemporaryDirectory(prefix="harness-bench-") as folder:
        environment |= {"TMPDIR": folder, "HARNESS_CACHE": folder}
        turns = subprocess.Popen(
            [sys.executable, str(here / BENCHMARKS / "turns.py"), str(old), str(new), *left],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        try:
            assert turns.stdout is not None
            for line in turns.stdout:
                found = json.loads(line)
                kernel = left.pop(found["kernel"])
                kernel.add(found, getattr(kernel, series))
        finally:
            os.killpg(turns.pid, signal.SIGKILL)
            turns.wait()
    for kernel in left.values():
        kernel.outcome, kernel.why = "failed", "the process that times it ended"


@contextmanager
def _worktree(here: Path, ref: str) -> Iterator[Path]:
    """The tree of `ref` in a folder that is gone afterwards, whatever happens."""
    with tempfile.TemporaryDirectory(prefix="harness-bench-") as folder:
        tree = Path(folder) / "tree"
        git = ["git", "-C", str(here), "worktree"]
        made = subprocess.run([*git, "add", "--detach", str(tree), ref], capture_output=True, text=True)
        if made.returncode:
            raise UserError(f"git has no tree of {ref!r} for {here}: {made.stderr.strip()}")
        try:
            yield tree
        finally:
            subprocess.run([*git, "remove", "--force", str(tree)], capture_output=True, check=False)
