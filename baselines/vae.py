"""The variational autoencoder."""

import torch

import harness
from harness.kit.inference import draw


@harness.method(task="likelihood", cite="Kingma, Welling, ICLR 2014, arXiv 1312.6114")
def vae(problem, run, *, k: int = 10, learning_rate: float = 3e-3):
    """Ascend the evidence bound, averaged over k draws per datum.

        L = E[ 1/k · sum_i ln w_i ],   w_i = p(x, z_i) / q(z_i | x)   (eq. 7 there, with L = k draws)

    More draws lower the gradient's variance; they do not tighten the bound.
    """
    model = problem.model()
    noise = problem.generator("noise")

    def update(x, beta):
        q = model.encode(x)
        tape = model.tape(x, keep=k)
        draws = draw(tape, q, k, noise, beta=beta)
        weights = torch.full_like(draws.log_weights, 1 / k)
        tape.backward(weights)
        q.backward(draws.ascent(weights))
        return draws.log_weights.mean(0)

    return problem.train(model, update, learning_rate)
