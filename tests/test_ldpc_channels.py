"""Channels against frequencies, Bayes' rule and closed-form capacities."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.kit.ldpc import channels

SENT = torch.arange(200_000) % 2


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def within_noise(hits, probability, trials):
    """Five standard deviations of a binomial count, or exactly nothing where nothing can vary."""
    return abs(hits - probability * trials) <= 5 * math.sqrt(probability * (1 - probability) * trials)


@pytest.mark.parametrize("eps", [0, 0.1, 0.3, 0.5])
def test_bsc_flips_each_bit_with_probability_eps(eps):
    flipped = channels.bsc(SENT, eps, generator()) != SENT
    for sent in (0, 1):
        assert within_noise(int(flipped[sent == SENT].sum()), eps, 100_000)


@pytest.mark.parametrize("eps", [0, 0.2, 0.9, 1])
def test_bec_erases_with_probability_eps_and_changes_nothing_else(eps):
    received = channels.bec(SENT, eps, generator())
    erased = received == channels.ERASED
    assert within_noise(int(erased.sum()), eps, len(SENT))
    assert torch.equal(received[~erased], SENT[~erased])


@pytest.mark.parametrize("channel", [channels.bsc, channels.bec])
def test_a_noisier_channel_changes_a_superset(channel):
    quiet, noisy = (channel(SENT, eps, generator(3)) != SENT for eps in (0.1, 0.4))
    assert (noisy | ~quiet).all() and noisy.sum() > quiet.sum()


@pytest.mark.parametrize("kind", [torch.uint8, torch.int64, torch.float32])
def test_bits_keep_their_type_and_shape(kind):
    bits = SENT[:12].reshape(3, 2, 2).to(kind)
    for channel in (channels.bsc, channels.bec):
        received = channel(bits, 0.5, generator())
        assert received.dtype == kind and received.shape == bits.shape


@given(st.floats(1e-6, 0.5))
def test_bsc_llr_is_bayes_rule(eps):
    llr = channels.bsc_llr(torch.tensor([0, 1]), eps)
    assert torch.sigmoid(-llr.double()).tolist() == pytest.approx([eps, 1 - eps], rel=1e-5)


def test_llrs_of_certain_and_erased_symbols():
    assert channels.bsc_llr(torch.tensor([0, 1]), 0).tolist() == [30, -30]
    assert channels.bec_llr(torch.tensor([0, 1, 2])).tolist() == [30, -30, 0]


@pytest.mark.parametrize(
    "eps, capacity",
    [(0, 1), (0.05, 0.7136), (0.1, 0.5310), (0.2, 0.2781), (0.3, 0.1187), (0.4, 0.0290), (0.5, 0)],
)
def test_bsc_capacity(eps, capacity):
    assert channels.capacity_bsc(eps) == pytest.approx(capacity, abs=5e-5)


def test_bsc_capacity_near_one_half_follows_its_series():
    # With d = 1 − 2 eps the capacity is d²/(2 ln 2) to leading order.
    assert channels.capacity_bsc(0.5 - 1e-9) == pytest.approx(4e-18 / (2 * math.log(2)), rel=1e-6)


def test_bec_capacity():
    assert channels.capacity_bec(0.3) == pytest.approx(0.7)


@pytest.mark.parametrize("eps", [-0.01, 0.51, math.nan])
@pytest.mark.parametrize(
    "use",
    [
        lambda eps: channels.bsc(SENT, eps, generator()),
        lambda eps: channels.bsc_llr(SENT, eps),
        channels.capacity_bsc,
    ],
)
def test_a_flip_probability_out_of_range_is_named(use, eps):
    with pytest.raises(ValueError, match=rf"eps .*\[0, 0.5\], not {eps}"):
        use(eps)


@pytest.mark.parametrize("eps", [-0.01, 1.01, math.nan])
@pytest.mark.parametrize("use", [lambda eps: channels.bec(SENT, eps, generator()), channels.capacity_bec])
def test_an_erasure_probability_out_of_range_is_named(use, eps):
    with pytest.raises(ValueError, match=rf"eps .*\[0, 1\], not {eps}"):
        use(eps)
