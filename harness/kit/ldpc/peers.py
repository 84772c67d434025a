"""Other people's LDPC decoders, for comparison, behind one interface: LLRs (B, n) in, hard decisions out.

Each function takes a code and builds its decoder once. LLRs are ln p(received | 0) − ln p(received | 1), on
the CPU. A library that is not installed raises PeerMissing, which says how to install it.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable
from types import ModuleType

import numpy as np
import torch
from torch import Tensor

from harness.kit.ldpc.code import Code

Decoder = Callable[[Tensor], Tensor]

INSTALL = {
    "ldpc": "pip install ldpc==2.4.1",
    "pyldpc": "pip install setuptools wheel && pip install --no-build-isolation pyldpc==0.7.9",
    "sionna": "pip install sionna-no-rt==2.2.0",
}
# pyldpc's tanh is exactly ±1 beyond, and it then takes a message of ±1 for one that should be without bound.
PYLDPC_LLR = 20.0
SIONNA_BLOCK = 256


class PeerMissing(ImportError):
    """A library to compare with is not installed."""


def peer(module: str) -> ModuleType:
    """Import `module`; PeerMissing names the command that installs its library."""
    library = module.partition(".")[0]
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise PeerMissing(f"{library} cannot be imported ({error}); {INSTALL[library]}") from error


def pyldpc_decoder(code: Code, iterations: int = 50) -> Decoder:
    """pyldpc 0.7.9, sum-product in float64, flooding, one word a call; regular codes only.

    One word a call because its batches give wrong answers: it iterates until every word of a batch is done
    and ruins those that already were. It knows Gaussian channels only and doubles y at 0 dB, so y = LLR/2.
    """
    pyldpc = peer("pyldpc")
    matrix = code.parity_check.numpy().astype(int)
    for what, counts in (("bits", matrix.sum(0)), ("checks", matrix.sum(1))):
        if np.ptp(counts):
            raise ValueError(
                f"pyldpc decodes regular codes only; here {what} have {counts.min()} to {counts.max()} edges"
            )

    def decode(llr: Tensor) -> Tensor:
        received = llr.clamp(-PYLDPC_LLR, PYLDPC_LLR).double().numpy() / 2
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # one for each word that does not converge
            words = [pyldpc.decode(matrix, y, snr=0, maxiter=iterations) for y in received]
        return torch.from_numpy(np.stack(words)).to(torch.uint8)

    return decode


def ldpc_decoder(code: Code, iterations: int = 50) -> Decoder:
    """`ldpc` 2.4.1 (C++), min-sum scaled by 0.8, flooding, one word a call.

    Its default scale, 1, fails on every word of a binary symmetric channel near the limit. The channel is
    told once a batch where all LLRs have one size, as on that channel, and once a word elsewhere.
    """
    from scipy.sparse import csr_matrix

    decoder = peer("ldpc.bp_decoder").BpDecoder(
        csr_matrix(code.parity_check.numpy()),
        error_rate=0.1,
        max_iter=iterations,
        bp_method="minimum_sum",
        ms_scaling_factor=0.8,
        input_vector_type="received_vector",
    )

    def decode(llr: Tensor) -> Tensor:
        received = (llr < 0).to(torch.uint8).numpy()
        flips = torch.sigmoid(-llr.double().abs()).numpy()
        alike = bool((flips == flips[0, 0]).all())
        decoder.update_channel_probs(flips[0])
        words = np.empty_like(received)
        for word, bits in enumerate(received):
            if not alike:
                decoder.update_channel_probs(flips[word])
            words[word] = decoder.decode(bits)
        return torch.from_numpy(words)

    return decode


def sionna_decoder(code: Code, iterations: int = 50) -> Decoder:
    """Sionna 2.2.0 (PyTorch), sum-product by its φ, flooding, blocks of 256 words, always all iterations."""
    decoder = peer("sionna.phy.fec.ldpc").LDPCBPDecoder(
        code.parity_check.numpy(), cn_update="boxplus-phi", num_iter=iterations, device="cpu"
    )

    @torch.no_grad()
    def decode(llr: Tensor) -> Tensor:
        # Sionna's LLRs are ln p(1)/p(0).
        return torch.cat([decoder(-block) for block in llr.split(SIONNA_BLOCK)]).to(torch.uint8)

    return decode
