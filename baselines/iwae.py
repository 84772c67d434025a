"""The importance weighted autoencoder."""

from typing import Annotated

from torch import Tensor

import harness
from harness.kit.log_space import log_mean_exp
from harness.studies.likelihood import Problem
from harness.studies.likelihood.inference import draw


@harness.method(task="likelihood", cite="Burda, Grosse, Salakhutdinov, ICLR 2016, arXiv 1509.00519")
def iwae(
    problem: Problem,
    run: harness.Run,
    *,
    k: Annotated[int, "[1, inf)"] = 10,
    learning_rate: Annotated[float, "(0, inf)"] = 3e-3,
) -> dict[str, Tensor]:
    """Ascend a tighter bound: the log of the mean of k weights (eqs. 8 and 14).

        L_k = E[ ln 1/k · sum_i w_i ],   gradient = sum_i w~_i · grad ln w_i,   w~ = w / sum w

    The same normalised weights serve the decoder and the encoder.
    """
    model = problem.model()
    noise = run.generator("noise")

    def update(x: Tensor, beta: float) -> Tensor:
        q = model.encode(x)
        tape = model.tape(x, keep=k)
        draws = draw(tape, q, k, noise, beta=beta)
        weights = draws.log_weights.softmax(0)
        slope = tape.learn(weights)
        q.backward(draws.ascent(weights, slope))
        return log_mean_exp(draws.log_weights)

    return problem.train(model, update, learning_rate)
