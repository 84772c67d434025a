"""Our decoders and other people's on the same words. A peer that is not installed skips its tests."""

import numpy as np
import pytest
import torch

from harness.kit.ldpc import channels
from harness.kit.ldpc import peers as ldpc_peers
from harness.kit.ldpc.code import Code, code_from, decode, regular_code
from harness.kit.ldpc.peers import PeerMissing, ldpc_decoder, pyldpc_decoder, sionna_decoder

PEERS = {"pyldpc": pyldpc_decoder, "ldpc": ldpc_decoder, "sionna": sionna_decoder}
every_peer = pytest.mark.parametrize("name", PEERS)


def build(name, code, iterations=50):
    try:
        return PEERS[name](code, iterations)
    except PeerMissing as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="module")
def code() -> Code:
    return regular_code(204, 3, 6, seed=0)


def sent_and_llr(code, channel, level, count, seed=0):
    draws = torch.Generator().manual_seed(seed)
    words = code.encode(torch.randint(2, (count, code.k), generator=draws))
    if channel == "bsc":
        return words, channels.bsc_llr(channels.bsc(words, level, draws), level)
    if channel == "bec":
        return words, channels.bec_llr(channels.bec(words, level, draws))
    return words, channels.awgn_llr(channels.awgn(words, level, draws), level)


@every_peer
@pytest.mark.parametrize("channel, level", [("bsc", 0.02), ("bec", 0.25), ("awgn", 0.55)])
def test_word_by_word_agreement_away_from_the_threshold(code, name, channel, level):
    words, llr = sent_and_llr(code, channel, level, 60)
    assert not torch.equal((llr < 0).to(torch.uint8), words)
    theirs = build(name, code)(llr)
    for engine in ("numba", "torch"):
        for algorithm in ("min_sum", "sum_product"):
            assert torch.equal(decode(code, llr, 50, algorithm, engine).bits, theirs)


@every_peer
def test_near_the_threshold_no_peer_is_much_better(code, name):
    words, llr = sent_and_llr(code, "bsc", 0.06, 150)
    theirs = (build(name, code)(llr) != words).any(1)
    ours = (decode(code, llr).bits != words).any(1)
    # Most failures are of the word, not of the decoder: on equal words the counts differ by a few.
    assert 5 <= theirs.sum() <= 60 and ours.sum() <= theirs.sum() + 6


@pytest.mark.filterwarnings("ignore:Decoding stopped before convergence")
def test_pyldpc_decodes_wrongly_in_batches():
    """Why pyldpc is given one word at a time: words that it decodes alone fail in company."""
    code = regular_code(204, 3, 6, seed=0)
    words, llr = sent_and_llr(code, "bsc", 0.03, 100)
    alone = (build("pyldpc", code)(llr) != words).any(1)
    import pyldpc

    y = llr.T.double().numpy() / 2
    batch = pyldpc.decode(code.parity_check.numpy().astype(int), y, snr=0, maxiter=50).T
    together = (torch.from_numpy(batch) != words).any(1)
    assert alone.sum() <= 2 and together.sum() >= 15


def test_pyldpc_refuses_an_irregular_code():
    code = code_from(np.array([[1, 1, 0, 0], [0, 1, 1, 1]]))
    try:
        with pytest.raises(ValueError, match="regular codes only; here bits have 1 to 2"):
            pyldpc_decoder(code)
    except PeerMissing as missing:
        pytest.skip(str(missing))


@every_peer
def test_a_missing_peer_says_how_to_install_it(code, name, monkeypatch):
    def absent(module):
        raise ImportError(f"No module named {module!r}")

    monkeypatch.setattr(ldpc_peers.importlib, "import_module", absent)
    with pytest.raises(PeerMissing, match=rf"No module named '{name}.*pip install .*{name}"):
        PEERS[name](code)
