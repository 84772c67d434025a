"""What authors of methods and studies write: decorators that mark, and never wrap, their functions.

The registry finds these marks by reading the source, so that listing and planning import no method.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar

if TYPE_CHECKING:
    from torch import Tensor

F = TypeVar("F", bound=Callable[..., Any])

DataSet = str
"""The type of a parameter that names a data set. Its files' checksums enter the key, and `run.data` may load
it; no other data set may be read."""


@dataclass(frozen=True)
class Metric:
    """One measured quantity of a task.

    `tolerance` is the smallest difference, in `unit`, that anybody should care about; `compare` judges
    a change of quality against it.
    """

    name: str
    unit: str
    direction: Literal["higher", "lower", "none"]
    kind: Literal["quality", "size", "speed"]
    tolerance: float = 0.0
    meaning: str = ""


DEVICE_MEMORY = Metric(
    "device_gb",
    unit="GB",
    direction="lower",
    kind="speed",
    meaning="the most memory of the device that tensors took during the fit; not measured on a CPU",
)
"""What every task has, though none declares it."""


@dataclass(frozen=True)
class Estimate:
    """A mean over `n` examples with its standard error, where a bare number would hide the doubt.

    `sketch` lets the mean be compared example by example with that of another cell; see `harness.sketch`.
    """

    value: float
    error: float
    n: int
    sketch: tuple[float, ...] = ()

    @classmethod
    def of(cls, values: Tensor) -> Estimate:
        """The mean of one number per example (N,). A single one has no spread to judge by: its error is 0."""
        from harness import sketch

        values = values.detach()
        error = float(values.std() / len(values) ** 0.5) if len(values) > 1 else 0.0
        return cls(float(values.mean()), error, len(values), sketch.of(values.double().cpu().numpy()))


class Skip(Exception):
    """Raise it in a method that cannot run here (a peer is not installed): its cell is `skipped`."""


def method(*, task: str, cite: str) -> Callable[[F], F]:
    """Mark a function as a method of `task`.

    The function takes the problem, the run context, and keyword parameters whose defaults are literals;
    it returns the arrays that the task's score needs, by name. `cite` says where the method comes from.
    A numeric parameter may say its range: `Annotated[float, "(0, 1]"]`.
    """

    def mark(function: F) -> F:
        function.__harness__ = {"role": "method", "task": task, "cite": cite}  # type: ignore[attr-defined]
        return function

    return mark


def task(function: F) -> F:
    """Mark the function in a study's `task.py` that builds the problem; the task has its name.

    Its keyword parameters are the task's parameters; each numeric one says its range.
    """
    function.__harness__ = {"role": "task"}  # type: ignore[attr-defined]
    return function


def score(function: F) -> F:
    """Mark the function in a study's `score.py`: (problem, arrays, run, *, …) -> {metric: value}.

    A value is a number or an `Estimate`. Editing it, or what only it imports, re-scores stored fits; nothing
    is trained again.
    """
    function.__harness__ = {"role": "score"}  # type: ignore[attr-defined]
    return function


def asset(function: F | None = None, *, seconds: float = 3600.0, memory_gb: float = 8.0) -> Any:
    """Mark a builder of something that several cells need: (run, *, …) -> {name: array}.

    Obtain it with `run.asset(builder, **parameters)`, early: it is built once, by a job of its own within
    these limits, and who asks for one that is not there is stopped and started again when it is. Write
    `@harness.asset` or `@harness.asset(seconds=…, memory_gb=…)`.
    """

    def mark(builder: F) -> F:
        limits = {"seconds": float(seconds), "memory_gb": float(memory_gb)}
        builder.__harness__ = {"role": "asset", "limits": limits}  # type: ignore[attr-defined]
        return builder

    return mark if function is None else mark(function)
