"""The variational Rényi importance weighted bound with doubly reparameterised gradients."""

from typing import Annotated

from torch import Tensor

import harness
from harness.kit.log_space import log_mean_exp
from harness.studies.likelihood import Problem
from harness.studies.likelihood.inference import draw


@harness.method(task="likelihood", cite="Daudel, Benton, Shi, Doucet, JMLR 2023, arXiv 2210.06226")
def vr_iwae(
    problem: Problem,
    run: harness.Run,
    *,
    k: Annotated[int, "[1, inf)"] = 10,
    alpha: Annotated[float, "[0, 1)"] = 0.2,
    learning_rate: Annotated[float, "(0, inf)"] = 3e-3,
) -> dict[str, Tensor]:
    """A family of bounds between IWAE (alpha = 0) and VAE (alpha -> 1), for 0 <= alpha < 1.

        L = 1/(1 − alpha) · E[ ln 1/k · sum_i w_i^(1 − alpha) ],   v~ = w^(1 − alpha), normalised
        decoder gradient = sum_i v~_i · grad ln w_i
        encoder gradient = sum_i (alpha v~_i + (1 − alpha) v~_i²) · (d ln w_i / dz_i) · dz_i/dφ

    Flatter weights mean less variance. At alpha = 0 this is DReG. With β < 1 in the warm-up, 1 − alpha
    in the encoder's weights becomes β (1 − alpha).
    """
    model = problem.model()
    noise = run.generator("noise")

    def update(x: Tensor, beta: float) -> Tensor:
        q = model.encode(x)
        tape = model.tape(x, keep=k)
        draws = draw(tape, q, k, noise, beta=beta)
        weights = ((1 - alpha) * draws.log_weights).softmax(0)
        slope = tape.learn(weights)
        share = beta * (1 - alpha)
        q.backward(draws.path_ascent((1 - share) * weights + share * weights**2, slope))
        return log_mean_exp((1 - alpha) * draws.log_weights) / (1 - alpha)

    return problem.train(model, update, learning_rate)
