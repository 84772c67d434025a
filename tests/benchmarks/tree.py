"""The tree that kernels time: the one whose `harness` is imported, perhaps of another revision than this.

Kernel files import at their top what their kernels' processes, forked later, would each load anew; what may
be missing in an older tree is imported in the kernel that needs it.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import harness
from harness.context import Run

ROOT = Path(harness.__file__).resolve().parent.parent


def method(name: str) -> Callable[..., Any]:
    """The function of methods/`name`.py or baselines/`name`.py. Raises ImportError where there is neither."""
    found = [path for room in ("methods", "baselines") if (path := ROOT / room / f"{name}.py").is_file()]
    if not found:
        raise ImportError(f"there is no method {name}")
    spec = importlib.util.spec_from_file_location(f"timed_{name}", found[0])
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return getattr(module, name)


def fitting(
    name: str, task: Callable[..., Any], folder: Path, settings: dict[str, Any], **parameters: Any
) -> Callable[[], object]:
    """A whole fit of a method, first weights to arrays, on the problem that `task` makes of `settings`."""
    fit, run = method(name), Run(seed=0, folder=folder)
    problem = task(run, **settings)
    return lambda: fit(problem, run, **parameters)
