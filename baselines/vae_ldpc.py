"""Separate neural coding: the bits of a variational autoencoder inside an LDPC code, the paper's baseline."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

import harness
from harness.kit.code_networks import CodeNetworks, log_likelihood
from harness.kit.code_training import train
from harness.kit.ldpc import regular_code
from harness.kit.noisy_codes import BinaryChannel, NoisyCode
from harness.kit.vimco import surrogate


@harness.method(
    task="coding",
    cite="Kingma, Welling. Auto-encoding variational Bayes. ICLR 2014, 1312.6114; Gallager. LDPC codes. 1963",
)
def vae_ldpc(
    problem: Any, run: Any, *, steps: int = 1000, samples: int = 5, d_v: int = 3, d_c: int = 6
) -> dict[str, Tensor]:
    """Learn k bits b by ln mean_j p(x | b_j) p(b_j) / q(b_j | x), p(b) uniform; protect them: m channel bits.

    The block is a word of a random (d_v, d_c)-regular code of m bits; k is m (1 − d_v/d_c) or a little more.
    Nothing is learned about the channel's noise: score such a cell at any `test_eps`.
    """
    code, clean = regular_code(problem.bits, d_v, d_c, seed=run.seed), BinaryChannel("bsc", 0.0)
    images = problem.images
    networks = CodeNetworks(images.pixels, code.k, run.stream("weights")).to(run.device)
    noise = run.stream("channel")

    def loss(x: Tensor) -> Tensor:
        bits = NoisyCode(networks.logits(x), clean)
        b = bits.sample(noise, samples)
        log_q = bits.log_prob(b)
        log_joint = log_likelihood(x, networks.decode(b), images.binary) - code.k * math.log(2)
        return -surrogate(log_joint - log_q, log_q)

    weights = train(networks, loss, clean, images, run, steps)
    return {**weights, "ldpc": torch.tensor([problem.bits, d_v, d_c, run.seed])}
