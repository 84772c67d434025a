"""The training loop of every learned code: Adam, an optimiser a side, the best weights on validation data."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

import torch
from torch import Tensor

from harness.kit.code_networks import CodeNetworks, log_likelihood
from harness.kit.noisy_codes import BinaryChannel, NoisyCode

BATCH = 100
RATE = 1e-3
DECAY = 1e-4
EVALUATIONS = 10


class Images(Protocol):
    """Images in [0, 1], (N, D); where they are binary, decoders give probabilities."""

    binary: bool
    x_train: Tensor
    x_valid: Tensor


class Context(Protocol):
    """What the loop needs of a run."""

    def stream(self, name: str) -> torch.Generator: ...

    def progress(self, step: int, steps: int, **values: float) -> None: ...


def train(
    networks: CodeNetworks,
    loss: Callable[[Tensor], Tensor],
    channel: BinaryChannel,
    images: Images,
    run: Context,
    steps: int,
) -> dict[str, Tensor]:
    """Minimise the mean of `loss(x)` (B,); return the weights that were best on the validation images.

    `steps` batches of 100 rows, every epoch in a new order of rows; an L2 penalty of ½ · 1e-4 on the encoder.
    Ten times, evenly spaced, all validation images go through `channel` once: the least −ln p(x | y) is best.
    """
    encoder = torch.optim.Adam(networks.encoder.parameters(), RATE, weight_decay=DECAY, fused=True)
    decoder = torch.optim.Adam(networks.decoder.parameters(), RATE, fused=True)
    batches = batch_indices(len(images.x_train), run.stream("batches"))
    noise, best, weights = run.stream("validation"), float("inf"), snapshot(networks)
    for step in range(1, steps + 1):
        value = loss(images.x_train[next(batches)]).mean()
        encoder.zero_grad()
        decoder.zero_grad()
        value.backward()
        encoder.step()
        decoder.step()
        if step % max(steps // EVALUATIONS, 1) == 0 or step == steps:
            judged = distortion(networks, channel, images, noise)
            run.progress(step, steps, distortion=judged)
            if judged < best:
                best, weights = judged, snapshot(networks)
    return weights


@torch.no_grad()
def distortion(
    networks: CodeNetworks, channel: BinaryChannel, images: Images, noise: torch.Generator
) -> float:
    """The mean of −ln p(x | y) over the validation images, one received word y each."""
    x = images.x_valid
    y = NoisyCode(networks.logits(x), channel).sample(noise, 1)[0]
    return -float(log_likelihood(x, networks.decode(y), images.binary).mean())


def batch_indices(rows: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Row numbers in batches of 100 without end; every row once an epoch, in a fresh order."""
    while True:
        order = torch.randperm(rows, generator=generator)
        yield from order[: rows - rows % BATCH].view(-1, BATCH) if rows >= BATCH else [order]


def snapshot(networks: CodeNetworks) -> dict[str, Tensor]:
    """A copy of the present weights, by name."""
    return {name: value.detach().clone() for name, value in networks.state_dict().items()}
