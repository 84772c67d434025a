"""Training without a cycle: F against a critic alone or with a contrast of patches, and regression."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness.studies.steganography.networks import Residual, translate, with_channels
from harness.studies.steganography.training import Pool, batches, least_squares

if TYPE_CHECKING:
    from harness.studies.steganography.task import Problem

EMBEDDED = 64
"""The width of the space in which patches are compared."""


def train_one_way(
    problem: Problem,
    extra: Callable[[nn.Sequential, Tensor, Tensor, Tensor], Tensor] | None,
    beside: list[nn.Module],
    decoder_steps: int,
) -> dict[str, Tensor]:
    """F trained to please a critic, plus `extra(F, x, F(x), y)`; then G, by regression from F(x) back to x.

    `beside` are networks that `extra` uses and that learn with F. What a method returns.
    """
    run, budget = problem.run, problem.budget
    f, g = problem.generators()
    critic = problem.critic("critic Y", problem.channels[1])
    (of_f, falls_f), (of_critic, falls_critic) = budget.adam([f, *beside]), budget.adam([critic])
    pool = Pool(run.stream("pool Y"))
    started = time.perf_counter()
    rows_x = batches(len(problem.train.x), budget, run.stream("batches x"))
    rows_y = batches(len(problem.others), budget, run.stream("batches y"))
    for step, (of_x, of_y) in enumerate(zip(rows_x, rows_y, strict=True), 1):
        x, y = problem.train.x[of_x], problem.others[of_y]
        fake = f(x)
        critic.requires_grad_(False)
        loss = least_squares(critic(fake), 1)
        if extra is not None:
            loss = loss + extra(f, x, fake, y)
        of_f.zero_grad()
        loss.backward()
        of_f.step()
        critic.requires_grad_(True)
        judged = 0.5 * (least_squares(critic(y), 1) + least_squares(critic(pool(fake)), 0))
        of_critic.zero_grad()
        judged.backward()
        of_critic.step()
        falls_f.step()
        falls_critic.step()
        run.progress(step, budget.steps, loss=loss.detach())  # type: ignore[arg-type]  # read when shown
    regress(problem, g, translate(f, problem.train.x), problem.train.x, decoder_steps, "decoder")
    return problem.pack(f, g, started, (budget.steps + decoder_steps) * budget.batch)


def regress(
    problem: Problem, network: nn.Module, given: Tensor, wanted: Tensor, steps: int, name: str
) -> None:
    """Train `network` for `steps` batches to the least mean |network(given) − wanted|: its median."""
    budget = replace(problem.budget, steps=steps)
    optimiser, schedule = budget.adam([network], (0.9, 0.999))
    for step, rows in enumerate(batches(len(given), budget, problem.run.stream(f"batches {name}")), 1):
        loss = (network(given[rows]) - wanted[rows]).abs().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        problem.run.progress(step, steps, loss=loss.detach())


class PatchContrast(nn.Module):
    """CUT's loss: a patch of the source is to tell the patch of the translation at its place from others.

    InfoNCE at temperature τ over `patches` places of the first convolution and of every residual block, both
    images through F's own encoder and a two-layer network each (Park et al., ECCV 2020, 2007.15651).
    """

    def __init__(self, problem: Problem, patches: int, temperature: float) -> None:
        super().__init__()
        self.patches, self.temperature = patches, temperature
        self.places = problem.run.stream("places")
        f, _ = problem.generators()
        self.layers = taps(f)
        random = problem.run.stream("weights contrast")
        with torch.no_grad():
            widths = [part.shape[1] for part in features(f, problem.train.x[:1], self.layers)]
        self.heads = nn.ModuleList(_head(width, random) for width in widths).to(problem.run.device)

    def forward(self, f: nn.Sequential, source: Tensor, made: Tensor) -> Tensor:
        """The mean loss of the patches of `made` = F(source)."""
        queries = features(f, with_channels(made, source.shape[1]), self.layers)
        keys = features(f, source, self.layers)
        losses = [self._layer(*each) for each in zip(self.heads, queries, keys, strict=True)]
        return torch.stack(losses).mean()

    def _layer(self, head: nn.Module, query: Tensor, key: Tensor) -> Tensor:
        count = query.shape[2] * query.shape[3]
        places = torch.randperm(count, generator=self.places)[: self.patches].to(query.device)
        q, k = (
            F.normalize(head(part.flatten(2)[:, :, places].transpose(1, 2)), dim=-1) for part in (query, key)
        )
        likeness = q @ k.detach().transpose(1, 2) / self.temperature
        right = torch.arange(len(places), device=query.device).expand(len(q), -1)
        return F.cross_entropy(likeness.flatten(0, 1), right.flatten())


def _head(width: int, random: torch.Generator) -> nn.Sequential:
    """Two layers, with PyTorch's usual first weights but from `random`."""
    head = nn.Sequential(nn.Linear(width, EMBEDDED), nn.ReLU(), nn.Linear(EMBEDDED, EMBEDDED))
    for weights in head.parameters():
        fan_in = width if weights.shape[-1] == width and weights.ndim == 2 else EMBEDDED
        nn.init.uniform_(weights, -(fan_in**-0.5), fan_in**-0.5, generator=random)
    return head


def taps(network: nn.Sequential) -> list[int]:
    """The layers whose outputs are compared: the first convolution and all residual blocks."""
    first = next(index for index, layer in enumerate(network) if isinstance(layer, nn.Conv2d))
    return [first, *(index for index, layer in enumerate(network) if isinstance(layer, Residual))]


def features(network: nn.Sequential, images: Tensor, layers: list[int]) -> list[Tensor]:
    """The outputs (N, c, h, w) of these layers; later ones are not computed."""
    found = []
    for index, layer in enumerate(network):
        if index > max(layers):
            break
        images = layer(images)
        if index in layers:
            found.append(images)
    return found
