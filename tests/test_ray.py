"""The same cells on a Ray cluster of this machine: a node is lost, folders are not shared, drivers end."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from project import Project, make, wait_until
from test_execution import learning

pytest.importorskip("ray", reason="ray is not installed (pip install 'harness[ray]')")

SLEEPER = """
count(f'sleeper{run.seed}')
while not os.path.exists('awake'):
    time.sleep(0.05)
return {'guess': problem.mean() + run.seed}
"""
SUITE = """
seeds: [0, 1]
cells:
  - {task: guess, methods: [sleeper], limits: {memory_gb: 1}}
  - {task: guess, methods: [learner: {lift: [0.0, 1.0]}], limits: {memory_gb: 1, cpus: 2}}
"""
QUICK_TO_NOTICE = {
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 200,
    "health_check_failure_threshold": 5,
}


class OnCluster(NamedTuple):
    """A project of six cells whose problem needs an asset, which needs another; and a head and a node, of one
    processor each."""

    project: Project
    cluster: Any

    def command(self, results: str) -> list[str]:
        return [
            "run",
            "suite.yaml",
            "--executor",
            "ray",
            "--address",
            self.cluster.address,
            "--results",
            results,
        ]

    def started(self, results: str) -> subprocess.Popen[str]:
        """A run whose two sleepers occupy both nodes."""
        (self.project.root / "awake").unlink(missing_ok=True)
        (self.project.root / "count.txt").unlink(missing_ok=True)
        run = self.project.start(*self.command(results))
        wait_until(lambda: {"sleeper0", "sleeper1"} <= set(self.project.counted()), seconds=240)
        return run

    def finish(self, run: subprocess.Popen[str]) -> str:
        self.project.write("awake", "")
        out, err = run.communicate(timeout=240)
        assert (run.returncode, err) == (0, ""), out
        return out

    def values(self, results: str) -> dict[str, Any]:
        """What the records say that must not depend on where cells were made, to the last bit."""
        found = {}
        for path in (self.project.root / results).glob("cells/*/cell.json"):
            cell = json.loads(path.read_text())["content"]
            found[path.parent.name] = [cell[name] for name in ("status", "metrics", "assets", "reason")]
        return found


@pytest.fixture(scope="module")
def on_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OnCluster]:
    from ray.cluster_utils import Cluster

    project = learning(make(tmp_path_factory.mktemp("ray")))
    project.method("sleeper", SLEEPER)
    project.write("suite.yaml", SUITE)
    project.write("awake", "")
    done = project.harness("run", "suite.yaml", "--results", "here", timeout=300)
    assert "6 cells: 6 ok" in done.stdout
    os.environ["COUNT"] = project.variables()["COUNT"]  # nodes hand their own environment on
    head = {"num_cpus": 1, "include_dashboard": False, "_system_config": QUICK_TO_NOTICE}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    cluster.add_node(num_cpus=1)
    yield OnCluster(project, cluster)
    cluster.shutdown()
    del os.environ["COUNT"]
    wait_until(lambda: not project.processes(), seconds=10)


def lose_a_node(on: OnCluster, results: str) -> None:
    """A node that goes down with its job costs one more start of that job."""
    run = on.started(results)
    on.cluster.remove_node(next(iter(on.cluster.worker_nodes)), allow_graceful=False)
    on.cluster.add_node(num_cpus=1)
    wait_until(lambda: sum(word.startswith("sleeper") for word in on.project.counted()) == 3, seconds=120)
    assert "6 cells: 6 ok; 6 ran now" in on.finish(run)
    counted = on.project.counted()
    assert sorted(word for word in counted if word.startswith("fit")) == ["fit0", "fit0", "fit1", "fit1"]
    assert counted.count("oracle4") == counted.count("base4") == 1
    assert len(counted) == 3 + 4 + 2 + 6
    assert list(on.project.root.joinpath(results, "tmp").iterdir()) == []


def test_a_lost_node_costs_its_job_one_start_and_rows_are_those_of_here(on_cluster: OnCluster) -> None:
    lose_a_node(on_cluster, "there")
    assert on_cluster.values("there") == on_cluster.values("here")


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_losing_a_node_ends_well_twenty_times_in_a_row(on_cluster: OnCluster) -> None:
    for attempt in range(20):
        lose_a_node(on_cluster, f"there{attempt}")


@pytest.fixture
def hidden(on_cluster: OnCluster) -> Iterator[Path]:
    """Where results lie that the driver calls `apart`; a node sees nothing there."""
    root, command = on_cluster.project.root, on_cluster.project.command
    shutil.rmtree(root / "hidden", ignore_errors=True)
    for name in ("apart", "hidden"):
        (root / name).mkdir(exist_ok=True)
    if subprocess.run(["unshare", "-m", "mount", "--bind", root / "hidden", root / "apart"]).returncode:
        pytest.skip("mounting is not permitted here")
    bound = ["/usr/bin/env", "unshare", "-m", "sh", "-c", 'mount --bind hidden apart && exec "$@"', "sh"]
    on_cluster.project.command = lambda *arguments: [*bound, *command(*arguments)]  # type: ignore[method-assign]
    yield root / "hidden"
    on_cluster.project.command = command  # type: ignore[method-assign]
    assert list((root / "apart").iterdir()) == []


def test_files_travel_where_no_folder_is_shared(on_cluster: OnCluster, hidden: Path) -> None:
    assert "6 cells: 6 ok; 6 ran now" in on_cluster.finish(on_cluster.started("apart"))
    assert on_cluster.values("hidden") == on_cluster.values("here")
    assert list(hidden.glob("artifacts/*/files/oracle.txt"))
    assert list(hidden.glob("tmp/*")) == []


@pytest.mark.slow
def test_ctrl_c_keeps_what_is_done(on_cluster: OnCluster, hidden: Path) -> None:
    run = on_cluster.started("apart")
    run.send_signal(signal.SIGINT)
    _, err = run.communicate(timeout=30)
    assert (run.returncode, err) == (
        130,
        "harness: stopped; finished cells are kept, the same command goes on\n",
    )
    assert list(hidden.glob("tmp/*")) == []
    assert len(list(hidden.glob("artifacts/*"))) == 2  # the assets
    wait_until(lambda: not on_cluster.project.processes(), seconds=10)
    assert "6 cells: 6 ok; 6 ran now" in on_cluster.finish(on_cluster.started("apart"))
    assert not {"oracle4", "base4"} & set(on_cluster.project.counted())


@pytest.mark.slow
def test_a_driver_that_dies_leaves_nothing_half_made(on_cluster: OnCluster) -> None:
    run = on_cluster.started("dead")
    os.kill(run.pid, signal.SIGKILL)
    run.communicate()
    wait_until(lambda: not on_cluster.project.processes(), seconds=30)
    assert on_cluster.values("dead") == {}
    before = {path.name for path in on_cluster.project.root.glob("dead/artifacts/*")}
    assert len(before) == 2  # the assets, published while they were claimed
    on_cluster.project.write("awake", "")
    time.sleep(1)
    assert {path.name for path in on_cluster.project.root.glob("dead/artifacts/*")} == before
    assert "6 cells: 6 ok; 6 ran now" in on_cluster.finish(on_cluster.started("dead"))
    assert list(on_cluster.project.root.glob("dead/tmp/*")) == []
