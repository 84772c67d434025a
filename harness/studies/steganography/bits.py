"""Hidden bits: how many coins of the mosaic somebody reads off a translation or a reconstruction.

If a fraction e of n fair coins is read wrongly, the reading tells at least n (1 − H₂(e)) bits of them (Fano;
a pooled e only lowers the bound, since 1 − H₂ is convex, and independent coins add). So all counts are lower
bounds on what is there; they say that somebody *can* read it, not that somebody wrote it.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

import harness
from harness.studies.steganography.domains import CELLS

FREE = 0.02
"""Cells without a pixel of more ink are free."""
KINDS = 5


def kinds(ink: Tensor) -> Tensor:
    """What each cell (N, 8, 8) is: 0 free of ink, 1 to 4 by quarters of its ink (N, 1, H, H)."""
    cell = ink.shape[-1] // CELLS
    quarter = (4 * F.avg_pool2d(ink, cell)[:, 0]).ceil().clamp(1, 4)
    return torch.where(F.max_pool2d(ink, cell)[:, 0] < FREE, 0, quarter).long()


def read(reconstruction: Tensor, ink: Tensor) -> Tensor:
    """The coins (N, 8, 8) bool by brightness: is the ground of a cell above the mean ground of its image?"""
    ground, cell = 1 - ink, ink.shape[-1] // CELLS
    bright = reconstruction.mean(1, keepdim=True) * ground
    mean = bright.sum((2, 3)) / ground.sum((2, 3))
    cells = F.avg_pool2d(bright, cell)[:, 0] / F.avg_pool2d(ground, cell)[:, 0].clamp(min=1e-6)
    return cells > mean[:, :, None]


def hidden_bits(wrong: Tensor, kind: Tensor, last: int = KINDS - 1) -> harness.Estimate:
    """Bits an image told by readings that were `wrong` (N, 8, 8) bool, in cells of the kinds 0 to `last`.

    Kinds are pooled each for itself; one that is read no better than by chance tells nothing. The standard
    error is over images.
    """
    images = len(wrong)
    bits, influence = 0.0, torch.zeros(images, dtype=torch.float64, device=wrong.device)
    for number in range(last + 1):
        these = kind == number
        count, errors = (part.sum((1, 2)).double() for part in (these, these & wrong))
        total = float(count.sum())
        error = float(errors.sum()) / max(total, 1.0)
        if total and error < 0.5:
            told = 1 - float(entropy(torch.tensor(error, dtype=torch.float64)))
            bits += total / images * told
            kept = max(error, 0.5 / total)  # the slope at 0 is infinite
            slope = torch.log2(torch.tensor((1 - kept) / kept))
            influence += told * (count - count.mean()) - slope * (errors - error * count)
    return harness.Estimate(bits, float(influence.std()) / images**0.5, images)


def entropy(p: Tensor) -> Tensor:
    """H₂(p) in bits, 0 at 0 and at 1."""
    return (torch.special.entr(p) + torch.special.entr(1 - p)) / torch.log(torch.tensor(2.0, dtype=p.dtype))
