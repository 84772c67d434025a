"""Sionna's LDPC decoder: batched belief propagation in torch, on any device; and its 5G codes."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from torch import Tensor

import harness
from harness.studies.coding.decoding import Problem

LARGEST_ON_CPU = 256


@harness.method(task="decoding", cite="Hoydis et al. Sionna: an open-source library. 2022, 2203.11854")
def sionna(
    problem: Problem, run: harness.Run, *, iterations: Annotated[int, "[1, inf)"] = 50
) -> dict[str, Tensor]:
    """Sum-product ("boxplus-phi") with a fixed number of iterations: it has no early stop.

    On a CPU larger batches than 256 are no faster per word, so none is timed there.
    """
    require()
    from sionna.phy.fec.ldpc import LDPCBPDecoder

    checks = problem.code.parity_check.numpy()
    decoder = LDPCBPDecoder(checks, num_iter=iterations, device=problem.device)

    def decode(received: Tensor) -> Tensor:
        return decoder(-problem.channel.llr(received))  # its sign: ln p(1) − ln p(0)

    return problem.measure(decode, run, at_most=largest(problem))


@harness.method(
    task="decoding", cite="3GPP TS 38.212; Hoydis et al. Sionna: an open-source library. 2022, 2203.11854"
)
def sionna_5g(
    problem: Problem, run: harness.Run, *, iterations: Annotated[int, "[1, inf)"] = 50
) -> dict[str, Tensor]:
    """The 5G code of the same length and rate 1/2: slower, and far better at the same noise."""
    require()
    from sionna.phy.fec.ldpc import LDPC5GDecoder, LDPC5GEncoder

    encoder = LDPC5GEncoder(problem.code.n // 2, problem.code.n, device="cpu")
    decoder = LDPC5GDecoder(encoder, num_iter=iterations, return_infobits=False, device=problem.device)

    def decode(received: Tensor) -> Tensor:
        return decoder(-problem.channel.llr(received))

    code = Code5G(encoder, problem.code.n // 2)
    return problem.measure(decode, run, at_most=largest(problem), code=code)


@dataclass(frozen=True)
class Code5G:
    """The encoder as the task wants it."""

    encoder: Any
    k: int

    def encode(self, bits: Tensor) -> Tensor:
        return self.encoder(bits.float()).to(torch.uint8)


def largest(problem: Any) -> int | None:
    """The largest batch that is timed."""
    return LARGEST_ON_CPU if problem.device == "cpu" else None


def require() -> None:
    """Skip the cell where Sionna is missing."""
    if importlib.util.find_spec("sionna") is None:
        raise harness.Skip("the package sionna is not installed; pip install 'harness[ldpc]'")
