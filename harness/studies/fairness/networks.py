"""Many small networks of one shape that learn at once: each parameter has a leading axis for the run.

A single run costs mostly the time to start its operations, and a batched matrix product starts R of them at
the price of one. All runs of a stack start from the same weights, as runs one by one at one seed would.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

NARROW = 16
"""Columns below which a batched product is slow (measured with MKL on x86)."""


class Networks:
    """R networks of dense layers with softplus between: x (R, B, in), or (B, in) for all, -> (R, B, out).

    `parameters`, weights (R, in, out) and biases (R, 1, out) in turn, are views of the single vector `flat`,
    so that an optimiser touches one tensor.
    """

    def __init__(self, starts: Sequence[Tensor]) -> None:
        self.flat = torch.cat([start.detach().flatten() for start in starts])
        parts = self.flat.split([start.numel() for start in starts])
        self.parameters = [
            part.view_as(start).requires_grad_() for part, start in zip(parts, starts, strict=True)
        ]

    @classmethod
    def drawn(cls, runs: int, sizes: Sequence[int], generator: torch.Generator, like: Tensor) -> Networks:
        """Networks with layers of `sizes`: Glorot uniform weights, the same for all runs, and zero biases."""
        starts = []
        for below, above in pairwise(sizes):
            limit = math.sqrt(6 / (below + above))
            weight = (2 * torch.rand(below, above, generator=generator) - 1) * limit
            starts += [weight.expand(runs, -1, -1).to(like), like.new_zeros(runs, 1, above)]
        return cls(starts)

    def select(self, first: int, count: int) -> Networks:
        """A copy of some of the networks."""
        return Networks([parameter[first : first + count] for parameter in self.parameters])

    def __call__(self, x: Tensor) -> Tensor:
        x = x.expand(len(self.parameters[0]), *x.shape[-2:])
        for index in range(0, len(self.parameters), 2):
            weight, bias = self.parameters[index : index + 2]
            x = _Dense.apply(F.softplus(x) if index else x, weight, bias)
        return x


class _Dense(torch.autograd.Function):
    """x @ weight + bias, and its derivatives, with each product the right way round (see `_product`)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _product(x, weight).add_(bias)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
        (slope,) = slopes
        x, weight = ctx.saved_tensors
        below = _product(slope, weight.mT) if ctx.needs_input_grad[0] else None
        return below, _product(x.mT, slope), slope.sum(1, keepdim=True)


def _product(a: Tensor, b: Tensor) -> Tensor:
    """a @ b, batched; the other way round where b has few columns: that is up to ten times as fast."""
    if b.shape[-1] < NARROW:
        return torch.bmm(b.mT, a.mT).mT
    return torch.bmm(a, b)


class Adam:
    """Adam (Kingma and Ba 2015) on the parameters of some stacks of networks.

    torch's own optimiser spends several times as long on bookkeeping as on such small networks.
    """

    def __init__(self, networks: Sequence[Networks], beta1: float, beta2: float = 0.999) -> None:
        self.flats = [network.flat for network in networks]
        self.beta1, self.beta2, self.steps = beta1, beta2, 0
        self.means = [torch.zeros_like(flat) for flat in self.flats]
        self.squares = [torch.zeros_like(flat) for flat in self.flats]

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor], rate: float) -> None:
        """Descend along `gradients`, one for each parameter of the networks in their order."""
        self.steps += 1
        unbias = math.sqrt(1 - self.beta2**self.steps)
        scale = rate * unbias / (1 - self.beta1**self.steps)
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        parts = flat.split([len(own) for own in self.flats])
        for own, gradient, mean, square in zip(self.flats, parts, self.means, self.squares, strict=True):
            mean.lerp_(gradient, 1 - self.beta1)
            square.mul_(self.beta2).addcmul_(gradient, gradient, value=1 - self.beta2)
            own.addcdiv_(mean, square.sqrt().add_(1e-8 * unbias), value=-scale)
