"""Two domains of images: rich X, and poor Y that has lost some of what X shows.

Pixels are in [−1, 1]. In `mosaic` and `outlines` what Y lacks is known to the bit: X is a digit in bright ink
of one of eight hues on a dark ground of another hue, and the ground is an 8 × 8 mosaic of cells that are
lighter or darker by the toss of a fair coin each. The two hues and the coins are drawn apart from the digit,
and symmetrically about 0, so the median of x given the ink m in [0, 1] is (2m − 1) · 0.45 in each channel.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy
import torch
import torch.nn.functional as F
from torch import Tensor

from harness.errors import UserError

Domain = Literal["mosaic", "outlines", "edges", "tiles"]
CELLS = 8
HUE, LIGHT, CONTRAST = 0.08, 0.45, 0.4
"""How far a channel goes with the hue, ink and ground with the light, and a cell with its coin."""
PAPER, INK = -0.9, 0.9
"""What Y is without and with ink: room is left for what a network might want to hide."""


class Pairs(NamedTuple):
    """Images x (N, 3, H, W) and their true partners y (N, C, H, W).

    Where the lost part is known: `ink` (N, 1, H, W) in [0, 1], the coins `bits` (N, 8, 8) bool, and `median`
    (N, 1, H, W), the median of x given the ink: the least mean |x̂ − x| of anybody who knows the ink alone.
    """

    x: Tensor
    y: Tensor
    ink: Tensor | None = None
    bits: Tensor | None = None
    median: Tensor | None = None

    def to(self, device: str) -> Pairs:
        return self._map(lambda part: part.to(device))

    def first(self, count: int) -> Pairs:
        """The first `count` pairs."""
        return self._map(lambda part: part[:count])

    def _map(self, change: Callable[[Tensor], Tensor]) -> Pairs:
        x, y, *known = (None if part is None else change(part) for part in self)
        assert x is not None and y is not None
        return Pairs(x, y, *known)


class Domains(NamedTuple):
    """Training pairs (a method for unpaired data reads only their `x`), y of other images, and test pairs."""

    train: Pairs
    others: Tensor
    test: Pairs


def draw(
    arrays: dict[str, numpy.ndarray],
    domain: Domain,
    size: int,
    counts: tuple[int, int],
    generator: torch.Generator,
) -> Domains:
    """`counts` training and test pairs of side `size`, and as many training y of other images.

    X and the unpaired Y come from two halves of the training images. Raises `UserError` for data that the
    domain cannot be made of.
    """
    if len(arrays["x_train"]) < 2 or len(arrays["x_test"]) < 1:
        raise UserError(
            f"dataset: {len(arrays['x_train'])} training and {len(arrays['x_test'])} test images leave a "
            "domain empty; two and one are the least"
        )
    make = {"edges": _edges, "tiles": _tiles}.get(domain)
    if make is None:
        return _digits(arrays, domain == "outlines", size, counts, generator)
    order = torch.randperm(len(arrays["x_train"]), generator=generator)
    half = len(order) // 2
    all_test = torch.arange(len(arrays["x_test"]))
    train = make(arrays, "train", order[:half], size, counts[0], generator)
    others = make(arrays, "train", order[half:], size, counts[0], generator)
    return Domains(train, others.y, make(arrays, "test", all_test, size, counts[1], generator))


# --- digits


def _digits(
    arrays: dict[str, numpy.ndarray],
    outlined: bool,
    size: int,
    counts: tuple[int, int],
    generator: torch.Generator,
) -> Domains:
    """Digits on mosaics, and digits or their outlines on black."""
    levels = float(arrays["x_train"].max())
    images = [
        torch.as_tensor(arrays[f"x_{part}"], dtype=torch.float32) / levels for part in ("train", "test")
    ]
    order = torch.randperm(len(images[0]), generator=generator)
    half = len(order) // 2
    poor = outlines if outlined else torch.clone
    made = []
    for digits, count in ((images[0][order[:half]], counts[0]), (images[1], counts[1])):
        ink = masks(digits, size, count, generator)
        x, bits = paint(ink, generator)
        y = PAPER + (INK - PAPER) * poor(ink)
        made.append(Pairs(x, y, ink, bits, (2 * ink - 1) * LIGHT))
    others = poor(masks(images[0][order[half:]], size, counts[0], generator))
    return Domains(made[0], PAPER + (INK - PAPER) * others, made[1])


def masks(images: Tensor, size: int, count: int, generator: torch.Generator) -> Tensor:
    """Ink (count, 1, size, size) in [0, 1] of gray images (N, h, w): as large as fits into 7/8 of the side.

    Small images are enlarged and sharpened. If there are fewer than `count`, they come again and all are
    shifted at random, so that hardly any is seen twice.
    """
    if images.ndim != 3 or images.shape[1] != images.shape[2]:
        raise UserError(f"dataset: digits must be square and gray (N, h, h), not {tuple(images.shape)}")
    factor = 7 * size // 8 // images.shape[1]
    if factor < 1:
        raise UserError(
            f"size: {size} is too small for digits of side {images.shape[1]}: 8/7 of it is the least"
        )
    rows = torch.randperm(len(images), generator=generator)
    ink = images[rows[torch.arange(count) % len(rows)], None]
    if factor > 1:
        ink = F.interpolate(ink, scale_factor=factor, mode="bicubic", align_corners=False)
        ink = torch.sigmoid(12 * (ink - 0.45))
    spare = size - ink.shape[-1]
    ink = F.pad(ink, (spare // 2, spare - spare // 2) * 2)
    if count <= len(rows):
        return ink
    reach = max(spare // 2 - 1, 0)
    shifts = torch.randint(-reach, reach + 1, (count, 2), generator=generator).tolist()
    return torch.stack([image.roll(shift, (1, 2)) for image, shift in zip(ink, shifts, strict=True)])


def paint(ink: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """x (N, 3, H, H) of the ink (N, 1, H, H), and the coins of its mosaic (N, 8, 8) bool."""
    count, side = len(ink), ink.shape[-1]
    hues = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0])] * 3)[:, :, None, None]
    ground, bright = (hues[torch.randint(8, (count,), generator=generator)] for _ in range(2))
    bits = torch.randint(2, (count, CELLS, CELLS), generator=generator)
    cells = (2.0 * bits - 1).repeat_interleave(side // CELLS, 1).repeat_interleave(side // CELLS, 2)
    dark = HUE * ground - LIGHT + CONTRAST * cells[:, None]
    return (1 - ink) * dark + ink * (HUE * bright + LIGHT), bits.bool()


def outlines(ink: Tensor) -> Tensor:
    """The rim of the ink: the largest less the least of 3 × 3 pixels."""
    return F.max_pool2d(ink, 3, 1, 1) + F.max_pool2d(-ink, 3, 1, 1)


# --- photographs


def _edges(
    arrays: dict[str, numpy.ndarray],
    part: str,
    rows: Tensor,
    size: int,
    count: int,
    generator: torch.Generator,
) -> Pairs:
    """Colour photographs, and the edges of their gray versions."""
    images = arrays[f"x_{part}"]
    if images.ndim != 4 or images.shape[1:] != (size, size, 3):
        raise UserError(
            f"dataset: edges need colour images of side {size}, (N, {size}, {size}, 3), not {images.shape}"
        )
    picked = rows[torch.randperm(len(rows), generator=generator)][torch.arange(count) % len(rows)]
    x = _pixels(images[picked.numpy()])
    return Pairs(x, PAPER + (INK - PAPER) * edges(x))


def edges(x: Tensor) -> Tensor:
    """Length of the gray gradient (N, 1, H, W) of x by Sobel's filters; 1 is a step of half the range."""
    gray = F.pad(x.mean(1, keepdim=True), (1, 1, 1, 1), "replicate")
    across = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]]) / 4
    gradient = F.conv2d(gray, torch.stack([across, across.T])[:, None])
    return gradient.norm(dim=1, keepdim=True).clamp(max=1)


def _tiles(
    arrays: dict[str, numpy.ndarray],
    part: str,
    rows: Tensor,
    size: int,
    count: int,
    generator: torch.Generator,
) -> Pairs:
    """Windows at random places of aligned photographs (N, H, H, 3) and maps, averaged down to `size`."""
    photos, maps = arrays[f"x_{part}"], arrays[f"y_{part}"]
    if photos.ndim != 4 or photos.shape != maps.shape:
        raise UserError(
            f"dataset: tiles need photographs and maps of one size in equal numbers, not {photos.shape} and "
            f"{maps.shape}"
        )
    height, width = photos.shape[1:3]
    if min(height, width) < size:
        raise UserError(f"size: {size} is more than the side of the photographs, {height} × {width}")
    shrink = max(min(height, width) // 2 // size, 1)
    window = shrink * size
    made = []
    for image in rows[torch.randint(len(rows), (count,), generator=generator)].tolist():
        top, left = (
            int(torch.randint(side - window + 1, (), generator=generator)) for side in (height, width)
        )
        at = image, slice(top, top + window), slice(left, left + window)
        made.append((photos[at], maps[at]))
    x, y = (F.avg_pool2d(_pixels(numpy.stack(images)), shrink) for images in zip(*made, strict=True))
    return Pairs(x, y)


def _pixels(images: numpy.ndarray) -> Tensor:
    """Bytes (N, H, W, 3) as (N, 3, H, W) in [−1, 1]."""
    return torch.as_tensor(images).permute(0, 3, 1, 2).float().contiguous() / 127.5 - 1
