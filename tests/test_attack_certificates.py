"""Certificates against exact enumeration on networks with a few ReLUs, and against each other."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from attack_cases import dense, drawn, small_conv
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from harness.studies.attack import networks
from harness.studies.attack.certificates import semidefinite as sdp
from harness.studies.attack.certificates.branching import branch
from harness.studies.attack.certificates.dual import dual_margins
from harness.studies.attack.certificates.interval import interval_margins
from harness.studies.attack.certificates.layers import Box, chain
from harness.studies.attack.certificates.linear import linear_margins, tight_bounds
from harness.studies.attack.norm_attacks import Ball

CLASSES = 3


def tiny(seed: int, layers: int) -> nn.Sequential:
    """Four pixels, four ReLUs in all in one or two hidden layers, three classes."""
    sizes = [4, *[4 // layers] * layers, CLASSES]
    parts: list[nn.Module] = [nn.Flatten()]
    for inner, outer in itertools.pairwise(sizes):
        parts += [nn.Linear(inner, outer), nn.ReLU()]
    return drawn(nn.Sequential(*parts[:-1]), seed)


def exact_margins(network: nn.Sequential, x: Tensor, y: int, eps: float) -> np.ndarray:
    """The smallest logit of y less each other one (3,) in the ball: a linear program a sign pattern."""
    from scipy.optimize import linprog

    layers = [layer for layer in network if isinstance(layer, nn.Linear)]
    arrays = [(layer.weight.double().numpy(), layer.bias.double().numpy()) for layer in layers]
    pixels = x.double().flatten().numpy()
    bounds = list(zip(np.maximum(pixels - eps, 0), np.minimum(pixels + eps, 1), strict=True))
    best = np.full(CLASSES, np.inf)
    hidden = [len(bias) for _, bias in arrays[:-1]]
    for pattern in itertools.product((0.0, 1.0), repeat=sum(hidden)):
        matrix, offset = np.eye(len(pixels)), np.zeros(len(pixels))
        below, limits, at = [], [], 0
        for (weight, bias), width in zip(arrays, hidden, strict=False):
            on = np.array(pattern[at : at + width])
            matrix, offset, at = weight @ matrix, weight @ offset + bias, at + width
            sign = 1 - 2 * on  # on: −z ≤ 0; off: z ≤ 0
            below.append(sign[:, None] * matrix)
            limits.append(-sign * offset)
            matrix, offset = on[:, None] * matrix, on * offset
        weight, bias = arrays[-1]
        matrix, offset = weight @ matrix, weight @ offset + bias
        for rival in range(CLASSES):
            if rival != y:
                cost = matrix[y] - matrix[rival]
                found = linprog(cost, np.concatenate(below), np.concatenate(limits), bounds=bounds)
                if found.status == 0:
                    best[rival] = min(best[rival], found.fun + offset[y] - offset[rival])
    return best


def case(seed: int, layers: int) -> tuple[nn.Sequential, Tensor, int, float]:
    stream = torch.Generator().manual_seed(seed)
    network, x = tiny(seed, layers), torch.rand(1, 1, 2, 2, generator=stream)
    return network, x, int(network(x).argmax()), float(torch.rand(1, generator=stream) * 0.5)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 2))
def test_no_certificate_undercuts_exact_enumeration(seed, layers):
    network, x, y, eps = case(seed, layers)
    label = torch.tensor([y])
    truth = exact_margins(network, x, y, eps)
    others = [rival for rival in range(CLASSES) if rival != y]
    wide = x.double()
    ball = (wide - eps).clamp_min(0), (wide + eps).clamp_max(1)
    linear, bounds = linear_margins(network, x, label, eps, steps=20)
    claims = {
        "interval": interval_margins(drawn(tiny(seed, layers), seed).double(), *ball, label),
        "dual": dual_margins(network, x, label, eps, torch.float64),
        "linear": linear,
    }
    for name, claim in claims.items():
        assert (claim[0].detach().numpy()[others] <= truth[others] + 1e-7).all(), name
    if not any(bound.unstable().any() for bound in bounds):
        np.testing.assert_allclose(linear[0].numpy()[others], truth[others], atol=1e-7)
    least = truth[others].min()
    verdict = branch(network, x, label, eps, branches=500, rounding=1e-6)
    if abs(least) > 1e-5:  # complete: what is linear throughout is settled by a linear program
        assert verdict == ("certified" if least > 0 else "broken")


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6))
def test_the_semidefinite_bounds_never_undercut_exact_enumeration(seed):
    network, x, y, eps = case(seed, 1)
    least = min(margin for rival, margin in enumerate(exact_margins(network, x, y, eps)) if rival != y)
    slopes, gap = sdp.pair_bounds(network)
    out = network(x)[0].double()
    margins = torch.cat([out[y] - out[:y], out[y] - out[y + 1 :]])
    by_pairs = (margins - eps * torch.cat([slopes[y, :y], slopes[y, y + 1 :]])).min()
    assert float(by_pairs) <= least + 1e-6 and gap < 0.02
    certified = bool(sdp.local_certificates(network, x, torch.tensor([y]), eps, slopes, 1e-6)[0])
    assert certified <= (least > 0)
    assert certified >= (float(by_pairs) > 1e-6)


def random_form(seed: int) -> sdp.Form:
    draw = np.random.default_rng(seed)
    t, s = draw.integers(1, 6, 2)
    a, b, k = draw.normal(size=t), draw.normal(size=s), draw.normal(size=(t, s))
    return sdp.Form(float(draw.normal()), a * draw.integers(0, 2), b * draw.integers(0, 2), k)


def largest(form: sdp.Form) -> float:
    """The form's largest value over all corners."""
    corners = itertools.product(
        itertools.product((-1.0, 1.0), repeat=len(form.a)), itertools.product((-1.0, 1.0), repeat=len(form.b))
    )
    value = -math.inf
    for t, s in ((np.array(t), np.array(s)) for t, s in corners):
        value = max(value, form.base + 2 * float(form.a @ t + form.b @ s + t @ form.k @ s))
    return value


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.floats(0, 2))
def test_any_iterate_of_the_semidefinite_dual_is_sound(seed, noise):
    form, draw = random_form(seed), np.random.default_rng(seed + 1)
    truth = largest(form)
    ascent = sdp.Ascent.start(form)
    ascent.climb(100)
    assert form.base - 1e-5 <= ascent.reached()
    close = sdp.bound(form, ascent.duals())
    assert truth <= close + 1e-9 and ascent.reached() <= close * (1 + 1e-5) + 1e-4
    constant, t, s = ascent.duals()
    rough = (
        constant + noise * draw.normal(),
        t * draw.uniform(0.5, 1.5, len(t)),
        s + noise * draw.normal(size=len(s)),
    )
    assert sdp.bound(form, rough) >= truth - 1e-9
    for limit in (truth - 1e-6, truth - 0.1 * abs(truth)):
        assert not sdp.proven(form, ascent.duals(), limit) and not sdp.proven(form, rough, limit)
        assert not sdp.certify(form, limit)
    assert sdp.proven(form, ascent.duals(), close + 1e-6)


def test_the_bilinear_form_is_the_change_of_the_logits():
    """At any corner image, the form's maximum over σ is not below what the logits change by."""
    network, stream = drawn(networks.two_layer(4, 3), 5), torch.Generator().manual_seed(1)
    w1, b1, w2, _ = sdp._weights(network)
    x, eps = torch.rand(4, generator=stream).double().numpy(), 0.3
    low, high = np.maximum(x - eps, 0), np.minimum(x + eps, 1)
    v = w2[3] - w2[0]
    form = sdp.Form.of((low + high) / 2 - x, (high - low) / 2, np.zeros(4), v[:, None] * w1)
    for t in itertools.product((-1.0, 1.0), repeat=4):
        moved = (low + high) / 2 + (high - low) / 2 * np.array(t)
        change = v @ (np.maximum(w1 @ moved + b1, 0) - np.maximum(w1 @ x + b1, 0))
        best = max(
            form.base + 2 * (form.a @ t + form.b @ s + t @ form.k @ s)
            for s in (np.array(signs) for signs in itertools.product((-1.0, 1.0), repeat=3))
        )
        assert change <= best + 1e-12


@pytest.mark.parametrize("seed", range(3))
def test_convolutions_give_what_their_matrices_give(seed):
    network = drawn(small_conv(), seed)
    flat = dense(network, (1, 8, 8))
    stream = torch.Generator().manual_seed(seed)
    x, y = torch.rand(5, 1, 8, 8, generator=stream), torch.randint(0, 10, (5,), generator=stream)
    torch.testing.assert_close(network(x), flat(x))
    for dtype, tolerance in ((torch.float64, 1e-5), (torch.float32, 1e-4)):  # the matrices are in single
        found, same = (dual_margins(net, x, y, 0.1, dtype) for net in (network, flat))
        torch.testing.assert_close(found, same, atol=tolerance, rtol=tolerance)
    found, same = (linear_margins(net, x, y, 0.1, steps=5)[0] for net in (network, flat))
    torch.testing.assert_close(found, same, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_hidden_bounds_hold_and_nothing_is_lost_at_eps_0(seed):
    network = drawn(small_conv(), seed).double()
    stream = torch.Generator().manual_seed(seed)
    x = torch.rand(4, 1, 8, 8, generator=stream)
    y = torch.randint(0, 10, (4,), generator=stream)
    box = Box.around(x, 0.1, torch.float64)
    bounds = tight_bounds(chain(network, (1, 8, 8), torch.float64), box)
    margins, dual = linear_margins(network, x, y, 0.1, 10)[0], dual_margins(network, x, y, 0.1, torch.float64)
    for _ in range(200):
        h = box.centre + box.radius * torch.randn(x.shape, generator=stream).sign()
        out = network(h)
        change = out.gather(1, y[:, None]) - out
        assert (change >= torch.where(margins < math.inf, margins, -math.inf) - 1e-9).all()
        assert (change >= dual - 1e-9).all()
        inputs = []
        for layer in network:
            if isinstance(layer, nn.ReLU):
                inputs.append(h)
            h = layer(h)
        for bound, value in zip(bounds, inputs, strict=True):
            assert ((bound.lower <= value + 1e-9) & (value <= bound.upper + 1e-9)).all()
    still = network(x.double())
    still = still.gather(1, y[:, None]) - still
    for found in (linear_margins(network, x, y, 0.0, 0)[0], dual_margins(network, x, y, 0.0, torch.float64)):
        rivals = torch.arange(10) != y[:, None]
        torch.testing.assert_close(found[rivals], still[rivals])


def test_branching_decides_what_relaxations_leave_open():
    network, stream = drawn(small_conv(8), 4), torch.Generator().manual_seed(3)
    x = torch.rand(8, 1, 8, 8, generator=stream)
    y = network(x).argmax(1)
    margins = networks.margins(network(x), y)
    verdicts = []
    for row, share in itertools.product(range(8), (0.4, 0.5, 0.8)):
        image, label, eps = x[row : row + 1], y[row : row + 1], float(margins[row]) * share
        if float(linear_margins(network, image, label, eps, 20)[0].min()) <= 0:
            verdicts.append(branch(network, image, label, eps, 2000, 1e-6))
            ball = Ball.around(image.expand(1000, -1, -1, -1), eps)
            tried = torch.where(torch.rand(ball.lower.shape, generator=stream) < 0.5, ball.lower, ball.upper)
            fooled = bool((networks.margins(network(tried), label.expand(1000)) <= 0).any())
            assert not (fooled and verdicts[-1] == "certified")
    assert verdicts.count("certified") > 4 and verdicts.count("broken") > 4
    assert "open" not in verdicts


def test_architectures_without_a_certificate_are_refused():
    with pytest.raises(ValueError, match="ReLU after each but the last"):
        chain(nn.Sequential(nn.Flatten(), nn.Linear(4, 4), nn.Linear(4, 10)), (1, 2, 2), torch.float64)
    with pytest.raises(ValueError, match="no bounds are known for a layer Tanh"):
        chain(
            nn.Sequential(nn.Flatten(), nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 10)),
            (1, 2, 2),
            torch.float64,
        )
    with pytest.raises(ValueError, match="one hidden layer"):
        sdp.pair_bounds(tiny(0, 2))
