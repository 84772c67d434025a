"""Ten thousand cells: what planning costs, and whether the last cell costs us as much as the first.

Processor time, compared with bars scaled as in `test_startup`; jobs are done by a stand-in that leaves what a
worker would, so that only our own share of a cell is seen.
"""

from __future__ import annotations

import json
import subprocess

import pytest
from interpreter import BARE, seconds
from project import Project

CELLS = 10_000

RUN = """
import json
import shutil
import sys
import time
from pathlib import Path

import numpy
import psutil

from harness.cli import options
from harness.execution import display
from harness.execution import job as jobs
from harness.execution.job import Outcome
from harness.execution.places import Places
from harness.execution.scheduler import Scheduler
from harness.store import Measurement, pack


class Instant:
    def __init__(self, sample):
        self.sample, self.done = sample, {}

    def start(self, job):
        todo = jobs.read(job)
        metrics = {"distance": Measurement(1.0), "spread": Measurement(1.0, 0.1, 10)}
        if todo.kind == "fit":
            shutil.copytree(self.sample, todo.artifact)
        jobs.end(todo.folder, Outcome(status="ok", metrics=metrics if todo.kind == "score" else {}))
        self.done[job] = 0
        return job

    def ended(self, seconds):
        found, self.done = self.done, {}
        return found

    def stop(self, handle): ...
    def close(self): ...


class Watches(display.Plain):
    marks = []

    def finished(self, planned, record):
        self.done += 1
        if self.done in (100, 600, len(cells) - 500, len(cells)):
            self.marks.append((self.done, time.process_time(), psutil.Process().memory_info().rss / 1e6))


_, _, store, cells = options.lay_out(options.Selection("suite.yaml", (), (), (), Path("results")))
sample = Path("sample")
sample.mkdir()
pack(sample, {"guess": numpy.zeros(1)}, {"metrics": {}, "seconds": {}, "assets": {}})
store.check_writable()
watch = Watches(len(cells))
Scheduler(store, Instant(sample), places=Places(2), device="cpu", view=watch).complete(cells)
print(json.dumps(watch.marks))
"""


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_ten_thousand_cells(project: Project) -> None:
    grid = "methods: [mean: {shift: [0, 1, 2, 3]}, other: {k: [1, 2, 3, 4]}]"
    for name, power in (("suite", 1), ("other", 2)):
        project.write(
            f"{name}.yaml",
            f"seeds: {list(range(CELLS // 8))}\ncells: [{{task: guess, power: {power}, {grid}}}]\n",
        )
    project.write("run.py", RUN)
    plan_new = least(project, "plan", "suite.yaml")
    command = [project.command()[0], "run.py"]
    done = subprocess.run(command, cwd=project.root, env=project.variables(), capture_output=True, check=True)
    (first, early, early_mb), (second, soon, _), (third, late, _), (last, end, end_mb) = json.loads(
        done.stdout
    )
    early, late = (soon - early) / (second - first), (end - late) / (last - third)
    print(f"a cell: {1000 * early:.2f} ms after 100, {1000 * late:.2f} ms before the last")
    print(f"memory: {early_mb:.0f} MB after 100, {end_mb:.0f} MB after the last")
    assert f"\n{CELLS} hit\n" in project.harness("plan", "suite.yaml").stdout
    plan_beside = least(project, "plan", "other.yaml")
    again = least(project, "run", "suite.yaml")
    print(
        f"plan new {plan_new:.2f} s, beside as many {plan_beside:.2f} s, finished suite again {again:.2f} s"
    )
    assert late < 1.3 * early
    assert end_mb - early_mb < 100
    assert plan_new < 1.5
    assert plan_beside < 5
    assert again < 3


def least(project: Project, *arguments: str) -> float:
    """Processor seconds of a command, the least of three, where a bare interpreter costs `BARE`."""
    bare = [project.command()[0], "-c", "pass"]
    rounds = [(seconds(project, bare), seconds(project, project.command(*arguments))) for _ in range(3)]
    floor, asked = (min(times) for times in zip(*rounds, strict=True))
    return asked * BARE / floor
