"""Images through a noisy binary channel: m bits each, and how far the received image is from the sent one.

A method returns one of three things; the score does the rest, with fresh noise:

* the weights of `networks.CodeNetworks` (and, as `ldpc`, the (n, k) of a matched code that protects its
  bits);
* `prior` (D,), the pixels' means: the pixels themselves are the code bits;
* files: `intact` uint8 (N, D), the test images as a codec returns them, and `lost` (N,), the share of channel
  uses in which each was lost; a lost image is replaced by the mean image of the training data.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Literal

import harness
from harness.studies.coding.images import Images, load
from harness.studies.coding.noisy_codes import BinaryChannel


@dataclass(frozen=True)
class Problem:
    """Images, and a channel that may be used `bits` times for each.

    `entropy` is that of the data, in nats per image, where it is known.
    """

    images: Images
    bits: int
    channel: BinaryChannel
    entropy: float | None


@harness.task
def coding(
    run: harness.Run,
    *,
    dataset: harness.DataSet,
    binary: bool = True,
    bits: Annotated[int, "[1, inf)"] = 100,
    channel: Literal["bsc", "bec"] = "bsc",
    eps: Annotated[float, "[0, 0.5]"] = 0.1,
    test_images: Annotated[int, "[1, inf)"] = 2000,
) -> Problem:
    """Training images of `dataset`, `test_images` test images, and a channel used `bits` times for each.

    Binary images: MNIST is sampled once (pixels are probabilities), all others are rounded. Raises ValueError
    for images of the wrong range or shape.
    """
    images = load(run, dataset, binary, test_images)
    entropy = images.shape[0] * math.log(2) if dataset == "random_bits" else None
    return Problem(images, bits, BinaryChannel(channel, eps), entropy)
