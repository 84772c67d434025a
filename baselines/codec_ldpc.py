"""A source code and a real LDPC code: what one would deploy today."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
import torch
from torch import Tensor

import harness
from harness.kit.ldpc.code import decode, regular_code
from harness.studies.coding import Problem, sources

TRANSMISSIONS = 10


@harness.method(task="coding", cite="Gallager. Low-density parity-check codes. 1963")
def codec_ldpc(
    problem: Problem,
    run: harness.Run,
    *,
    codec: Literal["jpeg", "webp", "webp_lossless", "jpeg2000", "avif", "lossless_context"] = "jpeg",
    charged: Literal["file", "stripped", "scan"] = "scan",
    n: Annotated[int, "[1, inf)"] = 1000,
    d_v: Annotated[int, "[1, inf)"] = 3,
    d_c: Annotated[int, "[2, inf)"] = 6,
    iterations: Annotated[int, "[1, inf)"] = 50,
) -> dict[str, Tensor | np.ndarray]:
    """Files of all images one after another in blocks of n channel bits, m an image on average.

    The sender chooses each image's quality, or sends nothing, for the least distortion if all blocks arrive,
    and pays for flags, lengths and qualities as `codec_ideal` does. A block is a word of a random
    (d_v, d_c)-regular code, of rate 1 − d_v/d_c or a little more, decoded by the sum-product algorithm. All
    is sent ten times. An image is lost whenever a block that holds some of it comes out wrong; that the
    receiver notices, and finds the next file, is granted.
    """
    images, count = problem.images, len(problem.images.x_test)
    asset = run.assets([sources.asked(images, codec, count)])[0]
    given = sources.source(asset, codec, charged, sources.compared(images))
    code, noise = regular_code(n, d_v, d_c, seed=run.seed), run.stream("channel")
    qualities = given.within(count * problem.bits // n * code.k)
    files, intact = sources.files(images, run, codec, charged, qualities)
    if (qualities < 0).all():
        return {"intact": intact, "lost": np.ones(count, np.float32)}
    message, first, last = blocks(files, int(given.fields), code.k)
    lost, failed = np.zeros(count), 0.0
    for _ in range(TRANSMISSIONS):
        llr = problem.channel.llr(problem.channel.send(code.encode(message), noise))
        with run.phase("channel decoding"):
            found = code.message(decode(code, llr, iterations, "sum_product").bits)
        wrong = np.concatenate([[0], (found != message).any(1).numpy().cumsum()])
        lost += (wrong[last + 1] > wrong[first]) / TRANSMISSIONS
        failed += wrong[-1] / len(message) / TRANSMISSIONS
    sent = qualities >= 0
    run.measure("frame_error_rate", failed)
    decoding = run.seconds["decoding"] + run.seconds["channel decoding"] / TRANSMISSIONS
    run.measure("encode_images_per_second", sent.sum() / run.seconds["encoding"])
    run.measure("decode_images_per_second", sent.sum() / decoding)
    return {"intact": intact, "lost": np.where(sent, lost, 1).astype(np.float32)}


def blocks(files: list[str], fields: int, k: int) -> tuple[Tensor, np.ndarray, np.ndarray]:
    """Files as messages (B, k) of blocks, and the first and last block (N,) in which each image has a bit.

    Before each image stands its flag, and before a file that is sent its fields, all written as 0: what they
    say is granted to the receiver, the room that they take is not.
    """
    parts = [("0" * (1 + fields) + file) if file else "0" for file in files]
    ends = np.cumsum([len(part) for part in parts])
    starts = ends - [len(part) for part in parts]
    stream = "".join(parts)
    stream = stream.ljust(-(-len(stream) // k) * k, "0")
    bits = np.frombuffer(stream.encode(), np.uint8) - ord("0")
    return torch.from_numpy(bits.reshape(-1, k)), starts // k, (ends - 1) // k
