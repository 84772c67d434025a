"""Speed bars of the coding study, as ratios of processor times taken in turn in one process, one thread."""

from __future__ import annotations

import io
import itertools
import time
from collections.abc import Callable
from itertools import pairwise
from statistics import median

import numpy as np
import pytest
import torch
from PIL import Image

from harness.studies.coding import codecs
from harness.studies.coding.networks import CodeNetworks

pytestmark = pytest.mark.slow

ROUNDS = 15


def seconds(work: Callable[[], object], repeats: int) -> float:
    start = time.process_time()
    for _ in range(repeats):
        work()
    return (time.process_time() - start) / repeats


def ratio(slow: Callable[[], object], fast: Callable[[], object], repeats: int) -> float:
    """How many times as fast `fast` is: the median over rounds in turn, after one that does not count."""
    rounds = [(seconds(slow, repeats), seconds(fast, repeats)) for _ in range(ROUNDS + 1)][1:]
    return median(theirs / ours for theirs, ours in rounds)


@pytest.mark.parametrize("bits", [100, 1000])
def test_decoder_is_little_more_than_its_matrix_products(bits, benchmark):
    """Batch 256: at least 0.7 of the speed of the three products alone."""
    networks = CodeNetworks(784, bits, torch.Generator().manual_seed(0))
    received = torch.randint(0, 2, (256, bits)).float()
    sizes = (bits, 500, 500, 784)
    factors = [(torch.rand(256, below), torch.rand(above, below).t()) for below, above in pairwise(sizes)]
    results = [torch.empty(256, above) for above in sizes[1:]]

    @torch.no_grad()
    def decoder() -> None:
        networks.decode(received)

    def products() -> None:
        for (a, b), out in zip(factors, results, strict=True):
            torch.mm(a, b, out=out)

    share = 1 / ratio(decoder, products, repeats=40)
    benchmark.extra_info["share_of_products"] = share
    benchmark(decoder)
    assert share >= 0.7


def test_all_qualities_are_five_times_a_pillow_loop(benchmark):
    """JPEG files of 28 × 28 gray images at each quality, with simplejpeg and with Pillow."""
    rng = np.random.default_rng(0)
    rough = rng.integers(0, 256, (40, 7, 7)).astype(np.uint8)
    images = rough.repeat(4, axis=1).repeat(4, axis=2)
    fast = codecs.find("jpeg")

    def by_pillow(image: np.ndarray, quality: int) -> bytes:
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=quality)
        return file.getvalue()

    def every(encode: Callable[[np.ndarray, int], bytes]) -> None:
        for image, quality in itertools.product(images, fast.qualities):
            encode(image, quality)

    speedup = ratio(lambda: every(by_pillow), lambda: every(fast.encode), 1)
    benchmark.extra_info["times_a_pillow_loop"] = speedup
    benchmark(lambda: every(fast.encode))
    assert speedup >= 5
