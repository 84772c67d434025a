"""How many channel bits a codec and a channel code need where a learned code needs m: numbers and a curve."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import harness
from harness.studies.coding import separate
from harness.studies.coding.assets import CHARGED, block_loss, operating_points
from harness.studies.coding.noisy_codes import BinaryChannel

if TYPE_CHECKING:
    from torch import Tensor

    from harness.studies.coding.images import Images

CODECS = ("jpeg", "webp", "webp_lossless", "jpeg2000", "avif")
IMAGES = 300
LDPC = ((15, 1), (6, 1), (5, 1), (4, 1), (5, 2), (4, 2), (4, 3), (4, 6), (4, 20))
"""(d_c, how often each bit is sent) of the real codes tried: rates 0.8 down to 1/80.

Blocks are of about 1000 channel bits, or longer where that would leave a code of fewer than 300.
"""


@dataclass(frozen=True)
class Points:
    """One codec's operating points: bits (3, Q, N) by charge, distortion (Q, N), and that of a blank (N,)."""

    bits: np.ndarray
    intact: np.ndarray
    blank: np.ndarray

    def curve(self, charged: str) -> tuple[np.ndarray, np.ndarray]:
        """Mean source bits and mean distortion of the best choices per image, from all sent to none."""
        bits = self.bits[CHARGED.index(charged)]
        return separate.chosen(bits, self.intact, self.blank, separate.fields(bits))


@dataclass(frozen=True)
class Rivals:
    """What stands against a learned code: the operating points of every codec, by name, and the real channel
    codes: n, how often each bit is sent, and what `block_loss` found."""

    points: dict[str, Points]
    blocks: list[tuple[int, int, dict[str, Tensor]]]


def gather(images: Images, channel: BinaryChannel, measured: str, run: harness.Run) -> Rivals:
    """All that `ideal_bits` and `ldpc_bits` need, on 300 test images; WebP is lossy and lossless together."""
    shared = {"dataset": images.dataset, "binary": images.binary}
    count = min(IMAGES, len(images.x_test))
    wanted: list[tuple[Callable[..., Any], dict[str, Any]]] = [
        (operating_points, shared | {"codec": codec, "images": count}) for codec in CODECS
    ]
    sizes = [(d_c, repeat, max(300, 60 * round(1000 / repeat / 60))) for d_c, repeat in LDPC]
    real = sizes if channel.capacity > 0 else []
    behind = {"channel": channel.kind, "eps": channel.eps}
    wanted += [(block_loss, behind | {"n": n, "d_c": d_c, "repeat": repeat}) for d_c, repeat, n in real]
    assets = run.assets(wanted)
    found = {}
    for codec, asset in zip(CODECS, assets, strict=False):
        arrays = {name: value.numpy().astype(np.float64) for name, value in asset.items()}
        found[codec] = Points(arrays["bits"], arrays[measured], arrays[f"blank_{measured}"])
    lossless, webp = found.pop("webp_lossless"), found["webp"]
    found["webp"] = Points(
        np.concatenate([webp.bits, lossless.bits], 1),
        np.concatenate([webp.intact, lossless.intact]),
        webp.blank,
    )
    blocks = [(n, repeat, code) for (_, repeat, n), code in zip(real, assets[len(CODECS) :], strict=True)]
    return Rivals(found, blocks)


def ideal_bits(found: dict[str, Points], channel: BinaryChannel, target: float) -> dict[str, float]:
    """Channel bits per image with a code that achieves capacity, by metric, where that is possible."""
    made = {}
    for codec, charged in [("jpeg", c) for c in CHARGED] + [
        (c, "scan") for c in ("webp", "jpeg2000", "avif")
    ]:
        bits, distortion = found[codec].curve(charged)
        needed = separate.bits_for(separate.ideal(bits, channel.capacity), distortion, target)
        if np.isfinite(needed):
            made[f"{codec}_{charged}_bits"] = needed
    return made


def ldpc_bits(rivals: Rivals, target: float) -> dict[str, float]:
    """Channel bits per image with real codes, for JPEG and for the best codec, charged by scan."""
    found = rivals.points
    needed = {codec: float("inf") for codec in found}
    for n, repeat, code in rivals.blocks:
        failing, message = float(code["errors"] / code["words"]), int(code["message"])
        for codec, each in found.items():
            source = each.bits[CHARGED.index("scan")]
            bits, distortion = separate.in_blocks(
                source, each.intact, each.blank, message, n * repeat, failing
            )
            dearer = n * repeat / message
            curve = separate.chosen(bits, distortion, each.blank, dearer * separate.fields(source), dearer)
            needed[codec] = min(needed[codec], separate.bits_for(*curve, target))
    made = {"jpeg_ldpc_bits": needed["jpeg"], "best_ldpc_bits": min(needed.values())}
    return {name: bits for name, bits in made.items() if np.isfinite(bits)}


def curves(found: dict[str, Points], channel: BinaryChannel) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Channel bits with an ideal code and distortion at each operating point, by codec and charge."""
    made = {}
    for codec, each in found.items():
        for charged in CHARGED if codec == "jpeg" else ("scan",):
            bits, distortion = each.curve(charged)
            made[f"{codec} ({charged})"] = (separate.ideal(bits, channel.capacity), distortion)
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
    figure = Figure(figsize=(6, 4), layout="constrained", dpi=120)
    axes = figure.subplots()
    targets = np.linspace(0, blank, 200)
    for label, (channel_bits, distortion) in sent.items():
        needed = [separate.bits_for(channel_bits, distortion, each) for each in targets]
        axes.plot(needed, targets, label=f"{label} + ideal code")
    axes.axhline(blank, color="grey", linestyle=":", label="nothing received")
    axes.plot([bits], [target], "k*", markersize=12, label="this code")
    axes.set(
        xlabel="channel bits per image",
        ylabel=f"{measured} per pixel",
        xlim=(0, 20 * bits),
        ylim=(0, 1.1 * blank),
    )
    axes.legend(fontsize="x-small")
    figure.savefig(path)
