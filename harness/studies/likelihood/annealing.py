"""How large is ln p(x)? Annealed importance sampling from a posterior fitted to each image, and a sandwich.

Neal, "Annealed importance sampling" (Statistics and Computing 2001, physics/9803008); Grosse, Ghahramani and
Adams, "Sandwiching the marginal likelihood using bidirectional Monte Carlo" (2015, 1511.02543); for decoders,
Wu et al. (ICLR 2017, 1611.04273). Nothing here trains, and only the task's score imports it.

Chains start at a q that was fitted to each image, so that a bound says little of how good an encoder is: at
100 temperatures the gap of a BSVI fell from .3 to .07 nats on an `mlp` and from 80 to 11 on gray images.

The path is f_b = q(z|x)^(1−b) p(x, z)^b for b from 0 to 1. With the coordinates ε of z = mean + scale · ε and
the weight w = p(x, z) / q(z|x), ln f_b = −|ε|²/2 + b · ln w up to a constant: whatever q is, the path starts
at a standard normal, so that one step size fits all dimensions of an image.

Step sizes are tuned, for each image and temperature, on pilot chains that are then thrown away. The chains
that count find them fixed: steps that followed their own luck would cost the weights their exact expectation.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from harness.kit.latent import Gaussian
from harness.kit.log_space import log_mean_exp
from harness.studies.likelihood.inference import Model

# Images annealed together: with 10 chains 500 rows, which stay near a CPU's cache.
IMAGES = 50

LEAPFROGS = 4
"""Steps of a Hamiltonian move. One would be Langevin's move, which wanders: at 200 temperatures on an
`mlp`, its gap was twelve times as wide."""

FITTING, DRAWS, RATE = 150, 4, 0.05
"""Adam's steps from the encoder's posterior to an image's own, the draws of each, and the first step size."""

PILOTS = 3
"""Chains for each image on which its step sizes are tuned."""

ACCEPTANCE = 0.9
"""The share of moves to be accepted. The .65 of theory is for very many dimensions: on a normal of two, it
drives the steps to where leapfrogs are about to break, and the gap was over .2 nats, of 0."""

START, GAIN = 0.6, 0.25
"""A chain's first step size, and how much of the distance from `ACCEPTANCE` its ln moves at a temperature."""


class State(NamedTuple):
    """Chains ε (C, B, d) with their ln w (C, B) and its slope in ε (C, B, d)."""

    at: Tensor
    log_weight: Tensor
    slope: Tensor


class Path:
    """Chains, so many for each image x (B, D), and the moves that leave f_b alone."""

    def __init__(self, model: Model, x: Tensor, q: Gaussian, chains: int, generator: torch.Generator) -> None:
        self.q = q
        self.tape = model.tape(x, keep=chains, graphs=False)
        self.chains, self.generator = chains, generator

    def drawn(self) -> State:
        """All chains at draws from q: exact for b = 0."""
        return self._state(self.q.noise(self.generator, self.chains))

    def placed(self, z: Tensor) -> State:
        """All chains of an image at its z (B, d): exact for b = 1 if z is a draw from the true posterior."""
        at = (z - self.q.mean) / self.q.scale
        return self._state(at.expand(self.chains, -1, -1))

    def _state(self, at: Tensor) -> State:
        z = self.q.sample(at)
        value, slope = self.tape.step(z)
        return State(at, value + self.q.log_ratio(z, at), torch.addcmul(at, slope - z, self.q.scale))

    def move(self, state: State, b: float, step: Tensor) -> tuple[State, Tensor]:
        """A Hamiltonian move at f_b with steps (B,), and the chance (C, B) with which each was taken.

        Each chain shortens its step by up to half, at random: where f_b is nearly a normal, all dimensions
        swing at one frequency, and a fixed number of fixed steps can bring them back to where they were.
        """
        speed = self.q.noise(self.generator, self.chains)
        end, going = state, speed
        step = (step * (1 - 0.5 * self._luck(state.log_weight))).unsqueeze(-1)
        for _ in range(LEAPFROGS):
            half = torch.addcmul(going, step, b * end.slope - end.at, value=0.5)
            end = self._state(torch.addcmul(end.at, step, half))
            going = torch.addcmul(half, step, b * end.slope - end.at, value=0.5)
        gain = energy(state, speed, b) - energy(end, going, b)
        chance = gain.clamp(max=0).exp().nan_to_num(0)
        taken = self._luck(chance) < chance
        wide = taken.unsqueeze(-1)
        kept = State(
            torch.where(wide, end.at, state.at),
            torch.where(taken, end.log_weight, state.log_weight),
            torch.where(wide, end.slope, state.slope),
        )
        return kept, chance

    def _luck(self, like: Tensor) -> Tensor:
        return torch.rand(like.shape, generator=self.generator, device=like.device, dtype=like.dtype)


def fitted(model: Model, x: Tensor, generator: torch.Generator) -> Gaussian:
    """q(z|x) of each image on its own: from the encoder's, by Adam on the evidence bound."""
    q = model.encode(x).detach()
    tape = model.tape(x, keep=DRAWS, graphs=False)
    whole = q.parameters.new_tensor(1.0)
    optimizer = torch.optim.Adam([q.parameters], lr=RATE)
    for n in range(FITTING):
        now = Gaussian(q.parameters)
        z = now.sample(now.noise(generator, DRAWS))
        _, slope = tape.step(z)
        q.parameters.grad = -now.total_derivative(slope, z, whole).mean(0)
        optimizer.param_groups[0]["lr"] = RATE * (1 - n / FITTING)
        optimizer.step()
    return Gaussian(q.parameters)


def energy(state: State, speed: Tensor, b: float) -> Tensor:
    """−ln f_b and the kinetic energy of each chain (C, B)."""
    return 0.5 * (state.at.square() + speed.square()).sum(-1) - b * state.log_weight


def tuned(path: Path, ladder: list[float]) -> list[Tensor]:
    """Step sizes (B,) for each temperature between the ends of `ladder`."""
    state = path.drawn()
    log_step = state.log_weight.new_full(state.log_weight.shape[1:], START).log()
    steps = []
    for b in ladder[1:-1]:
        steps.append(log_step.exp())
        state, chance = path.move(state, b, steps[-1])
        log_step = log_step + GAIN * (chance.mean(0) - ACCEPTANCE)
    return steps


def annealed(path: Path, state: State, ladder: list[float], steps: list[Tensor]) -> Tensor:
    """ln of the weight of each chain (C, B) along `ladder`; on the way down, ln of one over it."""
    total = torch.zeros_like(state.log_weight)
    for n, (b, following) in enumerate(pairwise(ladder)):
        total += abs(following - b) * state.log_weight
        if n < len(steps):
            state, _ = path.move(state, following, steps[n])
    return total


class Bounds(NamedTuple):
    """On ln p(x), for each image (N,): each holds in expectation over the chains."""

    below: Tensor
    above: Tensor


@torch.no_grad()
def below(model: Model, x: Tensor, temperatures: int, chains: int, generator: torch.Generator) -> Tensor:
    """A lower bound on ln p(x) (N,) for x (N, D): ln of the mean weight over chains (Jensen)."""
    return torch.cat(
        [upwards(*prepared(model, images, temperatures, chains, generator)) for images in x.split(IMAGES)]
    )


@torch.no_grad()
def sandwich(
    model: Model, x: Tensor, z: Tensor, temperatures: int, chains: int, generator: torch.Generator
) -> Bounds:
    """Both bounds for images x (N, D) that the model made of z (N, d), a draw of their posterior.

    The upper one is −ln of the mean, over chains that start at z and are annealed down to q, of unbiased
    estimates of 1/p(x). The same steps serve both ways.
    """
    lower, upper = [], []
    for images, places in zip(x.split(IMAGES), z.split(IMAGES), strict=True):
        path, ladder, steps = prepared(model, images, temperatures, chains, generator)
        lower.append(upwards(path, ladder, steps))
        upper.append(-log_mean_exp(-annealed(path, path.placed(places), ladder[::-1], steps[::-1])))
    return Bounds(torch.cat(lower), torch.cat(upper))


def prepared(
    model: Model, x: Tensor, temperatures: int, chains: int, generator: torch.Generator
) -> tuple[Path, list[float], list[Tensor]]:
    """A path for x (B, D) from its fitted q, the ladder of b from 0 to 1, and step sizes tuned for both."""
    ladder = [n / temperatures for n in range(temperatures + 1)]
    q = fitted(model, x, generator)
    steps = tuned(Path(model, x, q, PILOTS, generator), ladder)
    return Path(model, x, q, chains, generator), ladder, steps


def upwards(path: Path, ladder: list[float], steps: list[Tensor]) -> Tensor:
    """ln of the mean weight over chains that start at q (B,)."""
    return log_mean_exp(annealed(path, path.drawn(), ladder, steps))
