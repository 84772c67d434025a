"""Separate neural coding: the bits of a variational autoencoder inside an LDPC code, the paper's baseline."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from torch import Tensor

import harness
from harness.kit.ldpc.code import regular_code
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
    d_v: Annotated[int, "[1, inf)"] = 3,
    d_c: Annotated[int, "[2, inf)"] = 6,
) -> dict[str, Tensor]:
    """Learn k bits b by ln mean_j p(x | b_j) p(b_j) / q(b_j | x), p(b) uniform; protect them: m channel bits.

    The block is a word of a random (d_v, d_c)-regular code of m bits; k is m (1 − d_v/d_c) or a little more.
    Nothing is learned about the channel's noise: score such a cell at any `test_eps`.
    """
    code = regular_code(problem.bits, d_v, d_c, seed=run.seed)
    log_prior = -code.k * math.log(2)
    weights = train_noiseless(
        code.k, lambda log_p, log_q: log_p + log_prior - log_q, problem.images, run, steps, samples
    )
    return {**weights, "ldpc": torch.tensor([problem.bits, d_v, d_c, run.seed])}
