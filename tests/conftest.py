"""What every engine test gets: a small project of its own, and the proof that nothing outlives the test."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from project import Project, make, wait_until

# One thread, as a worker of harness has. Two test processes with two threads each spin for two cores: the
# suite took half as long again, and single tests more than ten times. Must be set before torch is loaded.
os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """The toy project; when the test ends, none of its processes may be left."""
    made = make(tmp_path)
    yield made
    wait_until(lambda: not made.processes(), seconds=10)
