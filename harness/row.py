"""One row of the long table."""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple


class Row(NamedTuple):
    """One metric of one cell; `metric` is "" where the cell has no result, and `status` says why.

    `settings` are all that the result depends on beside the seed. A published row has the table that prints
    it for a suite, seed −1, and a `source` and `place`; its settings are what the source states.
    The `sketch` of the examples behind a value is for intervals, and is printed nowhere.
    """

    suite: str
    task: str
    dataset: str | None
    method: str
    settings: dict[str, Any]
    seed: int
    metric: str = ""
    value: float = math.nan
    error: float = math.nan
    n: int = 0
    unit: str = ""
    direction: Literal["higher", "lower", "none"] = "none"
    kind: Literal["quality", "size", "speed", "votes"] = "quality"
    tolerance: float = 0.0
    status: str = "ok"
    reason: str = ""
    origin: Literal["measured", "published"] = "measured"
    key: str = ""
    source: str = ""
    place: str = ""
    sketch: tuple[float, ...] = ()
