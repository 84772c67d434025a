"""The fair autoencoder of MIFR and L-MIFR (Song et al. 2019), R of them at once, and what it is held to.

    q(z | x, u) --z--> p(x | z, u)                a diagonal normal, and bits or numbers
                 \\--> p_ψ(u | z), three times     adversaries on all rows, on y = 0, and on y = 1

Every network has one hidden layer of softplus units.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from harness.kit.latent import Gaussian
from harness.kit.likelihoods import BernoulliAt
from harness.studies.fairness.networks import Networks
from harness.studies.fairness.people import SLICES, Batch, Notion, Rows, membership

CHUNK = 2048
"""Rows of a whole table that all runs look at at once."""


class Likelihood(Protocol):
    """p(x | outputs) of a decoder."""

    def value_and_slope(self, x: Tensor, outputs: Tensor) -> tuple[Tensor, Tensor]:
        """ln p(x | outputs) summed over the last axis, and its derivative in the outputs."""


class Bits:
    """x in {0, 1}; outputs are logits."""

    def value_and_slope(self, x: Tensor, outputs: Tensor) -> tuple[Tensor, Tensor]:
        slope = outputs.clone()
        return BernoulliAt(x).value_and_slope(slope, slope), slope


class Numbers:
    """Real x, normal around the outputs with a fixed variance; the constant of ln p is left out."""

    def __init__(self, variance: float) -> None:
        self.variance = variance

    def value_and_slope(self, x: Tensor, outputs: Tensor) -> tuple[Tensor, Tensor]:
        slope = (x - outputs) / self.variance
        return -0.5 * self.variance * slope.square().sum(-1), slope


class Step(NamedTuple):
    """What a minibatch says of each run, in nats: C (R, 4), mean ln p(x | z, u) (R,), and gradients.

    `model` descends reconstruction loss + λ · C in the parameters of encoder and decoder, `adversaries`
    ascends mean ln p_ψ(u | z) in theirs (so both are gradients to descend).
    """

    constraints: Tensor
    reconstruction: Tensor
    model: Sequence[Tensor]
    adversaries: Sequence[Tensor]


class FairAutoencoder:
    """R encoders, decoders and triples of adversaries."""

    def __init__(
        self, encoder: Networks, decoder: Networks, adversaries: Networks, likelihood: Likelihood
    ) -> None:
        self.encoder, self.decoder, self.adversaries = encoder, decoder, adversaries
        self.likelihood = likelihood
        self.runs = len(encoder.parameters[0])
        self.latent = encoder.parameters[-1].shape[-1] // 2

    @classmethod
    def drawn(
        cls, rows: Rows, runs: int, latent: int, hidden: int, likelihood: Likelihood, start: torch.Generator
    ) -> FairAutoencoder:
        """Fresh networks for rows of this shape, the same for all runs."""
        width, groups, x = rows.x.shape[1], rows.u.shape[1], rows.x
        return cls(
            Networks.drawn(runs, [width + groups - 1, hidden, 2 * latent], start, x),
            Networks.drawn(runs, [latent + groups - 1, hidden, width], start, x),
            Networks.drawn(runs * SLICES, [latent, hidden, groups], start, x),
            likelihood,
        )

    def select(self, run: int) -> FairAutoencoder:
        """A copy of one run alone."""
        return FairAutoencoder(
            self.encoder.select(run, 1),
            self.decoder.select(run, 1),
            self.adversaries.select(run * SLICES, SLICES),
            self.likelihood,
        )

    def state(self) -> dict[str, Tensor]:
        """All parameters by name, for `restore`."""
        return {
            f"{name}{index}": parameter.detach().clone()
            for name in ("encoder", "decoder", "adversaries")
            for index, parameter in enumerate(getattr(self, name).parameters)
        }

    @classmethod
    def restore(cls, state: dict[str, Tensor], likelihood: Likelihood) -> FairAutoencoder:
        """The autoencoders whose `state` was kept."""
        encoder, decoder, adversaries = (
            Networks([state[f"{name}{index}"] for index in range(4)])
            for name in ("encoder", "decoder", "adversaries")
        )
        return cls(encoder, decoder, adversaries, likelihood)

    def encode(self, rows: Rows) -> Gaussian:
        """q(z | x, u) with parameters (R, B, 2 · latent)."""
        return Gaussian(self.encoder(torch.cat([rows.x, rows.bits], -1)))

    def decode(self, z: Tensor, rows: Rows) -> Tensor:
        """Outputs (R, B, D) for z (R, B, latent)."""
        return self.decoder(torch.cat([z, rows.bits.expand(self.runs, -1, -1)], -1))

    def guess(self, z: Tensor) -> Tensor:
        """ln p_ψ(u | z) of every group (R, 3, B, K), for z (R, 3, B, latent)."""
        return F.log_softmax(self.adversaries(z.flatten(0, 1)), -1).unflatten(0, (self.runs, SLICES))

    def step(self, batch: Batch, multipliers: Tensor, noise: Tensor) -> Step:
        """Constraints and gradients of a batch under λ (R, 4); noise (B, latent) is shared by the runs.

        One pass backwards serves both sides: on its way from the adversaries into the encoder, the gradient
        turns from "learn" into "λ times leak", row by row.
        """
        rows, size = batch.rows, len(batch.rows.y)
        q = self.encode(rows)
        z = q.sample(noise)
        outputs = self.decode(z, rows)
        judged = z.unsqueeze(1).expand(-1, SLICES, -1, -1)
        price = notions_transposed(multipliers[:, 1:]).unsqueeze(-1) * batch.ratio
        judged.register_hook(lambda gradient: gradient * -price.unsqueeze(-1))
        guesses = self.guess(judged)
        value, slope = self.likelihood.value_and_slope(rows.x, outputs.detach())
        rate_slope = torch.cat([q.mean, q.scale.square() - 1], -1).detach()
        ours = [*self.encoder.parameters, *self.decoder.parameters]
        gradients = torch.autograd.grad(
            [outputs, q.parameters, guesses],
            [*ours, *self.adversaries.parameters],
            [
                slope.div_(-size),
                rate_slope * (multipliers[:, :1, None] / size),
                -batch.shares.expand_as(guesses),
            ],
        )
        with torch.no_grad():
            constraints = torch.cat([q.kl().mean(-1, keepdim=True), self.leaks(batch, guesses)], 1)
        return Step(constraints, value.mean(-1), gradients[: len(ours)], gradients[len(ours) :])

    def leaks(self, batch: Batch, guesses: Tensor) -> Tensor:
        """C2, equalised odds and equal opportunity (R, 3) by the adversaries' ln p_ψ(u | z) (R, 3, B, K)."""
        true = (guesses * batch.rows.u).sum(-1)
        return notions((true * batch.slices).sum(-1) - batch.prior)

    def adversary_step(self, batch: Batch, noise: Tensor) -> Sequence[Tensor]:
        """The gradients of the adversaries alone."""
        with torch.no_grad():
            z = self.encode(batch.rows).sample(noise)
        guesses = self.guess(z.unsqueeze(1).expand(-1, SLICES, -1, -1))
        return torch.autograd.grad(guesses, self.adversaries.parameters, -batch.shares.expand_as(guesses))

    @torch.no_grad()
    def judge(self, rows: Rows, notion: Notion, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """C (R, 4) and mean ln p(x | z, u) (R,) over a whole table, with one draw of z per row."""
        totals = torch.zeros(self.runs, 2 + SLICES, dtype=torch.float64, device=rows.x.device)
        sizes = torch.zeros(SLICES, dtype=torch.float64, device=rows.x.device)
        for part in rows.split(CHUNK):
            q = self.encode(part)
            z = q.sample(draw(part, self.latent, generator))
            slices = membership(part.y)
            gains = (
                self.guess(z.unsqueeze(1).expand(-1, SLICES, -1, -1)) - notion.log_shares.unsqueeze(1)
            ) * part.u
            value, _ = self.likelihood.value_and_slope(part.x, self.decode(z, part))
            totals[:, 0] += q.kl().sum(1)
            totals[:, 1] += value.sum(1)
            totals[:, 2:] += (gains.sum(-1) * slices).sum(-1)
            sizes += slices.sum(1)
        leaks = totals[:, 2:] / sizes
        constraints = torch.cat([totals[:, :1] / len(rows.y), notions(leaks)], 1)
        return constraints, totals[:, 1] / len(rows.y)


def draw(rows: Rows, latent: int, generator: torch.Generator) -> Tensor:
    """Noise (N, latent) for a draw of z per row, the same for all runs."""
    x = rows.x
    return torch.randn(len(x), latent, generator=generator, device=x.device, dtype=x.dtype)


def notions(leaks: Tensor) -> Tensor:
    """C2, equalised odds and equal opportunity (R, 3) from the leaks on all rows, y = 0 and y = 1 (R, 3).

    Equalised odds is the mean of the two slices, as in the released code, whatever their sizes.
    """
    everywhere, negative, positive = leaks.unbind(1)
    return torch.stack([everywhere, (negative + positive) / 2, positive], 1)


def notions_transposed(multipliers: Tensor) -> Tensor:
    """What a unit of each slice's leak costs (R, 3), given the multipliers of the three notions (R, 3)."""
    parity, odds, opportunity = multipliers.unbind(1)
    return torch.stack([parity, odds / 2, odds / 2 + opportunity], 1)
