"""A small project built from strings: the harness's own engine with a toy task that costs milliseconds.

Engine tests run the real command line on it, and may edit any of its files.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent, indent
from typing import Any

ROOT = Path(__file__).resolve().parent.parent

TASK = '''
"""Guess the mean of a data set."""

import harness


class Problem:
    def __init__(self, run, scale):
        self.noise = scale * __import__("torch").rand(4, generator=run.stream("data"))


@harness.task
def guess(run, *, dataset: harness.DataSet | None = None, scale: float = 1.0):
    """The problem."""
    return Problem(run, scale)
'''

SCORE = '''
"""How far a guess is from the mean."""

import harness
from harness.kit import toy

METRICS = (
    harness.Metric("distance", unit="1", direction="lower", kind="quality", tolerance=0.1),
    harness.Metric("spread", unit="1", direction="none", kind="quality"),
)


@harness.score
def score(problem, arrays, run, *, power: int = 1):
    """The distance of the guess."""
    distance = (arrays["guess"] - problem.noise.mean()).abs() ** power
    return {"distance": float(distance), "spread": harness.Estimate(toy.CONSTANT, 0.5, 10)}
'''

KIT = '''
"""A kit file."""

CONSTANT = 1.5
'''

METHODS = {
    "mean.py": '''
import harness
from harness.kit import toy


@harness.method(task="guess", cite="nobody")
def mean(problem, run, *, shift: float = 0.0, name: str = "x", again: bool = False):
    """The sample mean."""
    run.log(f"guessing with {shift}")
    return {"guess": problem.noise.mean() + shift}
''',
    "other.py": '''
import harness


@harness.method(task="guess", cite="nobody")
def other(problem, run, *, k: int = 1):
    """Something without kit."""
    return {"guess": problem.noise.sum() * k}
''',
}

SUITE = """
seeds: [0, 1]
cells:
  - task: guess
    methods:
      - mean: {shift: [0.0, 1.0]}
      - other
"""


HEARING = """
import os, signal, sys
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.SIG_DFL)
os.execv(sys.argv[1], sys.argv[1:])
"""


@dataclass
class Project:
    """A copy of the harness in `root`, its results in `root/results`."""

    root: Path
    environment: dict[str, str] = field(default_factory=dict)

    def write(self, name: str, text: str | bytes) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.lstrip("\n").encode())
        return path

    def edit(self, name: str, before: str, after: str) -> None:
        text = (self.root / name).read_text()
        assert before in text
        (self.root / name).write_text(text.replace(before, after))

    def method(self, name: str, body: str, parameters: str = "", folder: str = "methods") -> Path:
        """Write a method of the toy task; each line that it appends to `$COUNT` counts one execution."""
        signature = f"problem, run, *, {parameters}" if parameters else "problem, run"
        head = "import os\nimport time\n\nimport harness\n\n\ndef count(word='x'):\n"
        head += "    with open(os.environ['COUNT'], 'a') as file:\n        file.write(f'{word}\\n')\n\n\n"
        head += (
            f"@harness.method(task='guess', cite='nobody')\ndef {name}({signature}):\n    '''Made up.'''\n"
        )
        return self.write(f"{folder}/{name}.py", head + indent(dedent(body).strip("\n"), "    ") + "\n")

    def counted(self) -> list[str]:
        """The words that methods, scores and assets have counted."""
        path = self.root / "count.txt"
        return path.read_text().split() if path.exists() else []

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "harness", *arguments]

    def variables(self) -> dict[str, str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("HARNESS_")}
        clean |= {"PYTHONPATH": str(self.root), "HARNESS_CACHE": str(self.root / "cache"), "COLUMNS": "200"}
        clean |= {
            "PYTHONUNBUFFERED": "",
            "PYTHONDONTWRITEBYTECODE": "",
            "COUNT": str(self.root / "count.txt"),
        }
        return clean | self.environment

    def harness(self, *arguments: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments),
            cwd=self.root,
            env=self.variables(),
            capture_output=True,
            text=True,
            timeout=timeout,
        )

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """A command in a session of its own, which hears the signals that a terminal's would.

        A shell ignores SIGINT in what it starts in the background, and children inherit that.
        """
        return subprocess.Popen(
            [sys.executable, "-c", HEARING, *self.command(*arguments)],
            cwd=self.root,
            env=self.variables(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, suite: str = "suite.yaml", *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.harness("run", suite, *arguments)

    def plan(self, suite: str = "suite.yaml", *arguments: str) -> list[dict[str, Any]]:
        done = self.harness("plan", suite, "--json", *arguments)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def rows(self, suite: str = "suite.yaml") -> list[dict[str, Any]]:
        done = self.harness("rows", suite, "--format", "json")
        assert done.returncode == 0, done.stderr
        return [row for row in json.loads(done.stdout) if row["origin"] == "measured"]

    def processes(self) -> list[int]:
        """Living processes whose environment or working directory is this project's."""
        import psutil

        found = []
        for process in psutil.process_iter(["pid", "status"]):
            try:
                mine = process.environ().get("PYTHONPATH") == str(self.root)
            except psutil.Error:
                continue
            if mine and process.info["status"] != psutil.STATUS_ZOMBIE:
                found.append(process.info["pid"])
        return found


def make(root: Path) -> Project:
    """A fresh project: engine and data sets copied, toy task, two methods, one suite of six cells."""
    shutil.copytree(
        ROOT / "harness", root / "harness", ignore=shutil.ignore_patterns("__pycache__", "bundled")
    )
    for study in (root / "harness" / "studies").glob("[!_]*"):
        shutil.rmtree(study)
    project = Project(root)
    project.write("harness/studies/guess/__init__.py", "")
    project.write("harness/studies/guess/task.py", TASK)
    project.write("harness/studies/guess/score.py", SCORE)
    project.write("harness/kit/toy.py", KIT)
    for name, text in METHODS.items():
        project.write(f"methods/{name}", text)
    (root / "baselines").mkdir()
    project.write("suite.yaml", SUITE)
    return project


def wait_until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    """Wait for something to become true; fail if it does not."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)


def kill(process: subprocess.Popen, number: int = signal.SIGKILL) -> None:
    os.kill(process.pid, number)
