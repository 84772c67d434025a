"""The decoders of learned codes, for their speed: a network, once through."""

from __future__ import annotations

from torch import Tensor

import harness
from harness.studies.coding.decoding import Problem


@harness.method(
    task="decoding",
    cite="Choi, Tatwawadi, Grover, Weissman, Ermon. Neural joint source-channel coding. ICML 2019",
)
def necst(problem: Problem, run: harness.Run) -> dict[str, Tensor]:
    """m → 500 → 500 → 784 with untrained weights: time does not depend on them.

    It decodes no words, so it has no frame error rate; how good such decoders are, the `coding` task tells.
    """
    return problem.measure(lambda received: problem.network(received.float()), run, exact=False)


@harness.method(
    task="decoding",
    cite="Bengio et al. Estimating or propagating gradients through stochastic neurons. 2013, 1308.3432",
)
def straight_through(problem: Problem, run: harness.Run) -> dict[str, Tensor]:
    """The same network; only its training differs."""
    return problem.measure(lambda received: problem.network(received.float()), run, exact=False)
