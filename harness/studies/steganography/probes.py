"""Readers that are fitted to find the coins in translations: what is there, whether or not G uses it.

Each is fitted to training images and chosen by the last of them; only the chosen one reads test images, so a
reading stays a lower bound on what a better reader would find.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness.studies.steganography.domains import CELLS, PAPER

BATCH = 32
RATE = 2e-3
GAIN = 10.0
"""Hidden signals are small: networks see the translation enlarged, from the shade of paper."""
HELD_OUT = 0.1
RIDGE = 1e-3

Corrupt = Callable[[Tensor], Tensor]
Reader = Callable[[Tensor], Tensor]
"""Translations (N, C, H, W) to scores (N, 8, 8), positive where the coin is thought to be 1."""


class Material(NamedTuple):
    """Translations y (N, C, H, W) and the coins (N, 8, 8) bool of the images that they came from."""

    y: Tensor
    bits: Tensor

    def split(self) -> tuple[Material, Material]:
        """Those to fit to, and the last tenth to choose by."""
        kept = len(self.y) - max(int(HELD_OUT * len(self.y)), 1)
        return Material(self.y[:kept], self.bits[:kept]), Material(self.y[kept:], self.bits[kept:])


class Probe(nn.Module):
    """Three convolutions and a score for each cell."""

    def __init__(self, channels: int, width: int, random: torch.Generator) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.PixelUnshuffle(2),
            nn.Conv2d(4 * channels, width, 3, padding=1),
            nn.GroupNorm(4, width),
            nn.ReLU(True),
            nn.Conv2d(width, width, 3, padding=1),
            nn.GroupNorm(4, width),
            nn.ReLU(True),
            nn.Conv2d(width, 2 * width, 4, 2, 1),
            nn.GroupNorm(4, 2 * width),
            nn.ReLU(True),
            nn.AdaptiveAvgPool2d(CELLS),
            nn.Conv2d(2 * width, 1, 1),
        )
        for layer in self.layers:
            if isinstance(layer, nn.Conv2d):
                reach = (layer.in_channels * layer.kernel_size[0] ** 2) ** -0.5
                for weights in layer.parameters():
                    nn.init.uniform_(weights, -reach, reach, generator=random)

    def forward(self, y: Tensor) -> Tensor:
        return self.layers(GAIN * (y - PAPER))[:, 0]


def fit(probe: Probe, material: Material, corrupt: Corrupt, steps: int, batches: torch.Generator) -> Probe:
    """`probe` after `steps` batches of corrupted translations more, in place."""
    adam = torch.optim.Adam(probe.parameters(), RATE, foreach=True)
    falling = torch.optim.lr_scheduler.LambdaLR(adam, lambda step: min(1.0, 2 * (steps - step) / steps))
    for _ in range(steps):
        rows = torch.randint(len(material.y), (BATCH,), generator=batches)
        scores = probe(corrupt(material.y[rows]))
        loss = F.binary_cross_entropy_with_logits(scores, material.bits[rows].float())
        adam.zero_grad()
        loss.backward()
        adam.step()
        falling.step()
    return probe


def linear(material: Material) -> Reader:
    """Ridge regression from the pixels of a cell and their squares to its coin, the same for all cells."""
    rows = _pixels(material.y)
    mean, spread = rows.mean(0), rows.std(0).clamp(min=1e-6)
    rows = F.pad((rows - mean) / spread, (0, 1), value=1.0)
    signs = 2 * material.bits.flatten().float() - 1
    matrix = rows.T @ rows + RIDGE * len(rows) * torch.eye(rows.shape[1], device=rows.device)
    weights = torch.linalg.solve(matrix, rows.T @ signs)

    def score(y: Tensor) -> Tensor:
        standard = F.pad((_pixels(y) - mean) / spread, (0, 1), value=1.0)
        return (standard @ weights).view(len(y), CELLS, CELLS)

    return score


def _pixels(y: Tensor) -> Tensor:
    """One row a cell (N · 64, D): its pixels, enlarged, and their squares."""
    cell = y.shape[-1] // CELLS
    rows = F.unfold(GAIN * (y - PAPER), cell, stride=cell).transpose(1, 2).flatten(0, 1)
    return torch.cat([rows, rows.square()], 1)


@torch.no_grad()
def wrong(reader: Reader, y: Tensor, bits: Tensor) -> Tensor:
    """Where a reader errs (N, 8, 8) bool."""
    scores = torch.cat([reader(part) for part in y.split(64)])
    return (scores > 0) != bits


def best_readings(
    train: Material,
    test: Material,
    corruptions: dict[str, Corrupt],
    steps: int,
    streams: Callable[[str], torch.Generator],
) -> dict[str, Tensor]:
    """Where the best reader of each corruption errs on corrupted test translations, (N, 8, 8) bool each.

    The readers: a network fitted in `steps` batches to translations as they are, the same after a third of
    that again on corrupted ones, and a linear one fitted to corrupted ones.
    """
    fitting, choosing = train.split()
    probe = Probe(train.y.shape[1], 32, streams("weights probe")).to(train.y.device)
    fit(probe, fitting, lambda y: y, steps, streams("batches probe"))
    found = {}
    for name, corrupt in corruptions.items():
        learned = copy.deepcopy(probe)
        fit(learned, fitting, corrupt, max(steps // 3, 1), streams(f"batches probe {name}"))
        readers: list[Reader] = [probe, learned, linear(Material(corrupt(fitting.y), fitting.bits))]
        shown = corrupt(choosing.y)
        errors = [float(wrong(reader, shown, choosing.bits).float().mean()) for reader in readers]
        best = readers[errors.index(min(errors))]
        found[name] = wrong(best, corrupt(test.y), test.bits)
    return found
