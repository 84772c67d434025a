"""Finished schemes at work: from images to channel bits, and from what arrives to what it says of them.

A scheme has `encode(x, generator)` -> words (B, m) of 0 and 1, `correct(received)` -> code bits, which undoes
what a channel code can, and `reconstruct(code bits)` -> logits (B, D) of the pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor

from harness.kit.ldpc.matched import MatchedCode, matched_code
from harness.studies.coding.networks import CodeNetworks
from harness.studies.coding.noisy_codes import BinaryChannel


class Scheme(Protocol):
    """What the score needs."""

    def encode(self, x: Tensor, generator: torch.Generator) -> Tensor: ...

    def correct(self, received: Tensor) -> Tensor: ...

    def reconstruct(self, words: Tensor) -> Tensor: ...


class LearnedCode:
    """Trained networks; the channel's symbols go into the decoder as they arrive."""

    def __init__(self, networks: CodeNetworks) -> None:
        self.networks = networks

    def encode(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Code bits drawn from the encoder, as in training."""
        share = torch.sigmoid(self.networks.logits(x))
        return (torch.rand(share.shape, generator=generator).to(share.device) < share).to(x.dtype)

    def correct(self, received: Tensor) -> Tensor:
        return received

    def reconstruct(self, words: Tensor) -> Tensor:
        return self.networks.decode(words)


class ProtectedCode(LearnedCode):
    """Trained networks that know no noise, their bits inside an LDPC code: 50 sum-product iterations.

    A block that comes out wrong is used as it is: the image is damaged, not lost.
    """

    def __init__(self, networks: CodeNetworks, code: MatchedCode, channel: BinaryChannel) -> None:
        super().__init__(networks)
        self.code, self.channel = code, channel

    def encode(self, x: Tensor, generator: torch.Generator) -> Tensor:
        return self.code.encode(super().encode(x, generator)).to(x.dtype)

    def correct(self, received: Tensor) -> Tensor:
        return self.code.decode(self.channel.llr(received)).to(received.dtype)


class Uncoded:
    """The pixels themselves as bits; the receiver weighs each with how often that pixel is 1.

    For independent pixels that are 1 with probability `prior` (D,) this is the best receiver there is.
    """

    def __init__(self, prior: Tensor, channel: BinaryChannel) -> None:
        self.prior, self.channel = prior.clamp(1e-6, 1 - 1e-6), channel

    def encode(self, x: Tensor, generator: torch.Generator) -> Tensor:
        return x

    def correct(self, received: Tensor) -> Tensor:
        return received

    def reconstruct(self, words: Tensor) -> Tensor:
        return self.prior.logit() - self.channel.llr(words)


def restore(arrays: Mapping[str, Tensor], channel: BinaryChannel) -> Scheme:
    """The scheme that a method left in `arrays`: a prior, or networks, which may have a matched code's
    (n, k) beside them under the name `ldpc`."""
    if "prior" in arrays:
        return Uncoded(arrays["prior"], channel)
    networks = CodeNetworks.restore(arrays)
    if "ldpc" not in arrays:
        return LearnedCode(networks)
    return ProtectedCode(networks, matched_code(*arrays["ldpc"].tolist()), channel)
