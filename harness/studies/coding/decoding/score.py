"""What a race of decoders says: speed beside NECST's decoder, and words that came out wrong."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping

from torch import Tensor

import harness
from harness.studies.coding.decoding.task import Problem

Z = 1.96  # of Wilson's interval, at 95 %

METRICS = (
    harness.Metric("images_per_second", "images/s", "higher", "speed", 0.0, "median over rounds"),
    harness.Metric("spread", "1", "lower", "speed", 0.0, "(slowest − fastest round) / median round"),
    harness.Metric("necst_speedup", "1", "none", "speed", 0.0, "NECST's decoder: how many times as fast"),
    harness.Metric("one_order", "1", "none", "speed", 0.0, "1 where that is 10 or more, in the median round"),
    harness.Metric("two_orders", "1", "none", "speed", 0.0, "1 where that is 100 or more: the claim holds"),
    harness.Metric("frame_error_rate", "1", "lower", "quality", 0.01, "words that came out wrong"),
    harness.Metric("frames", "1", "none", "size", 0.0, "words simulated for the frame error rate"),
    harness.Metric(
        "stopped_by_errors", "1", "none", "quality", 0.0, "1: 50 errors ended it; 0: the budget did"
    ),
)


@harness.score
def score(
    problem: Problem, arrays: Mapping[str, Tensor], run: harness.Run
) -> dict[str, float | harness.Estimate]:
    """Medians over rounds; the speed-up is the median of the rounds' own ratios."""
    mine, reference = (
        column / size for column, size in zip(arrays["seconds"].T, arrays["batch"], strict=True)
    )
    ratios = (mine / reference).tolist()
    speedup, median = statistics.median(ratios), float(mine.median())
    found: dict[str, float | harness.Estimate] = {
        "images_per_second": 1 / median,
        "spread": float(mine.max() - mine.min()) / median,
        "necst_speedup": speedup,
        "one_order": float(speedup >= 10),
        "two_orders": float(speedup >= 100),
    }
    if "errors" in arrays:
        errors, trials, by_errors = arrays["errors"].tolist()
        found["frame_error_rate"] = harness.Estimate(errors / trials, doubt(errors, trials), trials)
        found["frames"], found["stopped_by_errors"] = float(trials), float(by_errors)
    return found


def doubt(errors: int, trials: int) -> float:
    """A standard error of errors/trials that is not zero where no error was seen: from Wilson's interval."""
    rate = errors / trials
    return math.sqrt(rate * (1 - rate) / trials + (Z / (2 * trials)) ** 2) / (1 + Z * Z / trials)
