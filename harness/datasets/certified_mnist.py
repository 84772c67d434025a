"""Certified networks for MNIST and Fashion-MNIST: original weights of three published defences at l-inf 0.1.

Two of Wong and Kolter (2018; repository locuslab/convex_adversarial, `models/mnist.pth` and
`models/fashion_mnist.pth`, copied array by array into `.npz`, so that nothing has to be unpickled) and one of
Raghunathan, Steinhardt and Liang (2018; repository ermongroup/generative_adversary,
`assets/pretrained/mnist_aditi_adv/*.npy` packed as one `.npz`). No package index holds them: put the files
below a data folder.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.data.sources import File
from harness.errors import UserError

if TYPE_CHECKING:
    import numpy

LICENCE = "MIT (E. Wong); the third network comes from a repository under GPL-3.0"
LEVELS = None
NETWORKS = {
    "wong_kolter_mnist": "certified_mnist/wong_kolter_mnist.npz",
    "wong_kolter_fashion_mnist": "certified_mnist/wong_kolter_fashion_mnist.npz",
    "raghunathan_mnist": "certified_mnist/raghunathan_mnist_two_layer.npz",
}
FILES = (
    File(
        NETWORKS["wong_kolter_mnist"],
        619538,
        "dce1257b5b1a0c2d7347cebdc8036ab38c67338a7968dd404eea4513e5ae4270",
        (),
    ),
    File(
        NETWORKS["wong_kolter_fashion_mnist"],
        618732,
        "92f8d1a86c4d245ad5a877548813de2dd32386582a0b59d3ab6900454dfb8171",
        (),
    ),
    File(
        NETWORKS["raghunathan_mnist"],
        1492391,
        "a2063b2fad209dfceb37030a975d7d86beea59c9a119b3125c52e1c0b9745d5b",
        (),
    ),
)


def load(files: dict[str, Path]) -> dict[str, numpy.ndarray]:
    """`NETWORK/ARRAY` float32, by the network and the array's own name: "wong_kolter_mnist/0.weight".

    Wong and Kolter's are (out, in, 4, 4) and (out, in) as torch has them, `0.weight` … `7.bias`;
    Raghunathan's are `W1` (784, 500), `B1`, `W2` (500, 10), `B2`, for rows of pixels. Raises `UserError` for
    a file that holds pickled objects where arrays belong: those could run code, and are not opened.
    """
    return {
        f"{network}/{name}": array
        for network, file in NETWORKS.items()
        for name, array in _arrays(files[file], file).items()
    }


def _arrays(path: Path, name: str) -> dict[str, numpy.ndarray]:
    import io

    import numpy

    from harness.datasets._formats import contents

    try:
        with numpy.load(io.BytesIO(contents(path)), allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
    except (ValueError, AttributeError, OSError) as error:
        raise _no_arrays(name, str(error)) from None
    strange = [key for key, array in arrays.items() if not isinstance(array, numpy.ndarray)]
    if strange:  # a .pth file is a zip file, too
        raise _no_arrays(name, f"{strange[0]!r} is none")
    return arrays


def _no_arrays(name: str, why: str) -> UserError:
    return UserError(
        f"certified_mnist: {name} is not an .npz file of plain arrays ({why}); pickled objects, as in a .pth "
        "file, are never loaded: put the .npz file there"
    )
