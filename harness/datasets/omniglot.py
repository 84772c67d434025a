"""Omniglot 28 × 28: 24,345 + 8,070 handwritten characters of 50 alphabets, as Burda et al. (2016) cut them.

The file `chardata.mat` of the authors of "Importance Weighted Autoencoders", from the drawings of Lake et
al. (2015): the set on which likelihoods are published. Only its md5 is known, from other projects' code.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.data.sources import Address, File

if TYPE_CHECKING:
    import numpy

LICENCE = "MIT (Omniglot, Brenden Lake); the repository that holds this file states none"
LEVELS = 256
FILES = (
    File(
        "omniglot/chardata.mat",
        None,
        None,
        (Address("https://github.com/yburda/iwae/raw/master/datasets/OMNIGLOT/chardata.mat"),),
        md5="21ecaf34373511aa7691cf2e0802aa3d",
    ),
)


def load(files: dict[str, Path]) -> dict[str, numpy.ndarray]:
    """`x_*` uint8 (N, 28, 28), ink 255; `y_*` uint8 (N,), the alphabet, 0 to 49."""
    import io

    import numpy
    from scipy.io import loadmat

    from harness.datasets._formats import contents

    file = loadmat(io.BytesIO(contents(files["omniglot/chardata.mat"])))

    def images(columns: numpy.ndarray) -> numpy.ndarray:
        # (784, N) of 0 to 1: one image a column, and the pixels of an image column by column too.
        upright = columns.T.reshape(-1, 28, 28).transpose(0, 2, 1)
        return numpy.rint(upright * 255).astype(numpy.uint8, order="C")

    return {
        "x_train": images(file["data"]),
        "y_train": file["target"].argmax(0).astype(numpy.uint8),
        "x_test": images(file["testdata"]),
        "y_test": file["testtarget"].argmax(0).astype(numpy.uint8),
    }
