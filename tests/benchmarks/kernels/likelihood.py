"""Kernels of the likelihood study: five updates of a method on the digits, and both ways to weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import sklearn.datasets  # noqa: F401
import torch
import torch._dynamo
from tree import fitting

Work = Callable[[], object]


def _updates(name: str, folder: Path, preset: str = "digits", updates: int = 5, batch: int = 100) -> Work:
    from harness.studies.likelihood.task import likelihood

    settings = {"dataset": "digits", "preset": preset, "updates": updates, "batch": batch}
    return fitting(name, likelihood, folder, settings)


def update_vae(folder: Path) -> Work:
    return _updates("vae", folder)


def update_iwae(folder: Path) -> Work:
    return _updates("iwae", folder)


def update_svi(folder: Path) -> Work:
    return _updates("svi", folder)


def update_bsvi(folder: Path) -> Work:
    return _updates("bsvi", folder)


def update_bsvi_sir(folder: Path) -> Work:
    return _updates("bsvi_sir", folder)


def update_pixelcnn(folder: Path) -> Work:
    return _updates("vae", folder, "pixelcnn", updates=1, batch=2)


def _trained() -> tuple[torch.nn.Module, torch.Tensor]:
    """An untrained model of 64 bits, and 100 images (100, 64)."""
    from harness.kit.likelihoods import Bernoulli
    from harness.studies.likelihood.autoencoder import Autoencoder

    torch.manual_seed(0)
    x = (torch.rand(100, 64) < 0.3).float()
    return Autoencoder(x.mean(0), [64, 64], 10, Bernoulli()).requires_grad_(False), x


def score_independent(folder: Path) -> Work:
    from harness.studies.likelihood.evidence import importance_weights

    model, x = _trained()
    return lambda: importance_weights(model, x, 100, torch.Generator().manual_seed(0))


def score_refined(folder: Path) -> Work:
    from harness.studies.likelihood.evidence import refined_weights

    model, x = _trained()
    noise = torch.Generator()
    return lambda: refined_weights(model, x, 50, noise.manual_seed(0), step=0.01, clip=5.0)
