"""The study's suite, tables and published numbers are whole: no result is needed to check them."""

from __future__ import annotations

import pytest

from harness import published, registry, suite
from harness.registry import HOME
from harness.views import table

TABLES = ["necst-distortion", "necst-bits", "necst-mismatch", "necst-classifiers", "necst-speed"]


@pytest.fixture(scope="module")
def found():
    return registry.scan()


def test_the_suite_asks_for_every_method_and_data_set_of_the_study(found):
    cells = suite.load(HOME / "suites" / "coding.yaml", found).cells
    for task in ("coding", "decoding"):
        assert {cell.method for cell in cells if cell.task == task} == set(found.of_task(task))
    data = {"digits", "mnist", "omniglot_rebuilt", "random_bits", "cifar10", "kodak", "celeba"}
    assert {cell.dataset for cell in cells if cell.task == "coding"} == data
    assert {cell.parameters.get("objective") for cell in cells if cell.method == "necst"} >= {
        "paper",
        "released",
    }
    assert {cell.problem["channel"] for cell in cells if cell.task == "coding"} == {"bsc", "bec"}
    pairs = {
        (cell.problem["eps"], cell.score["test_eps"])
        for cell in cells
        if cell.method == "straight_through" and cell.task == "coding"
    }
    assert {(one, other) for one in (0, 0.1, 0.2) for other in (0, 0.1, 0.2)} <= pairs


def test_full_measures_every_coding_method_in_three_seeds_and_prints_all_tables(found):
    full = suite.load(HOME / "suites" / "full.yaml", found)
    assert set(TABLES) <= set(full.tables)
    mine = [cell for cell in full.cells if cell.task == "coding"]
    for method in found.of_task("coding"):
        if method == "codec_ideal":  # there is no chance in it
            continue
        assert {cell.seed for cell in mine if cell.method == method} == {0, 1, 2}
    raced = {(cell.method, cell.problem["batch"]) for cell in full.cells if cell.task == "decoding"}
    decoders = ("necst", "straight_through", "ldpc_decoder", "ldpc_package", "sionna", "pyldpc")
    assert {(name, batch) for name in decoders for batch in (1, 16, 256, 4096)} <= raced


def test_quick_needs_no_files_and_no_slow_peer(found):
    quick = suite.load(HOME / "suites" / "quick.yaml", found)
    mine = [cell for cell in quick.cells if cell.task in ("coding", "decoding")]
    assert {cell.dataset for cell in mine if cell.task == "coding"} == {"digits", "random_bits"}
    assert {cell.seed for cell in mine} == {0, 1, 2}
    assert not {cell.method for cell in mine} & {"sionna", "sionna_5g", "pyldpc"}


def test_published_numbers_are_the_classifiers_and_the_speed():
    rows = [row for row in published.rows(HOME / "results" / "published") if row.suite.startswith("necst-")]
    assert len(rows) == 3 * 2 * 8 + 1 and {row.source for row in rows} == {"slides"}
    by_table = {
        name: [row for row in rows if row.suite == name] for name in ("necst-classifiers", "necst-speed")
    }
    assert [row.value for row in by_table["necst-speed"]] == [100]
    specs = [table.load(HOME / "suites" / "tables" / f"{name}.yaml") for name in by_table]
    for spec, listed in zip(specs, by_table.values(), strict=True):
        assert {row.metric for row in listed} == {c.published for c in spec.columns if c.published}
