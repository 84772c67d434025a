"""Our LDPC decoders against the libraries, as ratios of words per second in one run on one thread.

    python -m pytest tests/benchmarks/test_ldpc_speed.py -m "" -s

prints words per second, frame error rates and ratios: the median over interleaved rounds, and their range.
Code: regular (3,6), n = 1002, rate 1/2, at most 50 iterations.
"""

import statistics
import time

import pytest
import torch
from scipy.stats import binomtest

from harness.kit.ldpc import channels
from harness.kit.ldpc.code import decode, regular_code
from harness.kit.ldpc.peers import PeerMissing, ldpc_decoder, pyldpc_decoder, sionna_decoder

ROUNDS = 5
OURS = {
    "numba min-sum": ("min_sum", "numba"),
    "numba sum-product": ("sum_product", "numba"),
    "torch min-sum": ("min_sum", "torch"),
    "torch sum-product": ("sum_product", "torch"),
}
PEERS = {"ldpc": ldpc_decoder, "sionna": sionna_decoder, "pyldpc": pyldpc_decoder}
# Words per timing, so that each takes a few tenths of a second.
WORDS = {"numba min-sum": 8192, "numba sum-product": 2048, "ldpc": 256, "sionna": 64, "pyldpc": 8}
BARS = {
    ("numba min-sum", "ldpc"): 8,
    ("numba min-sum", "pyldpc"): 500,
    ("numba min-sum", "sionna"): 50,
    ("torch min-sum", "ldpc"): 1.2,
    ("torch min-sum", "sionna"): 10,
}
CHANNELS = {
    "awgn 2 dB": (channels.awgn, channels.awgn_llr, 10**-0.1),
    "bsc 0.05": (channels.bsc, channels.bsc_llr, 0.05),
}


def decoders(code):
    """name -> function from LLRs to bits; peers only where installed."""
    found = {
        name: lambda llr, choice=choice: decode(code, llr, 50, *choice).bits for name, choice in OURS.items()
    }
    for name, build in PEERS.items():
        try:
            found[name] = build(code)
        except PeerMissing as missing:
            print(missing)
    return found


def sample(channel):
    code = regular_code(1002, 3, 6, seed=0)
    draws = torch.Generator().manual_seed(0)
    words = code.encode(torch.randint(2, (8192, code.k), generator=draws))
    transmit, to_llr, level = CHANNELS[channel]
    return code, words, to_llr(transmit(words, level, draws), level)


def seconds_per_word(decoder, llr):
    start = time.perf_counter()
    decoder(llr)
    return (time.perf_counter() - start) / len(llr)


@pytest.mark.slow
@pytest.mark.parametrize("channel", CHANNELS)
def test_words_per_second(channel, capsys):
    code, _, llr = sample(channel)
    found = decoders(code)
    for decoder in found.values():
        decoder(llr[:2])
    rounds = [
        {name: seconds_per_word(run, llr[: WORDS.get(name, 1024)]) for name, run in found.items()}
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
def test_nobody_wins_by_decoding_badly(capsys):
    code, words, llr = sample("awgn 2 dB")
    intervals = {}
    for name, run in decoders(code).items():
        count = {"pyldpc": 300, "ldpc": 3000, "sionna": 3000}.get(name, 8192)
        wrong = int((run(llr[:count]) != words[:count]).any(1).sum())
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
    code, _, llr = sample("bsc 0.05")
    benchmark.pedantic(decode, (code, llr[:batch], 50, *OURS[name]), rounds=3, warmup_rounds=1)
