"""Ranges of numeric parameters, in the notation of mathematics: "[0, 1)" holds 0 and not 1."""

from __future__ import annotations

import re
from dataclasses import dataclass

_NOTATION = re.compile(r"([\[(])\s*([^,\s]+)\s*,\s*([^,\s]+)\s*([\])])$")


@dataclass(frozen=True)
class Interval:
    """The numbers between `low` and `high`, each with itself where `closed` says so; ends may be infinite."""

    low: float
    high: float
    closed: tuple[bool, bool]
    text: str

    @classmethod
    def parse(cls, text: str) -> Interval:
        """The interval written as `text`. Raises ValueError for anything else, and for an empty one."""
        match = _NOTATION.match(text) if isinstance(text, str) else None
        if match is None:
            raise ValueError(f'{text!r} is not a range: write "[0, 1)" or "(0, inf)"')
        opening, low, high, closing = match.groups()
        made = cls(float(low), float(high), (opening == "[", closing == "]"), text)
        if not made.low < made.high:
            raise ValueError(f"{text!r} holds no numbers")
        return made

    def __contains__(self, value: float) -> bool:
        above = value > self.low or (self.closed[0] and value == self.low)
        below = value < self.high or (self.closed[1] and value == self.high)
        return above and below

    def __str__(self) -> str:
        return self.text
