"""Aerial photographs and maps, aligned: 48 + 16 tiles of 128 × 128 out of four pictures of 512 × 512.

Samples of taesungp/larger-google-sat2maps-dataset: photograph left, map right. Each is cut into 4 × 4 tiles;
the split is ours: the three upper rows of tiles train, the lowest is for the test. The imagery is Google's,
so only you can supply the files.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.data.sources import File

if TYPE_CHECKING:
    import numpy

LICENCE = "the imagery is Google's (terms of Google Maps); the repository says MIT"
LEVELS = 256
SIDE = 128
TRAIN_ROWS = 3
FILES = (
    File(
        "sat2maps/000002_Houston_29.62732_-95.41556.png",
        578165,
        "55749e98a9fceae07cacef3b2f20676b91ca74fada0413dc110e9f2ea8de5042",
        (),
    ),
    File(
        "sat2maps/000008_Charlotte_35.19615_-80.94875.png",
        466435,
        "e77917077fcfcd9c83dd05d4f089960313ebddc28531d634d7735f3abf56a820",
        (),
    ),
    File(
        "sat2maps/000019_Indianapolis_39.78022_-86.16545.png",
        565890,
        "3091ecd0fa12533b13c4c2fac76474b5fe0f3e92222d4ae1a835902413ee707f",
        (),
    ),
    File(
        "sat2maps/000034_Houston_30.00030_-95.58964.png",
        578730,
        "e20d8221c3a2865a9b8a56e6ff0eb307a41a9e3efb2bd7564cf0aafec16e0756",
        (),
    ),
)


def load(files: dict[str, Path]) -> dict[str, numpy.ndarray]:
    """`x_*` uint8 (N, 128, 128, 3), photographs, and `y_*`, their maps, RGB."""
    import numpy

    pictures = [_picture(files[file.name]) for file in FILES]
    arrays: dict[str, numpy.ndarray] = {}
    for name, half in (("x", 0), ("y", 1)):
        grids = numpy.stack([_grid(picture[:, half * 512 : (half + 1) * 512]) for picture in pictures])
        parts = (("train", grids[:, :TRAIN_ROWS]), ("test", grids[:, TRAIN_ROWS:]))
        arrays |= {f"{name}_{part}": tiles.reshape(-1, SIDE, SIDE, 3) for part, tiles in parts}
    return arrays


def _picture(path: Path) -> numpy.ndarray:
    """uint8 (512, 1024, 3)."""
    import io

    import numpy
    from PIL import Image

    from harness.datasets._formats import contents

    with Image.open(io.BytesIO(contents(path))) as picture:
        return numpy.asarray(picture.convert("RGB"))


def _grid(picture: numpy.ndarray) -> numpy.ndarray:
    """(4, 4, 128, 128, 3) of (512, 512, 3)."""
    count = len(picture) // SIDE
    return picture.reshape(count, SIDE, count, SIDE, 3).swapaxes(1, 2)
