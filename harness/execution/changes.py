"""Whether a fit has changed the problem that it was given, found where that costs nothing.

The score never sees such a change, for it builds the problem afresh; the author of the method should know
all the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

DEPTH = 3


def fingerprint(problem: Any) -> dict[str, tuple[int, int]]:
    """Identity and version of every tensor that the problem holds, by where it is found.

    torch counts the changes made to a tensor in place.
    """
    return {place: (id(tensor), tensor._version) for place, tensor in _tensors(problem, "problem", DEPTH)}


def changed(problem: Any, before: dict[str, tuple[int, int]]) -> str:
    """What to tell people of a problem that is no longer as it was; "" of one that is."""
    now = fingerprint(problem)
    moved = [place for place, mark in before.items() if place in now and now[place] != mark]
    return f"the fit changed {', '.join(moved[:3])}; the score saw a fresh problem" if moved else ""


def _tensors(item: Any, place: str, depth: int) -> Iterator[tuple[str, Any]]:
    import torch

    if isinstance(item, torch.Tensor):
        if not item.is_inference():
            yield place, item
    elif depth and isinstance(item, dict):
        for name, part in list(item.items()):
            yield from _tensors(part, f"{place}[{name!r}]", depth - 1)
    elif depth and isinstance(item, tuple) and hasattr(item, "_fields"):
        for name, part in zip(item._fields, item, strict=True):
            yield from _tensors(part, f"{place}.{name}", depth - 1)
    elif depth and isinstance(item, list | tuple):
        for index, part in enumerate(item[:16]):
            yield from _tensors(part, f"{place}[{index}]", depth - 1)
    elif depth and not isinstance(item, torch.nn.Module) and hasattr(item, "__dict__"):
        for name, part in list(vars(item).items()):
            yield from _tensors(part, f"{place}.{name}", depth - 1)
