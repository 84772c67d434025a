"""One loop that trains R fair autoencoders at once, for all methods that differ by their multipliers.

    model:        descend   −E ln p(x | z, u) + sum_i λ_i C_i     in the encoder and the decoder
    adversaries:  ascend     E ln p_ψ(u | z) on their slices       in ψ
    multipliers:  stay, or ascend λ_i (C_i − ε_i)                  (dual ascent, eq. 12 of Song et al. 2019)

All runs see the same rows in the same order and the same noise, so a stack gives what its runs give alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from harness.studies.fairness.autoencoder import FairAutoencoder, draw
from harness.studies.fairness.networks import Adam
from harness.studies.fairness.people import Notion, Rows, minibatches

BETA1 = 0.5
DECAY, DECAY_STEPS = 0.98, 1000
LOOKS = 200
"""Points on a stored trace, at most."""


class Budget(NamedTuple):
    """How long and how fast to train.

    `steps` updates of encoder and decoder, each with `adversary_steps` updates of the adversaries: the first
    on the same minibatch, the others on fresh ones. The learning rate decays by 2 % per 1000 updates, as in
    the released code; over the last share `cooling` of the steps all rates, those of multipliers too, also
    fall linearly to zero, so that the last model is where the constraints settle and not where they swing.
    """

    steps: int
    batch: int
    adversary_steps: int
    learning_rate: float
    cooling: float

    def pace(self, step: int) -> float:
        """The factor on all rates at a step, counted from 1."""
        left = (self.steps - step + 1) / self.steps
        return min(1.0, left / self.cooling) if self.cooling else 1.0


class Multipliers(Protocol):
    """λ (R, 4), and how it follows the constraints (R, 4)."""

    values: Tensor

    def follow(self, constraints: Tensor, pace: float) -> None: ...


class Fixed:
    """Multipliers that stay as they are (MIFR)."""

    def __init__(self, values: Tensor) -> None:
        self.values = values

    def follow(self, constraints: Tensor, pace: float) -> None:
        """Nothing to do."""


class DualAscent:
    """Multipliers that rise while their constraint is violated and fall while it is not (L-MIFR).

    `epsilon` (4,) holds the bounds, infinite where there is none: that multiplier stays 0. RMSProp as in the
    released code (TensorFlow 1: decay 0.9, the mean square starts at 1), values clipped to [0.01, 100].
    """

    def __init__(self, epsilon: Tensor, runs: int, start: float, rate: float) -> None:
        self.bound = epsilon.isfinite()
        self.epsilon = epsilon.where(self.bound, 0)
        self.values = epsilon.new_full((runs, len(epsilon)), start) * self.bound
        self.square = torch.ones_like(self.values)
        self.rate = rate

    def follow(self, constraints: Tensor, pace: float) -> None:
        """One step of ascent, `pace` times the rate."""
        slope = (constraints - self.epsilon) * self.bound
        self.square.mul_(0.9).addcmul_(slope, slope, value=0.1)
        self.values.addcdiv_(slope, (self.square + 1e-10).sqrt(), value=self.rate * pace)
        self.values.clamp_(0.01, 100).mul_(self.bound)


class Trace(NamedTuple):
    """Means over stretches that end at `steps` (T,): λ and C (T, R, 4), mean ln p(x | z, u) (T, R)."""

    steps: Tensor
    multipliers: Tensor
    constraints: Tensor
    reconstruction: Tensor

    def of(self, run: int) -> dict[str, Tensor]:
        """One run's part, as arrays to store."""
        return {
            "trace_steps": self.steps,
            "trace_multipliers": self.multipliers[:, run].cpu().contiguous(),
            "trace_constraints": self.constraints[:, run].cpu().contiguous(),
            "trace_reconstruction": self.reconstruction[:, run].cpu().contiguous(),
        }


def train(
    model: FairAutoencoder,
    rows: Rows,
    notion: Notion,
    multipliers: Multipliers,
    budget: Budget,
    order: torch.Generator,
    noise: torch.Generator,
    report: Callable[[int], None],
) -> Trace:
    """Train `model` in place. `report` is told the number of steps done.

    Raises FloatingPointError when the loss is no longer a number.
    """
    batches = minibatches(rows, notion, budget.batch, order)
    fit = Adam([model.encoder, model.decoder], BETA1)
    oppose = Adam([model.adversaries], BETA1)
    recorder = _Recorder(budget.steps)

    for step in range(1, budget.steps + 1):
        pace = budget.pace(step)
        rate = pace * budget.learning_rate * DECAY ** ((fit.steps + oppose.steps) / DECAY_STEPS)
        batch = next(batches)
        found = model.step(batch, multipliers.values, draw(batch.rows, model.latent, noise))
        fit.step(found.model, rate)
        oppose.step(found.adversaries, rate)
        recorder.add(step, multipliers.values, found.constraints, found.reconstruction)
        multipliers.follow(found.constraints, pace)
        for _ in range(budget.adversary_steps - 1):
            batch = next(batches)
            gradients = model.adversary_step(batch, draw(batch.rows, model.latent, noise))
            oppose.step(gradients, rate)
        report(step)
    return recorder.trace()


class _Recorder:
    """Means over at most `LOOKS` stretches of the training."""

    def __init__(self, steps: int) -> None:
        self.ends = sorted({round(steps * (look + 1) / LOOKS) for look in range(LOOKS)} - {0})
        self.rows: list[list[Tensor]] = []
        self.sums: list[Tensor] = []
        self.begun = 0

    def add(self, step: int, *values: Tensor) -> None:
        if self.sums:
            for total, value in zip(self.sums, values, strict=True):
                total += value
        else:
            self.sums = [value.clone() for value in values]
        if step == self.ends[len(self.rows)]:
            self.rows.append([total / (step - self.begun) for total in self.sums])
            if not all(mean.isfinite().all() for mean in self.rows[-1]):
                raise FloatingPointError(
                    f"the loss is not finite at step {step}: try a smaller learning_rate"
                )
            self.sums, self.begun = [], step

    def trace(self) -> Trace:
        return Trace(
            torch.tensor(self.ends), *(torch.stack(series) for series in zip(*self.rows, strict=True))
        )
