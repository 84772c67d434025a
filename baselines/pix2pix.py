"""The honest pair: F and G learned apart from each other on true pairs."""

from __future__ import annotations

import time

from torch import Tensor

import harness
from harness.studies.steganography import Problem
from harness.studies.steganography.one_way import regress


@harness.method(
    task="steganography",
    cite="Isola, Zhu, Zhou, Efros. Image-to-image translation with conditional adversarial networks. "
    "CVPR 2017, 1611.07004",
)
def pix2pix(problem: Problem, run: harness.Run) -> dict[str, Tensor]:
    """min |F(x) − y| and min |G(y) − x| over true pairs, each on half of the steps.

    pix2pix's L1 term alone: its critic would ask G to invent what y lacks, and an honest floor must not.
    """
    f, g = problem.generators()
    started, half = time.perf_counter(), max(problem.budget.steps // 2, 1)
    regress(problem, f, problem.train.x, problem.train.y, half, "forward")
    regress(problem, g, problem.train.y, problem.train.x, half, "backward")
    return problem.pack(f, g, started, 2 * half * problem.budget.batch)
