"""A source code and a real LDPC code: what one would deploy today."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
import torch
from torch import Tensor

import harness
from harness.kit.ldpc.matched import matched_code
from harness.studies.coding import Problem, sources
from harness.studies.coding.assets import fitting_code
from harness.studies.coding.noisy_codes import BinaryChannel

TRANSMISSIONS = 10


@harness.method(task="coding", cite="Gallager. Low-density parity-check codes. 1963")
def codec_ldpc(
    problem: Problem,
    run: harness.Run,
    *,
    codec: Literal["jpeg", "webp", "webp_lossless", "jpeg2000", "avif", "lossless_context"] = "jpeg",
    charged: Literal["file", "stripped", "scan"] = "scan",
    n: Annotated[int, "[100, inf)"] = 1000,
) -> dict[str, Tensor | np.ndarray]:
    """Files of all images one after another in blocks of n channel bits, m an image on average.

    The sender chooses each image's quality, or sends nothing, for the least distortion if all blocks arrive,
    and pays for flags, lengths and qualities as `codec_ideal` does. The channel code is the 5G code of the
    highest rate that fails in fewer than 1 % of blocks at this noise; without noise there is none. All is
    sent ten times. An image is lost whenever a block that holds some of it comes out wrong; that the receiver
    notices, and finds the next file, is granted.
    """
    images, count, channel = problem.images, len(problem.images.x_test), problem.channel
    fitting = {"n": n, "channel": channel.kind, "eps": channel.eps}
    asset, code = run.assets([sources.asked(images, codec, count), (fitting_code, fitting)])
    given, k = sources.source(asset, codec, charged, sources.compared(images)), int(code["k"])
    qualities = given.within(count * problem.bits // n * k)
    files, intact = sources.files(images, run, codec, charged, qualities)
    if (qualities < 0).all():
        return {"intact": intact, "lost": np.ones(count, np.float32)}
    message, first, last = blocks(files, int(given.fields), k)
    lost, failed, noise = np.zeros(count), 0.0, run.stream("channel")
    for _ in range(TRANSMISSIONS):
        with run.phase("channel decoding"):
            found = through(message, n, channel, noise)
        wrong = np.concatenate([[0], (found != message).any(1).numpy().cumsum()])
        lost += (wrong[last + 1] > wrong[first]) / TRANSMISSIONS
        failed += wrong[-1] / len(message) / TRANSMISSIONS
    sent = qualities >= 0
    run.measure("frame_error_rate", failed)
    decoding = run.seconds["decoding"] + run.seconds["channel decoding"] / TRANSMISSIONS
    run.measure("encode_images_per_second", sent.sum() / run.seconds["encoding"])
    run.measure("decode_images_per_second", sent.sum() / decoding)
    return {"intact": intact, "lost": np.where(sent, lost, 1).astype(np.float32)}


def through(message: Tensor, n: int, channel: BinaryChannel, noise: torch.Generator) -> Tensor:
    """What arrives of messages (B, k), each in a block of n channel bits."""
    if not channel.eps:
        return message
    code = matched_code(n, message.shape[1])
    return code.decode(channel.llr(channel.send(code.encode(message), noise)))


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
