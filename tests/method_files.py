"""Method files as the engine loads them: by their path."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parent.parent


def load(room: str, file: str) -> ModuleType:
    """The module of `room`/`file`.py, under a name of its own."""
    name = f"tested_{room}_{file}"
    spec = importlib.util.spec_from_file_location(name, ROOT / room / f"{file}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module
