"""Binary channels: what arrives, what it says about each bit, and how many bits can get through.

Bits are tensors of 0 and 1, of any shape and any number type. A log-likelihood ratio (LLR) is
ln p(received | 0) − ln p(received | 1), in nats: positive speaks for 0. LLRs are cut at ±CERTAIN.
For a fixed generator state, a noisier channel changes a superset of the bits a quieter one changes.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

ERASED = 2
# A bit received without doubt: e^-30 is far below any error rate that can be simulated.
CERTAIN = 30.0


def check_flip(eps: float) -> None:
    """A binary symmetric channel flips with probability eps in [0, 0.5]."""
    if not 0 <= eps <= 0.5:
        raise ValueError(f"the flip probability eps of a binary symmetric channel is in [0, 0.5], not {eps}")


def check_erasure(eps: float) -> None:
    """A binary erasure channel erases with probability eps in [0, 1]."""
    if not 0 <= eps <= 1:
        raise ValueError(f"the erasure probability eps of a binary erasure channel is in [0, 1], not {eps}")


def draws(like: Tensor, generator: torch.Generator) -> Tensor:
    """Uniform numbers in [0, 1), one per element of `like`, on its device."""
    return torch.rand(like.shape, generator=generator, device=like.device)


def bsc(bits: Tensor, eps: float, generator: torch.Generator) -> Tensor:
    """The bits after a binary symmetric channel: each is flipped with probability eps in [0, 0.5]."""
    check_flip(eps)
    return torch.where(draws(bits, generator) < eps, 1 - bits, bits)


def bec(bits: Tensor, eps: float, generator: torch.Generator) -> Tensor:
    """The symbols after a binary erasure channel: each bit becomes 2 with probability eps in [0, 1]."""
    check_erasure(eps)
    return bits.masked_fill(draws(bits, generator) < eps, ERASED)


def bsc_llr(received: Tensor, eps: float) -> Tensor:
    """±ln((1 − eps)/eps) for received bits, as float32; 0 where eps is 0.5."""
    check_flip(eps)
    strength = CERTAIN if eps == 0 else min(CERTAIN, math.log1p(-eps) - math.log(eps))
    return strength * (1 - 2 * received.float())


def bec_llr(received: Tensor) -> Tensor:
    """+CERTAIN for a received 0, −CERTAIN for a 1, nothing for an erasure (2), as float32."""
    return torch.where(received == ERASED, 0.0, CERTAIN * (1 - 2 * received.float()))


def capacity_bsc(eps: float) -> float:
    """1 − H₂(eps), bits per channel use."""
    check_flip(eps)
    if eps == 0:
        return 1.0
    # With d = 1 − 2 eps this form keeps its accuracy near eps = 0.5, where 1 − H₂ loses all digits.
    d = 1 - 2 * eps
    return ((1 + d) * math.log1p(d) + (1 - d) * math.log1p(-d)) / (2 * math.log(2))


def capacity_bec(eps: float) -> float:
    """1 − eps, bits per channel use."""
    check_erasure(eps)
    return 1.0 - eps
