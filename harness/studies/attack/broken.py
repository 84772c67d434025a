"""Test images that projected gradients break within eps: what an oracle should still read as before."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

import harness
from harness.studies.attack import assets, images, norm_attacks


@harness.asset
def broken(
    run: harness.Run,
    *,
    dataset: harness.DataSet,
    weights: harness.DataSet | None,
    target: str,
    training: dict[str, Any],
    test_images: int,
    eps: float,
) -> dict[str, Tensor]:
    """`images` (B, 1, H, W) within eps of test images, which the target got right, and gets wrong now.

    `source` (B,) are their classes. 40 steps of projected gradients on the margin, from the image.
    """
    network = assets.target(run, target=target, dataset=dataset, weights=weights, training=training)
    network.to(run.device)
    split = images.load(run, dataset, test_images).to(run.device)
    kept, source = [], []
    for _, x, y, ball in norm_attacks.batches(split.x_test, split.y_test, eps):
        best = norm_attacks.Best(network, x, y)
        right = best.margins > 0
        norm_attacks.pgd(network, y, ball, best, x, loss="margin", steps=40, step=max(eps, 1e-9) / 10)
        changed = right & (best.margins <= 0)
        kept.append(best.images[changed])
        source.append(y[changed])
    return {"images": torch.cat(kept).cpu(), "source": torch.cat(source).cpu()}
