"""Gradients by hand against autograd of the objectives, written out plainly, in float64."""

from __future__ import annotations

import math
import weakref
from functools import partial

import pytest
import torch
from likelihood_cases import METHODS, Caught, LinearGaussian, autoencoder, images, noise

from harness.kit.log_space import log_mean_exp
from harness.studies.likelihood.inference import draw, refine
from harness.studies.likelihood.tape import AutogradTape

K, STEP, CLIP, ALPHA = 4, 0.05, 1.5, 0.3
REFINING = ("svi", "bsvi", "bsvi_sir")
both_kinds = pytest.mark.parametrize("kind", ["bits", "gray"])


def gradients(model) -> dict[str, torch.Tensor]:
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def caught(name: str, model, **more) -> Caught:
    parameters = {"k": K} | ({"step": STEP, "step_clip": CLIP} if name in REFINING else {}) | more
    return Caught(model, name, **parameters)


def same(found: dict, expected: dict) -> None:
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        assert gradient.abs().max() > 1e-6, name
        torch.testing.assert_close(found[name], gradient, rtol=1e-9, atol=1e-11, msg=name)


# --- The tape against autograd ---------------------------------------------------------------------


@both_kinds
@pytest.mark.parametrize("at_once", [False, True])
def test_a_tape_by_hand_equals_autograd(kind, at_once):
    model, x = autoencoder(kind), images(kind)
    z = torch.randn(K, len(x), 4, generator=noise(), dtype=torch.float64)
    hand, reference = model.tape(x, K), AutogradTape(model.log_likelihood, x, K)
    for step in [z] if at_once else z:
        for found, expected in zip(hand.step(step), reference.step(step), strict=True):
            torch.testing.assert_close(found, expected)
    weights = torch.rand(K, len(x), generator=noise(), dtype=torch.float64)
    index = torch.randint(K, (len(x),), generator=noise())
    for learn in (lambda tape: tape.backward(weights), lambda tape: tape.backward_at(index)):
        learned = []
        for tape in (hand, reference):
            model.zero_grad()
            learn(tape)
            learned.append(gradients(model))
        same(*learned)
        assert not [name for name in learned[0] if name.startswith("encoder")]


@both_kinds
def test_a_tape_that_keeps_one_learns_from_the_last(kind):
    model, x = autoencoder(kind), images(kind)
    z = torch.randn(3, len(x), 4, generator=noise(), dtype=torch.float64)
    short, long = model.tape(x, 1), model.tape(x, 3)
    for step in z:
        short.step(step)
        long.step(step)
    learned = []
    for tape, weights in ((short, torch.ones(1, len(x))), (long, torch.eye(3)[2:].T.expand(3, len(x)))):
        model.zero_grad()
        tape.backward(weights.double())
        learned.append(gradients(model))
    same(*learned)


def test_gradients_add_up_as_with_autograd():
    model, x = autoencoder("gray"), images("gray")
    tape = model.tape(x, 1)
    tape.step(torch.randn(len(x), 4, generator=noise(), dtype=torch.float64))
    weights = torch.ones(1, len(x), dtype=torch.float64)
    tape.backward(weights)
    once = gradients(model)
    tape.backward(weights)
    for name, gradient in gradients(model).items():
        torch.testing.assert_close(gradient, 2 * once[name])


def test_scales_outside_their_range_get_no_gradient():
    model, x = autoencoder("gray"), images("gray")
    head = model.likelihood
    with torch.no_grad():
        head.log_scale[0], head.log_scale[1] = -3.0, 9.0
    tape = model.tape(x, 1)
    tape.step(torch.zeros(len(x), 4, dtype=torch.float64))
    tape.backward(torch.ones(1, len(x), dtype=torch.float64))
    assert (head.log_scale.grad[:2] == 0).all() and (head.log_scale.grad[2:] != 0).all()


class Graph:
    """What a recorded pass of `Counted` holds on to."""


GRAPHS: weakref.WeakSet[Graph] = weakref.WeakSet()


class Counted(torch.autograd.Function):
    """The identity; counts how often a decoder is passed, there and back, and which graphs are alive."""

    there = back = 0

    @staticmethod
    def forward(context, value):
        Counted.there += 1
        context.graph = Graph()
        GRAPHS.add(context.graph)
        return value.clone()

    @staticmethod
    def backward(context, slope):
        Counted.back += 1
        return slope


@pytest.mark.parametrize(
    ("name", "there", "back"),
    [
        *[(name, 1, 1) for name in ("vae", "iwae", "dreg", "vr_iwae")],
        ("svi", K, K + 1),
        ("bsvi", K, 2 * K),
        ("bsvi_sir", K + 1, K + 1),
    ],
)
def test_autograd_passes_a_decoder_no_more_often_than_it_must(name, there, back, monkeypatch):
    """Along a path each step needs its slope before the weights are known; independent draws do not."""
    model, x = autoencoder("bits"), images("bits")
    decode = lambda x, z: Counted.apply(model.log_likelihood(x, z))  # noqa: E731
    model.tape = partial(AutogradTape, decode)
    monkeypatch.setattr(Counted, "there", 0)
    monkeypatch.setattr(Counted, "back", 0)
    caught(name, model).update(x, 1.0)
    assert (Counted.there, Counted.back) == (there, back)


@pytest.mark.parametrize(("graphs", "alive"), [(True, 3), (False, 0)])
def test_a_sampled_index_keeps_no_graph(graphs, alive):
    model, x = autoencoder("bits"), images("bits")
    tape = AutogradTape(lambda x, z: Counted.apply(model.log_likelihood(x, z)), x, 3, graphs=graphs)
    before = len(GRAPHS)
    refine(tape, model.encode(x), K, noise(), step=STEP)
    assert len(GRAPHS) == before + alive
    tape.backward_at(torch.tensor([0, 1, 2, 0, 1, 2]))
    assert gradients(model)


@both_kinds
def test_slopes_come_out_of_the_pass_that_learns(kind):
    """Also where the weights of some samples all but vanish, or vanish."""
    model, x = autoencoder(kind), images(kind)
    z = torch.randn(K, len(x), 4, generator=noise(), dtype=torch.float64)
    weights = torch.rand(K, len(x), generator=noise(), dtype=torch.float64)
    weights[0], weights[1, 0] = 1e-200, 0.0
    hand, autograd = model.tape(x, K), AutogradTape(model.log_likelihood, x, K)
    value, slope = AutogradTape(model.log_likelihood, x, K).step(z)
    learned = []
    for tape in (hand, autograd):
        model.zero_grad()
        torch.testing.assert_close(tape.values(z), value)
        found = tape.learn(weights)
        torch.testing.assert_close(found[weights > 0], slope[weights > 0])
        assert found.isfinite().all()
        learned.append(gradients(model))
    same(*learned)


# --- Every method against autograd of its objective --------------------------------------------------


def log_weight(model, x, q_mean, q_log_scale, eps, frozen_q=False):
    """ln p(x|z) + ln p(z) − ln q(z), term by term; `frozen_q` stops the gradient in q's density."""
    z = q_mean + q_log_scale.exp() * eps
    prior = torch.distributions.Normal(torch.zeros(()).double(), 1.0).log_prob(z).sum(-1)
    mean, log_scale = (q_mean.detach(), q_log_scale.detach()) if frozen_q else (q_mean, q_log_scale)
    density = torch.distributions.Normal(mean, log_scale.exp()).log_prob(z).sum(-1)
    return model.log_likelihood(x, z) + prior - density


def plain_drawn(name: str, model, x):
    """(loss of the decoder, loss of the encoder) for the methods with independent draws."""
    mean, log_scale = model.encoder(model.likelihood.centre(x)).chunk(2, -1)
    eps = torch.randn(K, *mean.shape, generator=noise(), dtype=torch.float64)
    lw = log_weight(model, x, mean, log_scale, eps)
    if name == "vae":
        bound = lw.mean(0)
        return -bound.mean(), -bound.mean()
    if name == "iwae":
        bound = lw.logsumexp(0) - math.log(K)
        return -bound.mean(), -bound.mean()
    alpha = {"dreg": 0.0, "vr_iwae": ALPHA}[name]
    share = ((1 - alpha) * lw).softmax(0).detach()
    path = log_weight(model, x, mean, log_scale, eps, frozen_q=True)
    encoder = -((alpha * share + (1 - alpha) * share**2) * path).sum(0).mean()
    return -(share * lw).sum(0).mean(), encoder


def plain_path(model, x):
    """ln w_0 ... ln w_{K−1} with graphs, each λ cut off from the one before."""
    mean, log_scale = model.encoder(model.likelihood.centre(x)).chunk(2, -1)
    noises = torch.randn(K, *mean.shape, generator=noise(), dtype=torch.float64)
    weights = []
    for eps in noises:
        lw = log_weight(model, x, mean, log_scale, eps)
        weights.append(lw)
        ascent = torch.cat(torch.autograd.grad(lw.sum(), (mean, log_scale), retain_graph=True), -1)
        length = ascent.norm(dim=-1, keepdim=True)
        ascent = torch.where(length > CLIP, ascent * CLIP / (length + 1e-7), ascent)  # as renorm does
        parameters = torch.cat([mean, log_scale], -1).detach() + STEP * ascent
        mean, log_scale = parameters.requires_grad_().chunk(2, -1)
    return torch.stack(weights)


def plain_refined(name: str, model, x):
    lw = plain_path(model, x)
    if name == "svi":
        return -lw[-1].mean(), -lw[0].mean()
    return -(lw.logsumexp(0) - math.log(K)).mean(), -lw[0].mean()


def plain_gradients(name: str, model, x) -> dict[str, torch.Tensor]:
    decoder, encoder = (plain_refined if name in REFINING else plain_drawn)(name, model, x)
    names = [n for n, _ in model.named_parameters()]
    of_decoder, of_encoder = (
        torch.autograd.grad(loss, list(model.parameters()), retain_graph=True) for loss in (decoder, encoder)
    )
    pairs = zip(names, of_decoder, of_encoder, strict=True)
    return {n: e if n.startswith("encoder") else d for n, d, e in pairs}


@both_kinds
@pytest.mark.parametrize("by_hand", [True, False])
@pytest.mark.parametrize("name", [name for name in METHODS if name != "bsvi_sir"])
def test_a_method_ascends_its_objective(kind, by_hand, name):
    model, x = autoencoder(kind), images(kind)
    if not by_hand:
        model.tape = partial(AutogradTape, model.log_likelihood)
    bound = caught(name, model, **({"alpha": ALPHA} if name == "vr_iwae" else {})).update(x, 1.0)
    found = gradients(model)
    same(found, plain_gradients(name, model, x))
    assert bound.shape == (len(x),) and not bound.requires_grad


@both_kinds
def test_the_sampled_index_has_the_gradient_of_the_buffer_in_expectation(kind):
    model, x = autoencoder(kind), images(kind, number=1)
    tape = model.tape(x, K)
    path = refine(tape, model.encode(x), K, noise(), step=STEP)
    shares = path.log_weights.softmax(0)
    tape.backward(shares)
    buffer = gradients(model)
    expected = {name: torch.zeros_like(gradient) for name, gradient in buffer.items()}
    for i, share in enumerate(shares):
        model.zero_grad()
        tape.backward_at(torch.tensor([i]))
        for name, gradient in gradients(model).items():
            expected[name] += share * gradient
    same(expected, buffer)


def test_the_sampling_method_averages_to_the_buffer_method():
    model, x = autoencoder("bits"), images("bits", number=1)
    expected = plain_gradients("bsvi", model, x)
    log_weights = plain_path(model, x)[:, 0]
    possible = []
    for i in range(K):
        model.zero_grad(set_to_none=True)
        (-log_weights[i]).backward(retain_graph=True)
        possible.append(model.decoder[0].weight.grad.clone())
    model.zero_grad(set_to_none=True)
    caught("bsvi_sir", model).update(x, 1.0)
    found = gradients(model)
    assert any(torch.allclose(found["decoder.0.weight"], one) for one in possible)
    torch.testing.assert_close(found["encoder.0.weight"], expected["encoder.0.weight"])


# --- What must not be differentiated -----------------------------------------------------------------


@both_kinds
def test_the_decoder_loss_has_no_gradient_in_the_encoder(kind):
    model, x = autoencoder(kind), images(kind)
    for keep in (1, K):
        tape = model.tape(x, keep)
        path = refine(tape, model.encode(x), K, noise(), step=STEP)
        tape.backward(path.log_weights[-keep:].softmax(0))
        tape.backward_at(torch.zeros(len(x), dtype=torch.long))
        assert all(p.grad is None for p in model.encoder.parameters())
        assert all(p.grad is not None for p in model.decoder.parameters())


@pytest.mark.parametrize("name", REFINING)
def test_the_encoder_sees_the_first_weight_alone(name):
    """Its gradient does not depend on how the path goes on; the decoder's does."""
    found = []
    for step in (0.01, 0.5):
        model, x = autoencoder("bits"), images("bits")
        caught(name, model, step=step).update(x, 1.0)
        found.append(gradients(model))
    for entry in found[0]:
        assert torch.equal(found[0][entry], found[1][entry]) == entry.startswith("encoder"), entry


def test_one_weight_makes_all_methods_a_vae():
    found = []
    for name in METHODS:
        if name in ("dreg", "vr_iwae"):  # with one draw these are "sticking the landing", another estimator
            continue
        model, x = autoencoder("gray"), images("gray")
        caught(name, model, k=1).update(x, 0.7)
        found.append(gradients(model))
    for other in found[1:]:
        same(other, found[0])


def test_uniform_pi_is_the_plain_mean_and_pi_rate_moves_it():
    model, x = autoencoder("bits"), images("bits")
    bound = caught("bsvi", model).update(x, 1.0)
    torch.testing.assert_close(bound, log_mean_exp(plain_path(model, x)).detach())
    learning = caught("bsvi", model, pi_rate=0.5)
    first = learning.update(x, 1.0)
    assert torch.equal(first, bound)
    weights = plain_path(model, x).detach()
    pi = 0.5 / K + 0.5 * weights.softmax(0).mean(1, keepdim=True)
    torch.testing.assert_close(pi.sum(), torch.tensor(1.0).double())
    assert ((weights + pi.log()).logsumexp(0)).mean() > bound.mean()


@pytest.mark.parametrize("alpha", [0.0, 0.4])
@pytest.mark.parametrize("beta", [1.0, 0.6])
def test_doubly_reparameterised_gradients_agree_with_the_plain_ones_on_average(alpha, beta):
    """The encoder weights of DReG and VR-IWAE (warm-up included) against those of the bound they serve."""
    model = LinearGaussian()
    x = model.data(1)[:1].expand(40_000, -1)
    tape = model.tape(x, K)
    draws = draw(tape, model.encode(x).detach(), K, noise(), beta=beta)
    weights = ((1 - alpha) * draws.log_weights).softmax(0)
    slope = tape.learn(weights)
    share = beta * (1 - alpha)
    plain = draws.ascent(weights, slope)
    doubly = draws.path_ascent((1 - share) * weights + share * weights**2, slope)
    difference = plain - doubly
    error = difference.std(0) / len(x) ** 0.5
    assert (difference.mean(0).abs() < 4 * error).all()
    assert (plain.mean(0).abs() > 20 * error).any()
    single = draws.path_ascent(weights, slope)  # the score left out and nothing put in its place
    assert ((plain - single).mean(0).abs() > 10 * error).any()


# --- What a GPU would not forgive --------------------------------------------------------------------


@both_kinds
@pytest.mark.parametrize("by_hand", [True, False])
@pytest.mark.parametrize("name", METHODS)
def test_an_update_stays_on_its_device_and_never_waits_for_it(kind, by_hand, name):
    """On the device without memory, reading a number fails, and so does mixing with another device."""
    model, x = autoencoder(kind).to("meta"), images(kind).to("meta")
    if not by_hand:
        model.tape = partial(AutogradTape, model.log_likelihood)
    caught(name, model).update(x, 1.0)
    assert all(p.grad.device.type == "meta" for p in model.parameters())
    with pytest.raises(RuntimeError):
        x.sum().item()
