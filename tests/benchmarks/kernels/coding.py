"""Kernels of the coding study: updates, encoding, decoding, LDPC codes, a codec, scoring."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import sklearn.datasets  # noqa: F401
import torch
import torch._dynamo
from tree import fitting

Work = Callable[[], object]


def _update(name: str, folder: Path) -> Work:
    from harness.studies.coding.task import coding

    return fitting(name, coding, folder, {"dataset": "digits", "bits": 24, "test_images": 50}, steps=5)


def update_necst(folder: Path) -> Work:
    return _update("necst", folder)


def update_straight_through(folder: Path) -> Work:
    return _update("straight_through", folder)


def _networks() -> tuple[object, torch.Tensor]:
    from harness.studies.coding.networks import CodeNetworks

    noise = torch.Generator().manual_seed(0)
    return CodeNetworks(784, 100, noise).requires_grad_(False), torch.rand(256, 784, generator=noise)


def encode(folder: Path) -> Work:
    from harness.studies.coding.schemes import LearnedCode

    networks, x = _networks()
    scheme, noise = LearnedCode(networks), torch.Generator()
    return lambda: scheme.encode(x, noise.manual_seed(0))


def decode(folder: Path) -> Work:
    networks, x = _networks()
    received = (x[:, :100] < 0.5).float()
    return lambda: networks.decode(received)


def score(folder: Path) -> Work:
    from harness.studies.coding.distortion import of_logits

    noise = torch.Generator().manual_seed(0)
    x, logits = (torch.rand(256, 784, generator=noise) < 0.3).float(), torch.randn(256, 784, generator=noise)
    return lambda: of_logits(x, logits, binary=True)


def codec(folder: Path) -> Work:
    from harness.studies.coding.codecs import charged_bits, encode, find

    rough = np.random.default_rng(0).integers(0, 256, (20, 7, 7)).astype(np.uint8)
    images, jpeg = rough.repeat(4, axis=1).repeat(4, axis=2), find("jpeg")
    return lambda: [charged_bits(jpeg, encode(jpeg, image, 50), "scan") for image in images]


def _ldpc(engine: str, words: int) -> Work:
    from harness.kit.ldpc import channels
    from harness.kit.ldpc.code import decode, regular_code

    code, draws = regular_code(240, 3, 6, seed=0), torch.Generator().manual_seed(0)
    sent = code.encode(torch.randint(2, (words, code.k), generator=draws))
    llr = channels.bsc_llr(channels.bsc(sent, 0.05, draws), 0.05)
    return lambda: decode(code, llr, 50, "min_sum", engine)


def ldpc_numba(folder: Path) -> Work:
    return _ldpc("numba", 512)


def ldpc_torch(folder: Path) -> Work:
    return _ldpc("torch", 64)


def ldpc_encode(folder: Path) -> Work:
    from harness.kit.ldpc.code import regular_code

    code = regular_code(240, 3, 6, seed=0)
    messages = torch.randint(2, (512, code.k), generator=torch.Generator().manual_seed(0))
    return lambda: code.encode(messages)
