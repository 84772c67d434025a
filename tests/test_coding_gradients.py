"""The mathematics of learned codes against enumeration and simulation, in float64."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch._subclasses.fake_tensor import FakeTensorMode

from harness.kit.ldpc import channels
from harness.kit.log_space import log_mean_exp
from harness.studies.coding.networks import CodeNetworks, log_likelihood
from harness.studies.coding.noisy_codes import BinaryChannel, NoisyCode, straight_through
from harness.studies.coding.vimco import learning_signal, surrogate

BITS = 4
LOGITS = torch.tensor([[0.3, -1.2, 2.0, 0.0]], dtype=torch.float64)


def all_words(channel: BinaryChannel) -> torch.Tensor:
    """Every word that can arrive, (S, 1, 4)."""
    symbols = (0.0, 1.0) if channel.kind == "bsc" else (0.0, 1.0, 2.0)
    return torch.tensor(list(itertools.product(symbols, repeat=BITS)), dtype=torch.float64)[:, None]


def fit(words: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Some ln p(x | y) that is not linear in y, and depends on a decoder's weights."""
    return torch.tanh(words @ weights).sum(-1) * 3


CHANNELS = [BinaryChannel("bsc", 0.0), BinaryChannel("bsc", 0.1), BinaryChannel("bec", 0.3)]


@pytest.mark.parametrize("channel", CHANNELS, ids=str)
def test_probabilities_of_all_words_sum_to_one(channel):
    code = NoisyCode(LOGITS, channel)
    words = all_words(channel)
    possible = words[(words != 2).all(-1).all(-1)] if channel.eps == 0 else words
    assert float(code.log_prob(possible).exp().sum()) == pytest.approx(1, abs=1e-12)
    torch.testing.assert_close(code.probabilities().sum(-1), torch.ones(1, BITS, dtype=torch.float64))


@pytest.mark.parametrize("channel", CHANNELS, ids=str)
def test_closed_form_is_what_bits_through_the_channel_do(channel):
    """Bits drawn from the encoder and sent through the simulated channel, 400,000 times."""
    generator = torch.Generator().manual_seed(1)
    draws = 400_000
    bits = (torch.rand((draws, BITS), generator=generator) < torch.sigmoid(LOGITS)).long()
    send = channels.bsc if channel.kind == "bsc" else channels.bec
    arrived = send(bits, channel.eps, generator)
    closed = NoisyCode(LOGITS, channel)
    sampled = closed.sample(generator, draws)[:, 0]
    for symbol in range(closed.probabilities().shape[-1]):
        expected = closed.probabilities()[0, :, symbol]
        error = 4.5 * (expected * (1 - expected) / draws).sqrt() + 1e-9
        assert ((arrived == symbol).double().mean(0) - expected).abs().le(error).all()
        assert ((sampled == symbol).double().mean(0) - expected).abs().le(error).all()


def exact_bound(
    channel: BinaryChannel, logits: torch.Tensor, weights: torch.Tensor, sign: float
) -> torch.Tensor:
    """E ln mean(f(y_1), f(y_2)) over all pairs of words."""
    words = all_words(channel)
    q = NoisyCode(logits, channel).log_prob(words).exp()[:, 0]
    log_f = sign * fit(words, weights)[:, 0]
    return (q[:, None] * q[None, :] * torch.logaddexp(log_f[:, None], log_f[None, :])).sum() - math.log(2)


@pytest.mark.parametrize("sign", [1.0, -1.0], ids=["paper", "released"])
@pytest.mark.parametrize("channel", CHANNELS[1:], ids=str)
def test_vimco_gradient_is_the_enumerated_one(channel, sign):
    """The expectation of the surrogate's gradient over all pairs of words, for encoder and decoder."""
    logits = LOGITS.clone().requires_grad_()
    weights = torch.linspace(-1, 1, BITS * 2, dtype=torch.float64).view(BITS, 2).requires_grad_()
    truth = torch.autograd.grad(exact_bound(channel, logits, weights, sign), [logits, weights])
    words = all_words(channel)
    count = len(words)
    first, second = (index.flatten() for index in torch.meshgrid(*[torch.arange(count)] * 2, indexing="ij"))
    log_q = NoisyCode(logits, channel).log_prob(words)[:, 0]
    log_f = sign * fit(words, weights)[:, 0]
    pairs = torch.stack([first, second])
    value = surrogate(log_f[pairs], log_q[pairs])
    chance = (log_q[first] + log_q[second]).exp().detach()
    estimate = torch.autograd.grad((chance * value).sum(), [logits, weights])
    for ours, theirs in zip(estimate, truth, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)


def test_the_two_objectives_differ():
    """Otherwise `released` would be no variant: their ascent directions disagree."""
    logits = LOGITS.clone().requires_grad_()
    weights = torch.linspace(-1, 1, BITS * 2, dtype=torch.float64).view(BITS, 2)
    channel = BinaryChannel("bsc", 0.1)
    (paper,) = torch.autograd.grad(exact_bound(channel, logits, weights, 1.0), logits)
    (released,) = torch.autograd.grad(-exact_bound(channel, logits, weights, -1.0), logits)
    assert not torch.allclose(paper, released, rtol=0.05)


@given(st.lists(st.floats(-50, 50), min_size=2, max_size=6))
def test_learning_signal_needs_no_sample_of_its_own(values):
    """The baseline of sample k does not change with f(y_k), which keeps the gradient unbiased."""
    log_f = torch.tensor(values, dtype=torch.float64)[:, None]
    moved = log_f.clone()
    moved[0] += 3.0
    baseline = (log_mean_exp(log_f) - learning_signal(log_f))[0]
    torch.testing.assert_close(baseline, (log_mean_exp(moved) - learning_signal(moved))[0])


def test_one_sample_has_nothing_to_compare_with():
    with pytest.raises(ValueError, match="at least 2, not 1"):
        learning_signal(torch.zeros(1, 3))


@pytest.mark.parametrize("channel", CHANNELS, ids=str)
def test_straight_through_is_the_gradient_of_the_mean(channel):
    logits = LOGITS.clone().requires_grad_()
    received = straight_through(logits, channel, torch.Generator().manual_seed(0))
    assert set(received.detach().flatten().tolist()) <= {0.0, 1.0, 2.0}
    (gradient,) = torch.autograd.grad(received.sum(), logits)
    share = torch.sigmoid(LOGITS)
    scale = (1 - 2 * channel.eps) if channel.kind == "bsc" else (1 - channel.eps)
    expected = scale * share * (1 - share) * (received.detach() != 2)
    torch.testing.assert_close(gradient, expected)


@settings(max_examples=25)
@given(st.floats(0, 0.5), st.sampled_from(["bsc", "bec"]))
def test_sampled_words_are_possible_and_have_finite_gradients(eps, kind):
    """Also for encoders that are certain."""
    logits = torch.tensor([[-200.0, -30.0, 0.0, 30.0, 200.0]], requires_grad=True)
    code = NoisyCode(logits, BinaryChannel(kind, eps))
    log_q = code.log_prob(code.sample(torch.Generator().manual_seed(3), 50))
    assert torch.isfinite(log_q).all()
    (gradient,) = torch.autograd.grad(log_q.sum(), logits)
    assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("eps", [-0.1, 0.51, math.nan])
def test_noise_outside_its_range_is_named(eps):
    with pytest.raises(ValueError, match=rf"eps is {eps}: .*\[0, 0\.5\]"):
        BinaryChannel("bsc", eps)


@pytest.mark.parametrize(
    ("eps", "capacity"), [(0, 1), (0.05, 0.7136), (0.1, 0.5310), (0.2, 0.2781), (0.3, 0.1187), (0.4, 0.0290)]
)
def test_capacities_are_the_tabled_ones(eps, capacity):
    assert BinaryChannel("bsc", eps).capacity == pytest.approx(capacity, abs=5e-5)
    assert BinaryChannel("bec", eps).capacity == pytest.approx(1 - eps)
    assert BinaryChannel("bsc", 0.5).capacity == 0


def test_networks_are_those_of_the_released_code():
    networks = CodeNetworks(784, 100, torch.Generator().manual_seed(0))
    shapes = {name: tuple(value.shape) for name, value in networks.state_dict().items()}
    assert shapes == {
        "encoder.0.weight": (500, 784),
        "encoder.0.bias": (500,),
        "encoder.2.weight": (100, 500),
        "decoder.0.weight": (500, 100),
        "decoder.2.weight": (500, 500),
        "decoder.4.weight": (784, 500),
    }
    again = CodeNetworks.restore(networks.state_dict())
    x = torch.rand(3, 784, generator=torch.Generator().manual_seed(1))
    assert torch.equal(again.decode(networks.logits(x)), networks.decode(networks.logits(x)))


def test_likelihoods_against_their_formulas():
    x = torch.tensor([[0.0, 1.0]], dtype=torch.float64)
    logits = torch.tensor([[[0.5, -1.0]], [[2.0, 3.0]]], dtype=torch.float64)
    p = torch.sigmoid(logits)
    bernoulli = (1 - p[..., 0]).log() + p[..., 1].log()
    torch.testing.assert_close(log_likelihood(x, logits, binary=True), bernoulli)
    squares = -(p[..., 0] ** 2) - (1 - p[..., 1]) ** 2
    torch.testing.assert_close(log_likelihood(x, logits, binary=False), squares)


def test_vimco_stays_on_the_device_of_its_samples():
    """Fake tensors have a device and no values: a tensor made on the CPU fails here as it would on a GPU."""
    with FakeTensorMode():
        log_f = torch.zeros(5, 3, device="cuda")
        assert surrogate(log_f, log_f).device.type == "cuda"
