"""The dual bound of Wong and Kolter (2018), exactly: parallel lines about each ReLU, no clipping to [0, 1].

Both lines about an unstable ReLU have slope u / (u − l), so a function of the layer keeps one set of
coefficients on its way back to the image, whichever side is bounded; only the lines' distance counts twice.
"""

from __future__ import annotations

from collections.abc import Sequence

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


def dual_margins(network: nn.Sequential, x: Tensor, y: Tensor, eps: float, dtype: torch.dtype) -> Tensor:
    """Lower bounds (N, 10) on the logit of class y less each other one, within eps of x; 0 at y itself."""
    layers = chain(network, tuple(x.shape[1:]), dtype)
    box = Box.around(x, eps, dtype, clip=False)
    bounds = [first_bounds(layers[0], box)]
    if is_pair(layers) and len(layers) > 2:
        bounds.append(_window_bounds(Windows.of(layers[0], layers[1]), bounds[0], box))
    while len(bounds) < len(layers) - 1:
        layer = layers[len(bounds)]
        if isinstance(layer.layer, nn.Conv2d):
            raise ValueError("a third convolution: its bounds would cost too much")
        rows = layer.rows().expand(len(x), *layer.rows().shape)
        low, high = _range(layers, bounds, box, rows)
        bounds.append(Bounds(low + layer.bias, high + layer.bias))
    rows, offset = differences(layers[-1].weight, layers[-1].bias, y)
    return _range(layers, bounds, box, rows.reshape(*rows.shape[:2], *layers[-1].inner))[0] + offset


def _range(
    layers: Sequence[Affine], bounds: Sequence[Bounds], box: Box, rows: Tensor
) -> tuple[Tensor, Tensor]:
    """Lower and upper bounds (N, K) on `rows` of the last bounded layer's activations."""
    low = high = rows.new_zeros(rows.shape[:2])
    for layer, bound in zip(reversed(layers[: len(bounds)]), reversed(bounds), strict=True):
        slope, gap = bound.chord()
        flat, gap = rows.flatten(2), gap.flatten(1)[:, :, None]
        above = (flat.clamp_min(0) @ gap)[:, :, 0]
        below = (flat @ gap)[:, :, 0] - above
        rows, constant = layer.back(rows * slope[:, None])
        low, high = low + below + constant, high + above + constant
    middle, radius = box.lowest(rows)
    return low + middle - radius, high + middle + radius


def _window_bounds(windows: Windows, first: Bounds, box: Box) -> Bounds:
    """Bounds on the second convolution's outputs, from `first` on the first one's."""
    slope, gap = (windows.patches(part) for part in first.chord())
    filters = windows.filters()
    coefficients = filters * slope[:, :, None]
    above = gap @ filters.clamp_min(0).T
    below = gap @ filters.clamp_max(0).T
    rows = coefficients @ windows.inside.T
    middle = (rows @ windows.views(box.centre)[..., None])[..., 0] + coefficients @ windows.offsets()
    radius = (rows.abs_() @ windows.views(box.radius)[..., None])[..., 0]
    middle = middle + windows.second.bias
    return Bounds(windows.images(middle + below - radius), windows.images(middle + above + radius))
