"""Reading the file formats that several datasets share."""

from __future__ import annotations

import gzip
import math
import struct
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy


def contents(path: Path) -> bytes:
    """The bytes of a data file, decompressed where it lies as `.gz`."""
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


def idx(path: Path) -> numpy.ndarray:
    """The uint8 array in an idx file: two zeros, type 8, the number of axes, big-endian sizes, the bytes."""
    import numpy

    data = contents(path)
    zeros, kind, axes = struct.unpack_from(">HBB", data)
    shape = struct.unpack_from(f">{axes}I", data, 4)
    if zeros or kind != 8 or len(data) != 4 + 4 * axes + math.prod(shape):
        raise ValueError(f"{path} is not an idx file of bytes")
    return numpy.frombuffer(data, numpy.uint8, offset=4 + 4 * axes).reshape(shape).copy()
