"""Our decoders and other people's, as the baselines call them, on the same words."""

import pytest
import torch
from ldpc_cases import PEERS, Gaussian, decoder_of

import harness
from harness.kit.ldpc.code import Code, decode, regular_code
from harness.studies.coding.noisy_codes import BinaryChannel

every_peer = pytest.mark.parametrize("name", PEERS)


def build(name, code, channel, **parameters):
    try:
        return decoder_of(name, code, channel, **parameters)
    except harness.Skip as skip:
        pytest.skip(str(skip))


@pytest.fixture(scope="module")
def code() -> Code:
    return regular_code(204, 3, 6, seed=0)


def sent_and_received(code, channel, count):
    draws = torch.Generator().manual_seed(0)
    words = code.encode(torch.randint(2, (count, code.k), generator=draws))
    return words, channel.send(words, draws)


@pytest.mark.parametrize(
    "name, channel",
    [
        (name, channel)
        for name in PEERS
        for channel in (BinaryChannel("bsc", 0.02), BinaryChannel("bec", 0.25), Gaussian(0.55))
        if name != "ldpc" or channel.kind == "bsc"
    ],
)
def test_word_by_word_agreement_away_from_the_threshold(code, name, channel):
    words, received = sent_and_received(code, channel, 60)
    llr = channel.llr(received)
    assert not torch.equal((llr < 0).to(torch.uint8), words)
    theirs = build(name, code, channel)(received)
    for engine in ("numba", "torch"):
        for algorithm in ("min_sum", "sum_product"):
            assert torch.equal(decode(code, llr, 50, algorithm, engine).bits, theirs)


@every_peer
def test_near_the_threshold_no_peer_is_much_better(code, name):
    channel = BinaryChannel("bsc", 0.06)
    words, received = sent_and_received(code, channel, 150)
    theirs = (build(name, code, channel)(received) != words).any(1)
    ours = (decode(code, channel.llr(received)).bits != words).any(1)
    # Most failures are of the word, not of the decoder: on equal words the counts differ by a few.
    assert 5 <= theirs.sum() <= 60 and ours.sum() <= theirs.sum() + 6


@pytest.mark.filterwarnings("ignore:Decoding stopped before convergence")
def test_pyldpc_decodes_wrongly_in_batches(code):
    """Why pyldpc is given one word at a time: words that it decodes alone fail in company."""
    channel = BinaryChannel("bsc", 0.03)
    words, received = sent_and_received(code, channel, 100)
    alone, together = (
        (build("pyldpc", code, channel, batched=batched)(received) != words).any(1).sum()
        for batched in (False, True)
    )
    assert alone <= 2 and together >= 15
