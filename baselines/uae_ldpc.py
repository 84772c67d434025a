"""Separate neural coding: the bits of an uncertainty autoencoder inside an LDPC code."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

import harness
from harness.kit.ldpc.code import regular_code
from harness.studies.coding import Problem
from harness.studies.coding.training import train_noiseless


@harness.method(
    task="coding",
    cite="Grover, Ermon. Uncertainty autoencoders. AISTATS 2019, 1812.10539; Gallager. LDPC codes. 1963",
)
def uae_ldpc(
    problem: Problem,
    run: harness.Run,
    *,
    steps: Annotated[int, "[1, inf)"] = 1000,
    samples: Annotated[int, "[2, inf)"] = 5,
    d_v: Annotated[int, "[1, inf)"] = 3,
    d_c: Annotated[int, "[2, inf)"] = 6,
) -> dict[str, Tensor]:
    """Learn k noiseless bits by NECST's objective at eps 0, and protect them: m channel bits in all.

    The block is a word of a random (d_v, d_c)-regular code of m bits; k is m (1 − d_v/d_c) or a little more.
    Nothing is learned about the channel's noise: score such a cell at any `test_eps`.
    """
    code = regular_code(problem.bits, d_v, d_c, seed=run.seed)
    weights = train_noiseless(code.k, lambda log_p, log_q: log_p, problem.images, run, steps, samples)
    return {**weights, "ldpc": torch.tensor([problem.bits, d_v, d_c, run.seed])}
