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

import harness
from harness import data
from harness.datasets import synthetic_gaussian as gaussian
from harness.studies.fairness import constraints as fair_constraints
from harness.studies.fairness import gaps as fair_gaps
from harness.studies.fairness.audit import AUDITORS, _judge, audit
from harness.studies.fairness.information import (
    Codes,
    kernel_information,
    neural_information,
    normal_log_density,
)
from harness.studies.fairness.measures import broken


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


def test_a_linear_leak_is_caught_by_every_auditor(rows):
    gain = numpy.eye(6)[:3]
    codes = linear_codes(rows, "train", gain, 0.5, 2000)
    truth = gaussian.leak(gain, 0.5)
    found = audit(codes.z, codes.u, 3, 300, seeded(0))
    assert found.keys() == set(AUDITORS)
    for name, finding in found.items():
        assert truth - 0.09 < finding.nats < truth + 3 * finding.error, name
        assert 0.75 < finding.balanced < 0.85, name


def test_auditors_find_nothing_in_noise_and_more_groups_than_two():
    u = torch.arange(900) % 3
    noise = audit(torch.randn(900, 4, generator=seeded(0)), u, 3, 300, seeded(1))
    assert all(
        abs(finding.nats) < 0.03 and abs(finding.balanced - 1 / 3) < 0.07 for finding in noise.values()
    )
    told = audit(
        torch.nn.functional.one_hot(u).float() + 0.01 * torch.randn(900, 3, generator=seeded(0)),
        u,
        3,
        300,
        seeded(1),
    )
    assert all(finding.nats > 0.85 and finding.balanced > 0.99 for finding in told.values())


def test_a_mistake_of_which_an_auditor_was_sure_costs_a_finite_number_of_nats():
    u = numpy.arange(3000) % 2
    scores = numpy.stack([1.0 - 2 * u, 2.0 * u - 1], axis=1)
    scores[0] *= -200
    finding = _judge(scores, u, numpy.arange(3000) % 3)
    assert finding.nats == pytest.approx(math.log(2) - math.log(2000) / 3000, abs=0.1)


def test_auditing_needs_rows_of_each_group():
    with pytest.raises(ValueError, match="3 folds need 6 rows of each group"):
        audit(torch.zeros(10, 2), torch.tensor([0] * 8 + [1] * 2), 3, 300, seeded(0))


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
    gap, accuracy = fair_gaps.frontier(chance, y, u)
    assert (gap[0], accuracy[0]) == (0, 0.5) and accuracy[-1] == 1
    assert (numpy.diff(gap) >= 0).all() and (numpy.diff(accuracy) >= 0).all()
    assert fair_gaps.area(numpy.array([0.0, 0.1]), numpy.array([0.5, 0.9])) == pytest.approx(0.7)
    assert fair_gaps.area(gap, accuracy) == pytest.approx(0.5)


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
        [[9.0, 0.05, 5.0, 5.0], [10.01, 0.11, 5.0, 5.0], [12.0, 0.0, 5.0, 5.0], [3.0, 0.2, 5.0, 5.0]]
    )
    expressive = torch.tensor([-5.0, -4.0, -1.0, -6.0])
    assert fair_constraints.most_expressive(runs, expressive, bounds) == 1
    assert fair_constraints.most_expressive(runs[2:], expressive[2:], bounds) == 0  # 20 % over, not 100 %
    torch.testing.assert_close(
        fair_constraints.violation(runs, bounds), torch.tensor([-0.05, 0.01, 2.0, 0.1])
    )


def test_invariants_are_named_when_they_break():
    sure = {
        name: harness.Estimate(value, 0.001, 100) for name, value in {"c1": 1.0, "audit_worst": 0.5}.items()
    }
    assert broken(sure, entropy=0.6) == []
    assert broken(sure, entropy=0.4) == ["audit_worst = 0.500 is above H(u) = 0.400 nats"]
    sure |= {"mi_xz_u_neural": harness.Estimate(1.1, 0.001, 100), "c1": harness.Estimate(0.3, 0.001, 100)}
    assert broken(sure, entropy=0.6) == [
        "audit_worst = 0.500 is above c1 = 0.300 nats",
        "mi_xz_u_neural = 1.100 is above c1 = 0.300 nats",
    ]
    doubtful = {"c1": harness.Estimate(0.0, 0.0, 9), "audit_worst": harness.Estimate(0.2, 0.1, 9)}
    assert broken(doubtful, entropy=0.6) == []
