"""Intervals and tests against hand-worked, closed-form and simulated truths."""

import math
import random
import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import stats

numbers = st.floats(-1e6, 1e6)
by_seed = st.dictionaries(st.integers(0, 9), numbers, min_size=1, max_size=8)
by_method = st.dictionaries(st.sampled_from("abcdef"), by_seed, min_size=1)
directions = st.sampled_from(["higher", "lower"])


def test_interval_of_a_hand_worked_example():
    # Mean 3, standard deviation √2.5, and t(4, 0.975) = 2.776445 from any table of the t distribution.
    interval = stats.t_interval([1, 2, 3, 4, 5])
    assert interval.mean == 3 and interval.n == 5
    assert interval.half_width == pytest.approx(2.776445 * math.sqrt(2.5 / 5), rel=1e-6)
    assert interval.high - 3 == pytest.approx(3 - interval.low)


@pytest.mark.parametrize("values", [[7.0], [7.0, 9.0]])
def test_no_interval_below_three_values(values):
    interval = stats.t_interval(values)
    assert (interval.half_width, interval.low, interval.high) == (None, None, None)
    assert interval.mean == statistics.mean(values) and interval.n == len(values)


def test_equal_values_give_an_interval_of_exactly_zero():
    # The naive sum 0.1 + 0.1 + 0.1 is not 0.3: rounding must not pretend to be spread.
    assert stats.t_interval([0.1, 0.1, 0.1]) == stats.Interval(0.1, 0.0, 3)


@pytest.mark.parametrize("values", [[], [1.0, math.nan, 2.0], [1.0, math.inf, 2.0]])
def test_no_values_or_values_that_are_not_finite_are_refused(values):
    with pytest.raises(ValueError):
        stats.t_interval(values)


@pytest.mark.parametrize("n", [3, 5, 10])
def test_interval_covers_the_true_mean_as_often_as_it_says(n):
    generator = random.Random(n)
    trials = 4000
    hits = 0
    for _ in range(trials):
        interval = stats.t_interval([generator.gauss(5, 2) for _ in range(n)])
        hits += interval.low <= 5 <= interval.high
    # Four standard errors of a proportion of 0.95 over 4000 trials are 0.014.
    assert hits / trials == pytest.approx(0.95, abs=0.014)


def test_paired_test_of_a_hand_worked_example():
    # Differences 1, 2, 3: t = 2 / (1 / √3) = 2√3 with 2 degrees of freedom, where
    # P(|T| > t) = 1 - t / √(2 + t²) in closed form.
    t = 2 * math.sqrt(3)
    assert stats.paired_test([1, 3, 5], [0, 1, 2]) == pytest.approx(1 - t / math.sqrt(2 + t * t))


def test_pairing_removes_what_the_seeds_share():
    shared = [0.0, 100.0, -50.0, 30.0, 75.0]
    a = [s + d for s, d in zip(shared, [1.0, 1.1, 0.9, 1.05, 0.95], strict=True)]
    assert stats.paired_test(a, shared) < 0.001
    assert stats.paired_test(a, [shared[-1], *shared[:-1]]) > 0.5


def test_paired_test_without_noise():
    assert stats.paired_test([1, 2, 3], [1, 2, 3]) == 1.0
    assert stats.paired_test([2, 3, 4], [1, 2, 3]) == 0.0
    assert stats.paired_test([0.1 + 0.2, 1, 1], [0.3, 1, 1]) == 1.0, "rounding is no difference"


def test_nothing_is_claimed_below_three_pairs():
    assert stats.paired_test([100, 100], [0, 1]) == 1.0


def test_pairs_must_match():
    with pytest.raises(ValueError):
        stats.paired_test([1, 2, 3], [1, 2])


def test_false_alarms_come_as_often_as_the_level_says():
    generator = random.Random(0)
    trials = 4000
    alarms = 0
    for _ in range(trials):
        a, b = ([generator.gauss(0, 1) for _ in range(5)] for _ in range(2))
        alarms += stats.paired_test(a, b) <= 0.05
    assert alarms / trials == pytest.approx(0.05, abs=0.014)


def test_holm_of_a_hand_worked_example():
    # Sorted .005, .01, .03, .04 times 4, 3, 2, 1 gives .02, .03, .06, .04; the last is raised to .06.
    assert stats.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert stats.holm([0.5, 0.9]) == [1.0, 1.0]
    assert stats.holm([]) == []


@given(st.lists(st.floats(0, 1), max_size=8), st.randoms())
def test_holm_never_lowers_keeps_the_order_and_ignores_it(p_values, shuffle):
    adjusted = stats.holm(p_values)
    assert all(p <= q <= 1 for p, q in zip(p_values, adjusted, strict=True))
    pairs = sorted(zip(p_values, adjusted, strict=True))
    assert [q for _, q in pairs] == sorted(adjusted)
    order = list(range(len(p_values)))
    shuffle.shuffle(order)
    assert stats.holm([p_values[i] for i in order]) == [adjusted[i] for i in order]


def test_holm_keeps_the_family_wise_error():
    generator = random.Random(1)
    trials = 4000
    alarms = sum(min(stats.holm([generator.random() for _ in range(5)])) <= 0.05 for _ in range(trials))
    assert alarms / trials <= 0.05 + 0.014


SEEDS = range(5)


def test_a_clear_winner_stands_alone():
    values = {
        "good": {s: 10 + 0.1 * s for s in SEEDS},
        "bad": {s: 5 + 0.11 * s for s in SEEDS},
    }
    assert stats.standing(values, "higher") == stats.Standing("good", frozenset({"good"}), frozenset())
    assert stats.standing(values, "lower").unbeaten == {"bad"}


def test_noise_leaves_rivals_unbeaten():
    values = {"a": dict(enumerate([1.0, 5.0, 3.0])), "b": dict(enumerate([4.0, 0.0, 2.0]))}
    assert stats.standing(values, "higher").unbeaten == {"a", "b"}


def test_rivals_without_three_shared_seeds_are_unbeaten_and_untested():
    values = {"a": {0: 9.0, 1: 9.1, 2: 9.2}, "b": {0: 1.0, 1: 1.1, 7: 1.2}}
    assert stats.standing(values, "higher") == stats.Standing("a", frozenset("ab"), frozenset("b"))


def test_one_lucky_seed_is_not_the_best_of_several_sound_methods():
    values = {"lucky": {0: 99.0}, "a": {0: 2.0, 1: 2.1, 2: 2.2}, "b": {0: 1.0, 1: 1.11, 2: 1.2}}
    assert stats.standing(values, "higher") == stats.Standing(
        "a", frozenset({"a", "lucky"}), frozenset({"lucky"})
    )


def test_the_best_beats_nobody_who_leads_on_their_shared_seeds():
    # "lucky" owes its mean to seed 9; on the seeds both ran, "steady" leads by a constant.
    values = {"lucky": {0: 1.0, 1: 2.0, 2: 3.0, 9: 100.0}, "steady": {0: 2.0, 1: 3.0, 2: 4.0}}
    assert stats.standing(values, "higher") == stats.Standing("lucky", frozenset(values), frozenset())


def test_one_of_many_rivals_needs_stronger_proof():
    # p = 0.019 against the best: beaten when alone, unbeaten beside nineteen others at the same distance.
    best = dict.fromkeys(range(5), 0.0)
    rival = {0: -1.0, 1: -0.2, 2: -1.0, 3: -0.3, 4: -0.8}
    assert 0.01 < stats.paired_test(list(best.values()), list(rival.values())) < 0.05
    assert stats.standing({"best": best, "r": rival}, "higher").unbeaten == {"best"}
    crowd = {"best": best} | {f"r{i}": rival for i in range(20)}
    assert stats.standing(crowd, "higher").unbeaten == crowd.keys()


@pytest.mark.parametrize(("rivals", "n"), [(2, 3), (4, 3), (13, 3), (4, 10)])
def test_marks_keep_their_error_over_the_choice_of_the_best(rivals, n):
    # Equal methods: whoever is beaten is beaten falsely. By Holm alone 13 of them at n = 3 gave .10.
    generator = random.Random(rivals)
    trials = 1500
    false = 0
    for _ in range(trials):
        values = {f"{m}": {s: generator.gauss(0, 1) for s in range(n)} for m in range(rivals)}
        false += len(stats.standing(values, "higher").unbeaten) < rivals
    assert false / trials <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / trials)


@settings(max_examples=200)
@given(by_method, directions, st.randoms())
def test_the_best_is_unbeaten_and_order_does_not_matter(values, direction, shuffle):
    found = stats.standing(values, direction)
    pick = max if direction == "higher" else min
    eligible = [seeds for seeds in values.values() if len(seeds) >= 3] or list(values.values())
    assert found.best in found.unbeaten
    assert found.untested <= found.unbeaten - {found.best}
    assert statistics.mean(values[found.best].values()) == pick(
        statistics.mean(seeds.values()) for seeds in eligible
    )
    names = list(values)
    shuffle.shuffle(names)
    shuffled = {name: dict(sorted(values[name].items(), reverse=True)) for name in names}
    assert stats.standing(shuffled, direction) == found


@given(by_method)
def test_turning_the_sign_turns_the_direction(values):
    turned = {name: {seed: -value for seed, value in seeds.items()} for name, seeds in values.items()}
    assert stats.standing(values, "higher") == stats.standing(turned, "lower")


@given(by_method)
def test_without_three_seeds_anywhere_nobody_is_tested(values):
    short = {name: dict(list(seeds.items())[:2]) for name, seeds in values.items()}
    found = stats.standing(short, "higher")
    assert found.unbeaten == short.keys() and found.untested == short.keys() - {found.best}


@given(by_method)
def test_a_twin_of_the_best_is_unbeaten(values):
    best = stats.standing(values, "higher").best
    assert "twin" in stats.standing(values | {"twin": values[best]}, "higher").unbeaten


@pytest.mark.parametrize("values", [{}, {"a": {}}])
def test_nobody_stands_without_values(values):
    with pytest.raises(ValueError):
        stats.standing(values, "higher")
