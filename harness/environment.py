"""The software and machine behind results: recorded with cells, compared by `plan`, never part of a key."""

from __future__ import annotations

import contextlib
import functools
import os
import platform
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version

LIBRARIES = (
    "numba",
    "numpy",
    "pandas",
    "pillow",
    "safetensors",
    "scikit-learn",
    "scipy",
    "simplejpeg",
    "torch",
)


@functools.cache
def describe() -> dict[str, str]:
    """Versions of Python and of the libraries that decide numbers, and the processor's kind."""
    found = {"python": platform.python_version(), "machine": platform.machine(), "system": platform.system()}
    return found | versions(LIBRARIES)


def versions(names: Iterable[str]) -> dict[str, str]:
    """The versions of those of these packages that are installed; none is imported."""
    found = {}
    for name in names:
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
