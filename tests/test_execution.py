"""How cells run: trained once, scored when the score changes, always alike, and seen while they run."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import subprocess
import time
from pathlib import Path

import pytest
from project import Project

ASSETS = '''
"""What guesses stand on."""

import os
import time

import torch

import harness


def count(word):
    with open(os.environ["COUNT"], "a") as file:
        file.write(word + chr(10))


@harness.asset
def base(run, *, size: int, seed: int = 0):
    """What an oracle stands on."""
    count(f"base{size}")
    return {"base": torch.full((size,), float(run.seed))}


@harness.asset
def oracle(run, *, size: int = 4, seed: int = 0):
    """Something that takes its time."""
    base_there = run.asset(base, size=size, seed=seed)["base"]
    count(f"oracle{size}")
    time.sleep(0.5)
    (run.folder / "oracle.txt").write_text("I know")
    return {"truth": base_there + 1.5}
'''

ASSET_TASK = '''
"""Guess the mean of a data set."""

import harness
from harness.studies.guess.assets import oracle


@harness.task
def guess(run, *, dataset: harness.DataSet | None = None, scale: float = 1.0):
    """The problem."""
    return run.asset(oracle, size=4)["truth"] * scale
'''

ASSET_SCORE = '''
"""How far a guess is from the mean."""

import torch

import harness
from harness.studies.guess.assets import count

METRICS = (
    harness.Metric("distance", unit="1", direction="lower", kind="quality", tolerance=0.1),
    harness.Metric("noise", unit="1", direction="none", kind="quality"),
)


@harness.score
def score(problem, arrays, run, *, power: int = 1):
    """The distance of the guess, and a number from the global generator."""
    count("score")
    distance = (arrays["guess"] - problem.mean()).abs() ** power
    return {"distance": float(distance), "noise": float(torch.rand(()))}
'''

LEARNER = """
import torch

count(f"fit{run.seed}")
with run.phase("train"):
    x, w = torch.randn(64, 32, generator=run.stream("data")), torch.rand(32, 32) - 0.5
    for _ in range(5):
        x = torch.tanh(x @ w)
return {"guess": x.mean() + lift}
"""

SUITE = """
cells:
  - {task: guess, methods: [learner: {lift: [0.0, 1.0]}], seeds: [0, 1, 2]}
"""


def learning(project: Project) -> Project:
    project.write("harness/studies/guess/assets.py", ASSETS)
    project.write("harness/studies/guess/task.py", ASSET_TASK)
    project.write("harness/studies/guess/score.py", ASSET_SCORE)
    for name in ("mean.py", "other.py"):
        (project.root / "methods" / name).unlink()
    project.method("learner", LEARNER, "lift: float = 0.0")
    project.write("suite.yaml", SUITE)
    return project


def values(project: Project, results: str = "results") -> dict[tuple, float]:
    """Every metric, to the last bit, by key."""
    found = {}
    for path in (project.root / results).glob("cells/*/cell.json"):
        cell = json.loads(path.read_text())["content"]
        assert cell["status"] == "ok", cell["reason"]
        for name, metric in cell["metrics"].items():
            found[cell["parameters"]["lift"], cell["seed"], str(cell["score"]), name] = metric["value"]
    return found


def test_training_and_assets_are_shared_and_scores_are_redone(project: Project) -> None:
    learning(project)
    done = project.run("suite.yaml", "--jobs", "2")
    assert done.returncode == 0, done.stdout
    counted = project.counted()
    # One asset for all cells, though two jobs asked for it at once; the asset that it stands on, once too.
    assert counted.count("oracle4") == counted.count("base4") == 1
    assert sorted(word for word in counted if word.startswith("fit")) == sorted(["fit0", "fit1", "fit2"] * 2)
    assert counted.count("score") == 6
    first = values(project)

    # The same on one worker, from nothing: bit by bit.
    assert project.run("suite.yaml", "--jobs", "1", "--results", "again").returncode == 0
    assert values(project, "again") == first
    assert len({value for (*_, name), value in first.items() if name == "distance"}) == 6

    # An edited score function scores all again, and trains nothing.
    project.edit("harness/studies/guess/score.py", "float(torch.rand(()))", "0.0 + float(torch.rand(()))")
    reasons = {(cell["status"], cell["reason"]) for cell in project.plan()}
    assert reasons == {("miss", "code: harness/studies/guess/score.py")}
    before = len(project.counted())
    assert project.run().returncode == 0
    assert project.counted()[before:] == ["score"] * 6
    assert values(project) == first

    # So does another value of a score's parameter; what was there stays.
    project.edit("suite.yaml", "seeds: [0, 1, 2]", "seeds: [0, 1, 2], power: [1, 2]")
    assert {cell["reason"] for cell in project.plan() if cell["status"] == "miss"} == {
        "parameters: power 1 -> 2"
    }
    before = len(project.counted())
    done = project.run()
    assert "12 cells: 12 ok; 6 ran now, 6 were there" in done.stdout
    assert project.counted()[before:] == ["score"] * 6
    for (lift, seed, settings, name), value in values(project).items():
        if "2" in settings and name == "distance":
            assert value == pytest.approx(first[lift, seed, settings.replace("2", "1"), name] ** 2)


SLOW = "count('fit')\ntime.sleep(0.3)\nreturn {'guess': problem.noise.mean()}"


def test_two_runs_of_one_fit_train_it_once_when_they_start_together(project: Project) -> None:
    project.method("slow", SLOW)
    for power in (1, 2):
        project.write(f"{power}.yaml", f"cells: [{{task: guess, methods: [slow], power: {power}}}]\n")
    runs = [project.start("run", f"{power}.yaml") for power in (1, 2)]
    assert [run.wait(60) for run in runs] == [0, 0]
    assert project.counted() == ["fit"]


def test_a_cell_that_only_scores_lets_others_go_first_while_its_fit_is_trained(project: Project) -> None:
    project.method("slow", SLOW)
    project.write(
        "suite.yaml",
        "cells: [{task: guess, power: [1, 2], methods: [slow]}, {task: guess, methods: [other]}]\n",
    )
    done = project.run("suite.yaml", "--jobs", "2")
    assert done.returncode == 0, done.stdout
    assert project.counted() == ["fit"]
    finished = re.findall(r"^\[\d/3\].* guess (slow|other)( power=2)?", done.stdout, re.MULTILINE)
    assert sorted(finished) == [("other", ""), ("slow", ""), ("slow", " power=2")]
    assert finished[0] == ("other", "")


def test_what_is_slow_to_import_is_loaded_once_for_all_cells_that_name_it(project: Project) -> None:
    look = "import sys\ncount('matplot' + 'lib.pyplot' in sys.modules)\n"
    project.method("plain", look + "return {'guess': problem.noise.mean()}")
    project.method("draws", look + "import matplotlib\nreturn {'guess': problem.noise.mean()}")
    for name in ("plain", "draws"):
        project.write("suite.yaml", f"cells: [{{task: guess, methods: [{name}]}}]\n")
        assert project.run("suite.yaml").returncode == 0
    assert project.counted() == ["False", "True"]


STEPPER = """
for step in range(1, 1000):
    run.progress(step, 999, loss=problem.noise.sum() * 0 + 2.5)
    if os.path.exists('go'):
        return {'guess': problem.noise.mean()}
    time.sleep(0.01)
"""


def test_on_a_terminal_running_cells_show_their_steps_and_values(project: Project) -> None:
    project.method("stepper", STEPPER)
    project.method("broken", "raise ValueError('never mind')")
    project.write("suite.yaml", "cells: [{task: guess, methods: [broken, stepper]}]\n")
    runner, screen = on_terminal(project, "run", "suite.yaml", "--jobs", "1")
    seen = read_until(screen, r"guess stepper seed=0 +\d+/999 +loss=2\.5 ")
    assert "1/2 cells done, 1 running, 1 failed" in seen
    assert re.search(
        r"failed guess broken seed=0: ValueError: never mind \(broken.py:\d+\) \(harness show \w+\)", seen
    )
    project.write("go", "")
    seen += read_until(screen, r"2 cells: 1 ok, 1 failed; 2 ran now, 0 were there")
    assert runner.wait(timeout=10) == 1
    assert "Traceback" not in seen
    os.close(screen)


def on_terminal(project: Project, *arguments: str) -> tuple[subprocess.Popen[bytes], int]:
    """A command of the harness on a pseudo-terminal, and our end of it."""
    ours, theirs = pty.openpty()
    environment = project.variables() | {"TERM": "xterm-256color", "LINES": "40"}
    runner = subprocess.Popen(
        project.command(*arguments),
        cwd=project.root,
        env=environment,
        stdout=theirs,
        stderr=theirs,
        stdin=theirs,
    )
    os.close(theirs)
    return runner, ours


def read_until(screen: int, pattern: str, seconds: float = 30) -> str:
    """What appears on the screen, without colours, until `pattern` is among it."""
    text = ""
    deadline = time.monotonic() + seconds
    while not re.search(pattern, text):
        assert time.monotonic() < deadline, f"{pattern} is not in {text}"
        if select.select([screen], [], [], 0.1)[0]:
            text += re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", os.read(screen, 65536).decode())
    return text


def test_elsewhere_each_finished_cell_is_one_plain_line(project: Project) -> None:
    project.method("stepper", STEPPER.replace("if os", "if step > 50 or os"))
    project.write("suite.yaml", "cells: [{task: guess, methods: [mean: {shift: 0.5}, stepper]}]\n")
    done = project.run("suite.yaml", "--jobs", "1")
    first, second, summary, report = done.stdout.splitlines()
    assert re.fullmatch(r"\[1/2\]  ok +\d\.\d s  [0-9a-f]{10}  guess mean shift=0.5 seed=0", first)
    assert re.fullmatch(r"\[2/2\]  ok +\d\.\d s  [0-9a-f]{10}  guess stepper seed=0", second)
    assert summary == "2 cells: 2 ok; 2 ran now, 0 were there"
    assert report == "report   results/report.html"
    assert done.stderr == ""


def test_lines_come_as_cells_finish(project: Project) -> None:
    project.method("stepper", STEPPER)
    project.write("suite.yaml", "cells: [{task: guess, methods: [mean, stepper]}]\n")
    runner = project.start("run", "suite.yaml", "--jobs", "1")
    assert runner.stdout is not None
    assert " guess mean seed=0" in runner.stdout.readline()
    assert runner.poll() is None
    project.write("go", "")
    runner.communicate(timeout=20)
    assert runner.returncode == 0


def test_what_a_method_writes_into_its_folder_is_kept_beside_the_cell(project: Project) -> None:
    body = """
        (run.folder / "curves").mkdir()
        (run.folder / "curves" / "loss.csv").write_text("1,2")
        (run.folder / "cell.json").write_text("not yours")
        with run.phase("train"):
            time.sleep(0.05)
        run.measure("spread", harness.Estimate(2.0, 0.5, 7))
        return {"guess": problem.noise.mean()}
    """
    project.method("keeps", body)
    project.edit(
        "harness/studies/guess/score.py", ', "spread": harness.Estimate(toy.CONSTANT, 0.5, 10)}', "}"
    )
    project.write("suite.yaml", "cells: [{task: guess, methods: [keeps]}]\n")
    assert project.run().returncode == 0
    (cell,) = project.plan()
    told = project.harness("show", cell["key"][:8]).stdout
    assert cell["status"] == "hit"
    assert "metric   spread = 2 ± 0.5 (standard error, 7 examples)" in told
    assert re.search(r"seconds  train 0\.0[5-9], fit 0\.\d\d, score 0\.\d\d", told)
    assert (Path(project.root) / "results/cells" / cell["key"] / "curves/loss.csv").read_text() == "1,2"
    again = project.run("suite.yaml", "--force")
    assert again.returncode == 0


def test_limits_are_not_part_of_the_key(project: Project) -> None:
    key = {cell["key"] for cell in project.plan()}
    project.write(
        "suite.yaml", "limits: {seconds: 5, memory_gb: 1.5}\n" + (project.root / "suite.yaml").read_text()
    )
    assert {cell["key"] for cell in project.plan()} == key
