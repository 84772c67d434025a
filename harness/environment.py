"""The software and machine behind results: recorded with cells, compared by `plan`, never part of a key."""

from __future__ import annotations

import functools
import os
import platform
from importlib.metadata import PackageNotFoundError, version

LIBRARIES = ("numpy", "pandas", "safetensors", "scikit-learn", "scipy", "torch")


@functools.cache
def describe() -> dict[str, str]:
    """Versions of Python and of the libraries that decide numbers, and the processor's kind."""
    found = {"python": platform.python_version(), "machine": platform.machine(), "system": platform.system()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
