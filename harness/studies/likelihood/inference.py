"""Weights of a datum, drawn in two ways: k at once from the encoder, or one after each refinement step."""

from __future__ import annotations

import math
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from harness.kit.latent import Gaussian
from harness.studies.likelihood.tape import Tape


class Model(Protocol):
    """What a model has to offer: x is (B, D), z is (..., B, d)."""

    def encode(self, x: Tensor) -> Gaussian:
        """q(z; λ_0) for each datum."""

    def log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        """ln p(x|z) in nats, (..., B)."""

    def tape(self, x: Tensor, keep: int, *, graphs: bool = True) -> Tape:
        """The same with gradients, see `harness.studies.likelihood.tape`.

        `graphs=False` says that `backward_at` alone will learn: a decoder may then keep less.
        """


class Draws(NamedTuple):
    """k independent draws z (k, B, d) = q's mean + scale · noise, with ln w (k, B)."""

    q: Gaussian
    z: Tensor
    noise: Tensor
    beta: Tensor
    log_weights: Tensor

    def ascent(self, weights: Tensor, slope: Tensor) -> Tensor:
        """sum over i of weights (k, B) · d ln w_i / dλ: (B, 2d), given d ln p(x|z)/dz (k, B, d)."""
        return mix(weights, self.q.total_derivative(slope, self.z, self.beta))

    def path_ascent(self, weights: Tensor, slope: Tensor) -> Tensor:
        """The same with the derivative through z alone."""
        return mix(weights, self.q.path_derivative(slope, self.z, self.noise, self.beta))


def mix(weights: Tensor, values: Tensor) -> Tensor:
    """Weighted sum over the first dimension: (k, B), (k, B, m) -> (B, m)."""
    return (weights.unsqueeze(-1) * values).sum(0)


class Trajectory(NamedTuple):
    """ln w_0 ... ln w_{k−1} along a refinement (k, B), and d ln w_0 / dλ_0 (B, 2d)."""

    log_weights: Tensor
    first: Tensor


@torch.no_grad()
def draw(tape: Tape, q: Gaussian, k: int, generator: torch.Generator, *, beta: float = 1.0) -> Draws:
    """k draws z_i ~ q(z; λ_0) per datum, with their weights."""
    q = q.detach()
    noise = q.noise(generator, k)
    z = q.sample(noise)
    value = tape.values(z)
    return Draws(q, z, noise, value.new_tensor(beta), value + beta * q.log_ratio(z, noise))


@torch.no_grad()
def refine(
    tape: Tape,
    q: Gaussian,
    k: int,
    generator: torch.Generator,
    *,
    step: float,
    clip: float = math.inf,
    beta: float = 1.0,
) -> Trajectory:
    """k weights and k − 1 steps of stochastic variational inference, starting at q.

    For each i: draw z_i ~ q(z; λ_i), note w_i, and move λ_{i+1} = λ_i + step · d ln w_i / dλ_i, where a
    derivative longer than `clip` (per datum) is cut to that length. λ_{i+1} depends on z_0 ... z_i only,
    so E[w_{i+1} | z_0 ... z_i] = p(x): any fixed average of the weights stays unbiased. Nothing is
    differentiated through the steps.
    """
    parameters = [q.parameters.detach()]
    noises = q.noise(generator, k)
    weight_of_kl = noises.new_tensor(beta)
    samples, values = [], []
    for noise in noises:
        q = Gaussian(parameters[-1])
        z = q.sample(noise)
        value, slope = tape.step(z)
        samples.append(z)
        values.append(value)
        ascent = q.total_derivative(slope, z, weight_of_kl)
        if len(samples) == 1:
            first = ascent
        parameters.append(q.parameters.add(clipped(ascent, clip), alpha=step))
    log_ratios = Gaussian(torch.stack(parameters[:-1])).log_ratio(torch.stack(samples), noises)
    return Trajectory(torch.stack(values) + beta * log_ratios, first)


def clipped(ascent: Tensor, clip: float) -> Tensor:
    """`ascent` (B, m) with each row cut to at most the length `clip`."""
    return ascent if math.isinf(clip) else ascent.renorm(2, 0, clip)


def choose(log_weights: Tensor, generator: torch.Generator) -> Tensor:
    """One index per datum, drawn in proportion to the weights: (k, B) -> (B,).

    Each index runs an exponential race at its weight's rate; the first to arrive is the choice.
    """
    race = torch.empty_like(log_weights).exponential_(generator=generator)
    return (log_weights - race.log()).argmax(0)
