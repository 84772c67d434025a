"""A translation that only has to look real: no cycle, no contrast, nothing that asks it to keep x."""

from __future__ import annotations

from typing import Annotated

from torch import Tensor

import harness
from harness.studies.steganography import Problem
from harness.studies.steganography.one_way import train_one_way


@harness.method(
    task="steganography",
    cite="Goodfellow et al. Generative adversarial nets. NeurIPS 2014; a control of ours",
)
def gan_only(
    problem: Problem, run: harness.Run, *, decoder_steps: Annotated[int, "[1, inf)"] = 500
) -> dict[str, Tensor]:
    """(D_Y(F(x)) − 1)², and afterwards a G fitted in `decoder_steps` batches of (F(x), x).

    Whatever G reads was not put there for it: what this control leaks is no proof of intent.
    """
    return train_one_way(problem, None, [], decoder_steps)
