"""The suites, tables and claims of the steganography study name what exists and say what the score says."""

from __future__ import annotations

import itertools

import pytest
import yaml

from harness import registry, suite
from harness.registry import HOME
from harness.studies.steganography import claims, score
from harness.views import table_file

METRICS = {metric.name for metric in score.METRICS}
READ = yaml.safe_load((HOME / "suites" / "claims" / "steganography.yaml").read_text())
CLAIMS = {claim["id"]: claim for claim in READ["claims"]}
METHODS = {
    "cyclegan",
    "cyclegan_noise",
    "cyclegan_guess",
    "cyclegan_noise_guess",
    "cyclegan_rounded",
    "stegogan",
    "cut",
    "gan_only",
    "pix2pix",
    "untrained",
    "identity",
}


@pytest.fixture(scope="module")
def found():
    return registry.scan()


def test_every_method_of_the_study_is_in_its_suite(found):
    loaded = suite.load(HOME / "suites" / "steganography.yaml", found)
    assert {cell.method for cell in loaded.cells} == METHODS == set(found.of_task("steganography"))
    assert {cell.seed for cell in loaded.cells} == {0, 1, 2}
    domains = {(cell.problem["dataset"], cell.problem["domain"]) for cell in loaded.cells}
    others = {("mnist", "outlines"), ("cifar10", "edges"), ("sat2maps", "tiles")}
    assert domains == {("mnist", "mosaic")} | others


def test_the_published_preset_has_the_published_numbers(found):
    loaded = suite.load(HOME / "suites" / "steganography_published.yaml", found)
    for cell in loaded.cells:
        problem = cell.problem
        assert (problem["architecture"], problem["width"], problem["blocks"]) == ("published", 64, 9)
        assert (problem["batch"], problem["learning_rate"], problem["steps"]) == (1, 2e-4, 200 * 1096)
        if cell.method == "cyclegan":
            assert [cell.parameters[name] for name in ("cycle_x", "cycle_y", "identity")] == [10, 10, 5]


@pytest.mark.parametrize("name", ["cyclegan-claims", "cyclegan-defences", "cyclegan-curves"])
def test_tables_show_metrics_that_are_measured(name):
    spec = table_file.load(HOME / "suites" / "tables" / f"{name}.yaml")
    assert {column.metric for column in spec.columns} <= METRICS and spec.task == "steganography"


def test_the_claims_file_and_the_score_agree_on_every_threshold():
    """Each claim's sentence is evaluated on figures around its thresholds; `claim_k` must say the same."""
    middle = {"honest": 0.36, "e_ring_1": 0.21, "attack_cap4_way": 0.75, "e_noise_002": 0.2, "e_jpeg_75": 0.2}
    grid = itertools.product(
        (0.1, 0.15, 0.161, 0.163, 0.2, 0.239, 0.241, 0.37),  # E(0)
        (0.2, 0.3, 0.45),  # E after noise or JPEG
        (0.749, 0.751),
    )
    seen = {number: set() for number in range(1, 6)}
    for e0, worse, way in grid:
        figures = middle | {"e_0": e0, "e_noise_005": worse, "e_jpeg_75": worse, "attack_cap4_way": way}
        figures |= {"e_ring_1": e0 + 0.01, "e_ring_6": e0 + worse / 15}
        verdicts = claims.verdicts(figures)
        for number in seen:
            said = bool(eval(CLAIMS[f"claim_{number}"]["holds"], {"max": max}, figures))
            assert verdicts[f"claim_{number}"] == said, (number, figures)
            seen[number].add(said)
    assert all(each == {True, False} for each in seen.values())
