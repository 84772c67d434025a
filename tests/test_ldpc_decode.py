"""Decoders against peeling, Bayes' rule, known thresholds and each other."""

import math

import numpy as np
import pytest
import torch
from ldpc_cases import Gaussian, satisfied
from scipy.stats import binomtest

from harness.kit.ldpc import channels
from harness.kit.ldpc import code as ldpc
from harness.kit.ldpc import torch_decoder as ldpc_torch
from harness.kit.ldpc.code import code_from, decode, frame_errors, regular_code

ENGINES = ["numba", "torch"]
ALGORITHMS = ["min_sum", "sum_product"]
DECODERS = [(algorithm, engine) for algorithm in ALGORITHMS for engine in ENGINES]
every_decoder = pytest.mark.parametrize("algorithm, engine", DECODERS)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def random_words(code, count, seed=0):
    return code.encode(torch.randint(2, (count, code.k), generator=generator(seed)))


def irregular_matrix(seed=0):
    """60 checks of 2 to 9 bits on 100 bits, of which some are in many checks and one is in none."""
    rng = np.random.default_rng(seed)
    matrix = np.zeros((60, 100), dtype=np.uint8)
    for row in matrix:
        row[rng.choice(99, rng.integers(2, 10), replace=False)] = 1
    matrix[:20, 7] = 1
    return matrix


@pytest.fixture(scope="module")
def code():
    return regular_code(204, 3, 6, seed=0)


@pytest.fixture(scope="module")
def long_code():
    return regular_code(4002, 3, 6, seed=0)


CODES = {
    "(3,6)": regular_code(204, 3, 6, seed=0),
    "(5,10), 16-bit": regular_code(200, 5, 10, seed=0),
    "irregular": code_from(irregular_matrix()),
    "one check": code_from(np.ones((1, 5))),
    "repetition": code_from(np.eye(5, 6) + np.eye(5, 6, 1)),
    "a bit that is always 0": code_from(np.array([[1, 0, 0], [1, 1, 1]])),
}


@every_decoder
@pytest.mark.parametrize("name", CODES)
def test_nothing_is_lost_at_eps_0(name, algorithm, engine):
    code = CODES[name]
    words = random_words(code, 70)
    decoded = decode(code, channels.bsc_llr(words, 0), 50, algorithm, engine)
    assert torch.equal(decoded.bits, words) and decoded.success.all()
    assert decoded.iterations.max() <= 1


@every_decoder
@pytest.mark.parametrize("name", ["(3,6)", "(5,10), 16-bit", "irregular"])
@pytest.mark.parametrize("eps", [0.02, 0.08, 0.3])
def test_success_means_that_all_checks_are_met(name, eps, algorithm, engine):
    code = CODES[name]
    words = random_words(code, 300)
    decoded = decode(
        code, channels.bsc_llr(channels.bsc(words, eps, generator(1)), eps), 30, algorithm, engine
    )
    assert torch.equal(satisfied(code, decoded.bits), decoded.success)
    assert (decoded.iterations[~decoded.success] == 30).all()
    assert decoded.bits.dtype == torch.uint8 and decoded.bits.max() <= 1


@every_decoder
def test_a_word_does_not_depend_on_its_neighbours(code, algorithm, engine):
    words = random_words(code, 300)
    channel = Gaussian(0.85)
    llr = channel.llr(channel.send(words, generator(1)))
    together = decode(code, llr, 20, algorithm, engine)
    assert together.success.any() and not together.success.all()
    for part in (slice(0, 1), slice(150, 160), slice(100, 300)):
        alone = decode(code, llr[part], 20, algorithm, engine)
        assert torch.equal(alone.bits, together.bits[part])
        assert torch.equal(alone.iterations, together.iterations[part])


def peeled(code, received):
    """What the erasures of each word allow to be known: a check with one erased bit gives that bit."""
    matrix = code.parity_check.float()
    words = received.clone()
    while True:
        erased = (words == channels.ERASED).float()
        parity = torch.where(erased > 0, 0, words).float() @ matrix.T
        alone = (erased @ matrix.T == 1).float()
        solvable = (erased > 0) & (alone @ matrix > 0)
        if not solvable.any():
            return words
        value = (alone * parity.remainder(2)) @ matrix > 0
        words = torch.where(solvable, value.to(words.dtype), words)


@every_decoder
@pytest.mark.parametrize("name", ["(3,6)", "(5,10), 16-bit", "irregular"])
def test_on_erasures_belief_propagation_is_peeling(name, algorithm, engine):
    code = CODES[name]
    words = random_words(code, 200)
    received = channels.bec(words, 0.4, generator(1))
    known = peeled(code, received)
    stuck = (known == channels.ERASED).any(1)
    assert stuck.any() and not stuck.all() and torch.equal(known[~stuck], words[~stuck])
    decoded = decode(code, channels.bec_llr(received), 200, algorithm, engine)
    # Bits that no check can give are 0 here: nothing speaks for 1.
    guess = torch.where(known == channels.ERASED, 0, known)
    failed = ~decoded.success
    assert torch.equal(decoded.bits[failed], guess[failed])
    assert torch.equal(decoded.bits[~stuck], words[~stuck])


@every_decoder
def test_one_check_follows_bayes_rule(algorithm, engine):
    code = CODES["one check"]
    llr = torch.randn(2000, 5, generator=generator()) * 3
    decoded = decode(code, llr, 1, algorithm, engine)
    size, sign = llr.abs(), llr.sign()
    if algorithm == "sum_product":
        others = torch.stack(
            [(llr[:, [j for j in range(5) if j != i]].double() / 2).tanh().prod(1) for i in range(5)]
        )
        total = llr + 2 * others.T.atanh()
    else:
        least = torch.stack([size[:, [j for j in range(5) if j != i]].amin(1) for i in range(5)])
        total = llr + 0.8 * least.T * sign.prod(1, keepdim=True) * sign
    # Whole numbers and float32 may round a total of nearly zero to the other side.
    clear = total.abs() > (0.4 if engine == "numba" and algorithm == "min_sum" else 1e-4)
    assert clear.float().mean() > 0.8
    assert torch.equal(decoded.bits[clear], (total < 0).to(torch.uint8)[clear])


def test_the_torch_rules_are_their_formulas():
    said = torch.randn(4, 7, 11, generator=generator()) * 4
    for rule, scale in ldpc_torch.RULES.values():
        answer, spare, odd = torch.empty_like(said), torch.empty_like(said), torch.empty(7, 11)
        rule(said.clone(), spare, answer, odd)
        for slot in range(4):
            others = said[[s for s in range(4) if s != slot]]
            expected = others.abs().amin(0) * others.sign().prod(0)
            if scale == 2:
                expected = (others.double() / 2).tanh().prod(0).atanh().float()
            torch.testing.assert_close(answer[slot], expected, rtol=1e-4, atol=1e-6)


def test_the_compiled_box_plus_is_its_formula():
    from numba import njit

    from harness.kit.ldpc import lanes
    from harness.kit.ldpc import numba_decoder as ldpc_numba

    @njit
    def apply(a, b, out):
        for row in range(len(a)):
            lanes.store(out, row, ldpc_numba.box_plus(lanes.load(a, row), lanes.load(b, row)))

    a, b = (np.random.default_rng(s).uniform(-20, 20, (500, 16)).astype(np.float32) for s in (0, 1))
    out = np.empty_like(a)
    apply(a, b, out)
    exact = 2 * np.arctanh(np.tanh(a.astype(float) / 2) * np.tanh(b.astype(float) / 2))
    assert np.abs(out - exact).max() < 1e-5


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("channel, below, above", [("bsc", 0.075, 0.093), ("bec", 0.40, 0.46)])
def test_thresholds_of_3_6_codes_are_bracketed(long_code, channel, below, above, engine):
    # Density evolution for sum-product: 0.084 on the BSC, 0.4294 on the BEC.
    def errors(eps):
        words = random_words(long_code, 48)
        received = getattr(channels, channel)(words, eps, generator(1))
        llr = channels.bsc_llr(received, eps) if channel == "bsc" else channels.bec_llr(received)
        decoded = decode(long_code, llr, 100, "sum_product", engine)
        return int((decoded.bits != words).any(1).sum())

    assert errors(below) <= 4 and errors(above) >= 44


def test_all_decoders_err_about_equally_often(code):
    words = random_words(code, 4000)
    channel = Gaussian(0.75)
    llr = channel.llr(channel.send(words, generator(1)))
    rates = {}
    for algorithm, engine in DECODERS:
        decoded = decode(code, llr, 50, algorithm, engine)
        rates[algorithm, engine] = float((decoded.bits != words).any(1).float().mean())
    reference = rates["sum_product", "torch"]
    assert 0.01 < reference < 0.2
    for rate in rates.values():
        # Equal words: the rates differ by far less than independent draws would.
        assert abs(rate - reference) < 0.25 * reference, rates


@every_decoder
def test_no_words_and_infinite_llrs_are_decoded(code, algorithm, engine):
    assert decode(code, torch.zeros(0, code.n), 5, algorithm, engine).bits.shape == (0, code.n)
    words = random_words(code, 3)
    decoded = decode(code, torch.where(words > 0, -math.inf, math.inf), 5, algorithm, engine)
    assert torch.equal(decoded.bits, words)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"llr": torch.zeros(2, 3)}, r"\(B, 204\), not \(2, 3\)"),
        ({"llr": torch.full((1, 204), math.nan)}, "nan"),
        ({"iterations": 0}, "at least 1, not 0"),
        ({"algorithm": "bp"}, "min_sum, sum_product, not 'bp'"),
        ({"engine": "cuda"}, "numba, torch, not 'cuda'"),
        ({"engine": "numba", "llr": torch.zeros(1, 204, device="meta")}, "CPU, not meta"),
    ],
)
def test_bad_arguments_are_named(code, change, message):
    with pytest.raises(ValueError, match=message):
        decode(code, **{"llr": torch.zeros(1, 204), **change})


def test_without_numba_torch_decodes_and_says_so(code, monkeypatch):
    monkeypatch.setattr(ldpc.importlib.util, "find_spec", lambda name: None)
    words = random_words(code, 5)
    with pytest.warns(UserWarning, match="pip install numba"):
        decoded = decode(code, channels.bsc_llr(words, 0.01))
    assert torch.equal(decoded.bits, words)
    with pytest.raises(ValueError, match="pip install numba"):
        decode(code, channels.bsc_llr(words, 0.01), engine="numba")


def test_a_monte_carlo_point_stops_at_enough_errors_or_at_its_budget(code):
    def send(eps, **limits):
        return frame_errors(
            code,
            lambda words: channels.bsc_llr(channels.bsc(words, eps, draws), eps),
            lambda llr: decode(code, llr).bits,
            draws := generator(),
            batch=100,
            **limits,
        )

    hopeless = send(0.4, errors=150, words=10_000)
    assert (hopeless.errors, hopeless.words, hopeless.stopped_by) == (200, 200, "errors")
    clean = send(0.001, errors=150, words=250)
    assert (clean.errors, clean.words, clean.stopped_by, clean.rate) == (0, 300, "words", 0)
    with pytest.raises(ValueError, match="not 0, 10, 100"):
        send(0.1, errors=0, words=10)


def test_the_frame_error_rate_of_an_uncoded_bit_pair_is_known():
    # Two copies of one bit: after one flip the LLRs cancel and a 0 is guessed; after two the word is lost.
    repeat = code_from(np.array([[1, 1]]))
    draws = generator()
    point = frame_errors(
        repeat,
        lambda words: channels.bsc_llr(channels.bsc(words, 0.1, draws), 0.1),
        lambda llr: decode(repeat, llr, 5, "sum_product").bits,
        draws,
        errors=10**9,
        words=20_000,
    )
    interval = binomtest(point.errors, point.words).proportion_ci(0.999)
    assert interval.low < 0.1**2 + 0.1 * 0.9 < interval.high
