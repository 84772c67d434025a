"""Separate neural coding: the bits of an uncertainty autoencoder inside an LDPC code."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

import harness
from harness.kit.ldpc.matched import matched_code
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
    k: Annotated[int, "[6, inf)"] = 25,
) -> dict[str, Tensor]:
    """Learn k noiseless bits by NECST's objective at eps 0, and protect them: m channel bits in all.

    The channel code is a matched 5G code of rate k/m, at most 5/6. Nothing is learned about the channel's
    noise: choose k for a `test_eps` at which few blocks fail (25 of 100 bits at .1, 7 at .2).
    """
    matched_code(problem.bits, k)  # raises where there is none
    weights = train_noiseless(k, lambda log_p, log_q: log_p, problem.images, run, steps, samples)
    return {**weights, "ldpc": torch.tensor([problem.bits, k])}
