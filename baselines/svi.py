"""Stochastic variational inference started by an encoder."""

import torch

import harness
from harness.kit.inference import refine


@harness.method(
    task="likelihood", cite="Kim et al., ICML 2018, arXiv 1802.02550; without its second derivatives"
)
def svi(
    problem, run, *, k: int = 10, step: float = 0.02, step_clip: float = 5.0, learning_rate: float = 3e-3
):
    """Refine the encoder's posterior by k − 1 gradient steps, then train the decoder on the last draw.

        λ_0 = f_φ(x);   z_i ~ q(z; λ_i);   λ_{i+1} = λ_i + step · d ln w_i / dλ_i
        the encoder ascends ln w_0, the decoder ln w_{k−1}

    Nothing is differentiated through the steps.
    """
    model = problem.model()
    noise = problem.generator("noise")

    def update(x, beta):
        q = model.encode(x)
        tape = model.tape(x, keep=1)
        path = refine(tape, q, k, noise, step=step, clip=step_clip, beta=beta)
        tape.backward(torch.ones_like(path.log_weights[-1:]))
        q.backward(path.first)
        return path.log_weights[-1]

    return problem.train(model, update, learning_rate)
