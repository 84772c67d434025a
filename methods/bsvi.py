"""Buffered stochastic variational inference."""

import harness
from harness.kit.inference import refine


@harness.method(task="likelihood", cite="Shu, Bui, Whang, Ermon, AISTATS 2019, arXiv 1902.10294")
def bsvi(
    problem,
    run,
    *,
    k: int = 10,
    step: float = 0.02,
    step_clip: float = 5.0,
    pi_rate: float = 0.0,
    learning_rate: float = 3e-3,
):
    """SVI that keeps all k weights of its path in a buffer and trains the decoder on their mean.

        λ_0 = f_φ(x);   z_i ~ q(z; λ_i);   λ_{i+1} = λ_i + step · d ln w_i / dλ_i
        the encoder ascends ln w_0, the decoder ln sum_i π_i w_i

    Each weight has the expectation p(x) whatever came before it, so the mean is unbiased and its log a bound.
    π is uniform; with `pi_rate` > 0 each update moves it by that share towards the mean normalised weights,
    which is an EM step on the same, in π concave, bound.
    """
    model = problem.model()
    noise = problem.generator("noise")
    pi = next(model.parameters()).new_full((k, 1), 1 / k)

    def update(x, beta):
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
