"""The importance weighted autoencoder."""

import harness
from harness.kit.inference import draw, log_mean_exp


@harness.method(task="likelihood", cite="Burda, Grosse, Salakhutdinov, ICLR 2016, arXiv 1509.00519")
def iwae(problem, run, *, k: int = 10, learning_rate: float = 3e-3):
    """Ascend a tighter bound: the log of the mean of k weights (eqs. 8 and 14).

        L_k = E[ ln 1/k · sum_i w_i ],   gradient = sum_i w~_i · grad ln w_i,   w~ = w / sum w

    The same normalised weights serve the decoder and the encoder.
    """
    model = problem.model()
    noise = problem.generator("noise")

    def update(x, beta):
        q = model.encode(x)
        tape = model.tape(x, keep=k)
        draws = draw(tape, q, k, noise, beta=beta)
        weights = draws.log_weights.softmax(0)
        tape.backward(weights)
        q.backward(draws.ascent(weights))
        return log_mean_exp(draws.log_weights)

    return problem.train(model, update, learning_rate)
