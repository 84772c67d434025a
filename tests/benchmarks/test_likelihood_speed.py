"""What an update costs, as ratios of processor times taken in turn in one process, one thread.

Sizes are those of the `mlp` preset, 784-200-200-50, batch 100, k = 10 weights per datum, one thread. The
floor of a method is the time of its own matrix products alone: same number, same shapes, nothing else.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from statistics import median

import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from likelihood_cases import Caught

from harness.execution.worker import keep_freed_memory
from harness.kit.likelihoods import Bernoulli
from harness.studies.likelihood.autoencoder import Autoencoder

pytestmark = pytest.mark.slow

BATCH, K, ROUNDS = 100, 10, 40
ENCODER, DECODER = (784, 200, 200, 100), (50, 200, 200, 784)


@pytest.fixture(scope="module", autouse=True)
def as_in_a_worker():
    keep_freed_memory()


def update(name: str, k: int = K) -> Callable[[], None]:
    """One whole update of a method: gradients and Adam."""
    torch.manual_seed(0)
    x = (torch.rand(BATCH, 784) < 0.2).float()
    model = Autoencoder(x.mean(0), [200, 200], 50, Bernoulli())
    case = Caught(model, name, k=k)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)

    def once() -> None:
        optimizer.zero_grad()
        case.update(x, 1.0)
        optimizer.step()

    return once


def product(rows: int, inner: int, columns: int, *, transpose: str = "") -> Callable[[], torch.Tensor]:
    """One matrix product, rows x inner by inner x columns, into memory of its own."""
    a = torch.rand(inner, rows).t() if "a" in transpose else torch.rand(rows, inner)
    b = torch.rand(columns, inner).t() if "b" in transpose else torch.rand(inner, columns)
    out = torch.empty(rows, columns)
    return lambda: torch.mm(a, b, out=out)


def forward(sizes: tuple[int, ...], rows: int) -> list[Callable]:
    return [product(rows, below, above, transpose="b") for below, above in pairwise(sizes)]


def slopes(sizes: tuple[int, ...], rows: int) -> list[Callable]:
    return [product(rows, above, below) for below, above in pairwise(sizes)]


def weights(sizes: tuple[int, ...], rows: int) -> list[Callable]:
    return [product(above, rows, below, transpose="a") for below, above in pairwise(sizes)]


def floor(name: str, k: int = K) -> Callable[[], None]:
    """The matrix products of one update of a method, as its algorithm counts them."""
    encoder = forward(ENCODER, BATCH) + weights(ENCODER, BATCH) + slopes(ENCODER[1:], BATCH)
    if name in ("svi", "bsvi", "bsvi_sir"):
        samples = k * (forward(DECODER, BATCH) + slopes(DECODER, BATCH))
    else:
        samples = forward(DECODER, k * BATCH) + slopes(DECODER, k * BATCH)
    learned = BATCH if name in ("svi", "bsvi_sir") else k * BATCH
    products = encoder + samples + weights(DECODER, learned)

    def once() -> None:
        for multiply in products:
            multiply()

    return once


def ratio(benchmark, above: Callable[[], None], below: Callable[[], None]) -> float:
    """Median over rounds of the time of `above` over that of `below`, one right after the other."""
    times: list[tuple[float, float]] = []

    def both() -> None:
        seconds = []
        for work in (above, below):
            start = time.process_time()
            work()
            seconds.append(time.process_time() - start)
        times.append((seconds[0], seconds[1]))

    benchmark.pedantic(both, rounds=ROUNDS, warmup_rounds=5)
    found = median(a / b for a, b in times[5:])
    benchmark.extra_info["ratio"] = round(found, 3)
    benchmark.extra_info["milliseconds"] = [
        round(1e3 * median(column), 2) for column in zip(*times, strict=True)
    ]
    return found


def test_a_sampled_index_makes_bsvi_as_fast_as_svi(benchmark):
    assert ratio(benchmark, update("bsvi_sir"), update("svi")) <= 1.10


@pytest.mark.parametrize(("name", "bar"), [("svi", 4.5), ("iwae", 5.5), ("bsvi", 8.0)])
def test_an_update_against_that_of_a_vae_with_one_draw(benchmark, name, bar):
    assert ratio(benchmark, update(name), update("vae", k=1)) <= bar


@pytest.mark.parametrize(
    ("name", "k"),
    [("vae", 1), ("vae", K), ("iwae", K), ("dreg", K), ("svi", K), ("bsvi", K), ("bsvi_sir", K)],
)
def test_an_update_against_its_own_matrix_products(benchmark, name, k):
    assert ratio(benchmark, update(name, k), floor(name, k)) <= 1.5
