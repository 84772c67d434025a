"""Training of the targets: plain, adversarial (Madry et al. 2018), by interval bounds (Gowal et al. 2018)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness.studies.attack.certificates.interval import interval_margins
from harness.studies.attack.norm_attacks import Ball, gradient

BATCH = 50
RATE = 4e-3
WARM_UP, RAMP = 0.1, 0.6
"""Interval training: shares of the steps before eps starts to grow, and when it has grown."""


class Budget(NamedTuple):
    """How long to train, and against what."""

    epochs: int
    eps: float
    attack_steps: int


def train(
    network: nn.Sequential,
    x: Tensor,
    y: Tensor,
    how: str,
    budget: Budget,
    stream: torch.Generator,
    progress: Callable[..., None] = lambda *a, **k: None,
) -> None:
    """Train `network` in place: Adam, batches of 50, a learning rate of 4e-3 that falls to zero (cosine).

    It goes to where the images are. All draws are the CPU's, so that every device starts from the same
    weights and sees the same order.
    """
    draw(network, stream)
    network.to(x.device)
    optimiser = torch.optim.Adam(network.parameters(), RATE)
    steps = budget.epochs * math.ceil(len(x) / BATCH)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    step = 0
    for _ in range(budget.epochs):
        for rows in torch.randperm(len(x), generator=stream).split(BATCH):
            done = step / steps
            loss = _loss(network, x[rows], y[rows], how, budget, done, stream)
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 5.0)
            optimiser.step()
            schedule.step()
            step += 1
            progress(step, steps, loss=loss.detach())


def draw(network: nn.Sequential, stream: torch.Generator) -> None:
    """First weights, by `stream` alone: He's normal for weights, zero for biases."""
    for layer in network:
        if isinstance(layer, nn.Linear | nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=stream)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def _loss(
    network: nn.Sequential,
    x: Tensor,
    y: Tensor,
    how: str,
    budget: Budget,
    done: float,
    stream: torch.Generator,
) -> Tensor:
    if how == "plain":
        return F.cross_entropy(network(x), y)
    if how == "pgd":
        return F.cross_entropy(network(_attacked(network, x, y, budget, stream)), y)
    # Interval bounds: half of the loss stays on clean images (Gowal et al., κ from 1 to 1/2).
    grown = min(max((done - WARM_UP) / (RAMP - WARM_UP), 0.0), 1.0)
    clean = F.cross_entropy(network(x), y)
    if grown == 0:
        return clean
    ball = Ball.around(x, budget.eps * grown)
    worst = F.cross_entropy(-interval_margins(network, ball.lower, ball.upper, y), y)
    return (1 - grown / 2) * clean + grown / 2 * worst


def _attacked(
    network: nn.Sequential, x: Tensor, y: Tensor, budget: Budget, stream: torch.Generator
) -> Tensor:
    """Where signed gradient steps of 2.5 eps / steps end, from a random place in the ball."""
    ball = Ball.around(x, budget.eps)
    moved = ball.draw(stream)
    for _ in range(budget.attack_steps):
        slope, _ = gradient(network, moved, y, "ce")
        moved = ball.project(moved + 2.5 * budget.eps / budget.attack_steps * slope.sign())
    return moved
