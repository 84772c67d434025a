"""Our LDPC decoders against the libraries, as ratios of words per second in one run on one thread.

    python -m pytest tests/benchmarks/test_ldpc_speed.py -m "" -s

prints words per second of processor time, frame error rates and ratios: the median over interleaved rounds,
and their range. Everybody makes its own log-likelihood ratios; `ldpc` decodes words of a BSC alone.
Code: regular (3,6), n = 1002, rate 1/2, at most 50 iterations.
"""

import statistics

import pytest
import torch
from ldpc_cases import PEERS, Gaussian, decoder_of
from scipy.stats import binomtest

import harness
from harness.kit import clocks
from harness.kit.ldpc.code import decode, regular_code
from harness.studies.coding.noisy_codes import BinaryChannel

ROUNDS = 5
OURS = {
    "numba min-sum": ("min_sum", "numba"),
    "numba sum-product": ("sum_product", "numba"),
    "torch min-sum": ("min_sum", "torch"),
    "torch sum-product": ("sum_product", "torch"),
}
# Words per timing, at most as many as a cell of the study decodes at once.
WORDS = {"numba min-sum": 4096, "numba sum-product": 2048, "ldpc": 256, "sionna": 64, "pyldpc": 8}
BARS = {
    ("numba min-sum", "ldpc"): 8,
    ("numba min-sum", "pyldpc"): 500,
    ("numba min-sum", "sionna"): 50,
    ("torch min-sum", "ldpc"): 1.2,
    ("torch min-sum", "sionna"): 10,
}
GAUSSIAN = Gaussian(10**-0.1)  # 2 dB
BSC = BinaryChannel("bsc", 0.05)
CODE = regular_code(1002, 3, 6, seed=0)


def decoders(channel):
    """name -> function from what is received to bits; peers that are installed and decode such words."""
    found = {
        name: lambda received, choice=choice: decode(CODE, channel.llr(received), 50, *choice).bits
        for name, choice in OURS.items()
    }
    for name in PEERS:
        try:
            found[name] = decoder_of(name, CODE, channel)
        except harness.Skip as skip:
            print(skip)
    return found


def sample(channel):
    """Words and what arrives of them."""
    draws = torch.Generator().manual_seed(0)
    words = CODE.encode(torch.randint(2, (8192, CODE.k), generator=draws))
    return words, channel.send(words, draws)


def seconds_per_word(decoder, received):
    return clocks.seconds(lambda: decoder(received), "cpu") / len(received)


@pytest.mark.slow
@pytest.mark.parametrize("channel", [GAUSSIAN, BSC], ids=lambda channel: channel.kind)
def test_words_per_second(channel, capsys):
    _, received = sample(channel)
    found = decoders(channel)
    for decoder in found.values():
        decoder(received[:2])
    rounds = [
        {name: seconds_per_word(run, received[: WORDS.get(name, 1024)]) for name, run in found.items()}
        for _ in range(ROUNDS)
    ]
    with capsys.disabled():
        print(f"\n{channel}, {ROUNDS} rounds")
        for name in found:
            print(f"  {name:18} {1 / statistics.median(r[name] for r in rounds):9.0f} words/s")
        for ours in OURS:
            for peer in set(PEERS) & set(found):
                ratios = sorted(r[peer] / r[ours] for r in rounds)
                low, middle, high = ratios[0], statistics.median(ratios), ratios[-1]
                print(f"  {ours:18} / {peer:7} {middle:8.1f} ({low:.1f} to {high:.1f})")
                assert middle >= BARS.get((ours, peer), 0)


@pytest.mark.slow
@pytest.mark.parametrize("channel", [GAUSSIAN, BinaryChannel("bsc", 0.06)], ids=lambda channel: channel.kind)
def test_nobody_wins_by_decoding_badly(channel, capsys):
    words, received = sample(channel)
    intervals = {}
    for name, run in decoders(channel).items():
        count = {"pyldpc": 300, "ldpc": 3000, "sionna": 3000}.get(name, 8192)
        wrong = int((run(received[:count]) != words[:count]).any(1).sum())
        interval = binomtest(wrong, count).proportion_ci(0.95, "wilson")
        intervals[name] = interval
        with capsys.disabled():
            print(f"\n  {name:18} {wrong:4} of {count} ({interval.low:.4f} to {interval.high:.4f})", end="")
    for ours in OURS:
        for peer in set(PEERS) & set(intervals):
            assert intervals[ours].low <= intervals[peer].high, (ours, peer)


@pytest.mark.parametrize("batch", [1, 16, 256, 4096])
@pytest.mark.parametrize("name", OURS)
def test_decode(benchmark, name, batch):
    """Absolute times of our decoders by batch, for pytest-benchmark."""
    _, received = sample(BSC)
    benchmark.pedantic(decode, (CODE, BSC.llr(received[:batch]), 50, *OURS[name]), rounds=3, warmup_rounds=1)
