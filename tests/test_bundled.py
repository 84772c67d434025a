"""What comes with the project names only what exists: every suite, and every table."""

from __future__ import annotations

import pytest

from harness import registry, suite
from harness.registry import HOME
from harness.views import table

SUITES = sorted((HOME / "suites").glob("*.yaml"))
TABLES = sorted((HOME / "suites" / "tables").glob("*.yaml"))


@pytest.fixture(scope="module")
def found():
    return registry.scan()


@pytest.mark.parametrize("path", SUITES, ids=lambda path: path.stem)
def test_a_suite_asks_for_three_seeds_of_known_methods_and_for_known_tables(found, path):
    loaded = suite.load(path, found)
    seeds = {cell.seed for cell in loaded.cells}
    if path.stem.endswith("_tuning"):  # it shows nothing, and chooses on seeds that no table shows
        assert not loaded.tables and not seeds & {0, 1, 2}
    else:
        assert seeds == {0, 1, 2}
    assert set(loaded.tables) <= {known.stem for known in TABLES}


@pytest.mark.parametrize("path", TABLES, ids=lambda path: path.stem)
def test_a_table_shows_metrics_and_settings_of_its_task(found, path):
    spec = table.load(path)
    task = found.tasks[spec.task]
    assert {column.metric for column in spec.columns} <= task.metrics.keys()
    settings = {"method"}.union(
        task.parameters, *(method.parameters for method in found.of_task(task.name).values())
    )
    assert {*spec.rows, *spec.show, *spec.within, *spec.where} <= settings
