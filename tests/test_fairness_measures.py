"""Estimators, auditors, gaps and bounds against closed forms and other people's code."""

from __future__ import annotations

import math

import fairlearn.metrics
import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import gaussian_kde

from harness import data
from harness.datasets import synthetic_gaussian as gaussian
from harness.studies.fairness import ceiling
from harness.studies.fairness import constraints as fair_constraints
from harness.studies.fairness import gaps as fair_gaps
from harness.studies.fairness.audit import AUDITORS, _judged, audit
from harness.studies.fairness.information import (
    Codes,
    kernel_information,
    mixture_log_density,
    neural_information,
    normal_log_density,
)
from harness.studies.fairness.measures import broken, densities, kept
from harness.studies.fairness.people import Rows


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def rows():
    return data.load("synthetic_gaussian")


def linear_codes(rows, part: str, gain: numpy.ndarray, noise: float, count: int) -> Codes:
    """z = gain · x + noise of the first rows."""
    table = torch.as_tensor(rows[f"x_{part}"][:count])
    mean = table[:, : gaussian.WIDTH] @ torch.as_tensor(gain.T, dtype=torch.float32)
    drawn = torch.randn(mean.shape, generator=seeded(len(part)))
    return Codes(mean, torch.full_like(mean, noise), mean + noise * drawn, table[:, -1].long())


MIXED = numpy.eye(6)[:3] + 0.3 * numpy.random.default_rng(0).normal(size=(3, 6))


def test_the_leak_has_its_limits_and_a_monte_carlo_value():
    assert gaussian.leak(MIXED, 1e4) == pytest.approx(0, abs=1e-6)
    assert gaussian.leak(numpy.eye(6)[1:3], 0.5) == pytest.approx(0, abs=1e-9)
    entropy = -0.4 * math.log(0.4) - 0.6 * math.log(0.6)
    assert gaussian.leak(1000 * numpy.eye(6)[:1], 1e-3) < entropy
    draw = numpy.random.default_rng(1)
    group = draw.random(400_000) < gaussian.SHARE
    z = numpy.where(group, 1.0, -1.0) + math.sqrt(1.25) * draw.normal(size=len(group))
    odds = numpy.where(group, 1, -1) * (2 * z / 1.25 + math.log(0.4 / 0.6))
    simulated = entropy - numpy.logaddexp(0, -odds).mean()
    assert gaussian.leak(numpy.eye(6)[:1], 0.5) == pytest.approx(simulated, abs=0.003)


@pytest.mark.parametrize("noise", [0.5, 0.1])
def test_both_estimators_hit_the_closed_form(rows, noise):
    train, test = (linear_codes(rows, part, MIXED, noise, 6000) for part in ("train", "test"))
    truth = gaussian.expressiveness(MIXED, noise)
    for gains, misfit in (
        (kernel_information(train, test), 0.08),
        (neural_information(train, test, 200, seeded(0)), 0.05),
    ):
        error = 3 * float(gains.std()) / math.sqrt(len(gains))
        assert truth - error < float(gains.mean()) < truth + error + misfit


def test_posteriors_of_training_rows_hit_the_closed_form(rows):
    train, test = (linear_codes(rows, part, MIXED, 0.5, 5000) for part in ("train", "test"))
    found, _ = densities(train, test, train.u, 2)
    gains = test.log_density() - found.gather(1, test.u.unsqueeze(1)).squeeze(1)
    truth, error = gaussian.expressiveness(MIXED, 0.5), 3 * float(gains.std()) / math.sqrt(len(gains))
    assert truth - error < float(gains.mean()) < truth + error + 0.05


def test_a_mixture_of_posteriors_is_that_of_torch(rows):
    train, test = (linear_codes(rows, part, MIXED, 0.1, 50) for part in ("train", "test"))
    parts = torch.stack([train.u == 0, train.u == 1, train.u >= 0], 1).double()
    found = mixture_log_density(train, test.z, parts)
    normals = torch.distributions.Normal(train.mean.double(), train.scale.double())
    each = normals.log_prob(test.z.double().unsqueeze(1)).sum(-1).unsqueeze(-1) + parts.log()
    truth = each.logsumexp(1) - parts.sum(0).log()
    near = truth > truth.max(1, keepdim=True).values - 500
    torch.testing.assert_close(found[near], truth[near])


def test_kernels_are_those_of_scipy(rows):
    train = linear_codes(rows, "train", MIXED, 0.5, 800)
    test = linear_codes(rows, "test", MIXED, 0.5, 60)
    density = test.log_density() - kernel_information(train, test)
    for group in (0, 1):
        theirs = gaussian_kde(train.z[train.u == group].T.double().numpy(), bw_method="silverman")
        truth = theirs.logpdf(test.z[test.u == group].T.double().numpy())
        numpy.testing.assert_allclose(density[test.u == group].numpy(), truth, atol=2e-4)


def test_without_training_the_networks_density_is_near_one_normal(rows):
    train, test = (linear_codes(rows, part, MIXED, 0.5, 4000) for part in ("train", "test"))
    apart = (test.z - train.z.mean(0)) / train.z.std(0)
    normal = test.log_density() - normal_log_density(apart) + train.z.std(0).log().sum()
    assert float(neural_information(train, test, 0, seeded(0)).mean()) == pytest.approx(
        float(normal.mean()), abs=0.05
    )


def test_rates_are_exact():
    codes = Codes(
        torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 0.5]]), torch.zeros(1, 2), torch.zeros(1).long()
    )
    truth = torch.distributions.kl_divergence(
        torch.distributions.Normal(codes.mean, codes.scale), torch.distributions.Normal(0.0, 1.0)
    )
    torch.testing.assert_close(codes.rate(), truth.sum(1))


def test_a_linear_leak_is_caught_by_every_auditor_and_shuffled_groups_are_not(rows):
    gain = numpy.eye(6)[:3]
    train, test = (linear_codes(rows, part, gain, 0.5, 4000) for part in ("train", "test"))
    shares = train.u.bincount().div(len(train.u)).log()
    shuffled = train.u[torch.randperm(len(train.u), generator=seeded(1))]
    true, false = densities(train, test, shuffled, 2)
    truth = gaussian.leak(gain, 0.5)
    found = audit(train, test, shares, true, 4000, 150, seeded(0))
    assert found.keys() == {*AUDITORS, "audit"}
    for name, (gains, _) in found.items():
        error = 3 * float(gains.std()) / math.sqrt(len(gains))
        assert truth - error - 0.03 < float(gains.mean()) < truth + error, name
        assert 0.75 < found[name].balanced(test.u) < 0.85, name
    others = test.u[torch.randperm(len(test.u), generator=seeded(2))]
    nothing = train._replace(u=shuffled), test._replace(u=others)
    assert float(audit(*nothing, shares, false, 4000, 150, seeded(0))["audit"].gains.mean()) < 0.001


def test_three_groups_are_told_apart_without_a_density():
    u = torch.arange(600) % 3
    z = torch.nn.functional.one_hot(u).float() + 0.01 * torch.randn(600, 3, generator=seeded(0))
    codes = Codes(z, torch.zeros_like(z), z, u)
    shares = torch.full((3,), 1 / 3).log()
    found = audit(codes.take(slice(0, 300)), codes.take(slice(300, 600)), shares, None, 10**6, 60, seeded(1))
    assert "posterior" not in found
    assert float(found["audit"].gains.mean()) > 0.9 and found["audit"].balanced(u[300:]) > 0.99


def test_the_best_of_many_guesses_is_not_taken_for_knowledge():
    u, shares = torch.arange(600) % 2, torch.full((2,), 0.5).double().log()
    scores = {str(n): torch.randn(600, 2, generator=seeded(n)).double() for n in range(60)}
    found = _judged(scores, u, shares, seeded(60))
    means = {name: float(finding.gains.mean()) for name, finding in found.items()}
    assert means["audit"] < 0.002 < max(means.values())


def test_auditing_needs_rows_of_each_group():
    codes = Codes(torch.zeros(10, 2), torch.ones(10, 2), torch.zeros(10, 2), torch.tensor([0] * 8 + [1] * 2))
    with pytest.raises(ValueError, match=r"four test rows of each group; there are \[8, 2\]"):
        audit(codes, codes, torch.zeros(2), None, 10, 1, seeded(0))


def chain(count: int, draw: numpy.random.Generator) -> tuple[Rows, list[str], float]:
    """People of two groups with a colour of three, one-hot, and a size that follows it; H(x | u) in nats."""
    u = (draw.random(count) < 0.3).astype(int)
    colours = numpy.array([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]])
    large = numpy.array([[0.9, 0.5, 0.2], [0.3, 0.3, 0.6]])
    colour = (draw.random(count)[:, None] > colours[u].cumsum(1)).sum(1)
    size = draw.random(count) < large[u, colour]
    x = numpy.column_stack([numpy.eye(3)[colour], size])
    bits = -(large * numpy.log(large) + (1 - large) * numpy.log(1 - large))
    entropy = (colours * (bits - numpy.log(colours))).sum(1) @ [0.7, 0.3]
    y = torch.as_tensor(draw.random(count) < 0.5).float()
    rows = Rows(torch.as_tensor(x).float(), torch.nn.functional.one_hot(torch.as_tensor(u), 2).float(), y)
    return rows, ["colour", "colour", "colour", "large"], float(entropy)


def test_the_ceiling_is_the_entropy_of_a_tree_and_never_below_it():
    draw = numpy.random.default_rng(0)
    (train, attributes, entropy), (test, _, _) = chain(6000, draw), chain(6000, draw)
    found = ceiling.surprise(train, test, attributes)
    error = 3 * float(found.std()) / math.sqrt(len(found))
    assert abs(float(found.mean()) - entropy) < error + 0.01
    few = ceiling.surprise(train.take(torch.arange(60)), test, attributes)
    assert float(few.mean()) > float(found.mean())


def test_columns_of_one_name_that_do_not_exclude_each_other_stay_bits():
    x = numpy.array([[1, 1, 0], [0, 1, 1], [1, 0, 0], [0, 0, 1]])
    assert ceiling._values(x, ["a", "a", "b"]).tolist() == x.tolist()
    assert ceiling._values(x[:, ::2], ["a", "a"]).ravel().tolist() == [1, 2, 1, 2]


people = st.lists(st.tuples(st.booleans(), st.booleans(), st.integers(0, 2)), min_size=1, max_size=60)


@settings(max_examples=12, deadline=None)
@given(people)
def test_gaps_are_those_of_fairlearn(drawn):
    everyone = [(y, predicted, u) for u in range(3) for y in (False, True) for predicted in (False, True)]
    predicted, y, u = (numpy.array(column).astype(int) for column in zip(*everyone, *drawn, strict=True))
    found = fair_gaps.gaps(predicted, y, u)
    theirs = {"y_true": y, "y_pred": predicted, "sensitive_features": u}
    positive = fairlearn.metrics.true_positive_rate_difference(**theirs)
    assert found.parity == pytest.approx(fairlearn.metrics.demographic_parity_difference(**theirs))
    assert found.opportunity == pytest.approx(fairlearn.metrics.equal_opportunity_difference(**theirs))
    assert found.odds == pytest.approx(positive + fairlearn.metrics.false_positive_rate_difference(**theirs))


def test_gaps_by_hand():
    y = numpy.array([1, 1, 0, 0, 1, 1, 0, 0])
    u = numpy.array([0, 0, 0, 0, 1, 1, 1, 1])
    predicted = numpy.array([1, 1, 1, 0, 1, 0, 0, 0])
    assert fair_gaps.gaps(predicted, y, u) == (0.5, 1.0, 0.5)


def test_the_trade_off_starts_at_a_constant_and_ends_at_the_best_threshold():
    chance, y, u = numpy.array([0.1, 0.2, 0.8, 0.9]), numpy.array([0, 0, 1, 1]), numpy.array([0, 0, 1, 1])
    own = fair_gaps.Told(chance, y, u)
    gap, accuracy = fair_gaps.frontier(own, own)
    assert (gap[0], accuracy[0]) == (0, 0.5) and accuracy[-1] == 1
    assert (numpy.diff(gap) >= 0).all() and (numpy.diff(accuracy) >= 0).all()
    assert fair_gaps.area(numpy.array([0.0, 0.1]), numpy.array([0.5, 0.9])) == pytest.approx(0.7)
    assert fair_gaps.area(gap, accuracy) == pytest.approx(0.5)


def test_the_labels_that_the_trade_off_is_judged_on_choose_no_threshold():
    draw = numpy.random.default_rng(0)
    chance, y, u = draw.random(400), draw.integers(0, 2, 400), draw.integers(0, 2, 400)
    own = fair_gaps.Told(chance, (chance > 0.5).astype(int), u)
    gap, accuracy = fair_gaps.frontier(own, fair_gaps.Told(chance, y, u))
    other, opposite = fair_gaps.frontier(own, fair_gaps.Told(chance, 1 - y, u))
    assert (gap == other).all() and accuracy + opposite == pytest.approx(1)


def test_bounds_are_read():
    inf = math.inf
    assert fair_constraints.parse("c1 < 10, c2<.1").tolist() == [10, pytest.approx(0.1), inf, inf]
    assert fair_constraints.parse("eopp < 1e-2").tolist() == [inf, inf, inf, pytest.approx(0.01)]
    assert fair_constraints.parse("").isinf().all()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("eop < 1", "unknown constraint 'eop'; did you mean 'eopp'?"),
        ("parity < 1", "unknown constraint 'parity'; there are c1, c2, eo, eopp"),
        ("c2", "c2 needs an epsilon in nats, as in 'c2 < 0.1'"),
        ("c2 <", "c2 needs an epsilon"),
        ("c1 < 10, c2 < many", "c2 needs an epsilon"),
        ("c2 < -0.1", "the epsilon of c2 is -0.1; it must be above 0"),
        ("c2 < 0", "must be above 0"),
        ("c2 < 1, c2 < 2", "c2 is given twice"),
    ],
)
def test_bad_bounds_are_told(text, complaint):
    with pytest.raises(ValueError, match="constraints: ") as caught:
        fair_constraints.parse(text)
    assert complaint in str(caught.value)


def test_a_search_keeps_the_most_expressive_feasible_run():
    bounds = fair_constraints.parse("c1 < 10, c2 < 0.1")
    runs = torch.tensor(
        [[9.0, 0.05, 5.0, 5.0], [10.01, 0.09, 5.0, 5.0], [12.0, 0.0, 5.0, 5.0], [3.0, 0.2, 5.0, 5.0]]
    )
    expressive = torch.tensor([-5.0, -4.0, -1.0, -6.0])
    assert fair_constraints.most_expressive(runs, expressive, bounds) == 0
    assert fair_constraints.most_expressive(runs[2:], expressive[2:], bounds) == 0  # 20 % over, not 100 %
    torch.testing.assert_close(
        fair_constraints.violation(runs, bounds), torch.tensor([-0.1, 0.001, 0.2, 1.0])
    )


def test_bounds_are_kept_by_the_methods_word_and_by_the_audit():
    bounds, word = fair_constraints.parse("c1 < 10, c2 < 0.1"), torch.tensor([10.2, 0.017, 9.0, 9.0])
    assert kept(word, 0.104, bounds)["feasible"] == 1
    beaten = kept(word, 0.125, bounds)
    assert beaten["feasible"] == 0 and beaten["violation"] == pytest.approx(0.02)
    assert beaten["violation_audit"] == pytest.approx(0.25)
    assert kept(torch.tensor([10.6, 0.017, 9.0, 9.0]), 0.01, bounds)["feasible"] == 0
    assert kept(word, 0.5, fair_constraints.parse("c1 < 10.2"))["feasible"] == 1


SPREAD = torch.randn(4000, generator=seeded(0), dtype=torch.float64)
SPREAD -= SPREAD.mean()
"""Differs between people, and is the same in all that is measured of a person."""
MEANS = {"mi_xz_u": 8.4, "c1": 9.9, "ceiling": 9.8, "audit": 0.11, "c2": 0.1, "i_eopp": 0.05, "y = 0": 0.08}


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"mi_xz_u": 9.85, "c1": 13.0}, "mi_xz_u = 9.850 is above ceiling = 9.800 nats"),
        ({"mi_xz_u": 2.36, "c1": 1.93}, "mi_xz_u = 2.360 is above c1 = 1.930 nats"),
        ({"audit": 0.2, "c1": 0.15, "mi_xz_u": 0.1}, "audit = 0.200 is above c1 = 0.150 nats"),
        ({"c2": -0.2}, "c2 = -0.200 nats is below 0: worse than no adversary"),
        ({"i_eopp": -0.21}, "i_eopp = -0.210 nats is below 0: worse than no adversary"),
        ({"y = 0": -0.21}, "y = 0 = -0.210 nats is below 0: worse than no adversary"),
    ],
)
def test_each_invariant_is_broken_by_a_wrong_result(wrong, complaint):
    sound = {name: mean + SPREAD for name, mean in MEANS.items()}
    assert broken(sound) == []
    assert broken(sound | {name: mean + SPREAD for name, mean in wrong.items()}) == [complaint]
    assert broken({"mi_xz_u": 9.95 + SPREAD, "c1": 9.9 - SPREAD}) == []  # within three errors, unpaired
