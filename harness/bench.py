"""Has training become slower? Old and new code take turns on this machine, in the order old new new old.

A stored wall-clock time is worth nothing: machines differ, and one machine differs from hour to hour. Runs
that take turns share the hour, and that order cancels a steady drift. Each round of four runs gives one
log-ratio of times for every setting; the interval is over rounds.
"""

from __future__ import annotations

import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from harness import compare
from harness.compare import Verdict, judge
from harness.errors import UserError
from harness.key import canonical
from harness.stats import MIN_SEEDS
from harness.views.render import Table

METRIC = "update_seconds"
Setting = tuple[str, str]  # task, settings as canonical text


class RunFailed(UserError):
    """One of the two versions could not run the suite."""

    exit_code = 1


def bench(
    here: Path, ref: str, suite: str, filters: Sequence[str], *, rounds: int = 5, threshold: float = 0.05
) -> list[Verdict]:
    """Time the cells of `suite` that pass `filters` with the code of the git revision `ref` and of `here`.

    One verdict for each setting that both can run; its change and bounds are relative (0.1: a tenth slower),
    and what stays within `threshold` is ok. `here` is the top of a clone; what is not committed counts.
    For the exit code see `harness.compare`. Raises `UserError` for wrong usage, `RunFailed` if a
    run fails.
    """
    if rounds < MIN_SEEDS or threshold <= 0:
        raise UserError(f"bench needs at least {MIN_SEEDS} rounds and a threshold above 0")
    ratios: dict[Setting, dict[int, float]] = {}
    with _worktree(here, ref) as there:
        for number in range(rounds):
            first, *new, last = (_time(tree, suite, filters) for tree in (there, here, here, there))
            for setting in first.keys() & last.keys() & new[0].keys() & new[1].keys():
                ratio = (new[0][setting] + new[1][setting] - first[setting] - last[setting]) / 2
                ratios.setdefault(setting, {})[number] = ratio
    return [_verdict(*setting, by_round, threshold) for setting, by_round in sorted(ratios.items())]


def _verdict(task: str, settings: str, ratios: dict[int, float], threshold: float) -> Verdict:
    """The judgement on log-ratios, in relative terms."""
    found = judge(dict.fromkeys(ratios, 0.0), ratios, "lower", math.log1p(threshold))
    bounds = [None if bound is None else math.expm1(bound) for bound in (found.change, found.low, found.high)]
    relative = replace(found, change=bounds[0], low=bounds[1], high=bounds[2])
    return Verdict(task, json.loads(settings), METRIC, relative, threshold)


def as_table(verdicts: Sequence[Verdict]) -> Table:
    """The verdicts for people."""
    note = (
        f"now − then: relative change of {METRIC} (0.1: a tenth slower), mean over n rounds of old, new, "
        "new, old code and its 95 % t-interval over rounds; judged against the tolerance."
    )
    return compare.as_table(verdicts, "New code against old", note)


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


def _time(tree: Path, suite: str, filters: Sequence[str]) -> dict[Setting, float]:
    """Run the code of `tree` once: the mean log of its update times over seeds, by setting."""
    with tempfile.TemporaryDirectory(prefix="harness-bench-") as results:
        _harness(tree, "run", suite, *filters, "--results", results, "--jobs", "1")
        records = json.loads(_harness(tree, "rows", "--results", results, "--format", "json"))
    logs: dict[Setting, list[float]] = {}
    for record in records:
        if record["metric"] == METRIC and record["origin"] == "measured":
            named = {name: record[name] for name in ("method", "dataset") if record[name]}
            setting = (record["task"], canonical(json.loads(record["settings"]) | named))
            logs.setdefault(setting, []).append(math.log(record["value"]))
    return {setting: statistics.mean(found) for setting, found in logs.items()}


def _harness(tree: Path, *arguments: str) -> str:
    """What `python -m harness` of that tree prints."""
    # Without -P the current folder, which may hold the other version, would come before the tree.
    command = [sys.executable, "-P", "-m", "harness", *arguments]
    environment = os.environ | {"PYTHONPATH": str(tree)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()[-5:]
        raise RunFailed(f"{' '.join(arguments)} failed in {tree}:\n" + "\n".join(said))
    return done.stdout
