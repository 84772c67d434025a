"""Attacks within a ball of the maximum norm: projected gradients, their automatic form, and random squares.

All keep, of every image that they try, the one with the smallest margin, and begin with the image as it is:
so no attack leaves an image right that was wrong before, and at eps 0 nothing changes. They compute where the
images are; what is random is drawn on the CPU, so that every device tries the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness.studies.attack.networks import margins

Loss = Literal["ce", "margin", "dlr"]
AUTO_LOSSES: tuple[Loss, ...] = ("ce", "dlr")
"""Of Auto-PGD, in turn."""


@dataclass(frozen=True)
class Ball:
    """All images within eps of x in every pixel and within [0, 1]: `lower` and `upper` as x, float32."""

    lower: Tensor
    upper: Tensor

    @classmethod
    def around(cls, x: Tensor, eps: float) -> Ball:
        """The bounds are rounded inwards, so that what lies between them is in the ball to the last bit."""
        low, high = (x.double() - eps).clamp(0, 1), (x.double() + eps).clamp(0, 1)
        lower, upper = low.float(), high.float()
        lower = torch.where(lower.double() < low, lower.nextafter(lower.new_tensor(math.inf)), lower)
        upper = torch.where(upper.double() > high, upper.nextafter(upper.new_tensor(-math.inf)), upper)
        return cls(torch.minimum(lower, x), torch.maximum(upper, x))

    def project(self, x: Tensor) -> Tensor:
        return torch.minimum(torch.maximum(x, self.lower), self.upper)

    def draw(self, stream: torch.Generator) -> Tensor:
        """Uniform in the ball."""
        share = torch.rand(self.lower.shape, generator=stream).to(self.lower.device)
        return self.project(self.lower + share * (self.upper - self.lower))

    def contains(self, x: Tensor) -> Tensor:
        """Which images (N,) lie in the ball; those with a pixel that is no number do not."""
        return ((x >= self.lower) & (x <= self.upper)).flatten(1).all(1)

    def __getitem__(self, rows: Tensor | slice) -> Ball:
        return Ball(self.lower[rows], self.upper[rows])


class Best:
    """The image of smallest margin so far, of each of N."""

    def __init__(self, network: nn.Module, x: Tensor, y: Tensor) -> None:
        self.images = x.clone()
        with torch.no_grad():
            self.margins = margins(network(x), y)

    def offer(self, images: Tensor, found: Tensor, rows: Tensor) -> None:
        """`images` of `rows` with margins `found`: keep those that are better."""
        better = found < self.margins[rows]
        self.images[rows[better]] = images[better]
        self.margins[rows[better]] = found[better]

    def look(self, network: nn.Module, images: Tensor, y: Tensor) -> None:
        """`offer` of one image for each row."""
        with torch.no_grad():
            self.offer(images, margins(network(images), y), torch.arange(len(y), device=y.device))

    def nearest(self, share: float = 1.0) -> Tensor:
        """The rows that are classified rightly still; of these at most `share` of all, of smallest margin."""
        order = self.margins.argsort()
        return order[self.margins[order] > 0][: math.ceil(share * len(order))]


def losses(out: Tensor, y: Tensor, loss: Loss) -> Tensor:
    """What an attack raises (N,): cross-entropy, minus the margin, or that as a ratio (Croce and Hein)."""
    if loss == "ce":
        return F.cross_entropy(out, y, reduction="none")
    worse = -margins(out, y)
    if loss == "margin":
        return worse
    first, _, third = out.topk(3).values.unbind(1)
    return worse / (first - third + 1e-12)


def gradient(network: nn.Module, x: Tensor, y: Tensor, loss: Loss) -> tuple[Tensor, Tensor]:
    """The gradient of the loss by the image, as x, and the logits (N, 10) there."""
    x = x.detach().requires_grad_()
    with torch.enable_grad():
        out = network(x)
        (slope,) = torch.autograd.grad(losses(out, y, loss).sum(), x)
    return slope, out.detach()


def batches(
    x: Tensor, y: Tensor, eps: float, size: int = 500
) -> Iterator[tuple[slice, Tensor, Tensor, Ball]]:
    """Parts of the images with their balls, each with the slice that it is."""
    for start in range(0, len(x), size):
        part = slice(start, start + size)
        yield part, x[part], y[part], Ball.around(x[part], eps)


def pgd(
    network: nn.Module,
    y: Tensor,
    ball: Ball,
    best: Best,
    start: Tensor,
    *,
    loss: Loss,
    steps: int,
    step: float,
    rows: Tensor | None = None,
) -> None:
    """`steps` signed gradient steps of length `step` from `start` (Madry et al. 2018), kept in `best`.

    An image that is classified wrongly is left alone from then on. `y`, `ball`, `best` and `start` are of the
    same N images, of which `rows` are attacked (None: all).
    """
    rows = best.nearest() if rows is None else rows
    moved = start[rows]
    for _ in range(steps + 1):  # the last turn only looks at where the last step led
        if not len(rows):
            return
        slope, out = gradient(network, moved, y[rows], loss)
        found = margins(out, y[rows])
        best.offer(moved, found, rows)
        on = found > 0
        rows, moved, slope = rows[on], moved[on], slope[on]
        moved = ball[rows].project(moved + step * slope.sign())


def apgd(
    network: nn.Module,
    y: Tensor,
    ball: Ball,
    best: Best,
    start: Tensor,
    *,
    eps: float,
    loss: Loss,
    steps: int,
) -> None:
    """Auto-PGD (Croce and Hein 2020): momentum 3/4, and each image's step halves where progress stalls.

    It goes back to the best point whenever it halves: at checkpoints, where the loss rose in fewer than 3/4
    of the steps since the last one, or neither the step nor the best loss changed.
    """
    rows = best.nearest()
    if not len(rows):
        return
    held, y = ball[rows], y[rows]
    here, before = start[rows], start[rows]
    slope, out = gradient(network, here, y, loss)
    best.offer(here, margins(out, y), rows)
    top = losses(out, y, loss)
    peak, peak_slope, last = here, slope, top
    shape = (-1, *[1] * (here.dim() - 1))
    step = torch.full_like(top, 2 * eps)
    rose, halved, top_before = torch.zeros_like(top), torch.ones_like(top, dtype=torch.bool), top
    checkpoints, previous = _checkpoints(steps), 0
    for turn in range(1, steps + 1):
        ahead = held.project(here + step.view(shape) * slope.sign())
        weight = 1.0 if turn == 1 else 0.75
        here, before = held.project(here + weight * (ahead - here) + (1 - weight) * (here - before)), here
        slope, out = gradient(network, here, y, loss)
        best.offer(here, margins(out, y), rows)
        now = losses(out, y, loss)
        rose, last = rose + (now > last), now
        higher = now > top
        top, keep = torch.where(higher, now, top), higher.view(shape)
        peak, peak_slope = torch.where(keep, here, peak), torch.where(keep, slope, peak_slope)
        if turn in checkpoints:
            stalled = (rose < 0.75 * (turn - previous)) | (~halved & (top <= top_before))
            step = torch.where(stalled, step / 2, step)
            back = stalled.view(shape)
            here, slope = torch.where(back, peak, here), torch.where(back, peak_slope, slope)
            rose, halved, top_before, previous = torch.zeros_like(rose), stalled, top, turn


def _checkpoints(steps: int) -> set[int]:
    """At 22 % of the steps, then at distances that fall by 3 % of the steps to 6 %."""
    marks, at, gap = set(), 0.0, 0.22
    while (at := at + gap) < 1:
        marks.add(max(math.ceil(at * steps), 1))
        gap = max(gap - 0.03, 0.06)
    return marks


def square(
    network: nn.Module,
    y: Tensor,
    ball: Ball,
    best: Best,
    stream: torch.Generator,
    *,
    eps: float,
    queries: int,
) -> None:
    """Square attack (Andriushchenko et al. 2020): random squares of ±2 eps, kept where the margin falls.

    It asks for logits alone, so it also gets past networks whose gradients say nothing.
    """
    x, (_, channels, height, width) = best.images.clone(), best.images.shape
    rows = best.nearest()
    stripes = _signs((len(x), channels, 1, width), stream).to(x.device)
    here = ball.project(x + eps * stripes)
    found = x.new_full((len(x),), math.inf)
    with torch.no_grad():
        found[rows] = margins(network(here[rows]), y[rows]) if len(rows) else found[rows]
        best.offer(here[rows], found[rows], rows)
        for query in range(1, queries):
            rows = best.nearest()
            if not len(rows):
                return
            side = max(round(math.sqrt(_share(query, queries) * height * width)), 1)
            side = min(side, height, width)
            change = _squares(here[rows], side, eps, stream)
            tried = ball[rows].project(torch.where(change == 0, here[rows], x[rows] + change))
            now = margins(network(tried), y[rows])
            better = now < found[rows]
            here[rows[better]], found[rows[better]] = tried[better], now[better]
            best.offer(tried, now, rows)


def _signs(shape: tuple[int, ...], stream: torch.Generator) -> Tensor:
    return torch.randint(0, 2, shape, generator=stream).float() * 2 - 1


def _squares(like: Tensor, side: int, eps: float, stream: torch.Generator) -> Tensor:
    """±eps in one square of `side` pixels of each image, 0 elsewhere."""
    count, channels, height, width = like.shape
    top = torch.randint(0, height - side + 1, (count, 1), generator=stream).to(like.device)
    left = torch.randint(0, width - side + 1, (count, 1), generator=stream).to(like.device)
    row, column = torch.arange(height, device=like.device), torch.arange(width, device=like.device)
    inside = ((row >= top) & (row < top + side))[:, :, None] & ((column >= left) & (column < left + side))[
        :, None
    ]
    return eps * _signs((count, channels, 1, 1), stream).to(like.device) * inside[:, None]


def _share(query: int, queries: int) -> float:
    """The share of pixels in a square: .8, halved at fixed points of a schedule for 10,000 queries."""
    at = int(query / queries * 10_000)
    halvings = sum(at > mark for mark in (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000))
    return 0.8 / 2**halvings
