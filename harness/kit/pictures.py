"""Pictures of pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from torch import Tensor

MARGIN = 2


def save_grid(images: Tensor, path: Path) -> None:
    """Write images (R, C, H, W) or (R, C, H, W, 3) in [0, 1] as one PNG, R rows of C."""
    from PIL import Image

    tiles = (images.detach().clamp(0, 1) * 255).round().byte().cpu().numpy()
    padding = [(0, 0), (0, 0), (0, MARGIN), (0, MARGIN)] + [(0, 0)] * (tiles.ndim - 4)
    padded = np.pad(tiles, padding, constant_values=128)
    Image.fromarray(np.concatenate(np.concatenate(padded, axis=1), axis=1)).save(path)
