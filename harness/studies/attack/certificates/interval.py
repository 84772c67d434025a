"""Interval bounds: each layer's box from the box before it (Gowal et al. 2018)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


def interval_margins(network: nn.Sequential, lower: Tensor, upper: Tensor, y: Tensor) -> Tensor:
    """Lower bounds (N, 10) on the logit of class y less each other one, over boxes (N, C, H, W); 0 at y.

    Sound up to rounding. Differentiable, so that networks can be trained by it.
    """
    *hidden, last = network
    centre, radius = (upper + lower) / 2, (upper - lower) / 2
    for layer in hidden:
        if isinstance(layer, nn.ReLU):
            low, high = (centre - radius).relu(), (centre + radius).relu()
            centre, radius = (high + low) / 2, (high - low) / 2
        elif isinstance(layer, nn.Flatten):
            centre, radius = centre.flatten(1), radius.flatten(1)
        else:
            centre, radius = layer(centre), spread(layer, radius)
    assert isinstance(last, nn.Linear)
    rows, offset = differences(last.weight, last.bias, y)
    return (rows @ centre[:, :, None] - rows.abs() @ radius[:, :, None]).squeeze(2) + offset


def spread(layer: nn.Module, radius: Tensor) -> Tensor:
    """|W| r: how far outputs can move when inputs move by r."""
    if isinstance(layer, nn.Conv2d):
        return F.conv2d(radius, layer.weight.abs(), None, layer.stride, layer.padding)
    if isinstance(layer, nn.Linear):
        return F.linear(radius, layer.weight.abs())
    raise TypeError(f"no bounds are known for a layer {layer}")


def differences(weight: Tensor, bias: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Rows (N, 10, hidden) and offsets (N, 10) of "logit of y less logit j", of a last layer (10, hidden)."""
    return weight[y][:, None] - weight, bias[y][:, None] - bias
