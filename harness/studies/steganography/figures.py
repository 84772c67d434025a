"""Pictures of a pair of generators: what F hides, what G makes of it, the attack, and the curves."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import harness
from harness.kit.pictures import save_grid
from harness.studies.steganography import corruption, residue
from harness.studies.steganography.domains import Pairs
from harness.studies.steganography.networks import translate

if TYPE_CHECKING:
    from harness.studies.steganography.measures import Hidden, Point

SHOWN = 12
AMPLIFIED = 10.0
WINDOW = 9
ENLARGED = 3
CAP = 4


def draw(
    run: harness.Run,
    f: nn.Module,
    g: nn.Module,
    test: Pairs,
    points: dict[str, Point],
    honest: float,
    hidden: Hidden,
) -> None:
    """Write `translations.png`, `attack.png`, `curves.png` and `curves.csv` into the run's folder."""
    rows = translations(f, g, test.first(SHOWN), run.generator("pictures"))
    save(rows, run.folder / "translations.png")
    save(triple(g, hidden), run.folder / "attack.png")
    write(points, run.folder / "curves.csv")
    curves(points, honest, run.folder / "curves.png")


def translations(f: nn.Module, g: nn.Module, pairs: Pairs, generator: torch.Generator) -> dict[str, Tensor]:
    """The rows of a method's picture, by name, each (N, C, H, W) in [−1, 1]."""
    y = translate(f, pairs.x)
    clean = residue.aligned(y, pairs.y)
    return {
        "x": pairs.x,
        "F(x)": y,
        "F(x), contrast equalised locally": equalised(y),
        "true y": pairs.y,
        f"{AMPLIFIED:g} (F(x) − y)": AMPLIFIED * (y - clean),
        "G(F(x))": translate(g, y),
        "after noise .05": translate(g, corruption.noisy(y, 0.05, generator)),
        "after JPEG 75": translate(g, corruption.jpeg(y, 75)),
        "G(true y)": translate(g, pairs.y),
    }


def triple(g: nn.Module, hidden: Hidden) -> dict[str, Tensor]:
    """The rows of the attack's picture under a cap of 4/255."""
    x, start, y = hidden.x[:SHOWN], hidden.start[:SHOWN], hidden.made[CAP][:SHOWN]
    return {
        "x": x,
        "y0": start,
        "y*": y,
        f"{AMPLIFIED:g} (y* − y0)": AMPLIFIED * (y - start),
        "G(y0)": translate(g, start),
        "G(y*)": translate(g, y),
    }


def equalised(y: Tensor) -> Tensor:
    """Each pixel's rank among its 9 × 9 neighbours, from −1 to 1: local histogram equalisation."""
    reach = WINDOW // 2
    padded = F.pad(y, (reach,) * 4, "reflect")
    windows = padded.unfold(2, WINDOW, 1).unfold(3, WINDOW, 1).flatten(4)
    below = (windows < y.unsqueeze(-1)).float().mean(-1) + (windows <= y.unsqueeze(-1)).float().mean(-1)
    return below - 1


def save(rows: dict[str, Tensor], path: Path) -> None:
    """One PNG, a row for each entry, in this order, enlarged three times."""
    grid = torch.stack(
        [images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else images for images in rows.values()]
    )
    grid = grid.repeat_interleave(ENLARGED, 3).repeat_interleave(ENLARGED, 4)
    save_grid((grid.permute(0, 1, 3, 4, 2) + 1) / 2, path)


def write(points: dict[str, Point], path: Path) -> None:
    """A line for each corruption: E, and the free bits that G reads, where they are known."""
    with path.open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(("corruption", "error", "bits_g"))
        for name, each in points.items():
            read = "" if each.free is None else f"{each.free.value:.4f}"
            lines.writerow((name, f"{float(each.errors.mean()):.6f}", read))


def curves(points: dict[str, Point], honest: float, path: Path) -> None:
    """E against noise, JPEG and ring, and the bits that G reads."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    noise = ["0", *(f"noise_{corruption.digits(sigma)}" for sigma in corruption.SIGMAS)]
    jpeg = [f"jpeg_{quality}" for quality in corruption.QUALITIES]
    ring = [f"ring_{number}" for number in range(1, len(corruption.RINGS) + 1)]
    figure = Figure(figsize=(13, 3.4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, 4)
    errors = {key: float(each.errors.mean()) for key, each in points.items()}
    axes[0].plot((0, *corruption.SIGMAS), [errors[key] for key in noise], ".-")
    axes[1].plot(corruption.QUALITIES, [errors[key] for key in jpeg], ".-")
    axes[2].plot(range(1, 7), [errors[key] for key in ring], ".-")
    read = [points[key].free for key in noise]
    if None not in read:
        axes[3].plot((0, *corruption.SIGMAS), [each.value for each in read if each], ".-")
    for axis in axes[:3]:
        axis.axhline(honest, color="black", linestyle="--", linewidth=1)
    for axis in (axes[0], axes[3]):
        axis.set_xscale("symlog", linthresh=0.002)
        axis.set_xlim(0)
    axes[1].invert_xaxis()
    titles = (
        "E against noise σ (dashed: honest)",
        "E against JPEG quality",
        "E against ring of noise, rms .02",
    )
    for axis, title in zip(axes, (*titles, "bits that G reads, against noise σ"), strict=True):
        axis.set_title(title, fontsize=9)
    figure.savefig(path, dpi=90)
