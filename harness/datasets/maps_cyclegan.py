"""Maps in CycleGAN's archive: the same aerial photographs and maps in a folder each (Zhu et al., ICCV 2017).

The file is `maps.zip` as it is: photographs `maps/trainA` and `maps/testA`, maps `maps/trainB` and
`maps/testB`, in the same order, so that the test stays paired. Halved to 300 × 300. Only you can supply it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.data.sources import File

if TYPE_CHECKING:
    import numpy

LICENCE = "the imagery is Google's (terms of Google Maps); no licence comes with the archive"
LEVELS = 256
FILES = (File("maps_cyclegan/maps.zip", None, None, ()),)


def load(files: dict[str, Path]) -> dict[str, numpy.ndarray]:
    """`x_*` uint8 (N, H, H, 3), photographs, and `y_*`, their maps, RGB.

    Raises `UserError` for an archive that is cut short, and where a photograph or a map has no partner.
    """
    from harness.datasets._archives import halved_pictures
    from harness.errors import UserError

    arrays = {}
    for part in ("train", "test"):
        for name, side in (("x", "A"), ("y", "B")):
            archive = files["maps_cyclegan/maps.zip"]
            arrays[f"{name}_{part}"] = halved_pictures(archive, f"maps/{part}{side}")
        photos, maps = arrays[f"x_{part}"], arrays[f"y_{part}"]
        if photos.shape != maps.shape:
            raise UserError(
                f"maps_cyclegan: maps/{part}A has {len(photos)} photographs of {photos.shape[1:3]} and "
                f"maps/{part}B {len(maps)} maps of {maps.shape[1:3]}: they are not pairs"
            )
    return arrays
