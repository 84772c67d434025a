"""Certificates of a network over a set of images, as assets: each is asked about what the cheaper ones leave.

All take the same parameters first (`Problem.identity` and eps), and give `certified` (N,) uint8 by image: 1
where no image of the ball is classified wrongly.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

import harness
from harness.studies.attack import assets, images, networks, norm_attacks
from harness.studies.attack.certificates.branching import branch
from harness.studies.attack.certificates.dual import dual_margins
from harness.studies.attack.certificates.interval import interval_margins
from harness.studies.attack.certificates.linear import linear_margins
from harness.studies.attack.certificates.semidefinite import local_certificates, pair_bounds

ROUNDING = 1e-4
"""A bound must exceed it: what a classifier's single precision may change in a difference of logits."""

DOUBT = 1e-3
"""A bound computed in single precision that is nearer to 0 is computed again in double precision."""

BATCH = 10


@harness.asset
def interval(
    run: harness.Run,
    *,
    dataset: harness.DataSet,
    weights: harness.DataSet | None,
    target: str,
    training: dict[str, Any],
    test_images: int,
    eps: float,
) -> dict[str, Tensor]:
    """Interval bounds."""
    network, x, y = _asked(run, dataset, weights, target, training, test_images)
    network = network.double()
    worst = []
    for part, labels in zip(x.double().split(500), y.split(500), strict=True):
        margins = interval_margins(network, (part - eps).clamp_min(0), (part + eps).clamp_max(1), labels)
        worst.append(_smallest(margins, labels))
    return {"certified": (torch.cat(worst) > ROUNDING).to(torch.uint8)}


@harness.asset
def dual(
    run: harness.Run,
    *,
    dataset: harness.DataSet,
    weights: harness.DataSet | None,
    target: str,
    training: dict[str, Any],
    test_images: int,
    eps: float,
) -> dict[str, Tensor]:
    """Wong and Kolter's dual bound, and the smallest `margins` (N,) that it proves."""
    network, x, y = _asked(run, dataset, weights, target, training, test_images)
    worst = []
    for start in range(0, len(x), BATCH):
        part = slice(start, start + BATCH)
        found = _smallest(dual_margins(network, x[part], y[part], eps, torch.float32).double(), y[part])
        near = (found.abs() < DOUBT).nonzero()[:, 0] + start
        if len(near):
            again = dual_margins(network, x[near], y[near], eps, torch.float64)
            found[near - start] = _smallest(again, y[near])
        worst.append(found)
        run.progress(start, len(x))
    margins = torch.cat(worst)
    return {"certified": (margins > ROUNDING).to(torch.uint8), "margins": margins}


@harness.asset
def linear(
    run: harness.Run,
    *,
    dataset: harness.DataSet,
    weights: harness.DataSet | None,
    target: str,
    training: dict[str, Any],
    test_images: int,
    eps: float,
    steps: int,
) -> dict[str, Tensor]:
    """The dual bound, and on what it leaves clipped boxes and slopes that `steps` steps optimise."""
    named: dict[str, Any] = {"dataset": dataset, "weights": weights, "target": target, "training": training}
    certified = run.asset(dual, **named, test_images=test_images, eps=eps)["certified"].bool()
    network, x, y = _asked(run, **named, test_images=test_images)
    right = networks.margins(networks.logits(network, x), y) > 0
    left = (right & ~certified).nonzero()[:, 0]
    for rows in left.split(BATCH) if len(left) else ():
        margins, _ = linear_margins(network, x[rows], y[rows], eps, steps)
        certified[rows] = margins.amin(1) > ROUNDING
        run.progress(int(rows[0]), len(x))
    return {"certified": certified.to(torch.uint8)}


@harness.asset
def branched(
    run: harness.Run,
    *,
    dataset: harness.DataSet,
    weights: harness.DataSet | None,
    target: str,
    training: dict[str, Any],
    test_images: int,
    eps: float,
    steps: int,
    branches: int,
) -> dict[str, Tensor]:
    """`linear`, and on what that leaves an attack, then branch and bound over at most `branches` parts each.

    Also `broken` (N,): an image of the ball that is classified wrongly was found; neither is set where the
    question stays open.
    """
    named: dict[str, Any] = {"dataset": dataset, "weights": weights, "target": target, "training": training}
    certified = run.asset(linear, **named, test_images=test_images, eps=eps, steps=steps)["certified"].bool()
    network, x, y = _asked(run, **named, test_images=test_images)
    broken = networks.margins(networks.logits(network, x), y) <= 0
    left = (~certified & ~broken).nonzero()[:, 0]
    broken[left] = _attacked(network, x[left], y[left], eps)
    for row in (~certified & ~broken).nonzero()[:, 0].tolist():
        verdict = branch(network, x[row : row + 1], y[row : row + 1], eps, branches, ROUNDING)
        certified[row], broken[row] = verdict == "certified", verdict == "broken"
        run.progress(row, len(x))
    return {"certified": certified.to(torch.uint8), "broken": broken.to(torch.uint8)}


@harness.asset
def semidefinite_pairs(
    run: harness.Run,
    *,
    dataset: harness.DataSet,
    weights: harness.DataSet | None,
    target: str,
    training: dict[str, Any],
) -> dict[str, Tensor]:
    """Raghunathan et al.'s semidefinite bound of each pair of classes, a matrix `slopes` (10, 10) float64.

    The logit of j less that of i rises by at most eps · slopes[i, j] in a ball of radius eps, anywhere.
    `gap` is the largest relative distance to what the primal problem reaches.
    """
    network = assets.target(run, dataset=dataset, weights=weights, target=target, training=training)
    slopes, gap = pair_bounds(network)
    return {"slopes": slopes, "gap": torch.tensor(gap)}


@harness.asset
def semidefinite(
    run: harness.Run,
    *,
    dataset: harness.DataSet,
    weights: harness.DataSet | None,
    target: str,
    training: dict[str, Any],
    test_images: int,
    eps: float,
    local: bool,
) -> dict[str, Tensor]:
    """The bound by pairs of classes; `local`: and on what that leaves the same bound about each image."""
    named: dict[str, Any] = {"dataset": dataset, "weights": weights, "target": target, "training": training}
    slopes = run.asset(semidefinite_pairs, **named)["slopes"]
    network, x, y = _asked(run, **named, test_images=test_images)
    out = networks.logits(network.double(), x.double())
    distance = out.gather(1, y[:, None]) - out - eps * slopes[y]
    worst = _smallest(distance, y)
    certified = worst > ROUNDING
    if local:
        right = networks.margins(out, y) > 0
        left = (right & ~certified).nonzero()[:, 0]
        certified[left] = local_certificates(
            network, x[left], y[left], eps, slopes, ROUNDING, lambda done: run.progress(done, len(left))
        )
    return {"certified": certified.to(torch.uint8)}


def _asked(
    run: harness.Run,
    dataset: str,
    weights: str | None,
    target: str,
    training: dict[str, Any],
    test_images: int,
) -> tuple[torch.nn.Sequential, Tensor, Tensor]:
    """The network, and the test images with their classes."""
    network = assets.target(run, dataset=dataset, weights=weights, target=target, training=training)
    data = images.load(run, dataset, test_images)
    return network, data.x_test, data.y_test


def _attacked(network: torch.nn.Sequential, x: Tensor, y: Tensor, eps: float) -> Tensor:
    """Which images (N,) margin PGD gets past the network, from five random starts each."""
    ball, best = norm_attacks.Ball.around(x, eps), norm_attacks.Best(network, x, y)
    stream = torch.Generator().manual_seed(0)
    for _ in range(5):
        norm_attacks.pgd(network, y, ball, best, ball.draw(stream), loss="margin", steps=50, step=eps / 10)
    return best.margins <= 0


def _smallest(margins: Tensor, y: Tensor) -> Tensor:
    """The smallest (N,) of (N, 10), y's own left out."""
    return margins.scatter(1, y[:, None], torch.inf).amin(1)
