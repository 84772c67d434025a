"""Attacks within the ball: how many images they change, beside certificates that no attack can beat."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

import harness
from harness import Estimate
from harness.kit.pictures import save_grid
from harness.studies.attack import networks, norm_attacks
from harness.studies.attack.certificates import assets
from harness.studies.attack.task import Problem

SHOWN = 12
"""Changed images in the picture."""


RELAXATIONS = ("interval", "dual", "linear", "branched")
"""By what they cost."""


class Asked(NamedTuple):
    """Which certificates are wanted: see `score`."""

    relaxation: Literal["interval", "dual", "linear", "branched"] = "linear"
    linear_steps: int = 20
    branches: int = 1000
    semidefinite: Literal["none", "pairs", "images"] = "none"


def norm_bounded(
    problem: Problem, arrays: dict[str, Tensor], run: harness.Run, asked: Asked
) -> dict[str, float | Estimate]:
    """Errors in percent of the test images: clean, under this attack, and by each certificate at most.

    Raises ValueError for an image outside the ball or [0, 1], and for a certificate that an attack gets past.
    """
    proofs, broken = certificates(problem, run, asked)
    adversarial = arrays["adversarial"]
    check_ball(problem, adversarial)
    clean, attacked = (errors(problem, images) for images in (problem.x_test, adversarial))
    check_order(clean, attacked, broken, proofs)
    best = torch.stack(list(proofs.values())).any(0)
    low = clean | attacked | broken
    found: dict[str, float | Estimate] = {"clean_error": percent(clean), "attack_error": percent(attacked)}
    found |= {"robust_accuracy": percent(~attacked), "broken_error": percent(low)}
    found |= {f"certified_{name}": percent(~proof) for name, proof in proofs.items()}
    found |= {"certified_best": percent(~best), "open_images": percent(~best & ~low)}
    _picture(problem, adversarial, attacked & ~clean, run)
    return found


def errors(problem: Problem, images: Tensor) -> Tensor:
    """Which of N images, one for each test image, the target gets wrong; on the CPU, as certificates are."""
    out = networks.logits(problem.network, images)
    return (networks.margins(out, problem.y_test) <= 0).cpu()


def certificates(problem: Problem, run: harness.Run, asked: Asked) -> tuple[dict[str, Tensor], Tensor]:
    """Which test images (N,) each certificate proves, by name; and those that branch and bound has broken."""
    named = problem.identity | {"eps": problem.eps}
    slopes = named | {"steps": asked.linear_steps}
    known: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
        "interval": (assets.interval, named),
        "dual": (assets.dual, named),
        "linear": (assets.linear, slopes),
        "branched": (assets.branched, slopes | {"branches": asked.branches}),
        "pairs": (assets.semidefinite, named | {"local": False}),
        "images": (assets.semidefinite, named | {"local": True}),
    }
    names = list(RELAXATIONS[: RELAXATIONS.index(asked.relaxation) + 1])
    names += {"none": [], "pairs": ["pairs"], "images": ["pairs", "images"]}[asked.semidefinite]
    made = dict(zip(names, run.assets([known[name] for name in names]), strict=True))
    proofs = {name: arrays["certified"].bool() for name, arrays in made.items()}
    nothing = {"broken": torch.zeros(len(problem.y_test))}
    return proofs, made.get("branched", nothing)["broken"].bool()


def check_ball(problem: Problem, adversarial: Tensor) -> None:
    """Raise ValueError unless every image lies within eps of its original and in [0, 1], to the last bit."""
    x = problem.x_test
    if adversarial.shape != x.shape or adversarial.dtype != x.dtype:
        raise ValueError(
            f"adversarial is {tuple(adversarial.shape)} {adversarial.dtype}; there must be one float32 image "
            f"for each test image, {tuple(x.shape)}"
        )
    outside = ~norm_attacks.Ball.around(x, problem.eps).contains(adversarial)
    if outside.any():
        row = int(outside.nonzero()[0, 0])
        far = float((adversarial[row].double() - x[row].double()).abs().max())
        raise ValueError(
            f"{int(outside.sum())} images lie outside the ball of radius {problem.eps} or [0, 1], first "
            f"{row}, at distance {far:.9g}: project them"
        )


def check_order(clean: Tensor, attacked: Tensor, broken: Tensor, proofs: dict[str, Tensor]) -> None:
    """Raise ValueError unless clean errors ≤ attacked ≤ what each certificate leaves open, image by image.

    A certificate that stands although the image was changed is wrong; so is an attack that repairs an image.
    """
    if (clean & ~attacked).any():
        row = int((clean & ~attacked).nonzero()[0, 0])
        raise ValueError(
            f"image {row} is classified wrongly, and rightly after the attack: keep the original"
        )
    for name, proof in proofs.items():
        for how, wrong in (("as it is", clean), ("under attack", attacked), ("by branch and bound", broken)):
            if (proof & wrong).any():
                row = int((proof & wrong).nonzero()[0, 0])
                raise ValueError(
                    f"the certificate {name!r} claims image {row}, which is classified wrongly {how}: "
                    f"{int((proof & wrong).sum())} such images"
                )
    for below, above in (("dual", "linear"), ("linear", "branched"), ("pairs", "images")):
        if {below, above} <= proofs.keys() and (proofs[below] & ~proofs[above]).any():
            raise ValueError(f"the certificate {above!r} lacks an image that {below!r} proves")


def percent(which: Tensor) -> Estimate:
    """The share of images in percent, with its binomial standard error."""
    share, count = float(which.double().mean()), len(which)
    return Estimate(100 * share, 100 * math.sqrt(share * (1 - share) / count), count)


def _picture(problem: Problem, adversarial: Tensor, changed: Tensor, run: harness.Run) -> None:
    """Originals above what the attack made of them, above the difference, gray where there is none."""
    rows = changed.nonzero()[:SHOWN, 0]
    if not len(rows):
        return
    before, after = problem.x_test[rows], adversarial[rows]
    difference = 0.5 + (after - before) / max(2 * problem.eps, 1e-9)
    grid = torch.stack([before, after, difference])
    save_grid(grid.repeat_interleave(2, 3).repeat_interleave(2, 4)[:, :, 0], run.folder / "changed.png")
