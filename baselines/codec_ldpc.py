"""An image codec and a real LDPC code: what one would deploy today."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
import torch
from torch import Tensor

import harness
from harness.kit.ldpc.code import decode, regular_code
from harness.studies.coding import Problem, codecs

TRANSMISSIONS = 10


@harness.method(task="coding", cite="Gallager. Low-density parity-check codes. 1963")
def codec_ldpc(
    problem: Problem,
    run: harness.Run,
    *,
    codec: Literal["jpeg", "webp", "webp_lossless", "jpeg2000", "avif"] = "jpeg",
    charged: Literal["file", "stripped", "scan"] = "scan",
    d_v: Annotated[int, "[1, inf)"] = 3,
    d_c: Annotated[int, "[2, inf)"] = 6,
    iterations: Annotated[int, "[1, inf)"] = 50,
) -> dict[str, Tensor | np.ndarray]:
    """For each image the best file that fits into the message of one block of m channel bits.

    The block is a word of a random (d_v, d_c)-regular code, of rate 1 − d_v/d_c or a little more, decoded by
    the sum-product algorithm. Every image is sent ten times; it is lost whenever any bit of its message is
    wrong, which a deployed system would learn from a checksum (not charged), or if no file fits that is
    better than the mean image.
    """
    code, coder = regular_code(problem.bits, d_v, d_c, seed=run.seed), codecs.find(codec)
    noise = run.stream("channel")
    with run.phase("encoding"):
        files = codecs.pack(coder, problem.images.pictures(), code.k, charged)
        message = torch.from_numpy(codecs.messages(files, code.k))
        words = code.encode(message)
    wrong = torch.zeros(len(message))
    for _ in range(TRANSMISSIONS):
        llr = problem.channel.llr(problem.channel.send(words, noise))
        with run.phase("channel decoding"):
            found = code.message(decode(code, llr, iterations, "sum_product").bits)
        wrong += (found != message).any(1) / TRANSMISSIONS
    with run.phase("decoding"):
        intact = codecs.unpack(coder, files, problem.images.shape)
    decoding = run.seconds["decoding"] + run.seconds["channel decoding"] / TRANSMISSIONS
    run.measure("encode_images_per_second", len(files) / run.seconds["encoding"])
    run.measure("decode_images_per_second", len(files) / decoding)
    unsent = torch.tensor([file is None for file in files])
    unsent |= torch.from_numpy(problem.images.worse_than_blank(intact))
    if not unsent.all():
        run.measure("frame_error_rate", float(wrong[~unsent].mean()))
    return {"intact": intact, "lost": wrong.masked_fill(unsent, 1.0)}
