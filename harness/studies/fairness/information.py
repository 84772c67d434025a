"""How much a stochastic code z ~ q(z | x, u) tells of x, given u: three estimates of I(x; z | u), in nats.

All are E ln q(z | x, u) − E ln q̂(z | u) over held-out rows, with a density q̂ of the codes of each group.
Whatever q̂ is, the expectation is I(x; z | u) + KL(q(z | u) ‖ q̂): never too small, and too large by the
misfit of q̂. So the smallest is the closest.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from harness.studies.fairness.networks import Adam, Networks

TINY = 1e-8
"""Variance lent to kernels, so that codes which lie in a plane have a density at all."""
SMALLEST = 1e-300
"""Of a density, relative to the nearest row's: the code is then far from all rows of the group."""
CHUNK = 500
"""Rows that are held against all codes at once."""
COMPONENTS, HIDDEN = 6, 48
FIT_BATCH, LOOK = 256, 50
HELD_BACK = 0.1
"""The share of the training rows that tells when to stop."""


class Codes(NamedTuple):
    """Codes of N rows: mean and scale of q(z | x, u) and one draw z (each N, d), groups u (N,).

    Where a code has no density its scale is 0 and its mean is z.
    """

    mean: Tensor
    scale: Tensor
    z: Tensor
    u: Tensor

    def take(self, index: Tensor) -> Codes:
        """Some of the rows."""
        return Codes(*(part[index] for part in self))

    def draw(self, count: int, generator: torch.Generator) -> Codes:
        """`count` fresh draws, of all rows in turn."""
        index = torch.arange(count) % len(self.u)
        some = self.take(index)
        noise = torch.randn(some.mean.shape, generator=generator)
        return some._replace(z=torch.addcmul(some.mean, some.scale, noise))

    def log_density(self) -> Tensor:
        """ln q(z | x, u) (N,)."""
        return normal_log_density((self.z - self.mean) / self.scale) - self.scale.log().sum(1)

    def rate(self) -> Tensor:
        """KL(q(z | x, u) ‖ N(0, I)) per row (N,), exact: its mean is C1."""
        return (0.5 * (self.mean.square() + self.scale.square() - 1) - self.scale.log()).sum(1)


def normal_log_density(z: Tensor) -> Tensor:
    """ln N(z; 0, I), summed over the last axis."""
    return -0.5 * (z.square() + math.log(2 * math.pi)).sum(-1)


def kernel_information(train: Codes, test: Codes) -> Tensor:
    """ln q(z | x, u) − ln q̂(z | u) of each test row (N,), q̂ a kernel estimate per group.

    As the authors of L-MIFR do it: normal kernels on the training codes, their covariance that of the group
    times the square of Silverman's factor (n (d + 2) / 4)^(−1 / (d + 4)); that of `scipy.stats.gaussian_kde`.
    """
    density = torch.empty(len(test.z))
    for group in test.u.unique():
        here = test.u == group
        density[here] = _kernel_log_density(train.z[train.u == group], test.z[here])
    return test.log_density() - density


def _kernel_log_density(centres: Tensor, points: Tensor) -> Tensor:
    n, d = centres.shape
    bandwidth = (n * (d + 2) / 4) ** (-1 / (d + 4))
    spread = centres.T.cov().double() + TINY * torch.eye(d, dtype=torch.float64)
    root = torch.linalg.cholesky(spread).to(centres.dtype) * bandwidth
    middle = centres.mean(0)
    a = torch.linalg.solve_triangular(root, (points - middle).T, upper=False).T
    b = torch.linalg.solve_triangular(root, (centres - middle).T, upper=False).T
    constant = math.log(n) + root.diagonal().log().sum() + d / 2 * math.log(2 * math.pi)
    found = []
    for part in a.split(CHUNK):
        closeness = torch.addmm(-0.5 * b.square().sum(1), part, b.T)
        nearest = closeness.amax(1, keepdim=True)
        total = closeness.sub_(nearest).exp_().sum(1).log_()
        found.append(total + nearest.squeeze(1) - 0.5 * part.square().sum(1))
    return torch.cat(found) - constant


def mixture_log_density(train: Codes, z: Tensor, parts: Tensor) -> Tensor:
    """ln q̂(z) (N, P) of codes z (N, d) under P mixtures of the training rows' own posteriors.

    `parts` (M, P) of 0 and 1 says which of the M rows each mixture has. With the groups one-hot this is
    ln q̂(z | u): the aggregate posterior of the training rows itself, with nothing to smooth.
    """
    precision = train.scale.double().square().reciprocal()
    weighted = (train.mean * precision).T
    constant = -0.5 * (train.mean * weighted.T).sum(1) - train.scale.double().log().sum(1)
    shift = train.z.shape[1] / 2 * math.log(2 * math.pi) + parts.sum(0).log()
    found = []
    for part in z.double().split(CHUNK):
        closeness = torch.addmm(constant, part, weighted).addmm_(part.square(), precision.T, alpha=-0.5)
        nearest = closeness.amax(1, keepdim=True)
        closeness.sub_(nearest).exp_()
        found.append((closeness @ parts.double()).clamp(min=SMALLEST).log() + nearest)
    return torch.cat(found) - shift


def neural_information(train: Codes, test: Codes, steps: int, generator: torch.Generator) -> Tensor:
    """ln q(z | x, u) − ln q̂(z | u) of each test row (N,), q̂ an autoregressive network.

    Each dimension is a mixture of normals whose parameters are a network of the dimensions before it and of
    the group (as in RNADE, Uria et al. 2013, 1306.0186), trained by maximum likelihood on fresh draws from
    the training codes for `steps` updates; of the looks at rows held back the best is kept. It starts as
    one normal with the codes' moments, so what it finds is, but for chance, not above that normal's misfit:
    not above C1.
    """
    order = torch.randperm(len(train.z), generator=generator)
    held = max(1, int(HELD_BACK * len(order)))
    own, held_back = train.take(order[held:]), train.take(order[:held])
    groups = int(max(train.u.max(), test.u.max())) + 1
    density = _Density(own, groups, generator)
    density.fit(own, held_back, steps, generator)
    with torch.no_grad():
        return test.log_density() - density.log_density(test.z, test.u)


class _Density:
    """q̂(z | u) = prod_i q̂(z_i | z_1 … z_(i−1), u), all dimensions at once as a stack of networks."""

    def __init__(self, codes: Codes, groups: int, generator: torch.Generator) -> None:
        d = codes.z.shape[1]
        self.centre, self.width, self.groups = codes.z.mean(0), codes.z.std(0).clamp(min=1e-6), groups
        self.networks = Networks.drawn(d, [d + groups, HIDDEN, 3 * COMPONENTS], generator, codes.z)
        with torch.no_grad():
            self.networks.parameters[-2].mul_(0.1)
        self.before = torch.ones(d, d).tril(-1).unsqueeze(1)

    def log_density(self, z: Tensor, u: Tensor) -> Tensor:
        """ln q̂(z | u) (N,)."""
        z = (z - self.centre) / self.width
        seen = z * self.before
        known = F.one_hot(u, self.groups).to(z.dtype).expand(len(seen), -1, -1)
        weight, mean, log_scale = self.networks(torch.cat([seen, known], -1)).chunk(3, -1)
        parts = F.log_softmax(weight, -1) - log_scale
        parts = parts - 0.5 * (
            ((z.T.unsqueeze(-1) - mean) / log_scale.exp()).square() + math.log(2 * math.pi)
        )
        return parts.logsumexp(-1).sum(0) - self.width.log().sum()

    def fit(self, codes: Codes, held_back: Codes, steps: int, generator: torch.Generator) -> None:
        """Ascend the likelihood of `codes`; end where that of `held_back` was best."""
        adam = Adam([self.networks], beta1=0.9)
        best, kept = self._mean(held_back), self.networks.flat.clone()
        for step in range(1, steps + 1):
            index = torch.randint(len(codes.z), (FIT_BATCH,), generator=generator)
            part = codes.take(index).draw(FIT_BATCH, generator)
            loss = -self.log_density(part.z, part.u).mean()
            rate = 5e-3 * min(1.0, 2 * (1 - (step - 1) / steps))
            adam.step(torch.autograd.grad(loss, self.networks.parameters), rate)
            if step % LOOK == 0 or step == steps:
                found = self._mean(held_back)
                if found > best:
                    best, kept = found, self.networks.flat.clone()
        self.networks.flat.copy_(kept)

    @torch.no_grad()
    def _mean(self, codes: Codes) -> float:
        return float(self.log_density(codes.z, codes.u).mean())
