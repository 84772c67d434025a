"""How jobs share GPUs, on made-up ones: none is needed to see who would see which."""

from __future__ import annotations

import subprocess
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from project import Project

from harness import registry
from harness.errors import UserError
from harness.execution import devices, worker
from harness.execution.places import Places

RUN = """
from pathlib import Path

from harness.cli import options
from harness.execution import display
from harness.execution.local import Local
from harness.execution.places import Places
from harness.execution.scheduler import Scheduler

if __name__ == "__main__":
    _, _, store, cells = options.lay_out(options.Selection("suite.yaml", (), (), (), Path("results")))
    places = Places(4, ["2", "5"])
    Scheduler(store, Local("cpu", ()), places=places, device="cuda:2", view=display.Plain(8)).complete(cells)
    assert places.gpus == {"2": 1.0, "5": 1.0} and places.cpus == 4
"""


def test_jobs_that_share_a_gpu_see_it_and_no_other(project: Project) -> None:
    seen = "count(os.environ['CUDA_VISIBLE_DEVICES'] + run.device)\ntime.sleep(0.3)\nraise ValueError('seen')"
    project.method("looks", seen)
    project.write("run.py", RUN)
    limits = "limits: {gpus: 0.5}"
    project.write(
        "suite.yaml", f"cells: [{{task: guess, methods: [looks], seeds: [0, 1, 2, 3], {limits}}}]\n"
    )
    command = [project.command()[0], "run.py"]
    subprocess.run(command, cwd=project.root, env=project.variables(), check=True, capture_output=True)
    assert Counter(project.counted()) == {"2cuda": 2, "5cuda": 2}


@given(
    st.integers(1, 4),
    st.integers(0, 3),
    st.lists(st.tuples(st.integers(1, 5), st.sampled_from([0, 0.25, 0.5, 1, 2, 7])), max_size=12),
)
def test_no_place_is_given_twice_and_all_come_back(cpus: int, gpus: int, wanted: list) -> None:
    places = Places(cpus, map(str, range(gpus)))
    taken = []
    for cpu, gpu in wanted:
        limits = {"cpus": cpu, "gpus": gpu}
        got = places.take(limits)
        if got is not None:
            taken.append((limits, got))
            assert len(set(got)) == len(got) == min(-(-gpu // 1), gpus)
        else:
            assert taken  # an empty machine refuses nobody
        assert places.cpus >= 0 and all(free >= -1e-9 for free in places.gpus.values())
    for limits, got in taken:
        places.give(limits, got)
    assert places.cpus == cpus and all(abs(free - 1) < 1e-9 for free in places.gpus.values())


def test_devices_are_named_as_cuda_does(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert devices.gpus_of("cuda") == ["0", "1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,GPU-7")
    assert (devices.gpus_of("cuda"), devices.gpus_of("cuda:1")) == (["3", "GPU-7"], ["GPU-7"])
    devices.check("cuda:1", here=True)
    with pytest.raises(UserError, match="has 2 CUDA devices"):
        devices.check("cuda:2", here=True)
    with pytest.raises(UserError, match="a cluster chooses"):
        devices.check("cuda:0", here=False)


def test_the_most_memory_that_a_fit_took_of_its_gpu_is_a_metric_of_every_task(monkeypatch) -> None:
    taken = {"cuda": 3e9}
    monkeypatch.setattr("torch.cuda.max_memory_allocated", taken.__getitem__)
    assert worker._device_memory("cuda") == {"device_gb": 3.0}
    assert worker._device_memory("cpu") == {}
    tasks = registry.scan().tasks.values()
    assert tasks and all(task.metrics["device_gb"].unit == "GB" for task in tasks)
