"""The semidefinite dual of Raghunathan, Steinhardt and Liang (2018), for all images or for one.

Along the segment from x to x', the logit of rival j less that of class i changes by the integral of
(x' − x)ᵀ sum_k w_k v_k s_k, where w_k are the rows of the one hidden layer, v = W2_j − W2_i, and s_k is 0 or
1 as unit k is off or on. So the change is at most the maximum of a bilinear form over boxes: x' − x = c + r t
with t in [−1, 1], and s_k = (1 + σ_k) / 2 for each unit that is neither on nor off in the whole ball. A
bilinear form is largest at corners, where squares are 1, hence

    change ≤ base + max over p in {−1, 1}ⁿ of pᵀ M p  ≤  base + sum(d)    for every d with diag(d) − M ≥ 0.

Low-rank ascent of the primal gives a d close to the best; a Cholesky factor in double precision then proves
diag(d + shift) − M ≥ 0, so any iterate is sound.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

RANK = 30
TURNS = 400
LOOK = (10, 20, 40, 70, 110, 160, 220, 300, TURNS)
"""Turns of the ascent after which the bound is tried."""
SLACK = 1e-9
"""Added to the diagonal: far more than rounding in a factorisation of these sizes moves an eigenvalue."""


@dataclass(frozen=True)
class Form:
    """base + 2 (a·t + b·σ + tᵀ K σ), to be maximised over t (T,) and σ (S,) of ±1."""

    base: float
    a: np.ndarray
    b: np.ndarray
    k: np.ndarray

    @classmethod
    def of(cls, centre: np.ndarray, radius: np.ndarray, on: np.ndarray, loose: np.ndarray) -> Form:
        """`centre` and `radius` (D,) of x' − x; w_k v_k: summed where on (D,), and loose ones (S, D)."""
        free = loose.sum(0)
        return cls(
            base=float(centre @ on + centre @ free / 2),
            a=radius * (on / 2 + free / 4),
            b=loose @ centre / 4,
            k=(radius * loose / 4).T,
        )


@dataclass
class Ascent:
    """The primal in low rank: unit vectors for each t, each σ and the constant 1, in turn the best there are.

    The constant's vector is the first unit vector throughout.
    """

    form: Form
    t: np.ndarray
    s: np.ndarray
    weights_t: np.ndarray
    weights_s: np.ndarray

    @classmethod
    def start(cls, form: Form) -> Ascent:
        draw = np.random.default_rng(0).standard_normal((len(form.b), RANK)).astype(np.float32)
        draw[:, 0] += 1
        unit = draw / np.linalg.norm(draw, axis=1, keepdims=True)
        empty = np.zeros(0)
        return cls(form, np.zeros((len(form.a), RANK), np.float32), unit, empty, empty)

    def climb(self, turns: int) -> None:
        form = self.form
        k, a, b = form.k.astype(np.float32), form.a.astype(np.float32), form.b.astype(np.float32)
        for _ in range(turns):
            self.t = k @ self.s
            self.t[:, 0] += a
            self.weights_t = np.linalg.norm(self.t, axis=1)
            self.t /= np.maximum(self.weights_t, 1e-12)[:, None]
            self.s = k.T @ self.t
            self.s[:, 0] += b
            self.weights_s = np.linalg.norm(self.s, axis=1)
            self.s /= np.maximum(self.weights_s, 1e-12)[:, None]

    def reached(self) -> float:
        """What the primal is at now: no bound of this kind can be smaller."""
        return self.form.base + 2 * float(self.weights_s.sum() + self.form.a @ self.t[:, 0])

    def duals(self) -> tuple[float, np.ndarray, np.ndarray]:
        """d for the constant, for t and for σ: at the optimum M times the vectors is d times the vectors."""
        form, t, s = self.form, self.t.astype(np.float64), self.s.astype(np.float64)
        pull = form.k @ s
        pull[:, 0] += form.a
        return (
            float(form.a @ t[:, 0] + form.b @ s[:, 0]),
            np.linalg.norm(pull, axis=1),
            self.weights_s.astype(float),
        )


def proven(form: Form, duals: tuple[float, np.ndarray, np.ndarray], limit: float) -> bool:
    """Whether d, with what is left up to `limit` spread over its entries, proves the form below `limit`.

    The t are eliminated first (a Schur complement), which leaves a matrix of the constant and the σ alone.
    """
    schur, spare = _schur(form, duals, limit)
    if spare <= 0:
        return False
    schur[np.diag_indices_from(schur)] += spare - SLACK
    try:
        np.linalg.cholesky(schur)
    except np.linalg.LinAlgError:
        return False
    return True


def bound(form: Form, duals: tuple[float, np.ndarray, np.ndarray]) -> float:
    """The bound that d proves once the Schur complement's diagonal is raised as far as it must be."""
    schur, _ = _schur(form, duals, 0.0)
    least = float(np.linalg.eigvalsh(schur)[0])
    return form.base + _sum(duals) + len(schur) * (max(-least, 0.0) + SLACK)


def _sum(duals: tuple[float, np.ndarray, np.ndarray]) -> float:
    return duals[0] + float(duals[1].sum() + duals[2].sum()) + _floor(duals) * len(duals[1])


def _floor(duals: tuple[float, np.ndarray, np.ndarray]) -> float:
    """What is added to each d of a t, so that none of them is too small to divide by."""
    return 1e-7 * max(float(duals[1].mean()), 1e-12)


def _schur(form: Form, duals: tuple[float, np.ndarray, np.ndarray], limit: float) -> tuple[np.ndarray, float]:
    """diag(d) − M without the t, and what each entry left may be raised by before the sum is at `limit`."""
    sides = np.concatenate([form.a[:, None], form.k], axis=1)
    raised = duals[1] + _floor(duals)
    schur = -(sides / raised[:, None]).T @ sides
    schur[0, 1:] -= form.b
    schur[1:, 0] -= form.b
    schur[np.diag_indices_from(schur)] += np.concatenate([[duals[0]], duals[2]])
    return (schur + schur.T) / 2, (limit - form.base - _sum(duals)) / len(schur)


def pair_bounds(network: nn.Sequential) -> tuple[Tensor, float]:
    """For any image: slopes (10, 10), by which logit j less logit i can rise per eps, and the largest gap.

    All units are loose and no pixel is clipped. Raises ValueError for other than one hidden layer.
    """
    w1, _, w2, _ = _weights(network)
    slopes, gap = np.zeros((len(w2), len(w2))), 0.0
    ones, zeros = np.ones(w1.shape[1]), np.zeros(w1.shape[1])
    for i in range(len(w2)):
        for j in range(i + 1, len(w2)):
            ascent = Ascent.start(Form.of(zeros, ones, zeros, w1 * (w2[j] - w2[i])[:, None]))
            ascent.climb(TURNS)
            slopes[i, j] = slopes[j, i] = bound(ascent.form, ascent.duals())
            gap = max(gap, slopes[i, j] / ascent.reached() - 1)
    return torch.from_numpy(slopes), gap


def local_certificates(
    network: nn.Sequential,
    x: Tensor,
    y: Tensor,
    eps: float,
    slopes: Tensor,
    rounding: float,
    progress: Callable[[int], None] = lambda done: None,
) -> Tensor:
    """Which images (N,) the bound about each of them certifies; rivals ruled out by `slopes` are left out."""
    found = torch.zeros(len(x), dtype=torch.bool)
    weights = _weights(network)
    for row in range(len(x)):
        image, label = x[row].double().flatten().numpy(), int(y[row])
        found[row] = _local(weights, image, label, eps, slopes[label].numpy(), rounding)
        progress(row)
    return found


def _local(
    weights: tuple[np.ndarray, ...],
    x: np.ndarray,
    y: int,
    eps: float,
    slopes: np.ndarray,
    rounding: float,
) -> bool:
    w1, b1, w2, b2 = weights
    out = w2 @ np.maximum(w1 @ x + b1, 0) + b2
    margins = out[y] - out
    low, high = np.maximum(x - eps, 0), np.minimum(x + eps, 1)
    centre, radius = (high + low) / 2, (high - low) / 2
    middle, spread = w1 @ centre + b1, np.abs(w1) @ radius
    on, loose = middle - spread >= 0, np.abs(middle) < spread
    for rival in np.argsort(margins):
        if rival == y or margins[rival] - eps * slopes[rival] > rounding:
            continue
        v = w2[rival] - w2[y]
        form = Form.of(centre - x, radius, v[on] @ w1[on], v[loose, None] * w1[loose])
        if not certify(form, margins[rival] - rounding):
            return False
    return True


def certify(form: Form, limit: float) -> bool:
    """Whether the form is proven to stay below `limit`; given up as soon as the primal is above it."""
    ascent, done = Ascent.start(form), 0
    for turns in LOOK:
        ascent.climb(turns - done)
        done = turns
        if ascent.reached() >= limit:
            return False
        if proven(form, ascent.duals(), limit):
            return True
    return False


def _weights(network: nn.Sequential) -> tuple[np.ndarray, ...]:
    linear = [layer for layer in network if isinstance(layer, nn.Linear)]
    kinds = [type(layer) for layer in network]
    if kinds != [nn.Flatten, nn.Linear, nn.ReLU, nn.Linear]:
        raise ValueError("the semidefinite bound is for networks of one hidden layer of ReLUs")
    arrays = (linear[0].weight, linear[0].bias, linear[1].weight, linear[1].bias)
    return tuple(array.detach().double().numpy() for array in arrays)
