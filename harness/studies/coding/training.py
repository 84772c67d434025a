"""How learned codes train: Adam, an optimiser a side, the weights that are best on the validation images."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

import harness
from harness.studies.coding.images import Images
from harness.studies.coding.networks import CodeNetworks, log_likelihood
from harness.studies.coding.noisy_codes import BinaryChannel, NoisyCode
from harness.studies.coding.vimco import surrogate

BATCH = 100
RATE = 1e-3
DECAY = 1e-4
EVALUATIONS = 10


def train(
    networks: CodeNetworks,
    loss: Callable[[Tensor], Tensor],
    channel: BinaryChannel,
    images: Images,
    run: harness.Run,
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
            judged = validation_loss(networks, channel, images, noise)
            run.progress(step, steps, validation_loss=judged)
            if judged < best:
                best, weights = judged, snapshot(networks)
    return weights


def train_noiseless(
    bits: int,
    log_f: Callable[[Tensor, Tensor], Tensor],
    images: Images,
    run: harness.Run,
    steps: int,
    samples: int,
) -> dict[str, Tensor]:
    """Weights for codes b of `bits` bits that nothing disturbs: ascend E ln mean_j f(b_j), j = 1 .. samples.

    `log_f` makes ln f (K, B) of ln p(x | b_j) and ln q(b_j | x), both (K, B). The gradient is VIMCO's.
    """
    clean = BinaryChannel("bsc", 0.0)
    networks = CodeNetworks(images.pixels, bits, run.stream("weights")).to(run.device)
    noise = run.stream("channel")

    def loss(x: Tensor) -> Tensor:
        code = NoisyCode(networks.logits(x), clean)
        b = code.sample(noise, samples)
        log_q = code.log_prob(b)
        return -surrogate(log_f(log_likelihood(x, networks.decode(b), images.binary), log_q), log_q)

    return train(networks, loss, clean, images, run, steps)


@torch.no_grad()
def validation_loss(
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
