"""Sample a latent flow while the gradients of target and auxiliary classifier bend its path.

The modern successor of a search over z, after AdvDiff (Dai, Liang and Xiao, 2023, 2307.12499): one pass of
the sampler makes the image, instead of hundreds of descents through all of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness.studies.attack.generators import LatentFlow, one_hot
from harness.studies.attack.search import Found, accepts, fooling, fools


@dataclass(frozen=True)
class Guidance:
    """How to bend: `steps` of the sampler, each moved by `strength` · √(1 − t) along the unit gradient from
    time `begin` on; `l2_weight` weighs the auxiliary classifier; what fails is drawn up to `draws` times."""

    steps: int
    strength: float
    begin: float
    l2_weight: float
    draws: int


def guided(
    flow: LatentFlow,
    target: nn.Module,
    auxiliary: nn.Module,
    source: Tensor,
    wanted: Tensor,
    start: Tensor,
    how: Guidance,
    stream: torch.Generator,
    told: Callable[[int], None] = lambda draw: None,
) -> Found:
    """Images of classes `source` (N,) that the target should read as `wanted` (N,), from `start` (N, d).

    Those that do not fool the target, or that the auxiliary classifier does not accept, are drawn anew, up to
    `draws` times in all; the last draw is returned, whatever it is. `z` is where each began.
    """
    z, images = start.clone(), torch.empty(0)
    open_rows = torch.arange(len(start), device=start.device)
    for draw in range(how.draws):
        if draw:
            fresh = torch.randn(len(open_rows), start.shape[1], generator=stream)
            z[open_rows] = fresh.to(start.device)
        made = _bent(flow, target, auxiliary, source[open_rows], wanted[open_rows], z[open_rows], how)
        images = made if draw == 0 else images.index_copy(0, open_rows, made)
        good = fools(target, made, source[open_rows], wanted[open_rows])
        good &= accepts(auxiliary, made, source[open_rows])
        open_rows = open_rows[~good]
        told(draw + 1)
        if not len(open_rows):
            break
    return Found(images, images, z)


def _bent(
    flow: LatentFlow,
    target: nn.Module,
    auxiliary: nn.Module,
    source: Tensor,
    wanted: Tensor,
    z: Tensor,
    how: Guidance,
) -> Tensor:
    """One draw by Euler's rule. The classifiers see where the flow would end from here, z + (1 − t) v."""
    classes = one_hot(source)
    for step in range(how.steps):
        t = torch.tensor(step / how.steps, device=z.device)
        bend = how.strength > 0 and step / how.steps >= how.begin
        z.requires_grad_(bend)
        velocity = flow.velocity(z, t, classes)
        ahead = z.detach() + velocity.detach() / how.steps
        if bend:
            image = flow.decode(z + (1 - t) * velocity)
            loss = fooling(target(image), source, wanted)
            loss = loss + how.l2_weight * F.cross_entropy(auxiliary(image), source, reduction="none")
            (slope,) = torch.autograd.grad(loss.sum(), z)
            length = slope.norm(dim=1, keepdim=True).clamp(min=1e-8)
            ahead = ahead - how.strength * (1 - t).sqrt() * slope / length
        z = ahead
    return flow.decode(z)
