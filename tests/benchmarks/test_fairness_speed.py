"""What training at once saves: a stack of R runs against one run, in processor time, taking turns.

The study's bar: the 25 runs of the grid cost at most 6 times one run. One thread, as in a worker.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

import pytest
import torch

from harness.studies.fairness.autoencoder import Bits, FairAutoencoder
from harness.studies.fairness.networks import Adam
from harness.studies.fairness.people import Notion, Rows

pytestmark = pytest.mark.slow

WIDTH, LATENT, HIDDEN, BATCH, ROUNDS = 102, 10, 50, 64, 60
"""The networks and minibatches of Adult."""


def update(runs: int) -> Callable[[], None]:
    """One whole update of a stack: model, adversaries, both Adams."""
    draw = torch.Generator().manual_seed(0)
    x = (torch.rand(BATCH, WIDTH, generator=draw) < 0.1).float()
    u, y = torch.eye(2)[torch.arange(BATCH) % 2], (torch.rand(BATCH, generator=draw) < 0.25).float()
    rows = Rows(x, u, y)
    model = FairAutoencoder.drawn(rows, runs, LATENT, HIDDEN, Bits(), draw)
    batch = next(Notion.of(rows, released=False).batches(rows, BATCH))
    noise, multipliers = torch.randn(BATCH, LATENT, generator=draw), torch.ones(runs, 4)
    fit, oppose = Adam([model.encoder, model.decoder], 0.5), Adam([model.adversaries], 0.5)

    def once() -> None:
        found = model.step(batch, multipliers, noise)
        fit.step(found.model, 1e-3)
        oppose.step(found.adversaries, 1e-3)

    return once


@pytest.mark.parametrize(("runs", "bar"), [(3, 2.0), (25, 6.0)], ids=["greedy turn", "grid"])
def test_a_stack_costs_little_more_than_one_run(benchmark, runs, bar):
    one, many = update(1), update(runs)
    ratios = []

    def both() -> None:
        seconds = []
        for work in (many, one):
            start = time.process_time()
            for _ in range(5):
                work()
            seconds.append(time.process_time() - start)
        ratios.append(seconds[0] / seconds[1])

    benchmark.pedantic(both, rounds=ROUNDS, warmup_rounds=5)
    benchmark.extra_info["ratio"] = round(median(ratios), 2)
    print(f"{runs} runs at once cost {median(ratios):.2f} times one run")
    assert median(ratios) <= bar
