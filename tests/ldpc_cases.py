"""What tests of LDPC codes share: Gaussian noise, which no study has, and the baselines' decoders."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import method_files
import torch
from torch import Tensor

from harness.kit.ldpc.code import Code

PEERS = {"pyldpc": "pyldpc", "ldpc": "ldpc_package", "sionna": "sionna"}
"""Other people's decoders: the package and its baseline."""


@dataclass(frozen=True)
class Gaussian:
    """1 − 2·bit plus noise of standard deviation `sigma`, with the methods of the coding study's channels."""

    sigma: float
    kind: str = "gaussian"

    def send(self, bits: Tensor, generator: torch.Generator) -> Tensor:
        return 1 - 2 * bits.float() + self.sigma * torch.randn(bits.shape, generator=generator)

    def llr(self, received: Tensor) -> Tensor:
        return received * (2 / self.sigma**2)


def satisfied(code: Code, words: Tensor) -> Tensor:
    """Which of the words (B, n) meet every check: (B,) bool."""
    return ((words.float() @ code.parity_check.float().T).remainder(2) == 0).all(1)


def decoder_of(package: str, code: Code, channel: Any, **parameters: Any) -> Callable[[Tensor], Tensor]:
    """The decoder that the package's baseline has measured, from what is received to bits.

    Raises harness.Skip as the baseline does: where the package is missing or decodes no such channel.
    """
    baseline = getattr(method_files.load("baselines", PEERS[package]), PEERS[package])
    given = {"code": code, "channel": channel, "device": "cpu", "measure": lambda decode, run, **_: decode}
    decode = baseline(SimpleNamespace(**given), None, **parameters)
    return lambda received: decode(received).to(torch.uint8)
