"""Kernels of the steganography study: updates, translation, measures, readers, the attack."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import sklearn.datasets  # noqa: F401
import torch
import torch._dynamo
from tree import Run, fitting

Work = Callable[[], object]
SMALL = {
    "dataset": "digits",
    "images": 48,
    "test_images": 24,
    "width": 8,
    "blocks": 1,
    "steps": 3,
    "batch": 4,
}


def _updates(name: str, folder: Path, **parameters: int) -> Work:
    from harness.studies.steganography.task import steganography

    return fitting(name, steganography, folder, SMALL, **parameters)


def update_cyclegan(folder: Path) -> Work:
    return _updates("cyclegan", folder)


def update_cyclegan_noise_guess(folder: Path) -> Work:
    return _updates("cyclegan_noise_guess", folder)


def update_cut(folder: Path) -> Work:
    return _updates("cut", folder, patches=8, decoder_steps=2)


def _problem(folder: Path) -> Any:
    from harness.studies.steganography.task import steganography

    return steganography(Run(seed=0, folder=folder), **SMALL)


def translate(folder: Path) -> Work:
    from harness.studies.steganography.networks import translate

    problem = _problem(folder)
    f, x = problem.generators()[0], problem.test.x
    return lambda: translate(f, x)


def score_curve(folder: Path) -> Work:
    from harness.studies.steganography.measures import curve
    from harness.studies.steganography.networks import translate

    problem = _problem(folder)
    (f, g), test = problem.generators(), problem.test.first(8)
    y = translate(f, test.x)
    return lambda: curve(g, y, test.y, test, torch.Generator().manual_seed(0))


def score_readers(folder: Path) -> Work:
    from harness.studies.steganography.probes import Material, best_readings

    problem = _problem(folder)
    seen, asked = (Material(part.y, part.bits) for part in (problem.train, problem.test))
    draws = lambda name: torch.Generator().manual_seed(0)  # noqa: E731
    return lambda: best_readings(seen, asked, {"0": lambda y: y}, 3, draws)


def step_hiding(folder: Path) -> Work:
    from harness.studies.steganography.attack import hide

    problem = _problem(folder)
    g, test = problem.generators()[1].requires_grad_(False), problem.test.first(8)
    return lambda: hide(g, test.x, test.y, steps=3, cap=4)
