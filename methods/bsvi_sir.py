"""Buffered stochastic variational inference with one sampled index."""

from typing import Annotated

from torch import Tensor

import harness
from harness.studies.likelihood import Problem
from harness.studies.likelihood.inference import choose, refine


@harness.method(task="likelihood", cite="Shu, Bui, Whang, Ermon, AISTATS 2019, arXiv 1902.10294")
def bsvi_sir(
    problem: Problem,
    run: harness.Run,
    *,
    k: Annotated[int, "[1, inf)"] = 10,
    step: Annotated[float, "(0, inf)"] = 0.02,
    step_clip: Annotated[float, "(0, inf)"] = 5.0,
    pi_rate: Annotated[float, "[0, 1]"] = 0.0,
    learning_rate: Annotated[float, "(0, inf)"] = 3e-3,
) -> dict[str, Tensor]:
    """BSVI at the cost of SVI: the decoder learns from one draw per datum, resampled from the buffer.

        i ~ π_i w_i / sum_j π_j w_j;   the decoder ascends ln w_i

    In expectation over i this is BSVI's gradient, sum_i (π_i w_i / sum_j π_j w_j) · grad ln w_i. The rest,
    and `pi_rate`, are as in `bsvi`.
    """
    model = problem.model()
    noise = run.generator("noise")
    pi = next(model.parameters()).new_full((k, 1), 1 / k)

    def update(x: Tensor, beta: float) -> Tensor:
        q = model.encode(x)
        tape = model.tape(x, keep=k, graphs=False)
        path = refine(tape, q, k, noise, step=step, clip=step_clip, beta=beta)
        buffer = path.log_weights + pi.log()
        tape.backward_at(choose(buffer, noise))
        q.backward(path.first)
        pi.lerp_(buffer.softmax(0).mean(1, keepdim=True), pi_rate)
        return buffer.logsumexp(0)

    return problem.train(model, update, learning_rate)
