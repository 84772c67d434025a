"""Fit a latent-variable model of images and bound its log-likelihood: methods differ in how they train.

All methods of a preset share one model, its first weights, the order of the data and the number k of
weights (decoder evaluations) per datum. Presets are different models: their numbers never share a table.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Literal

import torch
from torch import Tensor, nn

import harness
from harness import data
from harness.errors import UserError
from harness.kit.likelihoods import Bernoulli, Categorical, DiscretisedLogistic
from harness.studies.likelihood.autoencoder import Autoencoder
from harness.studies.likelihood.pixelcnn import PixelCNN


@dataclass(frozen=True)
class Preset:
    """A model and how it is trained, whatever the method.

    `network` is given the mean training image (D,), height and width. `bits`: pixels are drawn as bits in
    proportion to their intensity, else they stay 8-bit values. Gradients longer than `clip` are cut. The
    weight β of the KL rises from 0.1 to 1 over the first `warm_up` of the updates.
    """

    network: Callable[[Tensor, int, int], Autoencoder | PixelCNN]
    bits: bool
    clip: float = math.inf
    warm_up: float = 0.0


PRESETS = {
    "digits": Preset(lambda mean, *_: Autoencoder(mean, [64, 64], 10, Bernoulli()), bits=True),
    "mlp": Preset(lambda mean, *_: Autoencoder(mean, [200, 200], 50, Bernoulli()), bits=True),
    "gray": Preset(
        lambda mean, *_: Autoencoder(mean, [200, 200], 50, DiscretisedLogistic(len(mean))), bits=False
    ),
    "pixelcnn": Preset(
        lambda _, height, width: PixelCNN(height, width, Bernoulli()), bits=True, clip=5.0, warm_up=0.1
    ),
    "pixelcnn_gray": Preset(
        lambda _, height, width: PixelCNN(height, width, Categorical()), bits=False, clip=5.0, warm_up=0.1
    ),
}

BLOCK = 50
"""Updates between two looks at the clock and the bound; each look waits for the device."""


class Problem:
    """Images, a model, and a training loop that all methods share.

    `x_train` (N, D) uint8 and `ink` (the largest pixel value) are the raw data; `x_test` (N, D) float is
    ready for the model. Test bits and the order of the test images are the same for all seeds.
    """

    def __init__(
        self, run: harness.Run, preset: Preset, arrays: dict, ink: int, updates: int, batch: int
    ) -> None:
        self.run, self.preset, self.updates, self.batch, self.ink = run, preset, updates, batch, ink
        self.height, self.width = arrays["x_train"].shape[1:]
        self.x_train = torch.as_tensor(arrays["x_train"]).flatten(1).to(run.device)
        fixed = torch.Generator().manual_seed(0)
        x_test = torch.as_tensor(arrays["x_test"]).flatten(1)
        x_test = x_test[torch.randperm(len(x_test), generator=fixed)]
        self.x_test = self._pixels(x_test, fixed).to(run.device)

    def _pixels(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """What the model sees of uint8 images: fresh bits, or the values themselves."""
        if not self.preset.bits:
            return images.float()
        chance = torch.rand(images.shape, generator=generator, device=images.device)
        return (chance * self.ink < images).float()

    def model(self) -> Autoencoder | PixelCNN:
        """The preset's model with fresh weights, the same for all methods at a seed.

        It has `encode(x)` -> `Gaussian`, `log_likelihood(x, z)` and `tape(x, keep)`; x is (B, D) float.
        """
        mean = self.x_train.mean(0, dtype=torch.float32).cpu()
        if self.preset.bits:
            mean = mean / self.ink
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.run.stream("weights").initial_seed())
            return self.preset.network(mean, self.height, self.width).to(self.run.device)

    def batches(self) -> Iterator[Tensor]:
        """`updates` batches x (B, D), shuffled anew in each pass: the same for all methods at a seed."""
        order, bits = self.run.stream("order"), self.run.generator("bits")
        waiting: list[Tensor] = []
        for _ in range(self.updates):
            if not waiting:
                shuffled = torch.randperm(len(self.x_train), generator=order).to(self.run.device)
                whole = len(shuffled) - len(shuffled) % self.batch
                waiting = list(shuffled[:whole].split(self.batch))
            yield self._pixels(self.x_train[waiting.pop()], bits)

    def beta(self, update: int) -> float:
        """The weight of the KL at an update, counted from 0."""
        warming = self.preset.warm_up * self.updates
        return min(1.0, 0.1 + 0.9 * update / warming) if warming else 1.0

    def train(
        self, model: nn.Module, update: Callable[[Tensor, float], Tensor], learning_rate: float
    ) -> dict[str, Tensor]:
        """Adam on the gradients that `update(x, beta)` leaves in the parameters; returns the weights.

        `update` also returns its bound per datum (B,), for the log. Measures `update_seconds` and
        `images_per_second`. Raises FloatingPointError when the bound is no longer a number.
        """
        optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate, fused=True)
        bounds = torch.zeros(self.updates, device=self.run.device)
        model.train()
        clock = [time.perf_counter()]
        for n, x in enumerate(self.batches()):
            optimizer.zero_grad()
            bounds[n] = update(x, self.beta(n)).mean()
            if math.isfinite(self.preset.clip):
                nn.utils.clip_grad_norm_(model.parameters(), self.preset.clip)
            optimizer.step()
            if (n + 1) % BLOCK == 0 or n + 1 == self.updates:
                self._look(n + 1, bounds)
                clock.append(time.perf_counter())
        self._measure(clock)
        return model.state_dict()

    def _look(self, done: int, bounds: Tensor) -> None:
        """Report the mean bound of the last block."""
        bound = bounds[max(0, done - BLOCK) : done].mean().item()
        if not math.isfinite(bound):
            raise FloatingPointError(
                f"the bound is {bound} after {done} of {self.updates} updates: "
                "try a smaller learning_rate, or a smaller step where the method has one"
            )
        self.run.progress(done, self.updates, bound=bound)

    def _measure(self, clock: list[float]) -> None:
        blocks = [(end - start) / BLOCK for start, end in pairwise(clock)]
        if self.updates % BLOCK:
            blocks[-1] *= BLOCK / (self.updates % BLOCK)
        self.run.measure("update_seconds", sorted(blocks)[len(blocks) // 2])
        self.run.measure("images_per_second", self.updates * self.batch / (clock[-1] - clock[0]))


def validating(arrays: dict) -> dict:
    """`x_train` without its last 5,000 images, or its last tenth if that is less, and these as `x_test`."""
    images = arrays["x_train"]
    kept = len(images) - min(5000, len(images) // 10)
    return {"x_train": images[:kept], "x_test": images[kept:]}


@harness.task
def likelihood(
    run: harness.Run,
    *,
    dataset: harness.DataSet,
    preset: Literal["digits", "mlp", "gray", "pixelcnn", "pixelcnn_gray"] = "mlp",
    updates: Annotated[int, "[1, inf)"] = 2000,
    batch: Annotated[int, "[1, inf)"] = 100,
    held_out: Literal["test", "validation"] = "test",
) -> Problem:
    """The images of `dataset` under the model of `preset`: `updates` steps on batches of `batch`.

    With `held_out: validation` the last training images take the place of the test images, and nobody
    trains on them: for choosing a method's parameters. See `validating`.
    """
    chosen, levels = PRESETS[preset], data.describe(dataset).levels
    if levels is None or not (chosen.bits or levels == 256):
        raise UserError(
            f"preset {preset!r} models {'pixels' if chosen.bits else '8-bit pixels'}; {dataset!r} has "
            f"{levels or 'no'} pixel values. Choose another preset or data set"
        )
    arrays = run.data(dataset)
    if held_out == "validation":
        arrays = validating(arrays)
    if not 0 < batch <= len(arrays["x_train"]):
        raise UserError(f"batch: {batch} is not between 1 and {len(arrays['x_train'])}, all of {dataset!r}")
    return Problem(run, chosen, arrays, levels - 1, updates, batch)
