"""People as rows (x, u, y), minibatches of them, and the slices on which a notion of fairness is judged."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

SLICES = 3
"""All rows, the rows with y = 0, and the rows with y = 1; each has an adversary of its own."""


class Rows(NamedTuple):
    """What is known of N people: features x (N, D), groups u (N, K) one-hot, labels y (N,) of 0 and 1.

    All are of one floating type and on one device.
    """

    x: Tensor
    u: Tensor
    y: Tensor

    @property
    def bits(self) -> Tensor:
        """u as K − 1 bits (N, K − 1); group 0 sets none. With two groups this is u itself."""
        return self.u[..., 1:]

    def take(self, index: Tensor) -> Rows:
        """The rows at `index`."""
        return Rows(self.x[index], self.u[index], self.y[index])

    def split(self, size: int) -> Iterator[Rows]:
        """Consecutive pieces of at most `size` rows."""
        for parts in zip(self.x.split(size), self.u.split(size), self.y.split(size), strict=True):
            yield Rows(*parts)


class Batch(NamedTuple):
    """B rows, and what turns log-probabilities of their groups into means over slices.

    `shares` (3, B, K) averages ln p(u|z) of the true groups over the rows on which each adversary learns;
    `slices` (3, B) are the weights of the rows in each slice, and `ratio` (3, B) is a row's weight there over
    its weight in learning. `prior` (3,) is the mean of ln p(u) over each slice.
    """

    rows: Rows
    slices: Tensor
    shares: Tensor
    ratio: Tensor
    prior: Tensor


@dataclass(frozen=True)
class Notion:
    """How the slices are treated: ln p(u) on each of them (3, K), and whether adversaries are `masked`.

    The paper subtracts ln p(u | y) on the slices of y and trains each adversary on its own slice. The
    released code (ermongroup/lag-fairness) subtracts ln p(u) everywhere and trains every adversary on all
    rows.
    """

    log_shares: Tensor
    masked: bool

    @classmethod
    def of(cls, rows: Rows, released: bool) -> Notion:
        """Shares of the groups among `rows`. Raises ValueError where a slice lacks a group."""
        slices = membership(rows.y)
        shares = slices @ rows.u / slices.sum(1, keepdim=True)
        if not (shares > 0).all():
            missing = [f"u = {k} with y = {s - 1}" for s, k in (~(shares > 0)).nonzero().tolist() if s]
            raise ValueError(
                f"every group needs training rows of every label; there are none of {', '.join(missing)}"
            )
        return cls((shares[:1].expand(SLICES, -1) if released else shares).log(), masked=not released)

    def entropy(self) -> float:
        """H(u) in nats."""
        return -float((self.log_shares[0].exp() * self.log_shares[0]).sum())

    def batches(self, rows: Rows, size: int) -> Iterator[Batch]:
        """`rows` in whole batches of `size`; a slice that has no rows in a batch weighs nothing there."""
        whole = len(rows.y) - len(rows.y) % size
        x, u, y = (part[:whole].unflatten(0, (-1, size)) for part in rows)
        slices = membership(y).movedim(0, 1)
        slices = slices / slices.sum(-1, keepdim=True).clamp(min=1)
        learn = slices if self.masked else torch.full_like(slices, 1 / size)
        ratio = torch.where(learn > 0, slices / learn, 0)
        shares = learn.unsqueeze(-1) * u.unsqueeze(1)
        prior = torch.einsum("nsb,nbk,sk->ns", slices, u, self.log_shares)
        for parts in zip(x, u, y, slices, shares, ratio, prior, strict=True):
            yield Batch(Rows(*parts[:3]), *parts[3:])


def membership(y: Tensor) -> Tensor:
    """Which labels y (...) belong to which slice (3, ...), as 0 and 1."""
    return torch.stack([torch.ones_like(y), 1 - y, y])


def minibatches(rows: Rows, notion: Notion, size: int, order: torch.Generator) -> Iterator[Batch]:
    """Endless minibatches of `size` rows, shuffled anew in each pass; what is left of a pass is dropped.

    `order` is a CPU generator, so that all devices see the same order.
    """
    if not 0 < size <= len(rows.y):
        raise ValueError(f"batch: {size} is not between 1 and {len(rows.y)}, all training rows")
    while True:
        shuffled = torch.randperm(len(rows.y), generator=order).to(rows.x.device)
        yield from notion.batches(rows.take(shuffled), size)
