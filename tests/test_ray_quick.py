"""The whole quick suite on four nodes of this machine: rows are those of the local executor, bit for bit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("ray", reason="ray is not installed (pip install 'harness[ray]')")

ROOT = Path(__file__).resolve().parent.parent


def harness(*words: str) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-P", "-m", "harness", *words], cwd=ROOT, env=environment, check=True)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_quick_suite_on_four_nodes_has_the_rows_of_one_machine(tmp_path: Path) -> None:
    from ray.cluster_utils import Cluster

    # Twice the processes that there are cores: what takes a minute alone takes two here.
    suite = tmp_path / "quick.yaml"
    text = (ROOT / "suites" / "quick.yaml").read_text()
    suite.write_text(text.replace("limits: {seconds: 120,", "limits: {seconds: 1200,"))
    there = {"num_cpus": 1, "memory": 8 * 2**30}
    cluster = Cluster(initialize_head=True, head_node_args=there | {"include_dashboard": False})
    try:
        for _ in range(3):
            cluster.add_node(**there)
        on_ray = ["--executor", "ray", "--address", cluster.address]
        harness("run", str(suite), "--results", str(tmp_path / "there"), *on_ray)
    finally:
        cluster.shutdown()
    harness("run", str(suite), "--results", str(tmp_path / "here"))
    kept = {}
    for side in ("here", "there"):
        file = tmp_path / f"{side}.json"
        harness("freeze", str(suite), "--results", str(tmp_path / side), "--output", str(file))
        kept[side] = json.loads(file.read_text())["cells"]
    assert len(kept["here"]) > 50
    assert kept["there"] == kept["here"]
