"""The slides' attack: hide an image x in the picture y0 of another, y* = argmin over y of |G(y) − x| from y0.

The cycle loss asks the same of F, so training a CycleGAN *is* this attack on itself, once for all images.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

CAPS = (8, 4, 2)
"""Largest change of a pixel, in 1/255 of the range of [0, 255], which is 2 in our [−1, 1]."""
FREE_RATE = 0.02


def hide(g: nn.Module, x: Tensor, start: Tensor, steps: int, cap: int | None = None) -> Tensor:
    """y* (N, C, H, W) in [−1, 1] after `steps` of Adam on mean |G(y) − x|, from `start`.

    With a cap, no pixel moves farther than `cap`/255 of the range. The rate falls to a tenth. No weight of G
    may ask for a gradient.
    """
    limit = None if cap is None else 2 * cap / 255
    rate = FREE_RATE if limit is None else limit / 8
    change = torch.zeros_like(start).requires_grad_()
    adam = torch.optim.Adam([change], rate)
    for step in range(steps):
        loss = (g((start + change).clamp(-1, 1)) - x).abs().mean((1, 2, 3)).sum()
        adam.zero_grad()
        loss.backward()
        adam.step()
        adam.param_groups[0]["lr"] = rate * (1 - 0.9 * (step + 1) / steps)
        if limit is not None:
            with torch.no_grad():
                change.clamp_(-limit, limit)
    return (start + change.detach()).clamp(-1, 1)
