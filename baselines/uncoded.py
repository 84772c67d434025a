"""No code at all: the pixels of a binary image are the bits that are sent."""

from __future__ import annotations

from torch import Tensor

import harness
from harness.studies.coding import Problem


@harness.method(task="coding", cite="Shannon. A mathematical theory of communication. 1948")
def uncoded(problem: Problem, run: harness.Run) -> dict[str, Tensor]:
    """One channel bit a pixel; the receiver weighs each with how often that pixel is 1.

    Raises ValueError for images that are not binary, and for another budget than their pixels.
    """
    images = problem.images
    if not images.binary:
        raise ValueError(f"{images.dataset} is not binary: its pixels are no bits")
    if problem.bits != images.pixels:
        raise ValueError(
            f"uncoded sends {images.pixels} bits, one a pixel: set bits: {images.pixels}, not {problem.bits}"
        )
    return {"prior": images.x_train.mean(0)}
