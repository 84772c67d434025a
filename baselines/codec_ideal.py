"""A source code and a channel code that achieves capacity: the best that separate coding could ever do."""

from __future__ import annotations

from typing import Literal

import numpy as np
from torch import Tensor

import harness
from harness.studies.coding import Problem, sources


@harness.method(task="coding", cite="Shannon. A mathematical theory of communication. 1948")
def codec_ideal(
    problem: Problem,
    run: harness.Run,
    *,
    codec: Literal["jpeg", "webp", "webp_lossless", "jpeg2000", "avif", "lossless_context"] = "jpeg",
    charged: Literal["file", "stripped", "scan"] = "scan",
) -> dict[str, Tensor | np.ndarray]:
    """Files of m · C bits an image on average, C the channel's capacity; each image has its quality, or none.

    The qualities are the best for all images together. Charged are a bit an image, which says whether a file
    follows, and a file's length and quality. Infinitely long blocks that never fail are granted, which no
    real code has: this flatters separate coding.
    """
    images = problem.images
    count = len(images.x_test)
    asset = run.assets([sources.asked(images, codec, count)])[0]
    given = sources.source(asset, codec, charged, sources.compared(images))
    qualities = given.within(count * problem.bits * problem.channel.capacity)
    _, intact = sources.files(images, run, codec, charged, qualities)
    if (qualities >= 0).any():
        run.measure("encode_images_per_second", (qualities >= 0).sum() / run.seconds["encoding"])
        run.measure("decode_images_per_second", (qualities >= 0).sum() / run.seconds["decoding"])
    return {"intact": intact, "lost": (qualities < 0).astype(np.float32)}
