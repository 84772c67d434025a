"""The task as methods see it: shared data, weights and loop; and its score. Digits need no download."""

from __future__ import annotations

import math

import pytest
import torch
from likelihood_cases import METHODS, method

import harness
from harness import data
from harness.context import Run
from harness.errors import UserError
from harness.studies.likelihood import score as scoring_file
from harness.studies.likelihood import task

FEW = {"ais_temperatures": 8, "ais_chains": 3, "sandwich_images": 10}
SHORT = {"k": 3, "learning_rate": 3e-3}


@pytest.fixture(autouse=True, scope="module")
def own_cache(tmp_path_factory):
    patch = pytest.MonkeyPatch()
    patch.setenv("HARNESS_CACHE", str(tmp_path_factory.mktemp("cache")))
    yield
    patch.undo()


def problem(tmp_path, seed: int = 0, preset: str = "digits", **more) -> tuple[task.Problem, Run]:
    run = Run(seed=seed, folder=tmp_path)
    return task.likelihood(run, dataset="digits", preset=preset, **({"updates": 12, "batch": 50} | more)), run


def fit(tmp_path, name: str, seed: int = 0, **more) -> tuple[dict, Run]:
    prepared, run = problem(tmp_path, seed, **more)
    return method(name)(prepared, run, **SHORT), run


def identical(one: dict, other: dict) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


# --- What all methods share --------------------------------------------------------------------------


def test_all_methods_see_the_same_batches_and_weights_at_a_seed(tmp_path):
    first, again = problem(tmp_path)[0], problem(tmp_path)[0]
    method("bsvi")(first, first.run, **SHORT)  # drawing other numbers changes nothing
    torch.rand(5)
    for mine, theirs in zip(first.batches(), again.batches(), strict=True):
        assert torch.equal(mine, theirs)
    assert identical(first.model().state_dict(), again.model().state_dict())


def test_seeds_differ_and_test_bits_do_not(tmp_path):
    zero, one = problem(tmp_path, 0)[0], problem(tmp_path, 1)[0]
    assert not torch.equal(next(zero.batches()), next(one.batches()))
    assert not identical(zero.model().state_dict(), one.model().state_dict())
    assert torch.equal(zero.x_test, one.x_test)


def test_a_pass_visits_every_image_once_and_redraws_its_bits(tmp_path):
    everything = len(data.load("digits")["x_train"])
    prepared, _ = problem(tmp_path, updates=40, batch=everything)
    passes = torch.stack([x.sort(0).values for x in prepared.batches()])
    assert set(passes.unique().tolist()) == {0.0, 1.0}
    assert not torch.equal(passes[0], passes[1])
    chance = passes.mean((0, 1))
    intensity = prepared.x_train.float().mean(0) / 16
    assert (chance - intensity).abs().max() < 5 * 0.5 / math.sqrt(40 * everything)


def test_batches_are_whole_and_do_not_repeat_an_image_within_a_pass(tmp_path):
    prepared, _ = problem(tmp_path, updates=3, batch=400)
    prepared.x_train = torch.arange(1437)[:, None].to(torch.int16)
    prepared.preset = task.PRESETS["gray"]
    seen = torch.cat(list(prepared.batches())).flatten().tolist()
    assert len(seen) == len(set(seen)) == 1200


def test_the_test_images_are_all_there_in_another_order(tmp_path):
    prepared, _ = problem(tmp_path)
    images = torch.as_tensor(data.load("digits")["x_test"]).flatten(1)
    assert prepared.x_test.shape == images.shape
    assert (prepared.x_test.mean(0) - images.float().mean(0) / 16).abs().max() < 0.15
    certain = (images[:, None] == 16).any(1)  # full ink is always a one, no ink always a zero
    assert prepared.x_test.sum() >= certain.sum()


def test_validation_takes_the_end_of_the_training_images_and_no_test_image(tmp_path):
    images = data.load("digits")["x_train"].reshape(-1, 64)
    prepared, _ = problem(tmp_path, preset="digits", held_out="validation")
    assert torch.equal(prepared.x_train, torch.as_tensor(images[: 1437 - 143]))
    assert len(prepared.x_test) == 143
    blank = torch.as_tensor(images[-143:] == 0).sum()  # no ink is never a one
    assert (prepared.x_test == 0).sum() >= blank
    many = task.validating({"x_train": list(range(60_000)), "x_test": [-1]})
    assert many == {"x_train": list(range(55_000)), "x_test": list(range(55_000, 60_000))}


def test_the_warm_up_of_the_kl(tmp_path):
    prepared, _ = problem(tmp_path, preset="pixelcnn", updates=100)
    assert [prepared.beta(n) for n in (0, 5, 10, 99)] == pytest.approx([0.1, 0.55, 1.0, 1.0])
    assert problem(tmp_path)[0].beta(0) == 1.0


# --- Training -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", METHODS)
def test_every_method_learns_repeatably_and_can_be_scored(tmp_path, name):
    arrays, run = fit(tmp_path, name, updates=60)
    assert run.measurements["update_seconds"] > 0
    assert run.measurements["images_per_second"] > 0
    again, _ = fit(tmp_path, name, updates=60)
    assert identical(arrays, again)
    prepared, run = problem(tmp_path)
    scores = scoring_file.score(prepared, arrays, run, test_images=40, subset=10, ais_temperatures=0)
    untrained = scoring_file.score(
        prepared, prepared.model().state_dict(), run, test_images=40, subset=10, ais_temperatures=0
    )
    assert scores["iw500"].value > untrained["iw500"].value + 1


def test_the_score_gives_the_declared_metrics_and_they_fit_together(tmp_path):
    arrays, run = fit(tmp_path, "iwae", updates=60)
    prepared, _ = problem(tmp_path)
    scores = scoring_file.score(prepared, arrays, run, test_images=60, subset=20, **FEW)
    assert scores.keys() == {metric.name for metric in scoring_file.METRICS if metric.kind == "quality"}
    assert run.measurements.keys() == {
        metric.name for metric in scoring_file.METRICS if metric.kind == "speed"
    }
    assert scores["iw500"].n == 60 and scores["iw5000"].n == 20
    elbo = scores["reconstruction"].value - scores["kl"].value
    assert elbo < scores["iw500"].value < 0
    assert scores["svi500"].value < scores["bsvi500"].value
    assert scores["ais"].n == 60 and scores["ais_gap"].n == 10
    bounds = [scores[name] for name in ("iw500", "bsvi500", "svi500", "iw5000", "ais")]
    assert scores["bits_per_dim"].value in [
        pytest.approx(-bound.value / (64 * math.log(2))) for bound in bounds
    ]
    assert 0 <= scores["active_units"] <= 10
    again = scoring_file.score(
        prepared, arrays, Run(seed=0, folder=tmp_path), test_images=60, subset=20, **FEW
    )
    assert again == scores
    without = scoring_file.score(
        prepared, arrays, Run(seed=0, folder=tmp_path), test_images=60, subset=20, ais_temperatures=0
    )
    assert {name: scores[name] for name in without if name != "bits_per_dim"} == {
        name: without[name] for name in without if name != "bits_per_dim"
    }
    assert scores.keys() - without.keys() == {"ais", "ais_gap"}


@pytest.mark.parametrize("name", METHODS)
def test_every_method_trains_a_pixelcnn(tmp_path, name):
    arrays, _ = fit(tmp_path, name, preset="pixelcnn", updates=1, batch=3)
    start = problem(tmp_path, preset="pixelcnn")[0].model().state_dict()
    still = [key for key in arrays if torch.equal(arrays[key], start[key])]
    assert still == []


def test_a_bound_that_is_no_number_stops_the_run(tmp_path):
    prepared, _ = problem(tmp_path, updates=200)
    model = prepared.model()
    calls = []

    def update(x, beta):
        calls.append(beta)
        q = model.encode(x)
        q.backward(torch.full_like(q.parameters, torch.nan))
        return model.log_likelihood(x, q.mean).detach()

    with pytest.raises(FloatingPointError, match=r"after 50 of 200 updates.*smaller learning_rate"):
        prepared.train(model, update, 1e-3)
    assert len(calls) == 50


def test_a_preset_that_does_not_fit_the_data_is_a_users_error(tmp_path):
    with pytest.raises(UserError, match="'gray' models 8-bit pixels; 'digits' has 17"):
        problem(tmp_path, preset="gray")
    with pytest.raises(UserError, match="batch: 5000 is not between 1 and 1437"):
        problem(tmp_path, batch=5000)


# --- A method in plain PyTorch ------------------------------------------------------------------------


@harness.method(task="likelihood", cite="the documentation")
def plain_iwae(problem, run, *, k: int = 10, learning_rate: float = 1e-3):
    """IWAE without the kit: the model's densities, autograd, and an ordinary loop."""
    model = problem.model()
    noise = run.generator("noise")
    optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate)
    for x in problem.batches():
        q = model.encode(x)
        z = q.mean + q.scale * torch.randn(k, *q.mean.shape, generator=noise, device=run.device)
        prior, posterior = torch.distributions.Normal(0, 1), torch.distributions.Normal(q.mean, q.scale)
        log_ratio = (prior.log_prob(z) - posterior.log_prob(z)).sum(-1)
        bound = (model.log_likelihood(x, z) + log_ratio).logsumexp(0).mean() - math.log(k)
        optimizer.zero_grad()
        (-bound).backward()
        optimizer.step()
    return model.state_dict()


def test_a_method_in_plain_pytorch_equals_the_one_made_of_kit(tmp_path):
    prepared, run = problem(tmp_path, updates=30)
    plain = plain_iwae(prepared, run, **SHORT)
    made, _ = fit(tmp_path, "iwae", updates=30)
    start = prepared.model().state_dict()
    assert plain.keys() == made.keys()
    for name, weights in plain.items():
        assert (weights - start[name]).abs().max() > 0.01
        torch.testing.assert_close(weights, made[name], rtol=0, atol=2e-3)
