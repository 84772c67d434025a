"""Bounds in nats on what a representation may tell, written "c1 < 10, c2 < 0.1"."""

from __future__ import annotations

import math
import re
from difflib import get_close_matches

import torch
from torch import Tensor

CONSTRAINTS = ("c1", "c2", "eo", "eopp")
"""The rate E KL(q(z|x,u) ‖ p(z)), and the leaks that stand for demographic parity, equalised odds (the mean
of the slices y = 0 and y = 1) and equal opportunity (the slice y = 1)."""

TOLERANCE = 0.05
"""The share of ε by which a bound may be missed and still count as kept: what is measured has an error, and a
bound that is reached exactly would be kept half the time."""


def parse(text: str) -> Tensor:
    """The bounds ε (4,) in the order of `CONSTRAINTS`, infinite where `text` sets none; "" sets none.

    Raises ValueError for an unknown or repeated constraint, and for one without a finite ε above 0.
    """
    epsilon = torch.full((len(CONSTRAINTS),), math.inf)
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, bound = (word.strip() for word in part.partition("<"))
        if name not in CONSTRAINTS:
            close = get_close_matches(name, CONSTRAINTS, 1)
            hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(CONSTRAINTS)}"
            raise ValueError(f"constraints: unknown constraint {name!r}; {hint}")
        if not re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", bound):
            raise ValueError(
                f"constraints: {name} needs an epsilon in nats, as in '{name} < 0.1'; found {part!r}"
            )
        if not 0 < float(bound) < math.inf:
            raise ValueError(f"constraints: the epsilon of {name} is {bound}; it must be above 0")
        index = CONSTRAINTS.index(name)
        if math.isfinite(epsilon[index]):
            raise ValueError(f"constraints: {name} is given twice")
        epsilon[index] = float(bound)
    return epsilon


def violation(constraints: Tensor, epsilon: Tensor) -> Tensor:
    """max_i C_i / ε_i − 1 over the bounds that are set, for C (..., 4): (...); −1 where none is set."""
    return (constraints / epsilon).amax(-1) - 1


def most_expressive(constraints: Tensor, reconstruction: Tensor, epsilon: Tensor) -> int:
    """Which of R runs a search keeps: of the feasible ones that with the highest ln p(x | z, u).

    I(x; z | u) is mean ln p(x | z, u) plus a constant, at least. No tolerance here: a search would use it up.
    Where no run is feasible, the one that misses a bound by the smallest share of it. C (R, 4), ln p (R,).
    """
    excess = violation(constraints, epsilon)
    feasible = excess <= 0
    if feasible.any():
        return int(reconstruction.where(feasible, -math.inf).argmax())
    return int(excess.argmin())
