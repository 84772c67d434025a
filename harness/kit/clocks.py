"""How long work takes: this process's one thread on a CPU, a clock beside a GPU, whose work is waited for."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch


def seconds(work: Callable[[], Any], device: str, repeats: int = 1) -> float:
    """Mean seconds of `repeats` calls in a row."""
    clock = time.process_time if device == "cpu" else time.perf_counter
    start = clock()
    for _ in range(repeats):
        work()
    if device != "cpu":
        torch.cuda.synchronize()
    return (clock() - start) / repeats


def median_seconds(work: Callable[[], Any], device: str, rounds: int = 7) -> float:
    """The median over `rounds` calls, after two that do not count; never zero."""
    times = [seconds(work, device) for _ in range(2 + rounds)]
    return max(statistics.median(times[2:]), 1e-9)
