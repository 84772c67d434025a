"""Maps, aligned: 1,096 + 1,098 aerial photographs and their maps, 600 × 600 (Isola et al., CVPR 2017).

The file is pix2pix's `maps.tar.gz` as it is: pictures `maps/train/N.jpg` and `maps/val/N.jpg`, the photograph
on the left and its map on the right. They are halved to 300 × 300. The imagery is Google's, so only you can
supply the file.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.data.sources import File

if TYPE_CHECKING:
    import numpy

LICENCE = "the imagery is Google's (terms of Google Maps); no licence comes with the archive"
LEVELS = 256
FILES = (File("maps/maps.tar", None, None, ()),)


def load(files: dict[str, Path]) -> dict[str, numpy.ndarray]:
    """`x_*` uint8 (N, H, H, 3), photographs, and `y_*`, their maps, RGB.

    Raises `UserError` for an archive that is cut short, and for pictures that are not two squares.
    """
    from harness.datasets._archives import halved_pictures
    from harness.errors import UserError

    arrays = {}
    for part, folder in (("train", "maps/train"), ("test", "maps/val")):
        both = halved_pictures(files["maps/maps.tar"], folder)
        side = both.shape[1]
        if both.shape[2] != 2 * side:
            raise UserError(
                f"maps: pictures in {folder}/ are {both.shape[2]} wide and {side} high: they are no pairs, "
                "which are two squares, a photograph beside its map"
            )
        arrays[f"x_{part}"], arrays[f"y_{part}"] = both[:, :, :side], both[:, :, side:]
    return arrays
