"""On a linear-Gaussian model ln p(x) is known, so every claim about the bounds can be checked exactly."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from likelihood_cases import LinearGaussian, noise

import harness
from harness.kit.log_space import log_mean_exp
from harness.studies.likelihood import evidence
from harness.studies.likelihood.inference import choose, draw, refine

N = 4000


@pytest.fixture(scope="module")
def case():
    model = LinearGaussian()
    x = model.data(N)
    return model, x, model.evidence(x)


def mean_and_error(values: torch.Tensor) -> tuple[float, float]:
    found = harness.Estimate.of(values.double())
    mean, error = found.value, found.error
    return mean, error


def log_weights(model, x, way: str, k: int, step: float = 0.05, clip: float = 5.0) -> torch.Tensor:
    """ln w (k, N): independent draws, or a refinement path."""
    if way == "drawn":
        return draw(model.tape(x, 0), model.encode(x), k, noise()).log_weights
    return refine(model.tape(x, 0), model.encode(x), k, noise(), step=step, clip=clip).log_weights


@pytest.mark.parametrize("way", ["drawn", "refined"])
@pytest.mark.parametrize("k", [1, 3, 10])
def test_bounds_lie_below_the_evidence(case, way, k):
    model, x, exact = case
    weights = log_weights(model, x, way, k)
    for bound in (log_mean_exp(weights), weights[-1]):
        gap, error = mean_and_error(exact - bound)
        assert gap > -3 * error
        assert gap > 0  # the encoder is wrong by enough for the sign to be certain at this N


@pytest.mark.parametrize("way", ["drawn", "refined"])
@pytest.mark.parametrize("k", [1, 4, 10])
def test_the_mean_weight_is_unbiased_for_the_likelihood(case, way, k):
    model, x, exact = case
    ratio, error = mean_and_error((log_mean_exp(log_weights(model, x, way, k)) - exact).exp())
    assert error < 0.05
    assert abs(ratio - 1) < 4 * error


def test_every_weight_of_a_path_is_unbiased_alone_so_any_fixed_pi_is(case):
    model, x, exact = case
    weights = (log_weights(model, x, "refined", 8) - exact).exp()
    pi = torch.rand(8, 1, generator=noise(), dtype=torch.float64)
    for combined in (*weights, (pi / pi.sum() * weights).sum(0)):
        ratio, error = mean_and_error(combined)
        assert abs(ratio - 1) < 4 * error


def test_one_noise_for_all_steps_would_be_biased(case):
    """The test above can fail: a path that reuses its noise is no longer fresh given the past."""
    model, x, exact = case
    q = model.encode(x).detach()
    eps = q.noise(noise())
    for _ in range(8):
        z = q.sample(eps)
        value, slope = model.tape(x, 0).step(z)
        weight = value + q.log_ratio(z, eps)
        q = type(q)(q.parameters + 0.05 * q.total_derivative(slope, z, torch.ones(())))
    ratio, error = mean_and_error((weight - exact).exp())
    assert abs(ratio - 1) > 5 * error


@pytest.mark.parametrize("way", ["drawn", "refined"])
def test_more_weights_tighten_the_bound(case, way):
    model, x, exact = case
    gaps = [mean_and_error(exact - log_mean_exp(log_weights(model, x, way, k))) for k in (1, 4, 16, 64)]
    for (loose, _), (tight, error) in pairwise(gaps):
        assert tight < loose - 2 * error


def test_refinement_improves_the_single_weight(case):
    model, x, _ = case
    weights = log_weights(model, x, "refined", 30)
    gain, error = mean_and_error(weights[-1] - weights[0])
    assert gain > 5 * error


def test_refined_weights_beat_as_many_independent_ones(case):
    model, x, _ = case
    refined, drawn = (log_mean_exp(log_weights(model, x, way, 10)) for way in ("refined", "drawn"))
    gain, error = mean_and_error(refined - drawn)
    assert gain > 3 * error


def test_the_scoring_functions_give_the_same_bounds(case):
    model, x, exact = case
    x, exact = x[:250], exact[:250]  # more than one chunk of images, and a last one that is not full
    drawn = evidence.importance_weights(model, x, 203, noise())
    refined = evidence.refined_weights(model, x, 203, noise(), step=0.05, clip=5.0)
    assert drawn.shape == refined.shape == (203, 250)
    for weights in (drawn, refined):
        gap, _ = mean_and_error(exact - log_mean_exp(weights))
        assert 0 < gap < 0.02
    gap, error = mean_and_error(exact - drawn[0])
    assert gap > 3 * error and gap > 0.1


def test_kl_and_reconstruction_make_up_the_evidence_bound(case):
    model, x, _ = case
    kl, active = evidence.posterior_summary(model, x)
    q = model.encode(x)
    prior = torch.distributions.Normal(torch.zeros(()).double(), 1.0)
    exact = torch.distributions.kl_divergence(torch.distributions.Normal(q.mean, q.scale), prior).sum(-1)
    torch.testing.assert_close(kl, exact)
    assert active == 2
    drawn = draw(model.tape(x, 0), q, 50, noise())
    reconstruction = model.log_likelihood(x, drawn.z).mean(0)
    gap, error = mean_and_error(reconstruction - kl - drawn.log_weights.mean(0))
    assert abs(gap) < 4 * error


def test_active_units_counts_the_dimensions_whose_mean_moves(case):
    _, x, _ = case
    still = LinearGaussian()
    with torch.no_grad():
        still.weight[:, 0] *= 1e-3
    assert evidence.posterior_summary(still, x)[1] == 1


def test_the_chosen_index_follows_the_weights():
    log_weights = torch.tensor([0.0, 1.0, -2.0, -torch.inf]).log_softmax(0)[:, None].expand(4, 200_000)
    chosen = choose(log_weights.double(), noise())
    frequency = torch.bincount(chosen, minlength=4) / chosen.numel()
    expected = log_weights[:, 0].exp()
    error = (expected * (1 - expected) / chosen.numel()).sqrt()
    assert ((frequency - expected).abs() <= 4 * error).all()
