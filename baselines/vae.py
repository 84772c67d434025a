"""The variational autoencoder."""

from typing import Annotated

import torch
from torch import Tensor

import harness
from harness.studies.likelihood import Problem
from harness.studies.likelihood.inference import draw


@harness.method(task="likelihood", cite="Kingma, Welling, ICLR 2014, arXiv 1312.6114")
def vae(
    problem: Problem,
    run: harness.Run,
    *,
    k: Annotated[int, "[1, inf)"] = 10,
    learning_rate: Annotated[float, "(0, inf)"] = 3e-3,
) -> dict[str, Tensor]:
    """Ascend the evidence bound, averaged over k draws per datum.

        L = E[ 1/k · sum_i ln w_i ],   w_i = p(x, z_i) / q(z_i | x)   (eq. 7 there, with L = k draws)

    More draws lower the gradient's variance; they do not tighten the bound.
    """
    model = problem.model()
    noise = run.generator("noise")

    def update(x: Tensor, beta: float) -> Tensor:
        q = model.encode(x)
        tape = model.tape(x, keep=k)
        draws = draw(tape, q, k, noise, beta=beta)
        weights = torch.full_like(draws.log_weights, 1 / k)
        slope = tape.learn(weights)
        q.backward(draws.ascent(weights, slope))
        return draws.log_weights.mean(0)

    return problem.train(model, update, learning_rate)
