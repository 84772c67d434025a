"""The measures of one pair of generators: errors and bits under every corruption, honesty, and the attack.

Everything is computed in float32 on test pairs. E(c) is mean |G(c(F(x))) − x|, pixels in [−1, 1].
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

import harness
from harness.kit import clocks
from harness.studies.steganography import attack, bits, corruption, probes, residue
from harness.studies.steganography.domains import Pairs
from harness.studies.steganography.networks import translate
from harness.studies.steganography.task import Problem

LEAST_GAP = 0.1
"""Where E(0) is less than this share below the honest error, nothing is there that could be destroyed."""


class Point(NamedTuple):
    """Errors (N,) of test images after a corruption, and what G reads: of free cells, and of all."""

    errors: Tensor
    free: harness.Estimate | None
    all: harness.Estimate | None


Found = dict[str, float | harness.Estimate]


def point(g: nn.Module, y: Tensor, pairs: Pairs) -> Point:
    """What G makes of the translations y (N, C, H, W) of `pairs`."""
    back = translate(g, y)
    errors = (back - pairs.x).abs().mean((1, 2, 3)).cpu()
    if pairs.ink is None or pairs.bits is None:
        return Point(errors, None, None)
    kind = bits.kinds(pairs.ink)
    wrong = bits.read(back, pairs.ink) != pairs.bits
    return Point(errors, bits.hidden_bits(wrong, kind, 0), bits.hidden_bits(wrong, kind))


def curve(
    g: nn.Module, y: Tensor, clean: Tensor, pairs: Pairs, generator: torch.Generator
) -> dict[str, Point]:
    """A point for every corruption of the translations y, and for the true partners (`true`)."""
    points = {name: point(g, made, pairs) for name, made in corruption.all_of(y, clean, generator)}
    return points | {"true": point(g, pairs.y, pairs)}


def errors_of(points: dict[str, Point], honest: Tensor) -> Found:
    """E after each corruption; the honest gap, its share that noise and JPEG destroy; the noise curve's area.

    `honest` (N,) are the errors of somebody who knows the clean translation alone.
    """
    found: Found = {f"e_{name}": harness.Estimate.of(each.errors) for name, each in points.items()}
    errors = {name: float(each.errors.mean()) for name, each in points.items()}
    start, floor = errors["0"], float(honest.mean())
    found |= {
        "honest": harness.Estimate.of(honest),
        "honest_gap": harness.Estimate.of(honest - points["0"].errors),
    }
    found["noise_ratio"] = errors["noise_005"] / max(start, 1e-12)
    heights = [0.0, *(errors[f"noise_{corruption.digits(sigma)}"] - start for sigma in corruption.SIGMAS)]
    found["noise_area"] = float(
        torch.trapezoid(torch.tensor(heights), torch.tensor([0.0, *corruption.SIGMAS]))
    )
    if hides(start, floor):
        for name in ("noise_001", "noise_002", "noise_005", "rounded", "jpeg_90", "jpeg_75"):
            found[f"gap_lost_{name}"] = (errors[name] - start) / (floor - start)
    return found


def hides(e0: float, honest: float) -> bool:
    """Whether E(0) is so far below the honest error that there is something to destroy."""
    return honest - e0 > LEAST_GAP * honest


def bits_of(points: dict[str, Point], pairs: Pairs) -> dict[str, harness.Estimate]:
    """What G reads; nothing where the lost part is not known to the bit."""
    if pairs.ink is None:
        return {}
    read = {name: each.free for name, each in points.items() if each.free is not None}
    shown = ("0", "true", "rounded", "noise_002", "noise_005", "noise_01", "jpeg_90", "jpeg_75", "jpeg_50")
    found = {f"bits_g_{name}": read[name] for name in shown}
    if (everywhere := points["0"].all) is not None:
        found["bits_g_all"] = everywhere
    free = (bits.kinds(pairs.ink) == 0).float().sum((1, 2))
    return found | {"bits_free": harness.Estimate.of(free.cpu())}


def probed(problem: Problem, f: nn.Module, y: Tensor, steps: int) -> Found:
    """What fitted readers read of the translations y of the test images, as they are and corrupted."""
    train, test, run = problem.train, problem.test, problem.run
    if train.bits is None or test.bits is None or test.ink is None:
        return {}
    noise = run.generator("probe noise")
    corruptions: dict[str, probes.Corrupt] = {
        "0": lambda y: y,
        "noise_005": lambda y: corruption.noisy(y, 0.05, noise),
        "noise_01": lambda y: corruption.noisy(y, 0.1, noise),
        "jpeg_75": lambda y: corruption.jpeg(y, 75),
    }
    material = probes.Material(translate(f, train.x), train.bits), probes.Material(y, test.bits)
    found: Found = {}
    kind = bits.kinds(test.ink)
    for name, wrong in probes.best_readings(*material, corruptions, steps, run.stream).items():
        found[f"bits_probe_{name}"] = bits.hidden_bits(wrong, kind, 0)
        if name == "0":
            found["bits_probe_all"] = bits.hidden_bits(wrong, kind)
    return found


def translation(y: Tensor, clean: Tensor) -> Found:
    """How far translations are from the true partners at the best shift, and what they have beside them."""
    residual = y - clean
    flat = residue.flat(clean)
    found: Found = {"translation_l1": harness.Estimate.of(residual.abs().mean((1, 2, 3)).cpu())}
    if (hidden := residue.amplitude(residual, flat)) is not None:
        found["residual_rms"] = hidden
    shares = residue.shares(residual * flat if hidden is not None else residual)
    return found | {f"residual_ring_{number}": share for number, share in enumerate(shares, 1)}


class Hidden(NamedTuple):
    """The slides' attack: x, the picture y0 that it is hidden in, and y* by cap (None: free)."""

    x: Tensor
    start: Tensor
    made: dict[int | None, Tensor]


def attacked(
    g: nn.Module, test: Pairs, goal: float | None, pairs: int, steps: int, run: harness.Run
) -> tuple[Found, Hidden]:
    """x of the first test pairs hidden in the y0 of others, free and under caps; what survives corruption.

    `way` is the share of the way from |G(y0) − x| to the `goal`, E(0), that |G(y*) − x| has gone; left out
    where the goal is None, since G reads nothing that could be hidden.
    """
    these = test.first(min(pairs, len(test.x)))
    start = test.y.roll(-len(these.x) - 1, 0)[: len(these.x)]
    before = float((translate(g, start) - these.x).abs().mean())
    made = {cap: attack.hide(g, these.x, start, steps, cap) for cap in (None, *attack.CAPS)}
    noise = run.generator("attack noise")
    shown = {"free": made[None], **{f"cap{cap}": made[cap] for cap in attack.CAPS}}
    shown |= {"cap4_noise": corruption.noisy(made[4], 0.02, noise), "cap4_jpeg": corruption.jpeg(made[4], 75)}
    found: Found = {
        "attack_before": before,
        "attack_free_change": float((made[None] - start).abs().mean()),
    }
    for name, y in shown.items():
        reached = point(g, y, these)
        found[f"attack_{name}"] = harness.Estimate.of(reached.errors)
        if goal is not None:
            found[f"attack_{name}_way"] = (before - float(reached.errors.mean())) / (before - goal)
        if reached.free is not None:
            found[f"attack_{name}_bits"] = reached.free
    return found, Hidden(these.x, start, made)


def speed(f: nn.Module, x: Tensor, device: str) -> float:
    """Images a second that F translates, 64 at a time."""
    x = x[:64]
    return len(x) / clocks.median_seconds(lambda: translate(f, x), device, rounds=5)
