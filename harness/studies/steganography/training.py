"""Training with a cycle: two generators, their critics, and the losses of CycleGAN and of its defences."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from harness.studies.steganography.budget import Budget
from harness.studies.steganography.networks import Rounded, with_channels
from harness.studies.steganography.task import Problem

POOL = 50


class Pool:
    """Past translations for a critic: half of what it gives are older ones (Shrivastava et al. 2017)."""

    def __init__(self, generator: torch.Generator, size: int = POOL) -> None:
        self.generator, self.size, self.images = generator, size, list[Tensor]()

    def __call__(self, images: Tensor) -> Tensor:
        """As many images (B, C, H, W) as it is given, each the new one or an older one that it replaces."""
        given = []
        for image in images.detach():
            if len(self.images) < self.size:
                self.images.append(image)
            elif float(torch.rand((), generator=self.generator)) < 0.5:
                place = int(torch.randint(self.size, (), generator=self.generator))
                image, self.images[place] = self.images[place], image
            given.append(image)
        return torch.stack(given)


@dataclass(frozen=True)
class Weights:
    """What a generator's loss weighs, and what happens to a translation before it is mapped back.

    `cycle_x` · mean |G(F(x)) − x|, `cycle_y` · mean |F(G(y)) − y|; `identity` · mean |F(y) − y| and of
    |G(x) − x|; `guess` for fooling critics that are shown an image and its reconstruction in random order. In
    training only, N(0, `noise`²) is added to a translation that is to be mapped back, and with `levels` it is
    rounded to so many values.
    """

    cycle_x: float = 10.0
    cycle_y: float = 10.0
    identity: float = 0.0
    guess: float = 0.0
    noise: float = 0.0
    levels: int | None = None


def least_squares(judged: Tensor, target: float) -> Tensor:
    """LSGAN's loss of a critic's patches (Mao et al., ICCV 2017)."""
    return (judged - target).square().mean()


def batches(count: int, budget: Budget, generator: torch.Generator) -> Iterable[Tensor]:
    """Row numbers (B,) of each step, drawn with replacement."""
    for _ in range(budget.steps):
        yield torch.randint(count, (budget.batch,), generator=generator)


def train_cycle(problem: Problem, weights: Weights) -> dict[str, Tensor]:
    """F and G trained with critics D_X and D_Y and a cycle; what a method returns."""
    run, budget, (rich, poor) = problem.run, problem.budget, problem.channels
    f, g = problem.generators()
    critics = Critics(problem, weights.guess > 0)
    optimiser, schedule = budget.adam([f, g])
    noise = run.generator("noise")
    rounded = Rounded(weights.levels) if weights.levels else nn.Identity()

    def carried(translation: Tensor) -> Tensor:
        """What of a translation reaches the generator that maps it back."""
        if weights.noise:
            disturbance = torch.randn(translation.shape, generator=noise, device=translation.device)
            translation = translation + weights.noise * disturbance
        return rounded(translation)

    started = time.perf_counter()
    rows_x = batches(len(problem.train.x), budget, run.stream("batches x"))
    rows_y = batches(len(problem.others), budget, run.stream("batches y"))
    for step, (of_x, of_y) in enumerate(zip(rows_x, rows_y, strict=True), 1):
        x, y = problem.train.x[of_x], problem.others[of_y]
        fake_y, fake_x = f(x), g(y)
        back_x, back_y = g(carried(fake_y)), f(carried(fake_x))
        cycle = weights.cycle_x * (back_x - x).abs().mean() + weights.cycle_y * (back_y - y).abs().mean()
        loss = cycle + critics.fooled(fake_x, fake_y)
        if weights.identity:
            same_y, same_x = f(with_channels(y, rich)), g(with_channels(x, poor))
            loss = loss + weights.identity * ((same_y - y).abs().mean() + (same_x - x).abs().mean())
        if weights.guess:
            loss = loss + weights.guess * critics.misled(x, back_x, y, back_y)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        critics.learn(x, fake_x, back_x, y, fake_y, back_y)
        run.progress(step, budget.steps, cycle=cycle.detach(), loss=loss.detach())
    arrays = problem.pack(f, g, started, budget.steps * budget.batch)
    return arrays | ({"levels": torch.tensor(weights.levels)} if weights.levels else {})


class Critics:
    """Critics of both domains, with a pool each; on request those that guess which image is the original."""

    def __init__(self, problem: Problem, guess: bool) -> None:
        rich, poor = problem.channels
        self.x, self.y = problem.critic("critic X", rich), problem.critic("critic Y", poor)
        self.pool_x, self.pool_y = (Pool(problem.run.stream(f"pool {name}")) for name in "XY")
        self.guess_x = problem.critic("guess X", 2 * rich) if guess else None
        self.guess_y = problem.critic("guess Y", 2 * poor) if guess else None
        self.order = problem.run.stream("order")
        self.networks = [net for net in (self.x, self.y, self.guess_x, self.guess_y) if net is not None]
        self.optimiser, self.schedule = problem.budget.adam(self.networks)

    def fooled(self, fake_x: Tensor, fake_y: Tensor) -> Tensor:
        """The generators' loss: translations are to look real. Until `learn`, no critic gets a gradient."""
        for network in self.networks:
            network.requires_grad_(False)
        return least_squares(self.x(fake_x), 1) + least_squares(self.y(fake_y), 1)

    def misled(self, x: Tensor, back_x: Tensor, y: Tensor, back_y: Tensor) -> Tensor:
        """The generators' guess loss: shown (original, copy) or (copy, original), the critics are to err."""
        assert self.guess_x is not None and self.guess_y is not None
        original_first = float(torch.rand((), generator=self.order)) < 0.5
        shown_x = torch.cat([x, back_x] if original_first else [back_x, x], 1)
        shown_y = torch.cat([y, back_y] if original_first else [back_y, y], 1)
        wrong = 1.0 - original_first
        return least_squares(self.guess_x(shown_x), wrong) + least_squares(self.guess_y(shown_y), wrong)

    def learn(
        self, x: Tensor, fake_x: Tensor, back_x: Tensor, y: Tensor, fake_y: Tensor, back_y: Tensor
    ) -> None:
        """One step: real images against pooled translations, originals against copies."""
        for network in self.networks:
            network.requires_grad_(True)
        loss = least_squares(self.x(x), 1) + least_squares(self.x(self.pool_x(fake_x)), 0)
        loss = loss + least_squares(self.y(y), 1) + least_squares(self.y(self.pool_y(fake_y)), 0)
        for guess, original, copy in ((self.guess_x, x, back_x), (self.guess_y, y, back_y)):
            if guess is not None:
                copy = copy.detach()
                loss = loss + least_squares(guess(torch.cat([original, copy], 1)), 1)
                loss = loss + least_squares(guess(torch.cat([copy, original], 1)), 0)
        self.optimiser.zero_grad()
        (0.5 * loss).backward()
        self.optimiser.step()
        self.schedule.step()
