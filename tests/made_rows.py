"""Rows written by hand, as dictionaries with what matters to a test."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from harness.row import Row


def rows(made: Iterable[dict[str, Any]]) -> list[Row]:
    """Rows of dictionaries whose `params` are JSON; method and data set join the settings."""
    return [_row(dict(each)) for each in made]


def _row(given: dict[str, Any]) -> Row:
    settings = {**json.loads(given.pop("params")), "method": given["method"]}
    if given.get("dataset"):
        settings["dataset"] = given["dataset"]
    return Row(**{"suite": "", "dataset": None} | given | {"settings": settings})
