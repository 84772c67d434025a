"""Joint source-channel coding by straight-through gradients (Bengio et al. 2013; Seo et al., JCN 2022)."""

from __future__ import annotations

from typing import Annotated

from torch import Tensor

import harness
from harness.studies.coding import Problem
from harness.studies.coding.networks import CodeNetworks, log_likelihood
from harness.studies.coding.noisy_codes import straight_through as received
from harness.studies.coding.training import train


@harness.method(
    task="coding",
    cite="Bengio et al. Estimating or propagating gradients through stochastic neurons. 2013, 1308.3432",
)
def straight_through(
    problem: Problem, run: harness.Run, *, steps: Annotated[int, "[1, inf)"] = 1000
) -> dict[str, Tensor]:
    """Maximise E ln p(x | y) with one received word y a datum, as if its gradient were that of its mean.

    The networks, the channel and the number of updates are NECST's; an update decodes one word instead of K.
    """
    images = problem.images
    networks = CodeNetworks(images.pixels, problem.bits, run.stream("weights")).to(run.device)
    noise = run.stream("channel")

    def loss(x: Tensor) -> Tensor:
        y = received(networks.logits(x), problem.channel, noise)
        return -log_likelihood(x, networks.decode(y), images.binary)

    return train(networks, loss, problem.channel, images, run, steps)
