"""Our own LDPC decoder: compiled and layered on a CPU, flooding in torch on any device."""

from __future__ import annotations

from typing import Annotated, Literal

from torch import Tensor

import harness
from harness.kit.ldpc.code import decode
from harness.studies.coding.decoding import Problem


@harness.method(
    task="decoding",
    cite="Chen, Fossorier. Near optimum universal belief propagation based decoding. 2002",
)
def ldpc_decoder(
    problem: Problem,
    run: harness.Run,
    *,
    engine: Literal["numba", "torch"] = "torch",
    algorithm: Literal["min_sum", "sum_product"] = "min_sum",
    iterations: Annotated[int, "[1, inf)"] = 50,
) -> dict[str, Tensor]:
    """Belief propagation in batches, each word stopped once it meets all checks; min-sum is scaled by 0.8."""
    if engine == "numba" and problem.device != "cpu":
        raise harness.Skip(f"numba's decoder runs on a CPU, not on {problem.device}")

    def decoder(received: Tensor) -> Tensor:
        return decode(problem.code, problem.channel.llr(received), iterations, algorithm, engine).bits

    return problem.measure(decoder, run)
