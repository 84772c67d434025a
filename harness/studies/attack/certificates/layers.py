"""A network as a chain of affine maps with ReLUs between, and bounds walked back through it.

Everything linear here is written for N images at once: `rows` (N, K, *shape) are K linear functions of one
layer's values, for each image its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class Affine:
    """z = W h + b. `inner` and `outer` are the shapes of one h and one z, as the layer sees them."""

    layer: nn.Conv2d | nn.Linear
    weight: Tensor
    bias: Tensor
    inner: tuple[int, ...]
    outer: tuple[int, ...]

    def __call__(self, h: Tensor) -> Tensor:
        return self._apply(h, self.weight, self.bias)

    def spread(self, radius: Tensor) -> Tensor:
        """|W| r."""
        return self._apply(radius, self.weight.abs(), None)

    def _apply(self, h: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if isinstance(self.layer, nn.Conv2d):
            return F.conv2d(h, weight, bias, self.layer.stride, self.layer.padding)
        return F.linear(h.flatten(1), weight, bias)

    def back(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Rows on z as rows on h (N, K, *inner), and what the bias adds to them (N, K)."""
        count = rows.shape[:2]
        if isinstance(self.layer, nn.Linear):
            return (rows @ self.weight).reshape(*count, *self.inner), rows @ self.bias
        flat = rows.flatten(0, 1)
        stride, padding = self.layer.stride, self.layer.padding
        assert isinstance(padding, tuple)
        full = [
            (self.outer[axis] - 1) * stride[axis - 1] - 2 * padding[axis - 1] + self.weight.shape[axis + 1]
            for axis in (1, 2)
        ]
        missing = (self.inner[1] - full[0], self.inner[2] - full[1])
        made = F.conv_transpose2d(flat, self.weight, None, stride, padding, output_padding=missing)
        return made.reshape(*count, *self.inner), rows.flatten(3).sum(3) @ self.bias

    def rows(self) -> Tensor:
        """W as rows on h (K, *inner), of a linear layer."""
        return self.weight.reshape(-1, *self.inner)


def chain(network: nn.Sequential, shape: tuple[int, ...], dtype: torch.dtype) -> list[Affine]:
    """The affine maps of `network` for images of `shape`. Raises ValueError where no ReLU parts them."""
    found: list[Affine] = []
    pattern, inner = "", shape
    for layer in network:
        if isinstance(layer, nn.Conv2d | nn.Linear):
            empty = torch.zeros(1, *_flat(layer, inner), dtype=layer.weight.dtype)
            outer = tuple(layer(empty).shape[1:])
            assert layer.bias is not None
            weight, bias = layer.weight.detach().to(dtype), layer.bias.detach().to(dtype)
            found.append(Affine(layer, weight, bias, inner, outer))
            pattern, inner = pattern + "a", outer
        elif isinstance(layer, nn.ReLU):
            pattern += "r"
        elif not isinstance(layer, nn.Flatten):
            raise ValueError(f"no bounds are known for a layer {layer}")
    if pattern != "ar" * (len(found) - 1) + "a":
        raise ValueError("a certificate needs affine layers with a ReLU after each but the last")
    return found


def _flat(layer: nn.Module, shape: tuple[int, ...]) -> tuple[int, ...]:
    return shape if isinstance(layer, nn.Conv2d) else (torch.Size(shape).numel(),)


@dataclass(frozen=True)
class Box:
    """Images between centre − radius and centre + radius."""

    centre: Tensor
    radius: Tensor

    @classmethod
    def around(cls, x: Tensor, eps: float, dtype: torch.dtype, clip: bool = True) -> Box:
        """The ball of radius eps about x (N, C, H, W); `clip` leaves out what is not in [0, 1]."""
        x = x.to(dtype)
        if not clip:
            return cls(x, torch.full_like(x, eps))
        low, high = (x - eps).clamp_min(0), (x + eps).clamp_max(1)
        return cls((high + low) / 2, (high - low) / 2)

    def lowest(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """rows · centre and |rows| · radius, (N, K) each: rows range from their difference to their sum."""
        flat, centre, radius = rows.flatten(2), self.centre.flatten(1), self.radius.flatten(1)
        return (flat @ centre[:, :, None])[:, :, 0], (flat.abs() @ radius[:, :, None])[:, :, 0]

    def __getitem__(self, rows: Tensor | slice) -> Box:
        return Box(self.centre[rows], self.radius[rows])


@dataclass(frozen=True)
class Bounds:
    """What the inputs z of one layer's ReLUs lie between, (N, *outer) each."""

    lower: Tensor
    upper: Tensor

    def unstable(self) -> Tensor:
        return (self.lower < 0) & (self.upper > 0)

    def chord(self) -> tuple[Tensor, Tensor]:
        """Slope and intercept of the line from (l, 0) to (u, u); the ReLU itself where it is linear."""
        slope = torch.where(
            self.unstable(),
            self.upper / (self.upper - self.lower).clamp_min(1e-30),
            (self.lower >= 0).to(self.lower),
        )
        return slope, torch.where(self.unstable(), -slope * self.lower, torch.zeros_like(slope))

    def __getitem__(self, rows: Tensor | slice) -> Bounds:
        return Bounds(self.lower[rows], self.upper[rows])


def first_bounds(layer: Affine, box: Box) -> Bounds:
    """Exact: the first layer is linear in the image."""
    middle, radius = layer(box.centre), layer.spread(box.radius)
    return Bounds(middle - radius, middle + radius)


@dataclass(frozen=True)
class Windows:
    """The second of two convolutions, place by place: each of its outputs sees one window of the image.

    That makes bounds on its outputs cheap: a matrix (window i × patch k) stands for the first convolution.
    """

    first: Affine
    second: Affine
    inside: Tensor
    side: int
    """Of the window, in pixels."""

    @classmethod
    def of(cls, first: Affine, second: Affine) -> Windows:
        one, two = _convolution(first), _convolution(second)
        side = (two.kernel_size[0] - 1) * one.stride[0] + one.kernel_size[0]
        channels = first.inner[0]
        unit = torch.eye(channels * side * side, dtype=first.weight.dtype).reshape(-1, channels, side, side)
        return cls(first, second, F.conv2d(unit, first.weight, None, one.stride).flatten(1), side)

    def patches(self, h: Tensor) -> Tensor:
        """What each place of the second convolution sees of the first one's outputs: (N, places, k)."""
        two = _convolution(self.second)
        return F.unfold(h, two.kernel_size, padding=_padding(two), stride=two.stride).transpose(1, 2)

    def views(self, x: Tensor) -> Tensor:
        """What each place sees of an image: (N, places, i)."""
        one, two = _convolution(self.first), _convolution(self.second)
        margin = _padding(one) + one.stride[0] * _padding(two)
        return F.unfold(x, self.side, padding=margin, stride=one.stride[0] * two.stride[0]).transpose(1, 2)

    def filters(self) -> Tensor:
        """The second convolution's kernels (channels, k)."""
        return self.second.weight.flatten(1)

    def offsets(self) -> Tensor:
        """The first convolution's bias, at each entry of a patch (k,)."""
        return self.first.bias.repeat_interleave(self.inside.shape[1] // len(self.first.bias))

    def images(self, values: Tensor) -> Tensor:
        """Values (N, places, channels) as the second convolution's outputs are laid out."""
        return values.transpose(1, 2).reshape(len(values), *self.second.outer)


def is_pair(layers: Sequence[Affine]) -> bool:
    """Whether the first two layers are convolutions, so that `Windows` can take them together."""
    return len(layers) > 1 and all(isinstance(layer.layer, nn.Conv2d) for layer in layers[:2])


def _convolution(affine: Affine) -> nn.Conv2d:
    assert isinstance(affine.layer, nn.Conv2d)
    return affine.layer


def _padding(layer: nn.Conv2d) -> int:
    assert isinstance(layer.padding, tuple)
    return layer.padding[0]
