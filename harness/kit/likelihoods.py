"""What a decoder's outputs mean: p(x | outputs), one factor per pixel.

Each likelihood has `log_prob(x, outputs)`, plain PyTorch that autograd can differentiate, and `at(x)`,
which fixes the data and then gives value and slope together without a graph. x is (B, D) or broadcasts
to the outputs' (..., B, D); values are sums over the D pixels, in nats.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# A threshold that no pixel can pass: sigmoid(±1e4) is exactly 1 or 0, and 1e4 · 0 is still 0.
BEYOND = 1e4

# A Python number would be made a tensor of the right type at each use, which costs more than the arithmetic.
ONE = torch.ones(())


def log_sigmoid_(s: Tensor) -> Tensor:
    """sum ln σ(s) over the last dimension; `s` becomes the derivative, 1 − σ(s).

    ln σ(s) = min(s, 0) + ln max(σ(s), 1 − σ(s)), where every maximum is at least 1/2: a product of up to
    120 stays a normal float32, so one logarithm serves them all.
    """
    size = s.shape[-1]
    group = next(n for n in range(min(size, 112), 0, -1) if size % n == 0)
    p = torch.sigmoid(s)
    below = s.clamp_(max=0).sum(-1)
    rest = torch.neg(p, out=s).add_(ONE)
    larger = torch.maximum(p, rest, out=p).unflatten(-1, (size // group, group))
    return below + larger.prod(-1).log_().sum(-1)


class Bernoulli(nn.Module):
    """Bits x in {0, 1}; outputs are logits."""

    channels = 1

    def start(self, mean: Tensor) -> Tensor:
        """The outputs (D,) that fit data with this mean: where a decoder's biases may start."""
        return mean.clamp(0.001, 0.999).logit()

    def centre(self, x: Tensor) -> Tensor:
        """x as a network's input."""
        return x

    def log_prob(self, x: Tensor, outputs: Tensor) -> Tensor:
        return (x * outputs - F.softplus(outputs)).sum(-1)

    def at(self, x: Tensor) -> BernoulliAt:
        return BernoulliAt(x)


class BernoulliAt:
    """The Bernoulli likelihood at the data x."""

    learns = False

    def __init__(self, x: Tensor) -> None:
        self.sign = 2 * x - 1

    def value_and_slope(self, logits: Tensor, slope: Tensor) -> Tensor:
        """ln p(x | logits) (..., B); the derivative goes into `slope` (..., B, D), which may be `logits`.

        `logits` is overwritten.
        """
        value = log_sigmoid_(torch.mul(self.sign, logits, out=logits))
        torch.mul(self.sign, logits, out=slope)
        return value

    def backward(self, logits: Tensor, weights: Tensor) -> None:
        """Nothing to learn here."""


class DiscretisedLogistic(nn.Module):
    """8-bit values x in {0, ..., 255}: a logistic density summed over each unit interval.

    Outputs are means in half-ranges from mid-grey, m = 127.5 (1 + output); the scale s is a learned
    parameter per pixel, kept in [0.5, 128] (Salimans et al., ICLR 2017, 1701.05517, with one component).
    With a = (x + 1/2 − m)/s, b = (x − 1/2 − m)/s and σ the logistic function,

        p(x) = σ(a) − σ(b),   ln p = ln σ(a) + ln σ(−b) + ln(1 − e^(−1/s)),   d ln p/dm · s = σ(b) − σ(−a),

    exact in all tails; at x = 255 the upper threshold is infinite and at x = 0 the lower one.
    """

    levels = 256
    log_scale_range = (math.log(0.5), math.log(128.0))

    def __init__(self, pixels: int) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.full((pixels,), 3.0))

    def start(self, mean: Tensor) -> Tensor:
        """The outputs (D,) that fit data with this mean: where a decoder's biases may start."""
        return mean / 127.5 - 1

    def centre(self, x: Tensor) -> Tensor:
        """x as a network's input."""
        return x / 127.5 - 1

    def inverse_scale(self) -> Tensor:
        """1/s per pixel (D,)."""
        return self.log_scale.clamp(*self.log_scale_range).neg().exp()

    def thresholds(self, x: Tensor, inverse: Tensor) -> tuple[Tensor, Tensor]:
        """a and b for an output of 0."""
        upper = torch.where(x == self.levels - 1, BEYOND, (x - 127.0) * inverse)
        lower = torch.where(x == 0, -BEYOND, (x - 128.0) * inverse)
        return upper, lower

    def log_prob(self, x: Tensor, outputs: Tensor) -> Tensor:
        inverse = self.inverse_scale()
        upper, lower = self.thresholds(x, inverse)
        mean = outputs * (127.5 * inverse)
        inside = (x > 0) & (x < self.levels - 1)
        width = torch.log(-torch.expm1(-inverse)) * inside
        return (F.logsigmoid(upper - mean) + F.logsigmoid(mean - lower) + width).sum(-1)

    def at(self, x: Tensor) -> DiscretisedLogisticAt:
        return DiscretisedLogisticAt(self, x)


class DiscretisedLogisticAt:
    """The discretised logistic likelihood at the data x and the present scales."""

    learns = True

    @torch.no_grad()
    def __init__(self, head: DiscretisedLogistic, x: Tensor) -> None:
        self.head = head
        self.inverse = head.inverse_scale()
        self.upper, self.lower = head.thresholds(x, self.inverse)
        self.inside = ((x > 0) & (x < head.levels - 1)).to(x.dtype)
        self.width = self.inside @ torch.log(-torch.expm1(-self.inverse))
        self.gain = 127.5 * self.inverse

    def value_and_slope(self, outputs: Tensor, slope: Tensor) -> Tensor:
        """ln p(x | outputs) (..., B); its derivative is written into `slope` (..., B, D)."""
        mean = outputs * self.gain
        a, minus_b = self.upper - mean, mean.sub_(self.lower)
        value = self.width + log_sigmoid_(a) + log_sigmoid_(minus_b)
        torch.sub(minus_b, a, out=slope).mul_(self.gain)
        return value

    def backward(self, outputs: Tensor, weights: Tensor) -> None:
        """Add the gradient of sum of weights (..., B) · ln p in the log scales to their `.grad`.

        d ln p / d ln s = −a σ(−a) + b σ(b) − [inside] (1/s) / (e^(1/s) − 1).
        """
        mean = outputs * self.gain
        a, b = self.upper - mean, self.lower - mean
        thresholds = b * b.sigmoid() - a * a.neg().sigmoid()
        gradient = weights.flatten() @ thresholds.flatten(0, -2)
        width = self.inverse / torch.expm1(self.inverse)
        gradient -= width * (weights.flatten(0, -2).sum(0) @ self.inside)
        low, high = self.head.log_scale_range
        free = (self.head.log_scale >= low) & (self.head.log_scale <= high)
        accumulate(self.head.log_scale, gradient * free)


class Categorical(nn.Module):
    """8-bit values x in {0, ..., 255}, each with a probability of its own; outputs (B, 256, D) are logits."""

    channels = 256

    def centre(self, x: Tensor) -> Tensor:
        """x as a network's input."""
        return x / 127.5 - 1

    def log_prob(self, x: Tensor, outputs: Tensor) -> Tensor:
        return -F.cross_entropy(outputs, x.long(), reduction="none").sum(-1)


def accumulate(parameter: Tensor, gradient: Tensor) -> None:
    """Add to a parameter's `.grad`, as autograd would."""
    parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient
