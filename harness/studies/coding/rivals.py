"""How many channel bits separate coding needs where a learned code needs m: numbers and a curve."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

import harness
from harness.studies.coding import codecs, separate, sources
from harness.studies.coding.assets import FAILING, fitting_code
from harness.studies.coding.noisy_codes import BinaryChannel
from harness.studies.coding.sources import Source

if TYPE_CHECKING:
    from harness.studies.coding.images import Images

IMAGES = 300
CHARGES: dict[str, tuple[sources.Name, codecs.Charged]] = {
    "jpeg_file": ("jpeg", "file"),
    "jpeg_stripped": ("jpeg", "stripped"),
    "jpeg_scan": ("jpeg", "scan"),
    "webp_scan": ("webp", "scan"),
    "jpeg2000_scan": ("jpeg2000", "scan"),
    "avif_scan": ("avif", "scan"),
    "context": ("lossless_context", "scan"),
}
"""Source codes by the name of their metric, with what of a file is charged."""

BLOCK, LEAST = 1000, 100
"""Channel bits of a real code's block, doubled until a message of so many bits could get through."""


@dataclass(frozen=True)
class ChannelCode:
    """Blocks of n channel bits that carry a message of k bits (any number) and fail with a probability."""

    n: int
    k: float
    failing: float


@dataclass(frozen=True)
class Rivals:
    """What stands against a learned code: source codes by the names of `CHARGES`, a real channel code, and
    the best of the same length that could exist; no channel codes where nothing gets through."""

    sources: dict[str, Source]
    real: ChannelCode | None
    limit: ChannelCode | None


def gather(images: Images, channel: BinaryChannel, run: harness.Run) -> Rivals:
    """All that `ideal_bits` and `real_bits` need, on 300 test images; WebP is lossy and lossless together."""
    count, measured = min(IMAGES, len(images.x_test)), sources.compared(images)
    charges = {name: each for name, each in CHARGES.items() if images.binary or each[0] != "lossless_context"}
    codes = list(dict.fromkeys([*(code for code, _ in charges.values()), "webp_lossless"]))
    wanted: list[tuple[Callable[..., Any], dict[str, Any]]] = [
        sources.asked(images, code, count) for code in codes
    ]
    n = block_length(channel)
    wanted.append((fitting_code, {"n": n, "channel": channel.kind, "eps": channel.eps}))
    *assets, fitting = run.assets(wanted)
    made = dict(zip(codes, assets, strict=True))
    lossless = made["webp_lossless"]
    made["webp"] = {
        name: torch.cat([values, lossless[name]], -2) if values.ndim > 1 else values
        for name, values in made["webp"].items()
    }
    found = {name: sources.source(made[each[0]], *each, measured) for name, each in charges.items()}
    k, failing = int(fitting["k"]), float(fitting["errors"] / fitting["words"])
    real = ChannelCode(n, k, failing) if k else None
    limit = ChannelCode(n, channel.message_bits(n, FAILING), FAILING) if channel.capacity else None
    return Rivals(found, real, limit if channel.eps else real)


def block_length(channel: BinaryChannel) -> int:
    """1,000 channel bits, doubled until a message of 100 bits could get through."""
    n = BLOCK
    while channel.capacity > 0 and channel.message_bits(n, FAILING) < LEAST:
        n *= 2
    return n


def ideal_bits(sent: dict[str, tuple[np.ndarray, np.ndarray]], target: float) -> dict[str, float]:
    """Channel bits per image on `curves`, by metric, where any are enough for the distortion `target`."""
    needed = {f"{name}_bits": separate.bits_for(*pairs, target) for name, pairs in sent.items()}
    needed["best_bits"] = min(needed.values())
    return {name: bits for name, bits in needed.items() if np.isfinite(bits)}


def real_bits(rivals: Rivals, target: float) -> dict[str, float]:
    """Channel bits per image with the real code and with the best of its length, and the real code's rate."""
    made: dict[str, float] = {}
    if rivals.real:
        needed = block_bits(rivals.sources, rivals.real, target)
        made |= {"jpeg_ldpc_bits": needed["jpeg_scan"], "best_ldpc_bits": min(needed.values())}
        made["ldpc_rate"] = rivals.real.k / rivals.real.n
    if rivals.limit:
        made["best_finite_bits"] = min(block_bits(rivals.sources, rivals.limit, target).values())
    return {name: bits for name, bits in made.items() if np.isfinite(bits)}


def block_bits(found: dict[str, Source], code: ChannelCode, target: float) -> dict[str, float]:
    """Channel bits per image that each source code, charged by scan, needs in blocks of `code`."""
    dearer, needed = code.n / code.k, {}
    for name, each in found.items():
        if CHARGES[name][1] == "scan":
            bits, distortion = separate.in_blocks(
                each.bits, each.intact, each.blank, code.k, code.n, code.failing
            )
            curve = separate.chosen(bits, distortion, each.blank, dearer * each.fields, dearer)
            needed[name] = separate.bits_for(*curve, target)
    return needed


def curves(found: dict[str, Source], channel: BinaryChannel) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Channel bits with an ideal code and distortion of the best choices, by source code."""
    made = {}
    for name, each in found.items():
        bits, distortion = each.curve()
        made[name] = (separate.ideal(bits, channel.capacity), distortion)
    return made


def save_points(
    path: Path, sent: dict[str, tuple[np.ndarray, np.ndarray]], bits: float, target: float
) -> None:
    """A CSV of all operating points, the learned code's first."""
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["scheme", "channel_bits", "distortion"])
        rows.writerow(["this code", bits, target])
        for label, pairs in sent.items():
            rows.writerows([label, *pair] for pair in zip(*pairs, strict=True))


def draw(
    path: Path,
    sent: dict[str, tuple[np.ndarray, np.ndarray]],
    blank: float,
    point: tuple[float, float],
    measured: str,
) -> None:
    """A picture of the least bits that each distortion takes, the learned code's point, and the floor."""
    from matplotlib.figure import Figure

    bits, target = point
    figure = Figure(figsize=(7, 3.6), layout="constrained", dpi=120)
    axes = figure.subplots()
    targets = np.linspace(0, blank, 200)
    for (label, (channel_bits, distortion)), dashes in zip(
        sent.items(), itertools.cycle(["-", "--", "-.", ":"])
    ):
        needed = [separate.bits_for(channel_bits, distortion, each) for each in targets]
        axes.plot(needed, targets, linestyle=dashes, label=f"{label.replace('_', ' ')} + ideal code")
    axes.axhline(blank, color="grey", linewidth=0.8, label="nothing received")
    axes.plot([bits], [target], "k*", markersize=12, label="this code")
    axes.set(
        xlabel="channel bits per image", ylabel=f"{measured} per pixel", xscale="log", ylim=(0, 1.1 * blank)
    )
    axes.set_xlim(left=bits / 10)
    figure.legend(fontsize="x-small", loc="outside right upper")
    figure.savefig(path)
