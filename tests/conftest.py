"""What every engine test gets: a small project of its own, and the proof that nothing outlives the test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from project import Project, make, wait_until


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """The toy project; when the test ends, none of its processes may be left."""
    made = make(tmp_path)
    yield made
    wait_until(lambda: not made.processes(), seconds=10)
