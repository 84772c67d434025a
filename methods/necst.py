"""NECST: one network learns to compress and to protect at once (Choi et al., ICML 2019)."""

from __future__ import annotations

from typing import Annotated, Literal

from torch import Tensor

import harness
from harness.studies.coding import Problem
from harness.studies.coding.networks import CodeNetworks, log_likelihood
from harness.studies.coding.noisy_codes import NoisyCode
from harness.studies.coding.training import train
from harness.studies.coding.vimco import surrogate


@harness.method(
    task="coding",
    cite="Choi, Tatwawadi, Grover, Weissman, Ermon. Neural joint source-channel coding. ICML 2019",
)
def necst(
    problem: Problem,
    run: harness.Run,
    *,
    steps: Annotated[int, "[1, inf)"] = 1000,
    samples: Annotated[int, "[2, inf)"] = 5,
    objective: Literal["paper", "released"] = "paper",
) -> dict[str, Tensor]:
    """Maximise E ln mean_k p(x | y_k) over received words y_k ~ q(y | x), k = 1 .. samples, by VIMCO.

        x → code bits → channel → y → p(x | y)

    q sums the clean bits out, so the encoder sees the channel's noise; there is no term for the prior of the
    bits, which leaves a lower bound on the mutual information of x and y. `objective="released"` is what the
    authors' code does instead: it hands VIMCO the losses −ln p(x | y_k) and *minimises* the log-mean of their
    exponentials, in which the worst sample counts most.
    """
    images = problem.images
    networks = CodeNetworks(images.pixels, problem.bits, run.stream("weights")).to(run.device)
    noise = run.stream("channel")

    def loss(x: Tensor) -> Tensor:
        code = NoisyCode(networks.logits(x), problem.channel)
        y = code.sample(noise, samples)
        fit = log_likelihood(x, networks.decode(y), images.binary)
        if objective == "released":
            return surrogate(-fit, code.log_prob(y))
        return -surrogate(fit, code.log_prob(y))

    return train(networks, loss, problem.channel, images, run, steps)
