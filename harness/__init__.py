"""Re-measure published claims about deep generative models.

What the files of methods and studies need is here; everything else is the command line's.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas

    from harness.authoring import DataSet, Estimate, Metric, Skip, asset, method, score, task
    from harness.context import Run

__version__ = "0.1.0"
__all__ = ["DataSet", "Estimate", "Metric", "Run", "Skip", "asset", "load", "method", "score", "task"]


def __getattr__(name: str) -> Any:
    """The declarations, once somebody asks: the command line's help needs none of them."""
    if name not in __all__:
        raise AttributeError(f"module 'harness' has no attribute {name!r}")
    room = "harness.context" if name == "Run" else "harness.authoring"
    return getattr(importlib.import_module(room), name)


def load(path: str = "results") -> pandas.DataFrame:
    """Every row of the results folder `path` as one long table: what `harness rows` prints.

    Raises `harness.errors.UserError` when the folder is missing.
    """
    from pathlib import Path

    from harness.rows import frame, stored

    return frame(stored(Path(path)))
