"""An image codec and a channel code that achieves capacity: the best that separate coding could ever do."""

from __future__ import annotations

from typing import Literal

import numpy as np
from torch import Tensor

import harness
from harness.studies.coding import Problem, codecs


@harness.method(task="coding", cite="Shannon. A mathematical theory of communication. 1948")
def codec_ideal(
    problem: Problem,
    run: harness.Run,
    *,
    codec: Literal["jpeg", "webp", "webp_lossless", "jpeg2000", "avif"] = "jpeg",
    charged: Literal["file", "stripped", "scan"] = "scan",
) -> dict[str, Tensor | np.ndarray]:
    """For each image the file of the highest quality that fits into m · C bits, C the channel's capacity.

    An image is lost if no file fits that is better than the mean image. Infinitely long blocks that never
    fail are granted, which no real code has: this flatters separate coding.
    """
    pictures, coder = problem.images.pictures(), codecs.find(codec)
    room = problem.bits * problem.channel.capacity
    with run.phase("encoding"):
        files = codecs.pack(coder, pictures, room, charged)
    with run.phase("decoding"):
        intact = codecs.unpack(coder, files, problem.images.shape)
    run.measure("encode_images_per_second", len(files) / run.seconds["encoding"])
    run.measure("decode_images_per_second", len(files) / run.seconds["decoding"])
    unsent = np.array([file is None for file in files]) | problem.images.worse_than_blank(intact)
    return {"intact": intact, "lost": unsent.astype(np.float32)}
