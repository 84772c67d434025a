"""Values and gradients of a decoder without paying for what a method does not use.

Inference needs ln p(x|z) and its slope in z, many times over; learning needs the gradient in the
decoder's parameters, for the few samples or weights that the method chooses at the end. A tape gives both.
Along a path, where the next sample needs the slope at this one:

    tape = model.tape(x, keep)       x (B, D); learning may use the last `keep` samples of each datum
    value, slope = tape.step(z)      ln p(x|z), d ln p(x|z) / dz for one sample (B, d) or all (keep, B, d)
    tape.backward(weights)           learn from all kept samples, with weights (keep, B)
    tape.backward_at(index)          learn from one kept sample of each datum, index (B,)

and for independent samples, where the weights are known before any slope is wanted:

    value = tape.values(z)           ln p(x|z) for all (keep, B, d)
    slope = tape.learn(weights)      as `backward`, and the slopes (keep, B, d) out of the same pass

`LayerTape` does so by hand for a stack of tanh layers; `AutogradTape` does it for any decoder.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from harness.kit.likelihoods import ONE, Bernoulli, DiscretisedLogistic, accumulate


class Tape(Protocol):
    """What inference and methods rely on."""

    def step(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """ln p(x|z) (..., B) and d ln p(x|z) / dz (..., B, d); neither has a graph."""

    def backward(self, weights: Tensor) -> None:
        """Add the gradient of −mean_b sum_i weights[i, b] ln p(x_b|z_ib) to the parameters' `.grad`."""

    def backward_at(self, index: Tensor) -> None:
        """The same with weight 1 on sample index[b] of datum b and 0 on the others."""

    def values(self, z: Tensor) -> Tensor:
        """ln p(x|z) (keep, B) for all kept samples at once (keep, B, d); it has no graph."""

    def learn(self, weights: Tensor) -> Tensor:
        """As `backward`, after `values`; returns d ln p(x|z) / dz (keep, B, d).

        Where a weight is 0 it may be any finite number: whoever uses it weighs it by nothing there.
        """


class LayerTape:
    """The tape of a decoder z -> tanh -> ... -> tanh -> outputs, with the chain rule written out.

    Every layer's inputs and output slopes are written into buffers of `keep` slots of B rows, so that the
    gradient of its weights is a single matrix product over whichever rows count. `step` takes the next
    slot, and then overwrites the oldest; or, given z (keep, B, d), all slots at once.
    """

    @torch.no_grad()
    def __init__(
        self, layers: Sequence[nn.Linear], head: Bernoulli | DiscretisedLogistic, x: Tensor, keep: int
    ) -> None:
        self.layers = layers
        self.weights = [layer.weight.detach() for layer in layers]
        self.transposed = [weight.t() for weight in self.weights]
        self.biases = [layer.bias.detach() for layer in layers]
        self.likelihood = head.at(x)
        self.batch, self.keep, self.steps = len(x), keep, 0
        rows = keep * self.batch
        inputs = [x.new_empty(rows, layer.in_features) for layer in layers]
        slopes = [x.new_empty(rows, layer.out_features) for layer in layers]
        # A likelihood without parameters has no use for outputs once their slopes are known.
        outputs = torch.empty_like(slopes[-1]) if self.likelihood.learns else slopes[-1]
        self.all = Slot(inputs, slopes, outputs)
        self.slots = self.all.split(self.batch)

    @torch.no_grad()
    def step(self, z: Tensor) -> tuple[Tensor, Tensor]:
        slot = self.all if z.ndim == 3 else self.slots[self.steps % self.keep]
        self.steps += 1
        inputs, slopes, outputs = slot
        inputs[0].copy_(z.reshape(inputs[0].shape))
        self._forward(slot)
        shape = (*z.shape[:-1], -1)
        value = self.likelihood.value_and_slope(outputs.view(shape), slopes[-1].view(shape))
        return value, self._slope_in_z(slot).view(z.shape)

    def _forward(self, slot: Slot) -> None:
        inputs, _, outputs = slot
        for n, hidden in enumerate(inputs[1:]):
            # tanh(a) = 2 sigmoid(2a) − 1 is three times as fast as tanh on a CPU, and as exact.
            torch.addmm(self.biases[n], inputs[n], self.transposed[n], beta=2, alpha=2, out=hidden)
            hidden.sigmoid_().add_(hidden).sub_(ONE)
        torch.addmm(self.biases[-1], inputs[-1], self.transposed[-1], out=outputs)

    def _slope_in_z(self, slot: Slot) -> Tensor:
        inputs, slopes, _ = slot
        for n in range(len(self.weights) - 1, 0, -1):
            slope = slopes[n] @ self.weights[n]
            torch.ops.aten.tanh_backward.grad_input(slope, inputs[n], grad_input=slopes[n - 1])
        return slopes[0] @ self.weights[0]

    @torch.no_grad()
    def backward(self, weights: Tensor) -> None:
        self._learn(self.all, weights)

    def values(self, z: Tensor) -> Tensor:
        value, self.slope = self.step(z)
        return value

    def learn(self, weights: Tensor) -> Tensor:
        self.backward(weights)
        return self.slope

    @torch.no_grad()
    def backward_at(self, index: Tensor) -> None:
        rows = index * self.batch + torch.arange(self.batch, device=index.device)
        self._learn(self.all.pick(rows), self.all.outputs.new_ones(1, self.batch))

    def _learn(self, slot: Slot, weights: Tensor) -> None:
        inputs, slopes, outputs = slot
        descent = weights / -self.batch
        column = descent.view(-1, 1)
        for layer, below, slope in zip(self.layers, inputs, slopes, strict=True):
            accumulate(layer.weight, slope.t() @ (below * column))
            accumulate(layer.bias, (slope.t() @ column).squeeze(1))
        self.likelihood.backward(outputs.view(*descent.shape, -1), descent)


class Slot(NamedTuple):
    """What samples leave behind, a row each: every layer's inputs, the slopes of its outputs; the outputs."""

    inputs: list[Tensor]
    slopes: list[Tensor]
    outputs: Tensor

    def split(self, rows: int) -> list[Slot]:
        """Views of `rows` rows each."""
        inputs = zip(*(h.split(rows) for h in self.inputs), strict=True)
        slopes = zip(*(g.split(rows) for g in self.slopes), strict=True)
        views = zip(inputs, slopes, self.outputs.split(rows), strict=True)
        return [Slot(list(h), list(g), outputs) for h, g, outputs in views]

    def pick(self, rows: Tensor) -> Slot:
        """Copies of these rows."""
        inputs = [h.index_select(0, rows) for h in self.inputs]
        slopes = [g.index_select(0, rows) for g in self.slopes]
        return Slot(inputs, slopes, self.outputs.index_select(0, rows))


class AutogradTape:
    """The tape of any decoder: `log_likelihood(x, z)` is (n, B) for x (B, ...) and z (n, B, d).

    The graphs of the kept samples stay in memory, so that `backward` decodes nothing again. With
    `graphs=False` none does: `backward_at` decodes the chosen samples once more, and nothing else can follow.
    """

    def __init__(
        self, log_likelihood: Callable[[Tensor, Tensor], Tensor], x: Tensor, keep: int, *, graphs: bool = True
    ) -> None:
        self.log_likelihood = log_likelihood
        self.x, self.graphs = x, graphs and keep > 0
        self.samples: deque[Tensor] = deque(maxlen=keep)
        self.kept: deque[Tensor] = deque(maxlen=keep if graphs else 0)

    def step(self, z: Tensor) -> tuple[Tensor, Tensor]:
        z = z.detach().requires_grad_()
        with torch.enable_grad():
            value = self.log_likelihood(self.x, z.reshape(-1, *z.shape[-2:]))
            (slope,) = torch.autograd.grad(value.sum(), z, retain_graph=self.graphs)
            self.kept.extend(value.unbind())
        self.samples.extend(z.detach().reshape(-1, *z.shape[-2:]).unbind())
        return value.detach().reshape(z.shape[:-1]), slope

    def backward(self, weights: Tensor) -> None:
        (-(weights * torch.stack(list(self.kept))).sum(0).mean()).backward()

    def values(self, z: Tensor) -> Tensor:
        self.leaf = z.detach().requires_grad_()
        with torch.set_grad_enabled(self.graphs):
            value = self.log_likelihood(self.x, self.leaf)
            self.kept.extend(value.unbind())
        return value.detach()

    def learn(self, weights: Tensor) -> Tensor:
        self.backward(weights)
        assert self.leaf.grad is not None
        share = (weights / -len(self.x)).unsqueeze(-1)
        return torch.where(share != 0, self.leaf.grad / share, 0)

    def backward_at(self, index: Tensor) -> None:
        rows = torch.arange(len(index), device=index.device)
        z = torch.stack(list(self.samples))[index, rows]
        with torch.enable_grad():
            (-self.log_likelihood(self.x, z[None])[0].mean()).backward()
