"""What a translation has that the true partner has not: how much, and of which frequency; what is local."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness.studies.steganography.corruption import RINGS, frequency, noisy
from harness.studies.steganography.networks import translate

FLAT = 0.02
BLOCK_NOISE = 0.1


def aligned(made: Tensor, true: Tensor) -> Tensor:
    """`true` moved by the one shift of at most a pixel that suits all of `made` best.

    Unpaired training does not say where a picture lies, so nobody is to be blamed for a shift.
    """
    shifts = [(down, across) for down in (-1, 0, 1) for across in (-1, 0, 1)]
    moved = {shift: true.roll(shift, (2, 3)) for shift in shifts}
    return min(moved.values(), key=lambda each: float((made - each).abs().mean()))


def flat(true: Tensor) -> Tensor:
    """1.0 where 7 × 7 pixels of the true partner are alike (only paper, no ink), else 0: (N, 1, H, W)."""
    spread = F.max_pool2d(true, 7, 1, 3) + F.max_pool2d(-true, 7, 1, 3)
    return (spread.amax(1, keepdim=True) < FLAT).float()


def amplitude(residual: Tensor, where: Tensor) -> float | None:
    """Standard deviation of `residual` over the pixels `where`; None where there are none."""
    count = float(where.sum()) * residual.shape[1]
    if not count:
        return None
    mean = float((residual * where).sum()) / count
    return float(((residual - mean).square() * where).sum() / count) ** 0.5


def shares(residual: Tensor) -> list[float]:
    """The share of the energy of `residual` (N, C, H, W) in each ring of frequencies."""
    power = torch.fft.fft2(residual).abs().square().mean((0, 1))
    f = frequency(*residual.shape[-2:]).to(residual.device)
    total = float(power.sum())
    return [float(power[(f >= low) & (f < high)].sum()) / max(total, 1e-30) for low, high in RINGS]


def locality(g: nn.Module, y: Tensor, generator: torch.Generator) -> tuple[float, float]:
    """(share, chance): of the change that noise in a block makes in G(y), what lies near the block.

    The block has a quarter of the side; near is up to an eighth of the side away. `chance` is the share of
    the image that is near.
    """
    side = y.shape[-1]
    block = torch.zeros_like(y)
    block[..., side // 4 : side // 2, side // 4 : side // 2] = 1
    changed = y + block * (noisy(y, BLOCK_NOISE, generator) - y)
    change = (translate(g, changed) - translate(g, y)).abs().sum((0, 1))
    near = change[side // 8 : side // 2 + side // 8, side // 8 : side // 2 + side // 8]
    return float(near.sum() / change.sum().clamp(min=1e-30)), near.numel() / change.numel()
