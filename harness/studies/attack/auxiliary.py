"""The classifier by which an attack itself checks that an image still shows its source class.

It shares neither build nor weights nor the order of the data with the oracle's judges.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness.studies.attack.generators import CLASSES, Descent, settled

BATCH = 64


def build(side: int) -> nn.Sequential:
    """Two strided convolutions and two layers: images (N, 1, S, S) in [0, 1] to logits (N, 10)."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 4, 2, 1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Conv2d(16, 32, 4, 2, 1),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(32 * (side // 4) ** 2, 128),
        nn.ReLU(),
        nn.Linear(128, CLASSES),
    )


def restore(arrays: Mapping[str, Tensor]) -> nn.Sequential:
    """The classifier whose `state_dict` was stored."""
    network = build(round((arrays["7.weight"].shape[1] / 32) ** 0.5) * 4)
    network.load_state_dict(dict(arrays))
    return settled(network)  # type: ignore[return-value]


def train_auxiliary(x: Tensor, y: Tensor, steps: int, told: Callable[[int, int], None]) -> nn.Sequential:
    """`steps` updates of 64 images (N, 1, S, S) as they are; draws from the global generator of the CPU."""
    network = build(x.shape[-1]).to(x.device)
    descent = Descent(network, 3e-3, steps)
    for step in range(steps):
        rows = torch.randint(len(x), (BATCH,))
        descent.step(F.cross_entropy(network(x[rows]), y[rows]))
        told(step + 1, steps)
    return settled(network)  # type: ignore[return-value]
