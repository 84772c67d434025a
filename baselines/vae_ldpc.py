"""Separate neural coding: the bits of a variational autoencoder inside an LDPC code, the paper's baseline."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from torch import Tensor

import harness
from harness.kit.ldpc.matched import matched_code
from harness.studies.coding import Problem
from harness.studies.coding.training import train_noiseless


@harness.method(
    task="coding",
    cite="Kingma, Welling. Auto-encoding variational Bayes. ICLR 2014, 1312.6114; Gallager. LDPC codes. 1963",
)
def vae_ldpc(
    problem: Problem,
    run: harness.Run,
    *,
    steps: Annotated[int, "[1, inf)"] = 1000,
    samples: Annotated[int, "[2, inf)"] = 5,
    k: Annotated[int, "[6, inf)"] = 25,
) -> dict[str, Tensor]:
    """Learn k bits b by ln mean_j p(x | b_j) p(b_j) / q(b_j | x), p(b) uniform; protect them: m channel bits.

    The channel code is a matched 5G code of rate k/m, at most 5/6. Nothing is learned about the channel's
    noise: choose k for a `test_eps` at which few blocks fail (25 of 100 bits at .1, 7 at .2).
    """
    matched_code(problem.bits, k)  # raises where there is none
    log_prior = -k * math.log(2)
    weights = train_noiseless(
        k, lambda log_p, log_q: log_p + log_prior - log_q, problem.images, run, steps, samples
    )
    return {**weights, "ldpc": torch.tensor([problem.bits, k])}
