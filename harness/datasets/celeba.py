"""CelebA, in part: 8,000 + 2,000 aligned faces, 64 × 64 in colour (Liu et al. 2015). Not to be passed on.

The first 10,000 of 202,599 images, from a copy of half size (89 × 109). Each is resized to 64 × 78 and
cropped to rows 7 to 70, as the released NECST code does. All lie in the official training part, so the split
is ours: every fifth image, from the first, is a test image.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.data.sources import File

if TYPE_CHECKING:
    import numpy

LICENCE = "CelebA agreement: non-commercial research only; no further copying, publishing or distribution"
LEVELS = 256
WIDTH, HEIGHT, TOP, SIDE = 64, 78, 7, 64
ATTRIBUTE = "Male"
FILES = (
    File(
        "celeba/img_align_celeba_10k_89x109.zip",
        28962932,
        "99f494cbbfa81f0386f8db692a479d50bb3dd612a998e29154658fe894908155",
        (),
    ),
    File(
        "celeba/list_attr_celeba_10k.txt",
        1309371,
        "2147bb82859100d956c2ecc2d77e8c6a3d493d51c0ae7519ac8c797041b100c1",
        (),
    ),
)


def load(files: dict[str, Path]) -> dict[str, numpy.ndarray]:
    """`x_*` uint8 (N, 64, 64, 3), RGB; `y_*` uint8 (N,), 1 where the attribute "Male" is set."""
    import io
    import zipfile

    import numpy

    from harness.datasets._formats import contents

    labels = _labels(contents(files["celeba/list_attr_celeba_10k.txt"]).decode())
    with zipfile.ZipFile(io.BytesIO(contents(files["celeba/img_align_celeba_10k_89x109.zip"]))) as archive:
        images = numpy.stack([_face(archive.read(f"img_align_celeba/{name}")) for name in labels])
    marks = numpy.array(list(labels.values()), numpy.uint8)
    test = numpy.arange(len(images)) % 5 == 0
    return {
        "x_train": images[~test],
        "y_train": marks[~test],
        "x_test": images[test],
        "y_test": marks[test],
    }


def _labels(table: str) -> dict[str, int]:
    """0 or 1 by image name: a count, the names of the attributes, then a row of −1 and 1 for each image."""
    _, head, *rows = table.splitlines()
    column = head.split().index(ATTRIBUTE) + 1
    return {row.split()[0]: int(row.split()[column] == "1") for row in rows if row.strip()}


def _face(jpeg: bytes) -> numpy.ndarray:
    import io

    import numpy
    from PIL import Image

    with Image.open(io.BytesIO(jpeg)) as image:
        small = image.convert("RGB").resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
    return numpy.asarray(small)[TOP : TOP + SIDE]
