"""How long a network is trained, and how its rate falls: what the task sets and all training follows."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import nn

BETAS = (0.5, 0.999)


@dataclass(frozen=True)
class Budget:
    """Batches of `batch` images; Adam's rate falls linearly to 0 over the second half of the `steps`."""

    steps: int
    batch: int
    learning_rate: float

    def adam(
        self, networks: Iterable[nn.Module], betas: tuple[float, float] = BETAS
    ) -> tuple[torch.optim.Adam, torch.optim.lr_scheduler.LambdaLR]:
        """An optimiser of all weights of `networks`, and its schedule: call `step` of both after a batch."""
        weights = itertools.chain.from_iterable(network.parameters() for network in networks)
        adam = torch.optim.Adam(list(weights), self.learning_rate, betas, foreach=True)
        falling = torch.optim.lr_scheduler.LambdaLR(
            adam, lambda step: min(1.0, 2 * (self.steps - step) / self.steps)
        )
        return adam, falling
