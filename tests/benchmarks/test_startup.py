"""What it costs to ask, above the bare interpreter: the least of several, taken by turns.

Processor time, because a start-up waits for nothing, and a busy machine would lengthen the wall clock's time.
The bars, 60 and 300 ms, were set on a machine whose bare interpreter costs 11 ms; a slower machine gets
longer by as much as its bare interpreter does.
"""

from __future__ import annotations

import subprocess

import pytest
from interpreter import BARE, seconds
from project import Project

ROUNDS = 15


def extra_seconds(project: Project, *arguments: str) -> float:
    """What a command costs above an interpreter that does nothing, where that one costs `BARE`."""
    bare = [project.command()[0], "-c", "pass"]
    rounds = [(seconds(project, bare), seconds(project, project.command(*arguments))) for _ in range(ROUNDS)]
    floor, asked = (min(times) for times in zip(*rounds, strict=True))
    print(f"harness {arguments[0]}: {1000 * (asked - floor):.0f} ms above {1000 * floor:.0f} ms")
    return (asked - floor) * BARE / floor


def test_help_costs_60_ms(project: Project) -> None:
    assert extra_seconds(project, "--help") < 0.060


FILL = """
from pathlib import Path

from harness import environment
from harness.cli import options
from harness.execution import publish
from harness.execution.job import Outcome
from harness.store import Measurement

_, _, store, cells = options.lay_out(options.Selection("suite.yaml", (), (), (), Path("results")))
metrics = {"distance": Measurement(1.0), "spread": Measurement(1.0, 0.1, 10)}
outcome = Outcome(status="ok", metrics=metrics, environment=environment.describe())
for planned in cells:
    store.write(publish.new_record(store, planned, outcome))
"""


@pytest.fixture
def thousand(project: Project) -> Project:
    """A suite of 1,000 cells, all of them stored."""
    project.write(
        "suite.yaml",
        f"seeds: {list(range(125))}\n"
        "cells: [{task: guess, methods: [mean: {shift: [0, 1, 2, 3]}, other: {k: [1, 2, 3, 4]}]}]\n",
    )
    project.write("fill.py", FILL)
    subprocess.run([project.command()[0], "fill.py"], cwd=project.root, env=project.variables(), check=True)
    return project


def test_a_plan_of_1000_cells_costs_300_ms(thousand: Project) -> None:
    assert thousand.harness("plan", "suite.yaml").stdout.endswith("\n1000 hit\n")
    assert extra_seconds(thousand, "plan", "suite.yaml") < 0.3

    thousand.edit("methods/mean.py", "+ shift", "- shift")
    assert thousand.harness("plan", "suite.yaml").stdout.endswith("\n500 hit, 500 miss\n")
    thousand.edit("suite.yaml", "k: [1, 2, 3, 4]", "k: [5, 6, 7, 8]")
    assert thousand.harness("plan", "suite.yaml").stdout.endswith("\n1000 miss\n")
    assert extra_seconds(thousand, "plan", "suite.yaml") < 0.3
