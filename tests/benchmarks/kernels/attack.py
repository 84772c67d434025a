"""Kernels of the attack study: attacks in a ball, certificates, search, guidance and training.

Weights are drawn, not trained, so that two revisions do the same work.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
import torch._dynamo
from torch import nn

Work = Callable[[], object]


def _drawn(hidden: int = 100) -> tuple[nn.Sequential, torch.Tensor, torch.Tensor]:
    """A network of one hidden layer, 100 images of 8 × 8, and the classes that it gives them."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, hidden), nn.ReLU(), nn.Linear(hidden, 10))
    x = torch.rand(100, 1, 8, 8)
    return network.requires_grad_(False).eval(), x, network(x).argmax(1)


def _attacking(attack: Callable[..., object]) -> Work:
    from harness.studies.attack.norm_attacks import Ball, Best

    network, x, y = _drawn()
    ball = Ball.around(x, 0.001)  # too small to succeed: every step is taken for every image
    return lambda: attack(network, y, ball, Best(network, x, y), x)


def step_pgd(folder: Path) -> Work:
    from harness.studies.attack.norm_attacks import pgd

    return _attacking(lambda *given: pgd(*given, loss="margin", steps=10, step=2e-4))


def step_apgd(folder: Path) -> Work:
    from harness.studies.attack.norm_attacks import apgd

    return _attacking(lambda *given: apgd(*given, eps=0.001, loss="dlr", steps=10))


def step_square(folder: Path) -> Work:
    from harness.studies.attack.norm_attacks import square

    noise = torch.Generator()
    return _attacking(lambda *given: square(*given[:4], noise.manual_seed(0), eps=0.001, queries=20))


def certificate_interval(folder: Path) -> Work:
    from harness.studies.attack.certificates.interval import interval_margins

    network, x, y = _drawn()
    return lambda: interval_margins(network, x - 0.01, x + 0.01, y)


def certificate_dual(folder: Path) -> Work:
    from harness.studies.attack.certificates.dual import dual_margins

    network, x, y = _drawn()
    return lambda: dual_margins(network, x, y, 0.01, torch.float32)


def certificate_linear(folder: Path) -> Work:
    from harness.studies.attack.certificates.linear import linear_margins

    network, x, y = _drawn()
    return lambda: linear_margins(network, x[:20], y[:20], 0.02, 5)


def certificate_branched(folder: Path) -> Work:
    from harness.studies.attack.certificates.branching import branch

    network, x, y = _drawn(20)
    return lambda: branch(network, x[:1], y[:1], 0.03, 100, 1e-4)


def certificate_semidefinite(folder: Path) -> Work:
    from harness.studies.attack.certificates.semidefinite import local_certificates

    network, x, y = _drawn()
    slopes = torch.full((10, 10), 1e3, dtype=torch.float64)
    return lambda: local_certificates(network, x[:2], y[:2], 0.01, slopes, 1e-4)


def _flow() -> nn.Module:
    from harness.studies.attack.generators import LatentFlow, settled

    torch.manual_seed(0)
    return settled(LatentFlow(8, 6, 16))


def step_search(folder: Path) -> Work:
    from harness.studies.attack.search import Search, search

    network, _, y = _drawn()
    flow, start, noise = _flow(), torch.randn(100, 6), torch.Generator().manual_seed(0)
    how = Search(3, 0.1, 0.1, 1.0, 0.1, "paper", "adam", 0.1)
    return lambda: search(flow, network, network, y, (y + 1) % 10, start, how, noise)


def step_guidance(folder: Path) -> Work:
    from harness.studies.attack.guidance import Guidance, guided

    network, _, y = _drawn()
    flow, start, noise = _flow(), torch.randn(100, 6), torch.Generator().manual_seed(0)
    how = Guidance(steps=5, strength=0.1, begin=0.0, l2_weight=1.0, draws=1)
    return lambda: guided(flow, network, network, y, (y + 1) % 10, start, how, noise)


def train_target(folder: Path) -> Work:
    from harness.studies.attack.training import Budget, train

    network, x, y = _drawn()
    network.requires_grad_(True)
    return lambda: train(network, x, y, "pgd", Budget(2, 0.1, 5), torch.Generator().manual_seed(0))


def train_generator(folder: Path) -> Work:
    from harness.studies.attack.generators import train_flow

    _, x, y = _drawn()
    return lambda: train_flow(x, y, 20, lambda *_: None)
