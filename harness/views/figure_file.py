"""Figure files: which rows a figure draws, and as what. Strictly read, all faults at once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from harness import strict_yaml
from harness.errors import did_you_mean
from harness.groups import Scalar
from harness.registry import Registry
from harness.strict_yaml import Entry, Fault

Scale = Literal["linear", "log"] | float
"""Of an axis; a number: linear from 0 to about it, logarithmic beyond it, on both sides."""


@dataclass(frozen=True)
class Line:
    """Curves of the rows that `where` keeps, beside the figure's own: one for each method and setting.

    Only settings count in which those named in `same` equal one another.
    `y` is their metric, if not the figure's; with `complement` they show that number less the metric.
    `label` stands in for the method's name. A `reference` (a floor, a certificate) belongs to no method:
    there is one to a panel, a thin line at the mean over all rows that tell it.
    """

    where: dict[str, Scalar | list[Scalar]] = field(default_factory=dict)
    same: list[str] = field(default_factory=list)
    y: str = ""
    complement: float | None = None
    label: str = ""
    reference: bool = False


@dataclass(frozen=True)
class Beside:
    """Published points: metric `y` of a published `table`, at its metric `x` or at the figure's setting.

    `note` says how far they can be compared with ours.
    """

    table: str
    y: str
    note: str
    x: str = ""


@dataclass(frozen=True)
class CurveSpec:
    """A figure of curves, a panel for each combination of the settings `panels`.

    x is one of three: a setting, a metric, or a number for each of several metrics (`x_values`), which then
    are the ys. `where` keeps rows as a table's does; only settings count in which those named in `same`
    equal one another. A curve runs through rows that agree in every setting but x, those of `along`, and
    the seed; where that leaves two rows at one x, those of `along` tell curves apart, too.
    """

    kind: Literal["curve"]
    title: str
    task: str
    x_title: str
    y_title: str
    y: str = ""
    x_setting: str = ""
    x_metric: str = ""
    x_values: dict[str, float] = field(default_factory=dict)
    x_scale: Scale = "linear"
    y_scale: Scale = "linear"
    where: dict[str, Scalar | list[Scalar]] = field(default_factory=dict)
    panels: list[str] = field(default_factory=list)
    along: list[str] = field(default_factory=list)
    lines: list[Line] = field(default_factory=lambda: [Line()])
    published: Beside | None = None


@dataclass(frozen=True)
class GallerySpec:
    """The pictures of one file name that scores wrote into the cells that `where` keeps, or fits beside them.

    There is one for each method and setting, in a row of their own for each combination of `panels`.
    """

    kind: Literal["gallery"]
    title: str
    task: str
    picture: str
    where: dict[str, Scalar | list[Scalar]] = field(default_factory=dict)
    panels: list[str] = field(default_factory=list)


def load(path: Path, registry: Registry) -> CurveSpec | GallerySpec:
    """Read a figure file. Raises `InvalidFile` with all faults: unknown tasks and metrics, too."""
    entry = strict_yaml.read(path)
    faults: list[Fault] = []
    kind = entry.value.get("kind") if isinstance(entry.value, dict) else None
    spec: CurveSpec | GallerySpec | None
    if kind and kind.value == "gallery":
        spec = strict_yaml.build(GallerySpec, entry, faults)
        if spec and spec.task not in registry.tasks:
            faults.append(_unknown_task(spec.task, entry, registry))
    else:
        spec = strict_yaml.build(CurveSpec, entry, faults)
        if spec:
            faults += _faults_of(spec, entry, registry)
    if faults or spec is None:
        raise strict_yaml.InvalidFile(path, faults)
    return spec


def _unknown_task(task: str, entry: Entry, registry: Registry) -> Fault:
    line = entry.value["task"].line
    return Fault(line, "task", f"unknown task {task!r}{did_you_mean(task, registry.tasks)}")


def _faults_of(spec: CurveSpec, entry: Entry, registry: Registry) -> Iterable[Fault]:
    def fault(key: str, message: str) -> Fault:
        return Fault(entry.value[key].line if key in entry.value else entry.line, key, message)

    given = [name for name in ("x_setting", "x_metric", "x_values") if getattr(spec, name)]
    if len(given) != 1:
        yield fault(given[-1] if given else "", "give one of x_setting, x_metric and x_values")
    lacking = [line for line in spec.lines if not (spec.y or spec.x_values or line.y)]
    if lacking or (spec.y and spec.x_values):
        yield fault("y", "give the metric y, unless x_values name several")
    if not spec.lines:
        yield fault("lines", "there is nothing to draw")
    for name in ("x_scale", "y_scale"):
        scale = getattr(spec, name)
        if not isinstance(scale, str) and not scale > 0:
            yield fault(name, "give linear, log, or a number above 0")
    if spec.published and bool(spec.published.x) != bool(spec.x_metric):
        yield fault("published", "give its metric x if the figure has an x_metric, and only then")
    if spec.task not in registry.tasks:
        yield _unknown_task(spec.task, entry, registry)
        return
    known = registry.tasks[spec.task].metrics
    named = {"y": [spec.y], "x_metric": [spec.x_metric], "x_values": list(spec.x_values)}
    for key, metrics in (named | {"lines": [line.y for line in spec.lines]}).items():
        for metric in metrics:
            if metric and metric not in known:
                yield fault(key, f"{spec.task} has no metric {metric!r}{did_you_mean(metric, known)}")
