"""The C++ decoder of the package `ldpc`, the fastest peer that pip installs on a CPU."""

from __future__ import annotations

import importlib.util
from typing import Annotated, Literal

import torch
from torch import Tensor

import harness
from harness.studies.coding.decoding import Problem


@harness.method(
    task="decoding",
    cite="Roffe et al. Decoding across the quantum low-density parity-check code landscape. 2020",
)
def ldpc_package(
    problem: Problem,
    run: harness.Run,
    *,
    algorithm: Literal["minimum_sum", "product_sum"] = "minimum_sum",
    scale: Annotated[float, "(0, 1]"] = 0.8,
    iterations: Annotated[int, "[1, inf)"] = 50,
) -> dict[str, Tensor]:
    """One word at a time, in C++.

    With `scale` at the package's own default of 1.0 it fails on words of a regular code behind a BSC near
    threshold, which would be no fair peer.
    """
    if importlib.util.find_spec("ldpc") is None:
        raise harness.Skip("the package ldpc is not installed; pip install 'harness[ldpc]'")
    if problem.device != "cpu":
        raise harness.Skip(f"the package ldpc runs on a CPU, not on {problem.device}")
    if problem.channel.kind != "bsc":
        raise harness.Skip(f"this baseline decodes words of a BSC, not of a {problem.channel.kind}")
    from ldpc import BpDecoder

    decoder = BpDecoder(
        problem.code.parity_check.numpy(),
        error_rate=problem.channel.eps,
        max_iter=iterations,
        bp_method=algorithm,
        ms_scaling_factor=scale,
        input_vector_type="received_vector",
    )

    def decode(received: Tensor) -> Tensor:
        return torch.stack([torch.from_numpy(decoder.decode(word)) for word in received.numpy()])

    return problem.measure(decode, run, at_most=256)
