"""What a cell of an unrestricted attack shows: counts, contact sheets, images for people to judge."""

from __future__ import annotations

import csv

import numpy as np
import torch
from torch import Tensor

import harness
from harness.kit.pictures import save_grid
from harness.studies.attack.generators import CLASSES
from harness.studies.attack.oracle import VOTES, Oracle, majority
from harness.studies.attack.rates import wilson
from harness.studies.attack.stages import Stages
from harness.studies.attack.task import Problem


def counts(stages: Stages, run: harness.Run) -> None:
    """Write `digits.csv`: counts at every stage for each digit, with Wilson's 95 % interval of the rates."""
    with (run.folder / "digits.csv").open("w", newline="") as file:
        table = csv.writer(file)
        passed = ["tries", "fooled", "accepted", "raw", *(f"oracle_{votes}" for votes in VOTES)]
        ends = ["joint_low", "joint_high", "conditional_low", "conditional_high"]
        table.writerow(["digit", *passed, *ends])
        for digit in [*range(CLASSES), "all"]:
            rows = stages.source == digit if digit != "all" else torch.ones_like(stages.fooled)
            tries, raw, joint = (int(which[rows].sum()) for which in (rows, stages.raw, stages.joint()))
            if tries:
                line = [tries, int(stages.fooled[rows].sum()), int(stages.accepted[rows].sum()), raw]
                line += [int(stages.joint(votes)[rows].sum()) for votes in VOTES]
                intervals = [*wilson(joint, tries), *(wilson(joint, raw) if raw else ("", ""))]
                table.writerow([digit, *line, *intervals])


def pictures(arrays: dict[str, Tensor], stages: Stages, run: harness.Run) -> None:
    """Contact sheets, a row for each digit: successes, what the oracle rejected, near misses, plain samples.

    A near miss is read as its source by the oracle, but the target was right or the auxiliary refused it.
    """
    joint = stages.joint()
    told = stages.seen[VOTES[0]] == stages.source
    groups = {"successes": joint, "rejected": stages.raw & ~joint, "near_misses": told & ~stages.raw}
    for name, rows in groups.items():
        sheet(arrays["images"][rows], stages.source[rows], run, name)
    if "plain" in arrays:
        sheet(arrays["plain"], arrays["plain_source"], run, "plain")


def sheet(images: Tensor, source: Tensor, run: harness.Run, name: str, columns: int = 20) -> None:
    """`name`.png in the run's folder: up to `columns` images of each digit, a row each."""
    if not len(images):
        return
    side = images.shape[-1]
    grid = images.new_zeros(CLASSES, columns, side, side)
    for digit in range(CLASSES):
        own = images[source == digit][:columns, 0]
        grid[digit, : len(own)] = own
    zoom = max(56 // side, 1)
    save_grid(grid.repeat_interleave(zoom, 2).repeat_interleave(zoom, 3), run.folder / f"{name}.png")


def keep(
    problem: Problem, arrays: dict[str, Tensor], stages: Stages, oracle: Oracle, run: harness.Run
) -> None:
    """Write `judged.npz` for people: the attack's images that fooled and were accepted, with what the oracle
    sees, and as controls plain samples and real test images. Bytes of gray, so that nothing else shows."""
    rows = stages.raw
    parts = [(arrays["images"][rows], stages.source[rows], "attack")]
    if "plain" in arrays:
        every = max(len(arrays["plain"]) // 100, 1)
        parts.append((arrays["plain"][::every], arrays["plain_source"][::every], "plain"))
    spread = torch.arange(min(100, len(problem.x_test))) * len(problem.x_test) // 100
    parts.append((problem.x_test[spread], problem.y_test[spread], "real"))
    images = torch.cat([part[0] for part in parts])
    seen = majority(oracle.votes(images), VOTES[0])
    np.savez_compressed(
        run.folder / "judged.npz",
        images=(images[:, 0] * 255).round().byte().cpu().numpy(),
        source=torch.cat([part[1] for part in parts]).cpu().numpy(),
        oracle=seen.cpu().numpy(),
        kind=np.array([kind for images_, _, kind in parts for _ in range(len(images_))]),
    )
