"""Re-measure published claims about deep generative models.

What method and task files need is here; everything else is the command line's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.declare import Estimate, Metric, Skip, asset, method, score, task

if TYPE_CHECKING:
    import pandas

__version__ = "0.1.0"
__all__ = ["Estimate", "Metric", "Skip", "asset", "load", "method", "score", "task"]


def load(path: str = "results") -> pandas.DataFrame:
    """Every row of the results folder `path` as one long table: what `harness rows` prints.

    Raises `harness.errors.UserError` when the folder is missing.
    """
    from harness.rows import load as load_rows

    return load_rows(path)
