"""The race of decoders: its arithmetic, its fairness, and that each entrant decodes."""

from __future__ import annotations

import importlib.util
import itertools
import time

import method_files
import pytest
import torch

import harness
from harness.context import Run
from harness.studies.coding.decoding import score as scoring_file
from harness.studies.coding.decoding import task


@pytest.fixture
def run(tmp_path):
    return Run(seed=0, folder=tmp_path)


def busy(seconds: float):
    """A decoder that computes for so long and returns what it was given."""

    def decode(received):
        until = time.process_time() + seconds
        while time.process_time() < until:
            pass
        return received

    return decode


def words():
    """The same word again and again."""
    return itertools.repeat(torch.zeros(1, 1))


def test_the_race_finds_who_is_twice_as_fast():
    times = task.race([(busy(0.004), words()), (busy(0.002), words())], "cpu")
    assert times.shape == (task.ROUNDS, 2)
    assert float((times[:, 0] / times[:, 1]).median()) == pytest.approx(2, rel=0.2)


def test_small_batches_are_timed_on_many_words(run):
    problem, seen = task.decoding(run, bits=60, batch=16, words=1), set()
    problem.measure(lambda received: seen.add(tuple(received.flatten().tolist())), run, exact=False)
    assert len(seen) == task.POOL // 16


def test_slow_calls_are_timed_in_fewer_rounds(monkeypatch):
    monkeypatch.setattr(task, "SLOW", 0.001)
    entrants = [(busy(0.002), words())]
    assert task.race(entrants, "cpu").shape == (task.FEW_ROUNDS, 1)


def test_compilation_costs_no_rounds_and_single_words_are_many():
    calls = []

    def compiles(received):
        calls.append(received)
        time.sleep(0) if len(calls) > 1 else busy(task.SLOW * 1.2)(received)

    assert task.race([(compiles, words())], "cpu", calls=64).shape == (task.ROUNDS, 1)
    assert len(calls) >= 64 * task.ROUNDS


def test_scores_are_medians_per_image(run):
    problem = task.decoding(run, bits=60, batch=8, words=10)
    seconds = torch.tensor([[0.02, 0.0016], [0.04, 0.0016], [0.03, 0.0016]], dtype=torch.float64)
    found = scoring_file.score(problem, {"batch": torch.tensor([2, 8]), "seconds": seconds}, run)
    assert found["images_per_second"] == pytest.approx(2 / 0.03)
    assert found["spread"] == pytest.approx(0.02 / 0.03)
    assert found["necst_speedup"] == pytest.approx(0.015 / 0.0002)
    assert (found["one_order"], found["two_orders"]) == (1, 0) and "frame_error_rate" not in found
    counted = {"batch": torch.tensor([2, 8]), "seconds": seconds, "errors": torch.tensor([3, 100, 0])}
    rate = scoring_file.score(problem, counted, run)
    assert rate["frame_error_rate"].value == 0.03 and rate["frame_error_rate"].n == 100
    assert (rate["frames"], rate["stopped_by_errors"]) == (100, 0)


def test_no_error_seen_is_not_no_doubt():
    """Wilson's half-width for 0 of 100 is .0185, for 50 of 100 .0962 (95 %)."""
    assert 1.96 * scoring_file.doubt(0, 100) == pytest.approx(0.0185, abs=1e-4)
    assert 1.96 * scoring_file.doubt(50, 100) == pytest.approx(0.0962, abs=1e-4)


def test_errors_are_counted_until_the_budget_or_the_errors_end(run):
    problem = task.decoding(run, bits=60, eps=0.0, batch=8, words=300)
    clean = problem.measure(lambda received: received, run)
    assert clean["errors"].tolist()[0] == 0 and clean["errors"][1] >= 300 and clean["errors"][2] == 0
    wrong = problem.measure(lambda received: 1 - received, run)
    assert wrong["errors"][0] == wrong["errors"][1] and wrong["errors"][2] == 1


@pytest.mark.parametrize(("precision", "most"), [("bf16", 0.01), ("int8", 0.05)])
def test_lower_precision_says_nearly_the_same(run, precision, most):
    """A network that is fast because it is wrong would win any race."""
    exact, rounded = (task.decoding(run, bits=60, precision=each) for each in ("fp32", precision))
    received = exact.received(50, run.stream("words")).float()
    with torch.no_grad():
        logits, others = exact.network(received), rounded.network(received)
    assert others.dtype == torch.float32
    error = float((logits - others).abs().mean() / logits.abs().mean())
    assert 0 < error < most


@pytest.mark.parametrize(
    ("file", "name", "package", "parameters"),
    [
        ("ldpc_decoder", "ldpc_decoder", "torch", {"engine": "torch"}),
        ("ldpc_decoder", "ldpc_decoder", "numba", {"engine": "numba"}),
        ("ldpc_package", "ldpc_package", "ldpc", {}),
        ("sionna", "sionna", "sionna", {}),
        ("sionna", "sionna_5g", "sionna", {}),
        ("pyldpc", "pyldpc", "pyldpc", {}),
    ],
)
def test_every_decoder_corrects_what_a_short_code_can(run, file, name, package, parameters, monkeypatch):
    """At eps .02 a (3, 6) code of 240 bits has next to no frame errors; at .3 nothing but."""
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed: it is a peer")
    monkeypatch.setattr(task, "race", lambda entrants, device, calls: torch.ones(1, 2))
    decoder = getattr(method_files.load("baselines", file), name)
    for eps, low, high in ((0.02, 0.0, 0.02), (0.3, 0.98, 1.0)):
        problem = task.decoding(run, bits=240, eps=eps, batch=16, words=64)
        errors, words, _ = decoder(problem, run, **parameters)["errors"].tolist()
        assert low <= errors / words <= high


def test_what_cannot_run_here_is_skipped_or_named(run, monkeypatch):
    if not torch.cuda.is_available():
        with pytest.raises(harness.Skip, match="no CUDA GPU here"):
            task.decoding(run, device="cuda")
    problem = task.decoding(run, bits=60, channel="bec", eps=0.1)
    peers = {name: method_files.load("baselines", name) for name in ("ldpc_package", "sionna", "pyldpc")}
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for name, module in peers.items():
        with pytest.raises(harness.Skip, match="not installed"):
            getattr(module, name)(problem, run)
