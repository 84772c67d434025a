"""The task as methods and suites see it, on the synthetic Gaussian, which needs no file."""

from __future__ import annotations

import math
import os
import subprocess
import sys

import numpy
import pytest
import torch
from fairness_cases import METHODS, ROOT, SCORE, method, problem

from harness import data
from harness.context import Run
from harness.datasets import synthetic_gaussian as gaussian
from harness.errors import UserError
from harness.studies.fairness import score as scoring_file

DECLARED = {metric.name for metric in scoring_file.METRICS}
SPENT = {"runs", "gradient_steps", "train_seconds"}


@pytest.fixture(autouse=True, scope="module")
def own_cache(tmp_path_factory):
    patch = pytest.MonkeyPatch()
    patch.setenv("HARNESS_CACHE", str(tmp_path_factory.mktemp("cache")))
    yield
    patch.undo()


def made_up(monkeypatch, **changes) -> None:
    """Let every data set be 60 rows of bits: two attributes, `sex` and `band` of three values."""
    draw = numpy.random.default_rng(0)
    bands = numpy.eye(3, dtype=numpy.uint8)[draw.integers(0, 3, 60)]
    bits = draw.integers(0, 2, (60, 3), dtype=numpy.uint8)
    table = numpy.hstack([bits, bands])
    labels = draw.integers(0, 2, 60, dtype=numpy.uint8)
    columns = ["age>30", "sex=Male", "single", "band=a", "band=b", "band=c"]
    arrays = {"x_train": table, "x_test": table, "y_train": labels, "y_test": labels}
    arrays |= {"columns": numpy.array(columns), "sensitive": numpy.array(["sex"])}
    monkeypatch.setattr(data, "load", lambda name: arrays | changes)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_runs_repeatably_and_is_scored(tmp_path, name):
    bounds = {"constraints": "c1 < 1, c2 < 0.1", "steps": 40 if name == "mifr_search" else 10}
    prepared, again = problem(tmp_path, **bounds), problem(tmp_path, **bounds)
    arrays = method(name)(prepared, prepared.run)
    second = method(name)(again, again.run)
    for key, array in arrays.items():
        if key != "seconds":
            assert torch.equal(torch.as_tensor(array), torch.as_tensor(second[key])), key
    scores = scoring_file.score(prepared, arrays, prepared.run, **SCORE)
    assert scores.keys() | prepared.run.measurements.keys() <= DECLARED
    assert (tmp_path / "tradeoff.png").stat().st_size > 5000
    trained = name not in ("raw_features", "pure_noise")
    assert prepared.run.measurements.keys() == SPENT
    assert (prepared.run.measurements["gradient_steps"] > 0) == trained
    adversarial = trained and name != "fcrl"
    assert ({"c2", "i_dp", "i_eo", "i_eopp", "feasible", "audit_excess"} <= scores.keys()) == adversarial
    assert ("mi_xz_u" in scores) == (name != "raw_features")
    assert scores["invariants_violated"] == 0


def test_every_declared_metric_is_made_by_somebody(tmp_path):
    prepared = problem(tmp_path)
    scores = scoring_file.score(prepared, method("lmifr")(prepared, prepared.run), prepared.run, **SCORE)
    assert scores.keys() | prepared.run.measurements.keys() == DECLARED - {"ceiling"}


def test_bits_have_a_ceiling(tmp_path, monkeypatch):
    made_up(monkeypatch)
    prepared = problem(tmp_path, dataset="adult", batch=8)
    scores = scoring_file.score(prepared, method("pure_noise")(prepared, prepared.run), prepared.run, **SCORE)
    assert 0 < scores["ceiling"].value < 4 * math.log(2) + 1


@pytest.mark.parametrize(("name", "runs"), [("lmifr", 1), ("mifr_grid", 25), ("mifr_greedy", 12)])
def test_searches_say_what_they_cost(tmp_path, name, runs):
    prepared = problem(tmp_path, constraints="c1 < 1, c2 < 0.1, eo < 0.1, eopp < 0.1", steps=2)
    arrays = method(name)(prepared, prepared.run)
    told = prepared.run.measurements
    assert told["runs"] == runs and told["gradient_steps"] == runs * 2 * 3
    assert told["train_seconds"] > 0
    if runs > 1:
        assert arrays["search_constraints"].shape == (runs, 4)
        chosen = arrays["search_constraints"][arrays["search_chosen"]]
        torch.testing.assert_close(arrays["constraints"], chosen.float(), rtol=1e-3, atol=1e-4)


def test_a_search_at_equal_compute_takes_the_steps_of_one_run(tmp_path):
    prepared = problem(tmp_path, constraints="c1 < 1.5, c2 < 0.03", steps=600, hidden=16)
    arrays = method("mifr_search")(prepared, prepared.run)
    told = prepared.run.measurements
    assert told["runs"] == 4 and told["gradient_steps"] == 600 * 3
    rates = arrays["search_constraints"][:, 0]
    assert 1.2 < rates[arrays["search_chosen"]] < 1.5
    assert (arrays["search_multipliers"][:, 2:] == 0).all()


@pytest.mark.parametrize("slopes", [(1.0, 0.5), (3.0, 2.0)])
def test_false_position_comes_to_the_bounds_that_bind_and_drops_the_others(slopes):
    """Two constraints whose logarithms fall along ln λ, each its own way, and one that nothing violates."""
    towards = method("mifr_search").__globals__["towards_the_bounds"]
    slopes, roots = torch.tensor([*slopes, 0.0]).double(), torch.tensor([-2.0, 1.5, 0.0])
    values, tried, excesses = torch.ones(3).double(), [], []
    for _ in range(6):
        tried.append(values)
        excesses.append(-slopes * (values.log() - roots) - torch.tensor([0.0, 0.0, 1.0]))
        values = towards(torch.stack(tried), torch.stack(excesses))
    assert values[:2].log().tolist() == pytest.approx(roots[:2].tolist(), abs=1e-5)
    assert values[2] == pytest.approx(0.01)


def test_lmifr_meets_its_bounds_and_uses_them_up(tmp_path):
    bounds = {"constraints": "c1 < 1.5, c2 < 0.03", "steps": 900, "hidden": 16}
    prepared = problem(tmp_path, **bounds)
    arrays = method("lmifr")(prepared, prepared.run, multiplier_rate=0.01)
    rate, leak = arrays["constraints"][:2].tolist()
    assert 1.4 < rate < 1.52 and leak < 0.05
    free = problem(tmp_path, **(bounds | {"constraints": "c1 < 1.5", "steps": 500}))
    unbound = method("lmifr")(free, free.run, multiplier_rate=0.01)
    assert float(unbound["constraints"][1]) >= 0 and len(unbound["trace_steps"]) == 200
    assert unbound["trace_multipliers"][:, 1:].abs().max() == 0


def test_what_is_released_differs_from_the_paper(tmp_path):
    paper, released = problem(tmp_path), problem(tmp_path, behaviour="released")
    assert paper.notion.masked and not released.notion.masked
    multipliers = [0.1, 0.5, 4.0, 4.0]
    _, trace = released.fit_fixed(multipliers)
    assert trace.multipliers[0, 0].tolist() == pytest.approx([0.1, 0.5, 0, 0])
    _, trace = paper.fit_fixed(multipliers)
    assert trace.multipliers[0, 0].tolist() == pytest.approx(multipliers)


def test_sensitive_attributes_become_groups_and_leave_the_features(tmp_path, monkeypatch):
    made_up(monkeypatch)
    bits = problem(tmp_path, dataset="adult", batch=8)
    assert bits.train.x.shape == (60, 5) and bits.train.u.shape == (60, 2)
    both = problem(tmp_path, dataset="adult", sensitive="sex+band", batch=8)
    assert both.train.x.shape == (60, 2) and both.train.u.shape == (60, 6)
    table = data.load("adult")["x_train"]
    group = 3 * table[:, 1].astype(int) + table[:, 3:].argmax(1)
    assert both.train.u.argmax(1).tolist() == group.tolist()


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"sensitive": "sexx"}, "sensitive: 'adult' has no attribute 'sexx' (did you mean 'sex'?)"),
        ({"constraints": "c1 < 10, c2"}, "c2 needs an epsilon in nats, as in 'c2 < 0.1'"),
        ({"constraints": "c2 < -1"}, "the epsilon of c2 is -1; it must be above 0"),
    ],
)
def test_bad_input_is_told(tmp_path, monkeypatch, settings, complaint):
    made_up(monkeypatch)
    with pytest.raises((UserError, ValueError)) as caught:
        problem(tmp_path, dataset="adult", **settings)
    assert complaint in str(caught.value)


def test_one_class_only_is_told(tmp_path, monkeypatch):
    made_up(monkeypatch, y_train=numpy.zeros(60, numpy.uint8))
    with pytest.raises(ValueError, match=r"there are none of u = 0 with y = 1, u = 1 with y = 1"):
        problem(tmp_path, dataset="adult")


def test_one_group_only_is_told(tmp_path, monkeypatch):
    made_up(monkeypatch)
    table = data.load("adult")["x_train"].copy()
    table[:, 1] = 1
    made_up(monkeypatch, x_train=table)
    with pytest.raises(UserError, match="all training rows of 'adult' agree in 'sex'"):
        problem(tmp_path, dataset="adult")


def test_a_data_set_without_people_is_told(tmp_path):
    with pytest.raises(UserError, match="'digits' does not say which attribute is sensitive"):
        problem(tmp_path, dataset="digits")


def test_lmifr_without_bounds_and_a_negative_multiplier_are_told(tmp_path):
    prepared = problem(tmp_path, constraints="")
    with pytest.raises(ValueError, match="constraints are empty"):
        method("lmifr")(prepared, prepared.run)
    with pytest.raises(UserError, match="multipliers must not be negative"):
        method("mifr")(prepared, prepared.run, lambda_c2=-1.0)


def test_a_known_linear_code_is_scored_by_its_closed_forms(tmp_path):
    prepared = problem(tmp_path)
    gain, noise = numpy.eye(6)[:2], 0.5
    arrays = {}
    for part, rows in (("train", prepared.train), ("test", prepared.test)):
        mean = rows.x[:, :2]
        drawn = torch.randn(mean.shape, generator=Run(seed=0, folder=tmp_path).stream(part))
        arrays |= {f"mean_{part}": mean, f"scale_{part}": torch.full_like(mean, noise)}
        arrays[f"z_{part}"] = mean + noise * drawn
    budget = {"test_rows": 3000, "audit_draws": 4000, "audit_steps": 100, "density_steps": 150}
    scores = scoring_file.score(prepared, arrays, prepared.run, **budget)
    truth = gaussian.expressiveness(gain, noise)
    for name in ("mi_xz_u", "mi_xz_u_kde", "mi_xz_u_neural", "mi_xz_u_mixture"):
        assert scores[name].value == pytest.approx(truth, abs=3 * scores[name].error + 0.05)
    leak = gaussian.leak(gain, noise)
    assert scores["audit"].value == pytest.approx(leak, abs=3 * scores["audit"].error + 0.01)
    assert scores["audit_null"].value < 0.001
    assert scores["invariants_violated"] == 0


def test_an_impossible_code_is_marked(tmp_path):
    prepared = problem(tmp_path)
    arrays = {}
    for part, rows in (("train", prepared.train), ("test", prepared.test)):
        told = 4 * rows.u  # z gives u away, while its posterior claims to be the prior
        arrays |= {f"mean_{part}": torch.zeros_like(told), f"scale_{part}": torch.ones_like(told)}
        arrays[f"z_{part}"] = told
    scores = scoring_file.score(prepared, arrays, prepared.run, **SCORE)
    assert scores["invariants_violated"] >= 1


SUITE = """
seeds: [0]
tables: [lmifr-auditors]
cells:
  - task: fairness
    dataset: synthetic_gaussian
    constraints: ["c1 < 1, c2 < 0.1", "c1 < 0.5, c2 < 0.1"]
    latent: 2
    hidden: 8
    steps: 5
    test_rows: 100
    audit_draws: 200
    audit_steps: 10
    density_steps: 5
    methods: [mifr_grid]
"""


def test_the_command_line_trains_one_grid_for_all_bounds(tmp_path):
    (tmp_path / "suite.yaml").write_text(SUITE)
    clean = {name: value for name, value in os.environ.items() if not name.startswith("HARNESS_")}
    done = subprocess.run(
        [sys.executable, "-m", "harness", "run", "suite.yaml", "--jobs", "1"],
        cwd=tmp_path,
        env=clean | {"PYTHONPATH": str(ROOT), "HARNESS_CACHE": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 cells: 2 ok" in done.stdout
    pictures = list((tmp_path / "results" / "cells").glob("*/tradeoff.png"))
    assert len(pictures) == 2
    facts = (tmp_path / "results" / "artifacts").glob("*/facts.json")
    assert sum('"builder":"stack"' in path.read_text().replace(" ", "") for path in facts) == 1
