"""Conditional generators: standard normal numbers and a class to an image.

Latent flow: an autoencoder, and a rectified flow (Liu et al., ICLR 2023, 2209.03003) that carries N(0, I) to
its codes, given the class. `adversarial.py` has the source's kind.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CLASSES = 10
SIZES = {True: (24, 256, 256), False: (12, 128, 64)}
"""Dimensions of z, width and batch of a latent flow, for images of 16 × 16 or more and for smaller ones."""

HARMONICS = 8
"""Sines and cosines of π t, 2π t, … by which a velocity is told the time."""

FLOW_STEPS = 4
"""Midpoint steps by which a latent flow makes an image; twice as many change pixels by .003 on average."""

Velocity = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(codes (N, d), time (), one-hot classes (N, 10)) to velocities (N, d)."""


def one_hot(y: Tensor) -> Tensor:
    """Classes (N,) int64 as rows (N, 10) of float32."""
    return F.one_hot(y, CLASSES).float()


def layers(*sizes: int) -> nn.Sequential:
    """A fully connected network with smooth rectifiers between its layers."""
    made: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        made += [nn.Linear(inputs, outputs), nn.GELU()]
    return nn.Sequential(*made[:-1])


def settled(module: nn.Module) -> nn.Module:
    """In evaluation, and without gradients of its weights."""
    return module.eval().requires_grad_(False)


class Autoencoder(nn.Module):
    """Images (N, 1, S, S), S divisible by 4, to d Gaussian codes and back, as logits."""

    def __init__(self, side: int, latent: int, width: int) -> None:
        super().__init__()
        self.side, self.latent, pixels = side, latent, side * side
        self.encoder = layers(pixels, 2 * width, width, 2 * latent)
        self.coarse = nn.Linear(latent, width)
        self.fine = nn.Sequential(
            nn.Linear(width, 32 * pixels // 16),
            nn.GELU(),
            nn.Unflatten(1, (32, side // 4, side // 4)),
            nn.Conv2d(32, 48, 3, padding=1),
            nn.GELU(),
            nn.Conv2d(48, 16, 3, padding=1),
            nn.PixelShuffle(4),
        )
        self.plain = layers(latent, width + width // 2, pixels)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Means and log-variances, each (N, d)."""
        mean, log_variance = self.encoder(x.flatten(1)).chunk(2, dim=1)
        return mean, log_variance

    def logits(self, h: Tensor) -> Tensor:
        """Logits (N, 1, S, S) of codes (N, d)."""
        rough = self.plain(h).unflatten(1, (1, self.side, self.side))
        return rough + self.fine(F.gelu(self.coarse(h)))


class FlowNetwork(nn.Module):
    """The velocity of codes (N, d) at a time, given classes."""

    def __init__(self, latent: int, width: int) -> None:
        super().__init__()
        self.first = nn.Linear(latent + CLASSES + 2 * HARMONICS, width)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.GELU(), nn.Linear(width, width))
            for _ in range(3)
        )
        self.last = nn.Linear(width, latent)

    def forward(self, h: Tensor, t: Tensor, classes: Tensor) -> Tensor:
        """`t` is () or (N, 1)."""
        angles = (t * torch.pi * torch.arange(1, HARMONICS + 1, device=h.device)).expand(len(h), -1)
        hidden = self.first(torch.cat([h, classes, angles.sin(), angles.cos()], dim=1))
        for block in self.blocks:
            hidden = hidden + block(hidden)
        return self.last(hidden)


def integrate(velocity: Velocity, z: Tensor, classes: Tensor, steps: int) -> Tensor:
    """Where dz/dt = v(z, t) takes z (N, d) between t = 0 and t = 1, by the midpoint rule."""
    for step in range(steps):
        t = torch.tensor(step / steps, device=z.device)
        half = z + velocity(z, t, classes) / (2 * steps)
        z = z + velocity(half, t + 0.5 / steps, classes) / steps
    return z


class LatentFlow(nn.Module):
    """z (N, d) ~ N(0, I) and classes (N,) to images (N, 1, S, S) in [0, 1]."""

    centre: Tensor
    spread: Tensor

    def __init__(self, side: int, latent: int, width: int) -> None:
        super().__init__()
        self.latent = latent
        self.autoencoder = Autoencoder(side, latent, width)
        self.velocity = FlowNetwork(latent, width + width // 2)
        self.register_buffer("centre", torch.zeros(latent))
        self.register_buffer("spread", torch.ones(latent))

    @classmethod
    def restore(cls, arrays: Mapping[str, Tensor]) -> LatentFlow:
        """The flow whose `state_dict` was stored."""
        width, latent = arrays["autoencoder.coarse.weight"].shape
        pixels = arrays["autoencoder.encoder.0.weight"].shape[1]
        flow = cls(round(pixels**0.5), latent, width)
        flow.load_state_dict(dict(arrays))
        return settled(flow)  # type: ignore[return-value]

    def decode(self, h: Tensor) -> Tensor:
        """Images of codes (N, d) where the flow ends."""
        return self.autoencoder.logits(h * self.spread + self.centre).sigmoid()

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        return self.decode(integrate(self.velocity, z, one_hot(y), FLOW_STEPS))


Told = Callable[[int, int], None]


def train_flow(x: Tensor, y: Tensor, steps: int, told: Told) -> LatentFlow:
    """A latent flow of images (N, 1, S, S) in [0, 1] and classes (N,), after `steps` updates in all.

    A quarter are the autoencoder's (the evidence bound with less of the rate), the rest the flow's, whose
    weights' running means are kept. Draws from the global generator. `told` is called
    with (updates done, updates).
    """
    latent, width, size = SIZES[x.shape[-1] >= 16]
    flow = LatentFlow(x.shape[-1], latent, width).to(x.device)
    first = max(steps // 4, 1)
    _train_autoencoder(flow.autoencoder, x, first, size, lambda step: told(step, steps))
    with torch.no_grad():
        codes = torch.cat([flow.autoencoder.encode(part)[0] for part in x.split(1000)])
    flow.centre, flow.spread = codes.mean(0), codes.std(0).clamp(min=1e-6)
    codes = (codes - flow.centre) / flow.spread
    _train_velocity(
        flow.velocity, codes, y, max(steps - first, 1), size, lambda step: told(first + step, steps)
    )
    return settled(flow)  # type: ignore[return-value]


def _train_autoencoder(
    model: Autoencoder, x: Tensor, steps: int, size: int, told: Callable[[int], None]
) -> None:
    descent = Descent(model, 2e-3, steps)
    weight = 0.25 * x[0].numel() / 784  # of the rate, per pixel as on MNIST
    for step in range(steps):
        batch = x[torch.randint(len(x), (size,), device=x.device)]
        mean, log_variance = model.encode(batch)
        h = mean + (log_variance / 2).exp() * torch.randn_like(mean)
        unlikely = F.binary_cross_entropy_with_logits(model.logits(h), batch, reduction="sum")
        rate = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum()
        descent.step((unlikely + weight * rate) / len(batch))
        told(step + 1)


def _train_velocity(
    model: FlowNetwork, codes: Tensor, y: Tensor, steps: int, size: int, told: Callable[[int], None]
) -> None:
    """E ‖v(z_t, t) − (z_1 − z_0)‖² with z_t on the line from noise z_0 to a code z_1."""
    descent, averages = Descent(model, 1e-3, steps), Averages(model, 0.005)
    classes = one_hot(y)
    for step in range(steps):
        row = torch.randint(len(codes), (size,), device=codes.device)
        end, t = codes[row], torch.rand(size, 1, device=codes.device)
        start = torch.randn_like(end)
        descent.step(F.mse_loss(model(torch.lerp(start, end, t), t, classes[row]), end - start))
        averages.follow()
        told(step + 1)
    averages.settle()


class Descent:
    """AdamW whose rate rises to `rate` over the first tenth of the steps and falls to zero as a cosine."""

    def __init__(self, model: nn.Module, rate: float, steps: int) -> None:
        # fused: one pass over the weights, where the plain loop costs as much as a small network's gradient
        self.optimiser = torch.optim.AdamW(model.parameters(), rate, weight_decay=1e-2, fused=True)
        self.rate, self.steps, self.done = rate, steps, 0

    def step(self, loss: Tensor) -> None:
        """Against the gradient of `loss`, a tensor without dimensions."""
        self.done += 1
        rising, falling = 10 * self.done / self.steps, (self.done - 1) / self.steps
        share = min(rising, (1 + math.cos(math.pi * falling)) / 2)
        self.optimiser.param_groups[0]["lr"] = self.rate * share
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.optimiser.step()


class Averages:
    """Running means of a model's numbers, which move by `rate` of the way at each step."""

    def __init__(self, model: nn.Module, rate: float) -> None:
        self.model, self.rate, self.steps = model, rate, 0
        self.means = {name: value.clone() for name, value in model.state_dict().items()}

    @torch.no_grad()
    def follow(self) -> None:
        """Move towards the model; at first faster, so that the first weights are soon forgotten."""
        self.steps += 1
        rate = max(self.rate, 1 / (self.steps + 1))
        for name, value in self.model.state_dict().items():
            if value.is_floating_point():
                self.means[name].lerp_(value, rate)
            else:
                self.means[name].copy_(value)

    def settle(self) -> None:
        """Give the model the means."""
        self.model.load_state_dict(self.means)
