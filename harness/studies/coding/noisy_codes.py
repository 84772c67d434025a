"""Bits that an encoder proposes, as the receiver sees them: the channel's noise summed out in closed form.

A code bit is 1 with probability p = σ(logit), independently of the others. Behind a binary symmetric
channel that flips with probability ε the received bit is 1 with probability p − 2pε + ε; behind an erasure
channel it is erased with probability ε, written 2, and else unchanged (Choi et al., ICML 2019, 1811.07557).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from harness.kit.ldpc import channels, limits
from harness.kit.ldpc.channels import ERASED


@dataclass(frozen=True)
class BinaryChannel:
    """The binary symmetric channel ("bsc") or the erasure channel ("bec") with noise `eps` in [0, 0.5]."""

    kind: Literal["bsc", "bec"]
    eps: float

    def __post_init__(self) -> None:
        if not 0.0 <= self.eps <= 0.5:
            raise ValueError(f"eps is {self.eps}: the noise of a channel here lies in [0, 0.5]")

    @property
    def capacity(self) -> float:
        """Bits that get through per bit sent."""
        return channels.capacity_bsc(self.eps) if self.kind == "bsc" else channels.capacity_bec(self.eps)

    def message_bits(self, n: int, failing: float) -> float:
        """The most bits that n uses carry if a share `failing` of blocks may be wrong (an approximation)."""
        most = limits.message_bits_bsc if self.kind == "bsc" else limits.message_bits_bec
        return most(n, self.eps, failing)

    def send(self, bits: Tensor, generator: torch.Generator) -> Tensor:
        """What arrives of `bits` (any shape, 0 and 1): 0, 1 and, behind the BEC, 2 for erased."""
        transmit = channels.bsc if self.kind == "bsc" else channels.bec
        return transmit(bits.to(generator.device), self.eps, generator).to(bits.device)

    def llr(self, received: Tensor) -> Tensor:
        """What each received symbol says of its bit: ln p(received | 0) − ln p(received | 1)."""
        return channels.bsc_llr(received, self.eps) if self.kind == "bsc" else channels.bec_llr(received)


class NoisyCode:
    """q(y | x) of the received symbols y, for `logits` (B, m) of the code bits."""

    def __init__(self, logits: Tensor, channel: BinaryChannel) -> None:
        self.logits, self.channel, self.eps = logits, channel, channel.eps

    def probabilities(self) -> Tensor:
        """The probability of each symbol: (B, m, 2) behind the BSC, (B, m, 3) behind the BEC."""
        one = torch.sigmoid(self.logits)
        if self.channel.kind == "bsc":
            one = one - 2 * one * self.eps + self.eps
            return torch.stack([1 - one, one], dim=-1)
        kept = 1 - self.eps
        return torch.stack([(1 - one) * kept, one * kept, torch.full_like(one, self.eps)], dim=-1)

    @torch.no_grad()
    def sample(self, generator: torch.Generator, k: int) -> Tensor:
        """k received words per datum, (k, B, m): symbols 0, 1 and, behind the BEC, 2 for erased."""
        share = self.probabilities()
        uniform = torch.rand((k, *self.logits.shape), generator=generator, dtype=share.dtype).to(share.device)
        symbols = (uniform < share[..., 1]).to(share.dtype)
        if self.channel.kind == "bsc":
            return symbols
        return symbols.masked_fill(uniform >= 1 - self.eps, ERASED)

    def log_prob(self, y: Tensor) -> Tensor:
        """ln q(y | x) in nats, (k, B) for words y (k, B, m) that can have been sampled here."""
        agreeing = (2 * y - 1) * self.logits
        if self.channel.kind == "bsc":
            return (self.eps + (1 - 2 * self.eps) * torch.sigmoid(agreeing)).log().sum(-1)
        erased = math.log(self.eps) if self.eps else 0.0
        kept = math.log1p(-self.eps) + F.logsigmoid(agreeing)
        return torch.where(y == ERASED, erased, kept).sum(-1)


def straight_through(logits: Tensor, channel: BinaryChannel, generator: torch.Generator) -> Tensor:
    """One received word per datum (B, m), differentiable as if it were its mean (Bengio et al. 2013).

    The backward pass puts the mean of the received bit in place of the bit; an erased one has no gradient.
    """
    code = NoisyCode(logits, channel)
    symbols = code.sample(generator, 1)[0]
    kept = symbols != ERASED
    mean = code.probabilities()[..., 1] * kept
    return symbols + (mean - mean.detach())
