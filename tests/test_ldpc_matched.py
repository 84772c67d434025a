"""Codes fitted to a noise: that they are the standard's, that they correct, and what no code could do."""

from __future__ import annotations

import importlib.util
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import gammaln

from harness.kit.ldpc import channels, limits
from harness.kit.ldpc.matched import lift, matched_code


def messages(count: int, k: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(2, (count, k), generator=torch.Generator().manual_seed(seed))


@settings(max_examples=25, deadline=None)
@given(st.integers(6, 90), st.integers(0, 400), st.integers(0, 9))
def test_any_message_comes_back_from_a_clean_channel(k, more, seed):
    code = matched_code(-(-6 * k // 5) + more, k)
    sent = messages(3, k, seed)
    words = code.encode(sent)
    assert words.shape == (3, code.n) and code.k == k
    assert torch.equal(code.decode(channels.bsc_llr(words, 0.01)), sent.to(torch.uint8))


@pytest.mark.parametrize(("n", "k"), [(1000, 200), (1000, 410), (120, 100), (600, 120)])
def test_words_are_those_of_sionna(n, k):
    """Another implementation of the standard, from high rates, where most parity is left out, to 1/5."""
    if importlib.util.find_spec("sionna") is None:
        pytest.skip("sionna is not installed: it is a peer")
    from sionna.phy.fec.ldpc import LDPC5GEncoder

    sent = messages(5, k)
    theirs = LDPC5GEncoder(k, n, bg="bg2", device="cpu")(sent.float())
    assert torch.equal(matched_code(n, k).encode(sent), theirs.to(torch.uint8))


def test_noise_that_a_code_fits_is_corrected_and_noise_beyond_capacity_is_not():
    code, generator = matched_code(600, 90), torch.Generator().manual_seed(1)
    sent, wrong = messages(300, 90), {}
    for eps in (0.15, 0.3):
        llr = channels.bsc_llr(channels.bsc(code.encode(sent), eps, generator), eps)
        wrong[eps] = float((code.decode(llr) != sent).any(1).float().mean())
    assert wrong[0.15] < 0.01 and wrong[0.3] > 0.9


def test_what_no_matched_code_has_is_named():
    for n, k in ((100, 5), (100, 84), (9000, 3841)):
        with pytest.raises(ValueError, match=f"at most rate 5/6, not {k} in {n}"):
            matched_code(n, k)
    assert lift(3840) == (1, 384) and lift(192) == (0, 32) and lift(193) == (6, 26) and lift(6) == (0, 2)


@pytest.mark.parametrize(("n", "eps"), [(500, 0.05), (1000, 0.1), (1000, 0.2), (2000, 0.3)])
def test_the_limit_is_within_a_percent_of_the_exact_converse(n, eps):
    """The best test of the channel's output against fair coins that misses 1 %: no code carries more bits."""
    flips = np.arange(n + 1)
    ways = gammaln(n + 1) - gammaln(flips + 1) - gammaln(n - flips + 1)
    chance = np.exp(ways + flips * np.log(eps) + (n - flips) * np.log1p(-eps))
    before = chance.cumsum() - chance
    kept = np.clip((0.99 - before) / np.maximum(chance, 1e-300), 0, 1)
    converse = -math.log2((kept * np.exp(ways - n * np.log(2))).sum())
    found = limits.message_bits_bsc(n, eps, 0.01)
    assert converse - 0.01 * n < found <= converse + 1e-6


def test_limits_tend_to_capacity_and_vanish_with_it():
    assert limits.message_bits_bsc(10**8, 0.1, 0.01) / 10**8 == pytest.approx(
        channels.capacity_bsc(0.1), abs=3e-4
    )
    assert limits.message_bits_bec(10**8, 0.3, 0.01) / 10**8 == pytest.approx(0.7, abs=2e-4)
    assert limits.message_bits_bsc(100, 0.0, 0.01) == 100 and limits.message_bits_bsc(100, 0.5, 0.01) == 0
    assert limits.message_bits_bec(100, 0.0, 0.01) == 100
