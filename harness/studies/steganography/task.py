"""Translate rich images X to poor ones Y and back, without pairs: how much of X is smuggled through Y?

CycleGAN, a master of steganography (Chu, Zhmoginov and Sandler, 2017, 1712.02950). A method returns the
weights of its generators F: X → Y and G: Y → X under the names "F.…" and "G.…" (`Problem.pack`); or
"F.matrix" (C_y, 3) and "G.matrix" (3, C_y), by which every pixel is multiplied. With "levels" (a number), the
pixels of F(x) are rounded to so many values; with "mask.…" F's features are masked (`networks.Masked`).
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from torch import Tensor, nn

import harness
from harness.errors import UserError
from harness.studies.steganography import domains, networks
from harness.studies.steganography.budget import Budget
from harness.studies.steganography.networks import Architecture


@dataclass(frozen=True)
class Problem:
    """Two domains, and the networks and the budget that all methods share.

    `train.x` (N, 3, H, W) and `others` (N, C, H, W) are the unpaired training images, in [−1, 1]; `train.y`,
    the true partners of `train.x`, is for controls that may see pairs, `test` for the score. All lie on the
    run's device. `settings` are the task's parameters by name.
    """

    train: domains.Pairs
    others: Tensor
    test: domains.Pairs
    architecture: Architecture
    budget: Budget
    settings: dict[str, Any]
    run: harness.Run

    @property
    def channels(self) -> tuple[int, int]:
        """Of X and of Y."""
        return self.train.x.shape[1], self.others.shape[1]

    def generators(self) -> tuple[nn.Sequential, nn.Sequential]:
        """F and G with first weights, the same for all methods at a seed."""
        rich, poor = self.channels
        sides = (("F", rich, poor), ("G", poor, rich))
        build = self.architecture.generator
        f, g = (build(a, b, self.run.stream(f"weights {name}")).to(self.run.device) for name, a, b in sides)
        return f, g

    def critic(self, name: str, channels: int) -> nn.Sequential:
        """A critic of images with `channels`, its first weights fixed by `name` and the seed."""
        return self.architecture.critic(channels, self.run.stream(f"weights {name}")).to(self.run.device)

    def unpack(self, arrays: dict[str, Tensor]) -> tuple[nn.Module, nn.Module]:
        """F and G of what a method returned, on the run's device, their weights fixed."""
        rich, poor = self.channels
        f = networks.unpacked(arrays, "F", self.architecture.generator(rich, poor))
        g = networks.unpacked(arrays, "G", self.architecture.generator(poor, rich))
        return f.to(self.run.device), g.to(self.run.device)

    def pack(self, f: nn.Module, g: nn.Module, started: float, images: int) -> dict[str, Tensor]:
        """What a method returns of its generators; `images` were shown since `started`, a clock's time."""
        seconds = time.perf_counter() - started
        self.run.measure("train_seconds", seconds)
        self.run.measure("train_images_per_second", images / seconds)
        return networks.packed(f, g)


@harness.task
def steganography(
    run: harness.Run,
    *,
    dataset: harness.DataSet,
    domain: Literal["mosaic", "outlines", "edges", "tiles"] = "mosaic",
    size: Annotated[int, "[16, 512]"] = 32,
    images: Annotated[int, "[16, inf)"] = 3000,
    test_images: Annotated[int, "[16, inf)"] = 512,
    architecture: Literal["small", "published"] = "small",
    width: Annotated[int, "[4, inf)"] = 32,
    blocks: Annotated[int, "[0, inf)"] = 3,
    steps: Annotated[int, "[1, inf)"] = 1200,
    batch: Annotated[int, "[1, inf)"] = 8,
    learning_rate: Annotated[float, "(0, 1]"] = 5e-4,
) -> Problem:
    """`images` rich images of `dataset`, as many poor ones of other images, and `test_images` true pairs.

    `domain` says what is made of the data: digits on a mosaic against plain digits (`mosaic`) or their
    `outlines`, photographs against their `edges`, `tiles` of aerial photographs against maps. Training takes
    `steps` batches; CycleGAN's published budget is batch 1, Adam 2e-4, 200 epochs, nine blocks of width 64.
    """
    settings = {name: value for name, value in locals().items() if name != "run"}
    if size % 8:
        raise UserError(f"size: {size} must be a multiple of 8, so that all networks and mosaics fit")
    drawn = domains.draw(run.data(dataset), domain, size, (images, test_images), run.stream("images"))
    return Problem(
        drawn.train.to(run.device),
        drawn.others.to(run.device),
        drawn.test.to(run.device),
        Architecture(architecture, width, blocks),
        Budget(steps, batch, learning_rate),
        settings,
        run,
    )
