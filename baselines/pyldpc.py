"""The decoder of the package `pyldpc`, which papers reach for first."""

from __future__ import annotations

import importlib.util
from typing import Annotated

import numpy as np
import torch
from torch import Tensor

import harness
from harness.studies.coding.decoding import Problem

# Its tanh is exactly ±1 beyond, and it then takes a message of ±1 for one that should be without bound.
LARGEST_LLR = 20.0


@harness.method(task="decoding", cite="pyldpc 0.7.9, 2020; Gallager. Low-density parity-check codes. 1963")
def pyldpc(
    problem: Problem, run: harness.Run, *, batched: bool = False, iterations: Annotated[int, "[1, inf)"] = 50
) -> dict[str, Tensor]:
    """Sum-product, one word at a time, with log-likelihood ratios cut at ±20, since larger ones break it.

    `batched` uses its own batch mode, which is wrong: it goes on iterating words that are finished until all
    of the batch are, and damages them. The frame error rate shows it.
    """
    if importlib.util.find_spec("pyldpc") is None:
        raise harness.Skip("the package pyldpc is not installed; make run installs it, see the Makefile")
    if problem.device != "cpu":
        raise harness.Skip(f"pyldpc runs on a CPU, not on {problem.device}")
    from pyldpc import decode

    checks = problem.code.parity_check.numpy().astype(int)

    def decoder(received: Tensor) -> Tensor:
        halves = (problem.channel.llr(received).clamp(-LARGEST_LLR, LARGEST_LLR) / 2).double().numpy()
        if batched:
            found = decode(checks, halves.T, 0.0, iterations).reshape(problem.code.n, -1).T
        else:
            found = np.stack([decode(checks, word, 0.0, iterations) for word in halves])
        return torch.from_numpy(found)

    return problem.measure(decoder, run, at_most=16)
