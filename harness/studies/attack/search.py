"""Search for a generator's input whose image a target gets wrong and an auxiliary classifier does not.

Song, Shu, Kushman and Ermon (NeurIPS 2018, 1805.07894), section 3: minimise L0 + λ1 L1 + λ2 L2 over z, and
over τ where the image shown to the target is g(z, y) + ε tanh τ.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Generator = Callable[[Tensor, Tensor], Tensor]
"""z (N, d) and classes (N,) to images (N, 1, H, W) in [0, 1]."""

Form = Literal["paper", "released"]
UNTARGETED = -1


def fooling(logits: Tensor, source: Tensor, wanted: Tensor) -> Tensor:
    """L0 (N,): the cross-entropy to the wanted class, or to the easiest of those that are not the source.

    Where `wanted` is −1 it is log sum exp of the logits less the largest other than the source's.
    """
    other = logits.scatter(1, source[:, None], -torch.inf).amax(1)
    aimed = logits.gather(1, wanted.clamp(min=0)[:, None])[:, 0]
    return logits.logsumexp(1) - torch.where(wanted == UNTARGETED, other, aimed)


def distance(z: Tensor, start: Tensor, slack: float, form: Form) -> Tensor:
    """L1 (N,): the mean over dimensions of what |z − z0| has beyond `slack`, or (z − z0)² beyond slack²."""
    apart = z - start
    beyond = apart.abs() - slack if form == "paper" else apart.square() - slack**2
    return beyond.clamp(min=0).mean(1)


def fools(network: nn.Module, images: Tensor, source: Tensor, wanted: Tensor) -> Tensor:
    """Which images (N,) the target gets wrong; where a class is wanted, whether it says that class."""
    with torch.no_grad():
        said = torch.cat([network(part) for part in images.split(500)]).argmax(1)
    return torch.where(wanted == UNTARGETED, said != source, said == wanted)


def accepts(network: nn.Module, images: Tensor, source: Tensor) -> Tensor:
    """Which images (N,) a classifier reads as their source."""
    with torch.no_grad():
        return torch.cat([network(part) for part in images.split(500)]).argmax(1) == source


@dataclass(frozen=True)
class Search:
    """How to search.

    `rule` "adam" is Adam with step length `step`; "source" is the released code's: plain descent with `step`,
    and noise of variance .01 / (1 + t)^.55 on z. `noise` is ε of the noise-augmented attack, 0 without.
    """

    steps: int
    step: float
    l1_weight: float
    l2_weight: float
    slack: float
    form: Form
    rule: Literal["adam", "source"]
    noise: float


@dataclass(frozen=True)
class Found:
    """The last iterates: `images` (N, 1, H, W) for the target, `clean` without added noise, `z` (N, d)."""

    images: Tensor
    clean: Tensor
    z: Tensor


def search(
    generator: Generator,
    target: nn.Module,
    auxiliary: nn.Module,
    source: Tensor,
    wanted: Tensor,
    start: Tensor,
    how: Search,
    stream: torch.Generator,
    told: Callable[[int], None] = lambda step: None,
) -> Found:
    """From `start` (N, d), for images of classes `source` (N,) that the target should read as `wanted` (N,).

    Only the last iterate counts, whatever was found on the way: there is no early stop. All starts move at
    once, each by its own gradient. The auxiliary classifier sees images without τ's noise, and τ moves by its
    gradient at unit length, from 0.
    """
    z = start.clone()
    tau = torch.zeros_like(generator(start[:1], source[:1])).expand(len(start), -1, -1, -1).clone()
    adam = Adam(z, how.step)
    for step in range(how.steps):
        z.requires_grad_()
        tau.requires_grad_(how.noise > 0)
        clean = generator(z, source)
        l0 = fooling(target(_shown(clean, tau, how.noise)), source, wanted)
        loss = l0 + how.l1_weight * distance(z, start, how.slack, how.form)
        if how.l2_weight:
            loss = loss + how.l2_weight * F.cross_entropy(auxiliary(clean), source, reduction="none")
        slopes = torch.autograd.grad(loss.sum(), [z, tau] if how.noise else [z])
        z = z.detach()
        if how.rule == "adam":
            z = adam.moved(z, slopes[0])
        else:
            shake = torch.randn(z.shape, generator=stream) * (0.01 / (1 + step) ** 0.55) ** 0.5
            z = z - how.step * (slopes[0] + shake.to(z.device))
        if how.noise:
            length = slopes[1].flatten(1).norm(dim=1).clamp(min=1e-12)[:, None, None, None]
            tau = tau.detach() - how.step * slopes[1] / length
        told(step + 1)
    with torch.no_grad():
        clean = generator(z, source)
        return Found(_shown(clean, tau, how.noise), clean, z)


def _shown(clean: Tensor, tau: Tensor, noise: float) -> Tensor:
    return (clean + noise * tau.tanh()).clamp(0, 1) if noise else clean


class Adam:
    """Adam's rule (Kingma and Ba 2015) for numbers that are no parameters: β .9 and .99."""

    def __init__(self, like: Tensor, step: float) -> None:
        self.step, self.turn = step, 0
        self.first, self.second = torch.zeros_like(like), torch.zeros_like(like)

    def moved(self, z: Tensor, slope: Tensor) -> Tensor:
        """z after a step against `slope`."""
        self.turn += 1
        self.first.lerp_(slope, 0.1)
        self.second.lerp_(slope.square(), 0.01)
        first, second = self.first / (1 - 0.9**self.turn), self.second / (1 - 0.99**self.turn)
        return z - self.step * first / (second.sqrt() + 1e-8)
