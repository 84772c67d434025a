"""The variational Rényi importance weighted bound with doubly reparameterised gradients."""

import harness
from harness.kit.inference import draw, log_mean_exp


@harness.method(task="likelihood", cite="Daudel, Benton, Shi, Doucet, JMLR 2023, arXiv 2210.06226")
def vr_iwae(problem, run, *, k: int = 10, alpha: float = 0.2, learning_rate: float = 3e-3):
    """A family of bounds between IWAE (alpha = 0) and VAE (alpha -> 1), for 0 <= alpha < 1.

        L = 1/(1 − alpha) · E[ ln 1/k · sum_i w_i^(1 − alpha) ],   v~ = w^(1 − alpha), normalised
        decoder gradient = sum_i v~_i · grad ln w_i
        encoder gradient = sum_i (alpha v~_i + (1 − alpha) v~_i²) · (d ln w_i / dz_i) · dz_i/dφ

    Flatter weights mean less variance. At alpha = 0 this is DReG. With β < 1 in the warm-up, 1 − alpha
    in the encoder's weights becomes β (1 − alpha).
    """
    model = problem.model()
    noise = problem.generator("noise")

    def update(x, beta):
        q = model.encode(x)
        tape = model.tape(x, keep=k)
        draws = draw(tape, q, k, noise, beta=beta)
        weights = ((1 - alpha) * draws.log_weights).softmax(0)
        tape.backward(weights)
        share = beta * (1 - alpha)
        q.backward(draws.path_ascent((1 - share) * weights + share * weights**2))
        return log_mean_exp((1 - alpha) * draws.log_weights) / (1 - alpha)

    return problem.train(model, update, learning_rate)
