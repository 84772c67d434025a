"""Five classifiers of different build that may answer "none of these", and what is no digit.

They stand in for people who choose a digit or "N/A". Class 10 is "none"; it is learnt from noise, blends,
fragments and turned digits, all made of training images.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness.studies.attack.generators import CLASSES, Descent, settled

NONE = CLASSES
"""The class of what is no digit."""

ARCHITECTURES = ("convolutional", "lenet", "residual", "dense", "oriented")


def convolution(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Convolution, batch normalisation, rectifier."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )


class Residual(nn.Module):
    """Two convolutions beside the identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = convolution(channels, channels)
        self.second = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.second(self.first(x)))


class Oriented(nn.Module):
    """Edges and bars in eight directions, both signs apart, averaged over squares; nothing is learnt."""

    filters: Tensor

    def __init__(self, side: int, directions: int = 8) -> None:
        super().__init__()
        radius = max(side // 8, 1)
        self.stride = 2 if side >= 16 else 1
        across = torch.arange(-radius, radius + 1).float()
        down, right = torch.meshgrid(across, across, indexing="ij")
        angle = (torch.pi * torch.arange(directions) / directions)[:, None, None]
        along = right * angle.cos() + down * angle.sin()
        envelope = torch.exp(-(down.square() + right.square()) / (0.5 * (radius + 0.5) ** 2))
        filters = torch.cat(
            [envelope * torch.sin(torch.pi * along / (radius + 1)), self._bars(along, envelope)]
        )
        self.register_buffer("filters", filters.unsqueeze(1))

    @staticmethod
    def _bars(along: Tensor, envelope: Tensor) -> Tensor:
        bars = envelope * torch.cos(torch.pi * along / (along.shape[-1] // 2 + 1))
        return bars - envelope * (bars.sum((1, 2), keepdim=True) / envelope.sum())

    def forward(self, x: Tensor) -> Tensor:
        found = F.conv2d(x, self.filters, stride=self.stride, padding=self.filters.shape[-1] // 2)
        return F.avg_pool2d(torch.cat([F.relu(found), F.relu(-found)], dim=1), 2).flatten(1)


def build(architecture: str, side: int) -> nn.Module:
    """A judge's network: images (N, 1, S, S) in [0, 1], S divisible by 4, to logits (N, 11)."""
    quarter = (side // 4) ** 2
    outputs = CLASSES + 1
    if architecture == "convolutional":
        return nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1, bias=False),
            nn.MaxPool2d(2),  # before the norm, which then costs a quarter
            nn.BatchNorm2d(16),
            nn.ReLU(),
            convolution(16, 32),
            nn.MaxPool2d(2),
            convolution(32, 64),
            convolution(64, 64),
            nn.Flatten(),
            nn.Dropout(0.3),
            nn.Linear(64 * quarter, outputs),
        )
    if architecture == "lenet":
        return nn.Sequential(
            nn.Conv2d(1, 12, 5, padding=2),
            nn.AvgPool2d(2),
            nn.BatchNorm2d(12),
            nn.GELU(),
            nn.Conv2d(12, 32, 5, padding=2),
            nn.AvgPool2d(2),
            nn.BatchNorm2d(32),
            nn.GELU(),
            nn.Flatten(),
            nn.Dropout(0.3),
            nn.Linear(32 * quarter, 200),
            nn.GELU(),
            nn.Linear(200, outputs),
        )
    if architecture == "residual":
        return nn.Sequential(
            convolution(1, 24, 5, 2),
            Residual(24),
            convolution(24, 48, 3, 2),
            Residual(48),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
            nn.Dropout(0.2),
            nn.Linear(4 * 48, outputs),
        )
    if architecture == "dense":
        width = 600 if side >= 16 else 200
        hidden = _dense(side * side, width, width // 2)
        return nn.Sequential(nn.Flatten(), *hidden, nn.Linear(width // 2, outputs))
    if architecture == "oriented":
        edges = Oriented(side)
        features = edges(torch.zeros(1, 1, side, side)).shape[1]
        return nn.Sequential(edges, nn.BatchNorm1d(features), *_dense(features, 400), nn.Linear(400, outputs))
    raise ValueError(f"there is no judge {architecture!r}; there are {', '.join(ARCHITECTURES)}")


def _dense(*sizes: int) -> list[nn.Module]:
    made: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        made += [nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs), nn.ReLU(), nn.Dropout(0.25)]
    return made


def affine(x: Tensor, turn: float, scale: float, shear: float, shift: float) -> Tensor:
    """Each image turned (radians), stretched, sheared and shifted (by half sides) by up to so much."""

    def upto(most: float) -> Tensor:
        return (2 * torch.rand(len(x)).to(x.device) - 1) * most

    angle, wide, high = upto(turn), 1 + upto(scale), 1 + upto(scale)
    top = torch.stack([wide * angle.cos(), -angle.sin() + upto(shear), upto(shift)], dim=1)
    bottom = torch.stack([angle.sin(), high * angle.cos(), upto(shift)], dim=1)
    grid = F.affine_grid(torch.stack([top, bottom], dim=1), list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, align_corners=False)


def _noisy(x: Tensor) -> Tensor:
    x = affine(x, 0.1, 0.05, 0.1, 0.07)
    strength, noise = torch.rand(len(x), 1, 1, 1).to(x.device), torch.randn(x.shape).to(x.device)
    return (x + 0.15 * strength * noise).clamp(0, 1)


def _cut(x: Tensor) -> Tensor:
    """A square of a quarter of the side is wiped out."""
    x, side = affine(x, 0.1, 0.1, 0.0, 0.1), x.shape[-1]
    down, right = (torch.randint(side, (len(x), 1, 1, 1)).to(x.device) for _ in range(2))
    places, half = torch.arange(side, device=x.device), side // 7
    hole = ((places[:, None] - down).abs() < half) & ((places - right).abs() < half)
    return x.masked_fill(hole, 0.0)


DISTORTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "convolutional": lambda x: affine(x, 0.2, 0.12, 0.15, 0.1),
    "lenet": _noisy,
    "residual": _cut,
    "dense": lambda x: affine(x, 0.2, 0.12, 0.15, 0.1),
    "oriented": lambda x: affine(x, 0.1, 0.15, 0.25, 0.14),
}
BATCH, SMALL_BATCH, RATE = 128, 32, 4e-3
FEW = 10_000
"""Training images below which batches are small, since there are too few updates otherwise."""

EPOCHS = {"convolutional": 3, "lenet": 3, "residual": 4, "dense": 12, "oriented": 5}
"""Passes over the training images at effort 1, by which each judge errs on less than 1 % of MNIST."""


def train_judge(
    architecture: str, x: Tensor, y: Tensor, effort: float, told: Callable[[int, int], None]
) -> nn.Module:
    """A judge of images (N, 1, S, S) and digits (N,), a quarter as much garbage in each batch.

    Draws from the global generator, all but dropout on the CPU. `told` gets (updates done, updates).
    """
    judge = build(architecture, x.shape[-1]).to(x.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    size = BATCH if len(x) >= FEW else SMALL_BATCH
    steps = max(round(effort * EPOCHS[architecture] * len(x) / size), 1)
    descent, distort = Descent(judge, RATE, steps), DISTORTIONS[architecture]
    order = torch.randperm(len(x))
    for step in range(steps):
        rows = order[torch.arange(step * size, (step + 1) * size) % len(x)]
        images = distort(x[rows])
        junk = garbage(images, y[rows], KNOWN)[: size // 4]
        batch = torch.cat([images, junk]).contiguous(memory_format=torch.channels_last)
        logits = judge(batch)
        digits = F.cross_entropy(logits[: len(rows)], y[rows], label_smoothing=0.02)
        none = F.cross_entropy(logits[len(rows) :], torch.full((len(junk),), NONE, device=x.device))
        descent.step(digits + 0.3 * none)
        told(step + 1, steps)
    return settled(judge)


# --- what is no digit

Maker = Callable[[Tensor, Tensor], Tensor]
"""Images (N, 1, S, S), and as many of other digits, to N that are no digits."""


def _halves(x: Tensor, other: Tensor) -> Tensor:
    half = x.shape[-1] // 2
    if torch.rand(()) < 0.5:
        return torch.cat([x[:, :, :half], other[:, :, half:]], dim=2)
    return torch.cat([x[..., :half], other[..., half:]], dim=3)


def _fragments(x: Tensor, other: Tensor) -> Tensor:
    """Quarters of an image in another order."""
    half = x.shape[-1] // 2
    quarters = [
        x[:, :, down : down + half, right : right + half] for down in (0, half) for right in (0, half)
    ]
    a, b, c, d = (quarters[place] for place in [*(1 + torch.randperm(3)).tolist(), 0])
    return torch.cat([torch.cat([a, b], dim=3), torch.cat([c, d], dim=3)], dim=2)


def _smooth_noise(x: Tensor, other: Tensor) -> Tensor:
    side = x.shape[-1]
    rough = torch.rand(len(x), 1, max(side // 4, 3), max(side // 4, 3)).to(x.device)
    return ((F.interpolate(rough, (side, side), mode="bilinear") - 0.5) * 3).clamp(0, 1)


def _blend(x: Tensor, other: Tensor) -> Tensor:
    return ((x + other) / 2 * (1 + 0.8 * torch.rand(len(x), 1, 1, 1).to(x.device))).clamp(0, 1)


def _turned(x: Tensor, other: Tensor) -> Tensor:
    return x.rot90(1 if torch.rand(()) < 0.5 else 3, (2, 3))


def _woven(x: Tensor, other: Tensor) -> Tensor:
    rows = torch.arange(x.shape[-2], device=x.device)
    return torch.where(rows[:, None] // 3 % 2 == 0, x, other)


KNOWN: dict[str, Maker] = {
    "overlaid": lambda x, other: torch.maximum(x, other),
    "blended": _blend,
    "halves": _halves,
    "fragments": _fragments,
    "noise": _smooth_noise,
    "turned": _turned,
}
"""What the judges are trained to refuse."""

UNKNOWN: dict[str, Maker] = {
    "white noise": lambda x, other: torch.rand(x.shape).to(x.device),
    "negative": lambda x, other: 1 - x,
    "mirrored": lambda x, other: x.flip(3),
    "scrambled pixels": lambda x, other: x.flatten(2)[..., torch.randperm(x.shape[-1] ** 2)].view_as(x),
    "woven": _woven,
}
"""What they have never met."""

NEVER_TURNED = {"turned": (2, 3, 4, 5, 6, 7, 9), "mirrored": (3, 4, 6, 7, 9)}
"""Digits that such a change makes no digit; a turned 0, 1 or 8 may pass for one."""


def garbage(x: Tensor, y: Tensor, makers: dict[str, Maker]) -> Tensor:
    """Up to N images that are no digits, in equal shares by the `makers`, from images of digits y (N,).

    Two digits are blended only where they differ, so some rows are left out. In random order.
    """
    partner, order = (torch.randperm(len(x)).to(x.device) for _ in range(2))
    made = []
    for (name, maker), rows in zip(makers.items(), order.chunk(len(makers)), strict=False):
        usable = y[rows] != y[partner[rows]]
        if name in NEVER_TURNED:
            usable = torch.isin(y[rows], torch.tensor(NEVER_TURNED[name], device=y.device))
        rows = rows[usable]
        made.append(maker(x[rows], x[partner[rows]]))
    mixed = torch.cat(made)
    return mixed[torch.randperm(len(mixed))]
