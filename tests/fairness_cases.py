"""What the fairness tests share: methods by name, and the problem in a short version that needs no file."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from harness.context import Run
from harness.studies.fairness import task

ROOT = Path(__file__).resolve().parent.parent
METHODS = (
    "lmifr",
    "mifr",
    "mifr_grid",
    "mifr_greedy",
    "mifr_search",
    "laftr",
    "vfae",
    "fcrl",
    "raw_features",
    "pure_noise",
)
SHORT = {
    "dataset": "synthetic_gaussian",
    "latent": 2,
    "hidden": 8,
    "steps": 10,
    "adversary_steps": 2,
    "learning_rate": 0.01,
    "cooling": 0.3,
}
SCORE = {"test_rows": 200, "audit_draws": 300, "audit_steps": 20, "density_steps": 20}


def method(name: str) -> Any:
    """The function of a method, from its file."""
    path = next(path for room in ("methods", "baselines") if (path := ROOT / room / f"{name}.py").is_file())
    spec = importlib.util.spec_from_file_location(f"fairness_test_{name}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, name)


def problem(folder: Path, seed: int = 0, **more: Any) -> task.Problem:
    """The short problem, changed by `more`."""
    return task.fairness(Run(seed=seed, folder=folder), **(SHORT | more))
