"""What authors of methods and tasks write: decorators that mark, and never wrap, their functions.

The registry finds these marks by reading the source, so that listing and planning import no method.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


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


@dataclass(frozen=True)
class Estimate:
    """A mean over `n` examples with its standard error, where a bare number would hide the doubt."""

    value: float
    error: float
    n: int


class Skip(Exception):
    """Raise it in a method that cannot run here (a peer is not installed): its cell is `skipped`."""


def method(*, task: str, cite: str) -> Callable[[F], F]:
    """Mark a function as a method of `task`.

    The function takes the problem, the run context, and keyword parameters whose defaults are literals;
    it returns the arrays that the task's score needs, by name. `cite` says where the method comes from.
    """

    def mark(function: F) -> F:
        function.__harness__ = {"role": "method", "task": task, "cite": cite}  # type: ignore[attr-defined]
        return function

    return mark


def task(function: F) -> F:
    """Mark the function that builds a task's problem; its keyword parameters are the task's parameters."""
    function.__harness__ = {"role": "task"}  # type: ignore[attr-defined]
    return function


def score(function: F) -> F:
    """Mark a task's scoring function: (problem, arrays, run, *, ...) -> {metric: number or Estimate}.

    Editing it re-scores stored artifacts; nothing is trained again.
    """
    function.__harness__ = {"role": "score"}  # type: ignore[attr-defined]
    return function


def asset(function: F) -> F:
    """Mark a builder of something that several cells need: (run, *, ...) -> {name: array}.

    Obtain it with `run.asset(builder, **parameters)`: it is built once, whoever asks first.
    """
    function.__harness__ = {"role": "asset"}  # type: ignore[attr-defined]
    return function
