"""The picture of a cell: training, what a search chose from, what predictors pay for parity."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
from torch import Tensor

from harness.studies.fairness.constraints import CONSTRAINTS
from harness.studies.fairness.gaps import GAPS

Curve = tuple[numpy.ndarray, numpy.ndarray]


def draw(path: Path, curves: dict[str, Curve], arrays: dict[str, Tensor]) -> None:
    """Write one panel for each thing that `arrays` can show, and the trade-off curves, as a PNG."""
    from matplotlib.figure import Figure

    panels: list[Callable[[Any], None]] = [lambda axes: _tradeoff(axes, curves)]
    if "search_constraints" in arrays:
        panels.append(lambda axes: _search(axes, arrays))
    if "trace_steps" in arrays:
        if (arrays["trace_multipliers"] != arrays["trace_multipliers"][0]).any():
            panels.append(lambda axes: _trace(axes, arrays, "trace_multipliers", "multiplier λ"))
        panels.append(lambda axes: _trace(axes, arrays, "trace_constraints", "constraint (nats)"))
    figure = Figure(figsize=(4 * len(panels), 3.5), layout="constrained", dpi=90)
    for panel, axes in zip(panels, figure.subplots(1, len(panels), squeeze=False)[0], strict=True):
        panel(axes)
    figure.savefig(path)


def _tradeoff(axes: Any, curves: dict[str, Curve]) -> None:
    for name, (gap, accuracy) in curves.items():
        axes.step(gap, accuracy, where="post", label=name)
    widest = max(float(gap[-1]) for gap, _ in curves.values())
    axes.set(
        xlim=(0, min(1.5 * GAPS, widest) or GAPS), xlabel="gap of parity", ylabel="best accuracy of y from z"
    )
    _legend(axes)


def _trace(axes: Any, arrays: dict[str, Tensor], series: str, label: str) -> None:
    steps = arrays["trace_steps"].numpy()
    for name, values in zip(CONSTRAINTS, arrays[series].T.numpy(), strict=True):
        axes.plot(steps, values, label=name)
    axes.set(xlabel="update", ylabel=label)
    axes.set_yscale("symlog", linthresh=0.1)
    _legend(axes)


def _search(axes: Any, arrays: dict[str, Tensor]) -> None:
    constraints, reconstruction = arrays["search_constraints"], arrays["search_reconstruction"]
    points = axes.scatter(constraints[:, 1], reconstruction, c=constraints[:, 0].log10(), label="run")
    axes.figure.colorbar(points, ax=axes, label="log10 C1 (nats)")
    chosen = int(arrays["search_chosen"])
    axes.plot(
        constraints[chosen, 1], reconstruction[chosen], "o", mfc="none", ms=12, color="red", label="chosen"
    )
    axes.set(xlabel="C2 (nats)", ylabel="mean ln p(x | z, u) (nats)")
    _legend(axes)


def _legend(axes: Any) -> None:
    """Above the axes, where no curve can be."""
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False, fontsize="small")
