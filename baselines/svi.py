"""Stochastic variational inference started by an encoder."""

from typing import Annotated

import torch
from torch import Tensor

import harness
from harness.studies.likelihood import Problem
from harness.studies.likelihood.inference import refine


@harness.method(
    task="likelihood", cite="Kim et al., ICML 2018, arXiv 1802.02550; without its second derivatives"
)
def svi(
    problem: Problem,
    run: harness.Run,
    *,
    k: Annotated[int, "[1, inf)"] = 10,
    step: Annotated[float, "(0, inf)"] = 0.02,
    step_clip: Annotated[float, "(0, inf)"] = 5.0,
    learning_rate: Annotated[float, "(0, inf)"] = 3e-3,
) -> dict[str, Tensor]:
    """Refine the encoder's posterior by k − 1 gradient steps, then train the decoder on the last draw.

        λ_0 = f_φ(x);   z_i ~ q(z; λ_i);   λ_{i+1} = λ_i + step · d ln w_i / dλ_i
        the encoder ascends ln w_0, the decoder ln w_{k−1}

    Nothing is differentiated through the steps.
    """
    model = problem.model()
    noise = run.generator("noise")

    def update(x: Tensor, beta: float) -> Tensor:
        q = model.encode(x)
        tape = model.tape(x, keep=1)
        path = refine(tape, q, k, noise, step=step, clip=step_clip, beta=beta)
        tape.backward(torch.ones_like(path.log_weights[-1:]))
        q.backward(path.first)
        return path.log_weights[-1]

    return problem.train(model, update, learning_rate)
