"""Branch and bound over the signs of ReLUs' inputs (β-CROWN, Wang et al. 2021), for one image at a time.

The ball is halved by the sign of one unstable ReLU's input, and each half is bounded with that known: until
all parts are proven, or one of them shows an image that is classified wrongly, or there are too many.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from harness.studies.attack import norm_attacks
from harness.studies.attack.certificates.layers import Affine, Bounds, Box, chain
from harness.studies.attack.certificates.linear import Answer, answer, ask, crown, descend, tight_bounds
from harness.studies.attack.networks import margins

Verdict = Literal["certified", "broken", "open"]

ROOT_STEPS, STEPS = 40, 15
"""Slope steps for the whole ball and for a part of it."""
AT_ONCE = 32
"""Parts halved at once."""
SLACK_PRICE = 1e3
"""Of breaking an assumption, in logits: a part that contradicts itself gets a bound above 0."""


@dataclass(order=True)
class Part:
    """A part of the ball, for one rival: what is assumed, and where its bound ended."""

    value: float
    rival: int = field(compare=False)
    cut: tuple[int, int] | None = field(compare=False)
    """The layer and the unit to halve by; None where every unstable unit has a sign."""
    signs: list[Tensor] = field(compare=False)
    slopes: list[Tensor] = field(compare=False)
    prices: list[Tensor] = field(compare=False)


def branch(
    network: nn.Sequential, x: Tensor, y: Tensor, eps: float, branches: int, rounding: float
) -> Verdict:
    """What holds of the ball about an image x (1, C, H, W) of class y (1,): "broken" if any is misread.

    At most `branches` parts are bounded.
    """
    layers = chain(network, tuple(x.shape[1:]), torch.float64)
    box = Box.around(x, eps, torch.float64)
    bounds = tight_bounds(layers, box)
    rivals = torch.tensor([rival for rival in range(layers[-1].outer[0]) if rival != int(y)])
    first = _bounded(layers, bounds, box, y, rivals, _nothing(bounds, len(rivals)), ROOT_STEPS, rounding)[0]
    queue = [part for part in first if part.value <= rounding]
    heapq.heapify(queue)
    ball, spent = norm_attacks.Ball.around(x, eps), 0
    while queue:
        taken = [heapq.heappop(queue) for _ in range(min(AT_ONCE, len(queue)))]
        spent += 2 * len(taken)
        if spent > branches:
            return "open"
        whole = [part for part in taken if part.cut is None]
        settled = [_settled(layers, bounds, box, y, part) for part in whole]
        unproven = [image for value, image in settled if value <= rounding]
        cut = [part for part in taken if part.cut is not None]
        halves, found = _halved(layers, bounds, box, y, cut, rounding) if cut else ([], box.centre[:0])
        shown = ball.project(torch.cat([found, *unproven]).float())
        with torch.no_grad():
            if (margins(network(shown), y.expand(len(shown))) <= 0).any():
                return "broken"
        if unproven:
            return "open"
        for part in halves:
            if part.value <= rounding:
                heapq.heappush(queue, part)
    return "certified"


def _nothing(bounds: Sequence[Bounds], count: int) -> list[Tensor]:
    return [torch.zeros(count, *bound.lower.shape[1:], dtype=bound.lower.dtype) for bound in bounds]


def _halved(
    layers: Sequence[Affine], bounds: list[Bounds], box: Box, y: Tensor, taken: list[Part], rounding: float
) -> tuple[list[Part], Tensor]:
    """Both halves of each part, bounded, and the images (B, *shape) where their relaxations are lowest."""
    signs = [torch.cat(twice).clone() for twice in zip(*[_twice(part.signs) for part in taken], strict=True)]
    for row, part in enumerate(taken):
        assert part.cut is not None
        layer, unit = part.cut
        signs[layer].flatten(1)[2 * row, unit] = 1
        signs[layer].flatten(1)[2 * row + 1, unit] = -1
    start = [
        [torch.cat(twice) for twice in zip(*[_twice(getattr(part, name)) for part in taken], strict=True)]
        for name in ("slopes", "prices")
    ]
    rivals = torch.tensor([part.rival for part in taken]).repeat_interleave(2)
    return _bounded(layers, bounds, box, y, rivals, signs, STEPS, rounding, *start)


def _twice(tensors: list[Tensor]) -> list[Tensor]:
    return [part.expand(2, *part.shape[1:]) for part in tensors]


def _bounded(
    layers: Sequence[Affine],
    bounds: list[Bounds],
    box: Box,
    y: Tensor,
    rivals: Tensor,
    signs: list[Tensor],
    steps: int,
    rounding: float,
    slopes: list[Tensor] | None = None,
    prices: list[Tensor] | None = None,
) -> tuple[list[Part], Tensor]:
    """Bounds of B parts with `signs` assumed, each with the unit to halve by next."""
    count = len(rivals)
    boxes = box[torch.zeros(count, dtype=torch.long)]
    known = _assumed(layers, bounds, boxes, signs)
    question = ask(layers, known, boxes, y.expand(count), rivals)
    question = question._replace(offset=question.offset - rounding)
    found, slopes, prices = answer(layers, question, steps, slopes, signs, prices)
    assert prices is not None
    parts = []
    for row in range(count):
        at = slice(row, row + 1)
        own = ([tensor[at] for tensor in tensors] for tensors in (signs, slopes, prices))
        parts.append(
            Part(float(found.value[row]) + rounding, int(rivals[row]), _cut(found, known, signs, row), *own)
        )
    return parts, found.image


def _assumed(layers: Sequence[Affine], bounds: list[Bounds], box: Box, signs: list[Tensor]) -> list[Bounds]:
    """Hidden bounds with the signs known; linear layers are bounded again where they were unstable."""
    known: list[Bounds] = []
    for index, (old, sign) in enumerate(zip(bounds, signs, strict=True)):
        low, high = (end.expand_as(sign) for end in (old.lower, old.upper))
        layer, loose = layers[index], old.unstable()[0]
        if index and isinstance(layer.layer, nn.Linear) and loose.any():
            rows = layer.rows()[loose].expand(len(sign), -1, *layer.inner)
            bias = layer.bias[loose]
            below = descend(layers, known, crown(known), box, rows)[0] + bias
            above = bias - descend(layers, known, crown(known), box, -rows)[0]
            low, high = low.clone(), high.clone()
            low[:, loose] = torch.maximum(low[:, loose], below)
            high[:, loose] = torch.minimum(high[:, loose], above)
        low = torch.where(sign > 0, low.clamp_min(0), low)
        high = torch.where(sign < 0, high.clamp_max(0), high)
        known.append(Bounds(low, torch.maximum(low, high)))
    return known


def _settled(
    layers: Sequence[Affine], bounds: list[Bounds], box: Box, y: Tensor, part: Part
) -> tuple[float, Tensor]:
    """A bound on a part in which the network is linear, tight but for rounding, and the image that has it.

    A linear program over the image and one slack proposes prices of the assumptions; by weak duality any
    prices are sound, so the bound is computed from them in double precision, whatever the solver's tolerance.
    """
    from scipy.optimize import linprog

    known = _assumed(layers, bounds, box, part.signs)

    def values(h: Tensor) -> Tensor:
        """What must not be negative, and last the difference of logits."""
        found = []
        for layer, sign, bound in zip(layers[:-1], part.signs, known, strict=True):
            z = layer(h)
            found.append((sign * z)[sign != 0])
            h = z * (bound.lower >= 0)
        out = layers[-1](h)[0]
        return torch.cat([*found, out[y] - out[part.rival]])

    matrix = torch.autograd.functional.jacobian(values, box.centre).flatten(1).numpy()
    offset, radius = values(box.centre).numpy(), box.radius.flatten().numpy()
    sides, cost = matrix[:-1], matrix[-1]
    moves = [*zip(-radius, radius, strict=True), (0, None)]
    slack = -np.ones((len(sides), 1))
    program = linprog(
        np.append(cost, SLACK_PRICE), np.hstack([-sides, slack]), offset[:-1], bounds=moves, method="highs"
    )
    if program.status:
        return -math.inf, box.centre
    prices = np.maximum(-program.ineqlin.marginals, 0)
    value = offset[-1] - prices @ offset[:-1] - np.abs(cost - prices @ sides) @ radius
    moved = torch.from_numpy(program.x[:-1]).reshape(box.centre.shape)
    return float(value), box.centre + moved


def _cut(found: Answer, known: list[Bounds], signs: list[Tensor], row: int) -> tuple[int, int] | None:
    """The unstable unit without a sign whose line costs the bound most, by layer and number."""
    best, at = -math.inf, None
    for layer, (gap, bound, sign) in enumerate(zip(found.gaps, known, signs, strict=True)):
        free = (bound.unstable()[row] & (sign[row] == 0)).flatten()
        cost = torch.where(free, -gap[row].flatten(), -math.inf)
        if float(cost.max()) > best:
            best, at = float(cost.max()), (layer, int(cost.argmax()))
    return at
