"""Kernels of the fairness study: short fits, and what judges their codes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import sklearn.ensemble
import sklearn.linear_model
import sklearn.svm  # noqa: F401
import torch
from tree import fitting

Work = Callable[[], object]


def _updates(name: str, folder: Path, steps: int) -> Work:
    from harness.studies.fairness.task import fairness

    short = {"dataset": "synthetic_gaussian", "latent": 2, "hidden": 8, "steps": steps, "adversary_steps": 2}
    return fitting(name, fairness, folder, short | {"constraints": "c1 < 1, c2 < 0.1"})


def update_lmifr(folder: Path) -> Work:
    return _updates("lmifr", folder, 10)


def update_mifr_grid(folder: Path) -> Work:
    return _updates("mifr_grid", folder, 3)


def _codes() -> tuple[torch.Tensor, torch.Tensor]:
    """Codes (100, 4) and groups (100,) that they give away in part."""
    draw = torch.Generator().manual_seed(0)
    u = torch.randint(2, (100,), generator=draw)
    return torch.randn(100, 4, generator=draw) + u[:, None], u


def audit(folder: Path) -> Work:
    from harness.studies.fairness.audit import audit
    from harness.studies.fairness.information import Codes

    z, u = _codes()
    codes, shares = Codes(z, torch.full_like(z, 0.5), z, u), torch.full((2,), 0.5).log()
    return lambda: audit(codes, codes, shares, None, 100, 5, torch.Generator().manual_seed(0))


def score_information(folder: Path) -> Work:
    from harness.studies.fairness.information import Codes, kernel_information, neural_information

    z, u = _codes()
    codes = Codes(z, torch.full_like(z, 0.5), z, u)
    return lambda: (
        kernel_information(codes, codes),
        neural_information(codes, codes, 10, torch.Generator().manual_seed(0)),
    )


def score_predictors(folder: Path) -> Work:
    from harness.studies.fairness.gaps import CLASSIFIERS, predict

    z, _ = _codes()
    y = (z[:, 0] > 0.5).numpy().astype(float)
    return lambda: [predict(name, z.numpy(), y, z.numpy()) for name in CLASSIFIERS]
