"""Tighter linear relaxations: the box clipped to [0, 1], and free slopes below each ReLU (CROWN and α-CROWN).

Below an unstable ReLU any line of slope α in [0, 1] through the origin will do. CROWN (Zhang et al. 2018)
takes 0 or 1, whichever leaves less area; α-CROWN (Xu et al. 2021) ascends the bound by α.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from harness.studies.attack.certificates.interval import differences
from harness.studies.attack.certificates.layers import (
    Affine,
    Bounds,
    Box,
    Windows,
    chain,
    first_bounds,
    is_pair,
)

RATE = 0.2
"""Adam's, for slopes; it falls by a tenth each step."""


class Question(NamedTuple):
    """Is the logit of class y above that of `rival`, everywhere in the box? One for each of B."""

    rows: Tensor
    """What is asked, on the last hidden layer (B, 1, *shape)."""
    offset: Tensor
    """(B,)."""
    bounds: list[Bounds]
    box: Box

    def __getitem__(self, rows: Tensor) -> Question:  # type: ignore[override]
        return Question(
            self.rows[rows], self.offset[rows], [bound[rows] for bound in self.bounds], self.box[rows]
        )


class Answer(NamedTuple):
    """Lower bounds (B,), where in the box the relaxation has them, (B, *shape), and its gaps by layer."""

    value: Tensor
    image: Tensor
    gaps: list[Tensor]
    """For each ReLU (B, *shape): what the line above it may have cost."""


def tight_bounds(layers: Sequence[Affine], box: Box) -> list[Bounds]:
    """Bounds on every hidden layer's inputs over the boxes, by CROWN's slopes."""
    bounds = [first_bounds(layers[0], box)]
    if is_pair(layers) and len(layers) > 2:
        bounds.append(_window_bounds(Windows.of(layers[0], layers[1]), bounds[0], box))
    while len(bounds) < len(layers) - 1:
        layer = layers[len(bounds)]
        if isinstance(layer.layer, nn.Conv2d):
            raise ValueError("a third convolution: its bounds would cost too much")
        rows = layer.rows().expand(len(box.centre), *layer.rows().shape)
        below = descend(layers, bounds, crown(bounds), box, rows)[0]
        above = -descend(layers, bounds, crown(bounds), box, -rows)[0]
        bounds.append(Bounds(below + layer.bias, above + layer.bias))
    return bounds


def crown(bounds: Sequence[Bounds]) -> list[Tensor]:
    """CROWN's slopes below: (N, *shape) of 0 and 1."""
    return [(bound.upper > -bound.lower).to(bound.lower) for bound in bounds]


def descend(
    layers: Sequence[Affine],
    bounds: Sequence[Bounds],
    slopes: Sequence[Tensor],
    box: Box,
    rows: Tensor,
    prices: Sequence[Tensor] | None = None,
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Lower bounds (N, K) on `rows` of the last bounded layer's activations, rows on the image, gaps.

    `slopes` (N, *shape) count where a ReLU is unstable. `prices` (N, *shape) are added to the rows on ReLUs'
    inputs: multipliers of what is known of their sign.
    """
    value, gaps = rows.new_zeros(rows.shape[:2]), []
    for index in reversed(range(len(bounds))):
        layer, bound = layers[index], bounds[index]
        chord, gap = bound.chord()
        below = torch.where(bound.unstable(), slopes[index], chord)
        negative = rows.clamp_max(0)
        cost = negative * gap[:, None]
        rows = rows.clamp_min(0) * below[:, None] + negative * chord[:, None]
        if prices is not None:
            rows = rows + prices[index][:, None]
        gaps.append(cost[:, 0].detach())
        rows, constant = layer.back(rows)
        value = value + cost.flatten(2).sum(2) + constant
    middle, radius = box.lowest(rows)
    return value + middle - radius, rows, gaps[::-1]


def ask(layers: Sequence[Affine], bounds: list[Bounds], box: Box, y: Tensor, rivals: Tensor) -> Question:
    """`rivals` (B,) for the images of `box`, `bounds` and classes y (B,)."""
    weight = layers[-1].weight
    rows = (weight[y] - weight[rivals]).reshape(-1, 1, *layers[-1].inner)
    return Question(rows, layers[-1].bias[y] - layers[-1].bias[rivals], bounds, box)


def answer(
    layers: Sequence[Affine],
    question: Question,
    steps: int,
    slopes: list[Tensor] | None = None,
    signs: list[Tensor] | None = None,
    prices: list[Tensor] | None = None,
) -> tuple[Answer, list[Tensor], list[Tensor] | None]:
    """The best of `steps` bounds, with the slopes and prices it ended at; those given are where it starts.

    `signs` (B, *shape) of −1, 0 and 1 say what is assumed of ReLUs' inputs; each assumption gets a price of
    the opposite sign, not below 0 in size (β-CROWN, Wang et al. 2021). It stops when all bounds are above 0.
    """
    slopes = [part.clone() for part in slopes or crown(question.bounds)]
    prices = None if signs is None else [part.clone() for part in prices or map(torch.zeros_like, signs)]
    free = slopes + (prices or [])
    optimiser = torch.optim.Adam([part.requires_grad_(steps > 0) for part in free], RATE)
    best: Answer | None = None
    for step in range(steps + 1):
        signed = None
        if signs is not None and prices is not None:
            signed = [-sign * price for sign, price in zip(signs, prices, strict=True)]
        value, rows, gaps = descend(layers, question.bounds, slopes, question.box, question.rows, signed)
        value, rows = value[:, 0] + question.offset, rows.detach()
        image = question.box.centre - rows[:, 0].sign() * question.box.radius
        best = _better(best, Answer(value.detach(), image, gaps))
        if step == steps or (best.value > 0).all():
            break
        optimiser.zero_grad()
        (-value.sum()).backward()
        optimiser.step()
        optimiser.param_groups[0]["lr"] *= 0.9
        with torch.no_grad():
            for part in slopes:
                part.clamp_(0, 1)
            for part in prices or []:
                part.clamp_min_(0)
    assert best is not None
    ended = [part.detach() for part in free]
    return best, ended[: len(slopes)], ended[len(slopes) :] if prices is not None else None


def _better(old: Answer | None, new: Answer) -> Answer:
    if old is None:
        return new
    keep = new.value > old.value
    shaped = keep.reshape(-1, *[1] * (new.image.dim() - 1))
    gaps = [
        torch.where(keep.reshape(-1, *[1] * (gap.dim() - 1)), gap, other)
        for gap, other in zip(new.gaps, old.gaps, strict=True)
    ]
    return Answer(torch.where(keep, new.value, old.value), torch.where(shaped, new.image, old.image), gaps)


def linear_margins(
    network: nn.Sequential, x: Tensor, y: Tensor, eps: float, steps: int, clip: bool = True
) -> tuple[Tensor, list[Bounds]]:
    """Lower bounds (N, 10) on the logit of y less each other one (∞ at y), in float64, and the hidden bounds.

    Slopes are optimised, for `steps` steps, of those that CROWN leaves at 0 or below.
    """
    layers = chain(network, tuple(x.shape[1:]), torch.float64)
    box = Box.around(x, eps, torch.float64, clip)
    bounds = tight_bounds(layers, box)
    rows, offset = differences(layers[-1].weight, layers[-1].bias, y)
    rows = rows.reshape(*rows.shape[:2], *layers[-1].inner)
    margins = descend(layers, bounds, crown(bounds), box, rows)[0] + offset
    margins[torch.arange(len(y)), y] = torch.inf
    image, rival = (margins <= 0).nonzero().unbind(1)
    if steps and len(image):
        question = ask(layers, [bound[image] for bound in bounds], box[image], y[image], rival)
        margins[image, rival] = torch.maximum(margins[image, rival], answer(layers, question, steps)[0].value)
    return margins, bounds


def _window_bounds(windows: Windows, first: Bounds, box: Box) -> Bounds:
    """Bounds on the second convolution's outputs, from `first` on the first one's, by CROWN's slopes."""
    chord, gap = first.chord()
    lower = torch.where(first.unstable(), crown([first])[0], chord)
    chord, gap, lower = (windows.patches(part)[:, :, None] for part in (chord, gap, lower))
    centre, radius = windows.views(box.centre)[..., None], windows.views(box.radius)[..., None]
    ends = []
    for filters in (windows.filters(), -windows.filters()):
        coefficients = filters.clamp_min(0) * lower + filters.clamp_max(0) * chord
        rows = coefficients @ windows.inside.T
        value = (rows @ centre - rows.abs() @ radius)[..., 0] + coefficients @ windows.offsets()
        ends.append(value + (filters.clamp_max(0) * gap).sum(3))
    bias = windows.second.bias
    return Bounds(windows.images(ends[0] + bias), windows.images(bias - ends[1]))
