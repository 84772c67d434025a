"""What a change by seed can tell: outcomes, and their error rates at the size of the full suite."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from project import ROOT
from scipy.stats import binom, nct, t

from harness import frozen, gates, registry

FROZEN = (5.0, 7.0, 6.0)  # standard deviation 1


@pytest.mark.parametrize(
    ("gains", "values", "tolerance", "outcome"),
    [
        ((-9.0, -11.0, -10.0), FROZEN, 0.5, "regressed"),
        ((-9.0, -11.0, -99.0), FROZEN, 0.5, "regressed"),  # a third seed that is worse hides nothing
        ((9.0, 11.0, 99.0), FROZEN, 0.5, "improved"),
        ((-1.0, -1.0, -1.0), FROZEN, 0.5, "inconclusive"),  # may be another seed's luck
        ((-9.0, -11.0, -10.0), FROZEN, 20.0, "ok"),  # surely worse, but less than anybody should care about
        ((-0.5, 0.5, -0.4), FROZEN, 0.5, "ok"),
        ((1.0, 1.2, -0.7), (5.0, 5.01, 5.02), 0.5, "ok"),  # a loss of 1.0 is excluded
        ((-0.51, -0.6, -2.0), (7.0, 7.0, 7.0), 0.5, "regressed"),
        ((-0.49, -0.6, -2.0), (7.0, 7.0, 7.0), 0.5, "inconclusive"),
        ((0.6, 0.7, 0.8), (7.0, 7.0, 7.0), 0.5, "improved"),
        ((-0.5,), (7.0,), 0.5, "ok"),
        ((-99.0,), (7.0,), 0.5, "inconclusive"),
        ((0.0, 0.0), (7.0, 9.0), 0.0, "ok"),
        ((-1e-9, 0.0), (7.0, 9.0), 0.0, "inconclusive"),
    ],
)
def test_outcomes(gains, values, tolerance, outcome) -> None:
    assert gates.judge(gains, values, tolerance, 1).outcome == outcome


def test_the_interval_is_students_over_the_family_and_has_the_metric_s_own_sign() -> None:
    found = gates.judge([-2.0, -4.0], FROZEN, 0.5, 10, "lower")
    reach = t.ppf(1 - 0.05 / 20, 2) * math.sqrt(2 / 2)
    assert (found.n, found.change) == (2, 3.0)
    assert (found.low, found.high) == (pytest.approx(3 - reach), pytest.approx(3 + reach))
    assert found.detectable == pytest.approx(reach + t.ppf(0.95, 2))


def test_inconclusive_says_how_many_seeds_it_takes() -> None:
    found = gates.judge([-1.0, -1.0, -1.0], FROZEN, 0.5, 10)
    needed = gates.seeds_needed(1.0, 0.5, 10)
    assert found.reason == f"to find a loss of 1 takes {needed} seeds"
    for n, enough in ((needed, True), (needed - 1, False)):
        missed = nct.cdf(t.ppf(1 - 0.05 / 20, n - 1), n - 1, 1.0 / math.sqrt(2 / n))
        assert (missed <= 0.05) == enough
    assert gates.seeds_needed(1.0, 0.01, 10) is None and gates.seeds_needed(1.0, 0.0, 10) is None


def test_one_frozen_seed_tells_no_noise_and_equal_ones_none() -> None:
    assert gates.spread([1.0]) is None and gates.spread([0.1 + 0.2, 0.3]) == 0.0
    assert gates.spread([1.0, 2.0, 4.0]) == pytest.approx(statistics.stdev([1.0, 2.0, 4.0]))


numbers = st.floats(-1e6, 1e6)
losses = st.floats(-1e6, -1e3)
many = st.lists(numbers, min_size=1, max_size=6)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(losses, min_size=3, max_size=6),
    st.lists(st.floats(-1, 1), min_size=3, max_size=6),
    st.floats(0, 10),
    st.integers(1, 20),
    st.integers(0, 5),
    st.floats(0, 1e6),
)
def test_a_seed_that_gets_worse_never_undoes_a_regression(gains, values, tolerance, family, which, loss):
    worse = [gain - (loss if index == which else 0.0) for index, gain in enumerate(gains)]
    assert gates.judge(gains, values, tolerance, family).outcome == "regressed"
    assert gates.judge(worse, values, tolerance, family).outcome == "regressed"
    assert gates.judge([*gains, min(gains) - loss], values, tolerance, family).outcome == "regressed"


@settings(max_examples=50, deadline=None)
@given(many, many, st.floats(0, 10), st.integers(1, 2000))
def test_loss_and_gain_are_judged_alike_and_a_wider_tolerance_never_worse(gains, values, tolerance, family):
    there = gates.judge(gains, values, tolerance, family)
    back = gates.judge([-gain for gain in gains], values, tolerance, family)
    assert (there.outcome == "regressed") == (back.outcome == "improved")
    badness = {"improved": 0, "ok": 0, "inconclusive": 1, "regressed": 2}
    lax = gates.judge(gains, values, 2 * tolerance, family)
    assert badness[lax.outcome] <= badness[there.outcome]


@pytest.fixture(scope="module")
def full() -> tuple[np.ndarray, np.ndarray]:
    """Spread and tolerance of every judged value of the full suite that varies, over again up to 1,000."""
    tasks = registry.scan().tasks
    noisy = []
    for (task, _, name), by_seed in frozen.thaw(ROOT / "results" / "frozen" / "full.json").values.items():
        metric, spread = tasks[task].metrics.get(name), gates.spread(list(by_seed.values()))
        if spread and metric and metric.direction != "none":
            noisy.append((spread, metric.tolerance))
    assert len(noisy) > 250
    spreads, tolerances = np.resize(np.array(noisy), (1000, 2)).T
    return spreads, tolerances


def alarms(spreads, tolerances, n, repetitions, family, seed=0) -> int:
    """Of so many comparisons with only noise between two runs of n seeds: how many flag anything."""
    random, count = np.random.default_rng(seed), 0
    for _ in range(repetitions):
        then, now = random.normal(size=(2, len(spreads), n)) * spreads[:, None]
        outcomes = {
            gates.judge(gains, before, tolerance, family).outcome
            for gains, before, tolerance in zip(
                (now - then).tolist(), then.tolist(), tolerances.tolist(), strict=True
            )
        }
        count += bool({"regressed", "improved"} & outcomes)
    return count


def found(spreads, tolerances, n, repetitions, monkeypatch) -> tuple[float, int]:
    """How often a loss of twice the tolerance is found where the tool says it can, and of how many tries."""
    monkeypatch.setattr(gates, "seeds_needed", lambda *_: None)
    random = np.random.default_rng(1)
    hits = tries = 0
    for _ in range(repetitions):
        then, now = random.normal(size=(2, len(spreads), n)) * spreads[:, None]
        for before, after, tolerance in zip(
            then, now - gates.LOSS * tolerances[:, None], tolerances, strict=True
        ):
            noise = gates.spread(list(before))
            if tolerance and gates.detectable(noise, n, n, tolerance, len(spreads)) <= gates.LOSS * tolerance:
                judged = gates.judge(list(after - before), list(before), tolerance, len(spreads))
                hits, tries = hits + (judged.outcome == "regressed"), tries + 1
    return hits / tries, tries


@pytest.mark.parametrize(("n", "tolerant"), [(3, True), (3, False), (10, False)])
def test_a_null_run_of_the_full_suite_flags_anything_in_at_most_5_percent(full, n, tolerant, monkeypatch):
    monkeypatch.setattr(gates, "seeds_needed", lambda *_: None)  # words only, and most of the time
    spreads, tolerances = full
    flagged = alarms(spreads, tolerances * tolerant, n, 60, len(spreads))
    assert flagged <= binom.ppf(0.99, 60, gates.LEVEL)  # what 5 % would give, but for luck


def test_without_the_family_a_null_run_would_be_flagged(full, monkeypatch) -> None:
    monkeypatch.setattr(gates, "seeds_needed", lambda *_: None)
    assert alarms(*full, 3, 10, family=1) >= 9


@pytest.mark.parametrize("n", [3, 10])
def test_a_loss_of_twice_the_tolerance_is_found_where_the_tool_says_so(full, n, monkeypatch) -> None:
    share, tries = found(*full, n, 20, monkeypatch)
    assert tries > 100 and share >= gates.POWER


def test_the_seeds_it_asks_for_are_enough(full, monkeypatch) -> None:
    """Over the values of the suite: with as many seeds as each was told to take, 95 % of losses are found."""
    random, hits, tries = np.random.default_rng(2), 0, 0
    for spread, tolerance in list(zip(*full, strict=True))[::10]:
        n = gates.seeds_needed(spread, tolerance, len(full[0]))
        if n and n <= 200:
            for _ in range(10):
                then, now = random.normal(size=(2, n)) * spread
                judged = gates.judge(
                    list(now - then - gates.LOSS * tolerance), list(then), tolerance, len(full[0])
                )
                hits, tries = hits + (judged.outcome == "regressed"), tries + 1
    assert tries > 500 and hits / tries >= gates.POWER
