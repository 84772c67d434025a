"""Buffered stochastic variational inference."""

from typing import Annotated

from torch import Tensor

import harness
from harness.studies.likelihood import Problem
from harness.studies.likelihood.inference import refine


@harness.method(task="likelihood", cite="Shu, Bui, Whang, Ermon, AISTATS 2019, arXiv 1902.10294")
def bsvi(
    problem: Problem,
    run: harness.Run,
    *,
    k: Annotated[int, "[1, inf)"] = 10,
    step: Annotated[float, "(0, inf)"] = 0.02,
    step_clip: Annotated[float, "(0, inf)"] = 5.0,
    pi_rate: Annotated[float, "[0, 1]"] = 0.0,
    learning_rate: Annotated[float, "(0, inf)"] = 3e-3,
) -> dict[str, Tensor]:
    """SVI that keeps all k weights of its path in a buffer and trains the decoder on their mean.

        λ_0 = f_φ(x);   z_i ~ q(z; λ_i);   λ_{i+1} = λ_i + step · d ln w_i / dλ_i
        the encoder ascends ln w_0, the decoder ln sum_i π_i w_i

    Each weight has the expectation p(x) whatever came before it, so the mean is unbiased and its log a bound.
    π is uniform; with `pi_rate` > 0 each update moves it by that share towards the mean normalised weights,
    which is an EM step on the same, in π concave, bound.
    """
    model = problem.model()
    noise = run.generator("noise")
    pi = next(model.parameters()).new_full((k, 1), 1 / k)

    def update(x: Tensor, beta: float) -> Tensor:
        q = model.encode(x)
        tape = model.tape(x, keep=k)
        path = refine(tape, q, k, noise, step=step, clip=step_clip, beta=beta)
        buffer = path.log_weights + pi.log()
        weights = buffer.softmax(0)
        tape.backward(weights)
        q.backward(path.first)
        pi.lerp_(weights.mean(1, keepdim=True), pi_rate)
        return buffer.logsumexp(0)

    return problem.train(model, update, learning_rate)
