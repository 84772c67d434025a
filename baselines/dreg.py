"""Doubly reparameterised gradients for the importance weighted autoencoder."""

from typing import Annotated

from torch import Tensor

import harness
from harness.kit.log_space import log_mean_exp
from harness.studies.likelihood import Problem
from harness.studies.likelihood.inference import draw


@harness.method(task="likelihood", cite="Tucker, Lawson, Gu, Maddison, ICLR 2019, arXiv 1810.04152")
def dreg(
    problem: Problem,
    run: harness.Run,
    *,
    k: Annotated[int, "[1, inf)"] = 10,
    learning_rate: Annotated[float, "(0, inf)"] = 3e-3,
) -> dict[str, Tensor]:
    """IWAE's bound and decoder; an encoder gradient whose signal does not vanish as k grows (eq. 7).

        encoder gradient = sum_i w~_i² · (d ln w_i / dz_i) · dz_i/dφ,   w~ = w / sum w

    The derivative runs through z alone; the score of q is integrated out by a second reparameterisation.
    While the KL is being warmed up (β < 1) the weights are (1 − β) w~ + β w~².
    """
    model = problem.model()
    noise = run.generator("noise")

    def update(x: Tensor, beta: float) -> Tensor:
        q = model.encode(x)
        tape = model.tape(x, keep=k)
        draws = draw(tape, q, k, noise, beta=beta)
        weights = draws.log_weights.softmax(0)
        slope = tape.learn(weights)
        q.backward(draws.path_ascent((1 - beta) * weights + beta * weights**2, slope))
        return log_mean_exp(draws.log_weights)

    return problem.train(model, update, learning_rate)
