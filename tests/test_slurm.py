"""Jobs through submitit: on its own stand-in for Slurm, and as what would be handed to sbatch."""

from __future__ import annotations

import subprocess
from types import SimpleNamespace

import pytest
from project import Project

from harness.execution import on_slurm

pytest.importorskip("submitit", reason="submitit is not installed (pip install 'harness[slurm]')")

RUN = """
import sys
from pathlib import Path

from harness.cli import options
from harness.execution import display, on_slurm
from harness.execution.scheduler import Scheduler

if __name__ == "__main__":
    cluster, jobs, *sbatch = sys.argv[1:]
    _, _, store, cells = options.lay_out(options.Selection("suite.yaml", (), (), (), Path("results")))
    queue = on_slurm.OnSlurm(store.root.resolve(), int(jobs), "cpu", sbatch, cluster=cluster)
    view = display.Plain(len(cells))
    Scheduler(store, queue, places=queue.places, device="cpu", view=view).complete(cells)
"""

PREEMPTED = """
count('started')
if len(open(os.environ['COUNT']).readlines()) == 1:
    os.kill(os.getppid(), 15)  # as Slurm does to what makes room for others
    time.sleep(60)
return {'guess': problem.noise.mean()}
"""


@pytest.fixture
def submitting(project: Project) -> Project:
    project.write("run.py", RUN)
    return project


def outside(project: Project, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [project.command()[0], "run.py", *arguments]
    return subprocess.run(
        command, cwd=project.root, env=project.variables(), capture_output=True, text=True, timeout=240
    )


def test_what_is_preempted_is_submitted_again_and_failures_are_rows(submitting: Project) -> None:
    submitting.method("preempted", PREEMPTED)
    submitting.method("raises", "raise ValueError('no')")
    submitting.write("suite.yaml", "cells: [{task: guess, methods: [preempted, raises]}]\n")
    done = outside(submitting, "local", "2")
    assert done.returncode == 0, done.stderr
    assert submitting.counted() == ["started", "started"]
    assert {line.split()[1]: line.split()[6] for line in done.stdout.splitlines()} == {
        "ok": "preempted",
        "failed": "raises",
    }
    assert list(submitting.root.glob("results/tmp/*")) == []


def test_a_job_that_wants_no_gpu_gets_none_after_one_that_does(tmp_path, monkeypatch) -> None:
    queue = on_slurm.OnSlurm(tmp_path, 2, "cuda", [], cluster="local")
    wishes = []
    monkeypatch.setattr(queue._submitit, "update_parameters", lambda **wish: wishes.append(wish))
    monkeypatch.setattr(queue._submitit, "map_array", lambda work, paths: [None for _ in paths])
    for gpus in (1.0, 0.0):
        asked = {"seconds": 60.0, "memory_gb": 1.0, "cpus": 1.0, "gpus": gpus}
        monkeypatch.setattr(on_slurm.jobs, "read", lambda job, asked=asked: SimpleNamespace(limits=asked))
        queue.start(tmp_path / f"{gpus}.json")
        queue._submit()
    assert [wish["gpus_per_node"] for wish in wishes] == [1, 0]


SBATCH = """#!/bin/sh
cp "$1" submitted.sh
echo 'no more' >&2
exit 1
"""


def test_jobs_of_equal_limits_are_one_array_with_those_limits(submitting: Project) -> None:
    for name in ("srun", "sbatch"):
        submitting.write(f"bin/{name}", SBATCH).chmod(0o755)
    submitting.environment["PATH"] = f"{submitting.root}/bin:/usr/bin:/bin"
    limits = "limits: {seconds: 90, memory_gb: 3, cpus: 2}"
    submitting.write("suite.yaml", f"cells: [{{task: guess, methods: [mean, other], {limits}}}]\n")
    refused = outside(submitting, "slurm", "4", "partition=gpu")
    assert "no more" in refused.stderr
    script = (submitting.root / "submitted.sh").read_text()
    for line in ("partition=gpu", "array=0-1%2", "cpus-per-task=2", "mem=3GB", "time=7"):
        assert f"#SBATCH --{line}\n" in script, script
    assert list(submitting.root.glob("results/tmp/*")) == []
