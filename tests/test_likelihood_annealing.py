"""Annealed bounds where ln p(x) is known, and what they say when their chains are broken."""

from __future__ import annotations

import pytest
import torch
from likelihood_cases import LinearGaussian, noise
from torch import Tensor

import harness
from harness.kit.latent import Gaussian
from harness.kit.likelihoods import Bernoulli, Categorical, DiscretisedLogistic
from harness.studies.likelihood import annealing
from harness.studies.likelihood.autoencoder import Autoencoder
from harness.studies.likelihood.pixelcnn import PixelCNN
from harness.studies.likelihood.score import tightest
from harness.studies.likelihood.simulation import pixels, simulate

N = 400


class FarOff(LinearGaussian):
    """The linear-Gaussian model with an encoder that is off by three of its scales."""

    def encode(self, x: Tensor) -> Gaussian:
        near = super().encode(x)
        return Gaussian(torch.cat([near.mean + 3 * near.scale, near.log_scale], dim=-1))


@pytest.fixture(scope="module")
def case() -> tuple[FarOff, Tensor, Tensor, Tensor]:
    """A model, images (N, 3) that it made of z (N, 2), and their exact ln p(x)."""
    model = FarOff()
    generator = torch.Generator().manual_seed(5)
    z = torch.randn(N, 2, generator=generator, dtype=torch.float64)
    spread = torch.randn(N, 3, generator=generator, dtype=torch.float64)
    x = (z @ model.weight.T + model.s * spread).detach()
    return model, x, z, model.evidence(x)


@pytest.fixture(autouse=True)
def few_portions(monkeypatch):
    """More than one, and the last not full; nothing is fitted, lest the encoder that is off be mended."""
    monkeypatch.setattr(annealing, "IMAGES", 250)
    monkeypatch.setattr(annealing, "FITTING", 0)


def mean_and_error(values: Tensor) -> tuple[float, float]:
    found = harness.Estimate.of(values)
    return found.value, found.error


def gap(case, temperatures: int = 30) -> float:
    model, x, z, _ = case
    bounds = annealing.sandwich(model, x, z, temperatures, 4, noise())
    return float((bounds.above - bounds.below).mean())


def test_both_bounds_meet_at_the_evidence(case):
    model, x, z, exact = case
    bounds = annealing.sandwich(model, x, z, 60, 8, noise())
    assert (bounds.above - bounds.below).mean() < 0.05
    for bound in bounds:
        difference, error = mean_and_error(bound - exact)
        assert abs(difference) < max(4 * error, 0.03)


def test_the_weights_are_unbiased_both_ways_so_that_the_bounds_are_bounds(case):
    """At few temperatures, where the bounds are loose, exp of each is still right on average."""
    model, x, z, exact = case
    bounds = annealing.sandwich(model, x, z, 10, 8, noise())
    assert bounds.below.mean() < exact.mean() < bounds.above.mean()
    for ratio in ((bounds.below - exact).exp(), (exact - bounds.above).exp()):
        mean, error = mean_and_error(ratio)
        assert error < 0.1
        assert abs(mean - 1) < 4 * error
    alone = annealing.below(model, x, 10, 8, noise())
    difference, error = mean_and_error(alone - bounds.below)
    assert abs(difference) < 4 * error


def test_chains_start_at_what_fits_an_image_wherever_its_encoder_is(case, monkeypatch):
    model, x, z, exact = case
    off = gap(case, temperatures=10)
    monkeypatch.setattr(annealing, "FITTING", 150)
    bounds = annealing.sandwich(model, x, z, 10, 4, noise())
    assert 0 <= (bounds.above - bounds.below).mean() < off / 20
    assert abs((bounds.below - exact).mean()) < 0.02


def test_steps_are_tuned_to_the_acceptance(case):
    model, x, _, _ = case
    with torch.no_grad():
        path, ladder, steps = annealing.prepared(model, x, 100, 4, noise())
    state = path.drawn()
    chances = []
    for b, step in zip(ladder[1:-1], steps, strict=True):
        state, chance = path.move(state, b, step)
        chances.append(chance.mean())
    assert abs(torch.stack(chances)[50:].mean() - annealing.ACCEPTANCE) < 0.1


def test_the_gap_shows_too_few_temperatures(case):
    assert gap(case, temperatures=1) > 10 * gap(case) > 0


@pytest.mark.parametrize("fault", ["no correction", "no motion", "a wrong slope"])
def test_the_gap_shows_a_broken_move(case, monkeypatch, fault):
    sound = gap(case)
    state, luck = annealing.Path._state, annealing.Path._luck
    if fault == "no correction":  # every proposal is taken, at steps twice as long as are stable
        monkeypatch.setattr(annealing.Path, "_luck", lambda path, like: like.new_zeros(like.shape))
        monkeypatch.setattr(
            annealing, "tuned", lambda path, ladder: [torch.full((len(path.q.mean),), 2.5).double()] * 29
        )
    elif fault == "no motion":
        monkeypatch.setattr(annealing.Path, "_luck", lambda path, like: 2 + luck(path, like))
    else:
        monkeypatch.setattr(
            annealing.Path, "_state", lambda path, at: state(path, at)._replace(slope=-10 * at)
        )
    assert abs(gap(case)) > 5 * sound  # far below 0 is a proof of a fault, too


# --- Images that a model makes -------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["bits", "gray", "levels"])
def test_simulated_pixels_have_their_probabilities(kind):
    head = {"bits": Bernoulli(), "gray": DiscretisedLogistic(1), "levels": Categorical()}[kind]
    values = torch.arange(2.0 if kind == "bits" else 256.0)[:, None]
    outputs = {"bits": torch.tensor([[0.8]]), "gray": torch.tensor([[0.9]])}.get(kind)
    if outputs is None:
        outputs = 3 * torch.randn(1, 256, 1, generator=noise())
    chance = head.log_prob(values, outputs.expand(len(values), *outputs.shape[1:])).exp().flatten()
    drawn = pixels(head, outputs.expand(40_000, *outputs.shape[1:]), noise())
    assert drawn.shape == (40_000, 1)
    share = drawn.long().flatten().bincount(minlength=len(values)) / 40_000
    error = (chance * (1 - chance) / 40_000).sqrt()
    assert ((share - chance).abs() <= 5 * error + 1e-4).all()


@pytest.mark.parametrize("kind", ["mlp", "pixelcnn"])
def test_a_model_makes_images_by_its_own_probabilities(kind):
    torch.manual_seed(0)
    if kind == "mlp":
        model = Autoencoder(torch.full((64,), 0.3), [8], 3, Bernoulli())
    else:
        model = PixelCNN(8, 8, Bernoulli(), latent=3, kernels=(3, 3), channels=4, encoder_channels=2)
    with torch.no_grad():
        for weights in model.parameters():
            weights.mul_(5)
    z = torch.randn(300, 3, generator=noise())
    x = simulate(model.eval(), z, noise())
    outputs = model.decode(x, z).flatten(1) if kind == "pixelcnn" else model.decoder(z)
    chance = outputs.detach().sigmoid()
    assert set(x.unique().tolist()) == {0.0, 1.0} and chance.std() > 0.1
    for part in (chance < 0.5, chance >= 0.5):
        surprise = (x - chance)[part].sum() / (chance * (1 - chance))[part].sum().sqrt()
        assert abs(surprise) < 4


def test_the_tightest_bound_is_chosen_on_the_images_that_all_have():
    wide, narrow = torch.tensor([-3.0, -3.0, 5.0]), torch.tensor([-2.0, -2.5])
    assert tightest({"a": wide, "b": narrow}) is narrow
    assert tightest({"a": wide, "b": narrow - 1}) is wide
