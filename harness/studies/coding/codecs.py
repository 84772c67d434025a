"""Image codecs as one would deploy them, and what their files cost in bits.

A gray file of 28 × 28 pixels spends 330 bytes on JPEG's headers before 40 to 430 bytes of image, so every
rate says what it charges: `file`, all of it; `stripped`, a JPEG without the tables that sender and receiver
can agree on once; `scan`, the coded image alone, the most generous rate for any codec.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

Charged = Literal["file", "stripped", "scan"]


@dataclass(frozen=True)
class Codec:
    """`qualities` in rising order; `scan` finds the number of bytes of the coded image in a file."""

    name: str
    qualities: tuple[int, ...]
    encode: Callable[[np.ndarray, int], bytes]
    decode: Callable[[bytes, bool], np.ndarray]
    scan: Callable[[bytes], int]


def find(name: str) -> Codec:
    """The codec of that name. Raises ValueError for a name that is unknown."""
    if name not in CODECS:
        raise ValueError(f"there is no codec {name!r}; there are {', '.join(CODECS)}")
    return CODECS[name]


def encode(codec: Codec, image: np.ndarray, quality: int) -> bytes:
    """The file of an image, uint8 (H, W) gray or (H, W, 3) colour. Raises ValueError for any other."""
    check_image(image)
    return codec.encode(image, quality)


def decode(codec: Codec, file: bytes, shape: tuple[int, ...]) -> np.ndarray:
    """The image in a file, uint8 of `shape`."""
    return codec.decode(file, len(shape) == 2).reshape(shape)


def check_image(image: np.ndarray) -> None:
    """Raise ValueError unless `image` is uint8 (H, W) or (H, W, 3)."""
    if image.dtype != np.uint8:
        raise ValueError(f"an image for a codec is uint8, 0 to 255; this one is {image.dtype}")
    if image.ndim != 2 and not (image.ndim == 3 and image.shape[2] == 3):
        raise ValueError(f"an image for a codec is (H, W) or (H, W, 3); this one is {image.shape}")


def charged_bits(codec: Codec, file: bytes, charged: Charged) -> int:
    """How many bits of a file are counted. Raises ValueError for `stripped` of anything but JPEG."""
    if charged == "file":
        return 8 * len(file)
    if charged == "scan":
        return 8 * codec.scan(file)
    if codec.name != "jpeg":
        raise ValueError(f"{codec.name} has no tables to strip: charge 'file' or 'scan'")
    tables = sum(end - start for marker, start, end in jpeg_segments(file) if marker in (0xDB, 0xC4))
    return 8 * (len(file) - tables)


def charged_part(codec: Codec, file: bytes, charged: Charged) -> str:
    """As many of a file's last bits as are counted, as 0 and 1; the rest both sides have agreed on."""
    count = charged_bits(codec, file, charged)
    return "".join(map(str, np.unpackbits(np.frombuffer(file, np.uint8))[8 * len(file) - count :]))


def jpeg_segments(file: bytes) -> Iterable[tuple[int, int, int]]:
    """(marker, start, end) of each segment up to the scan header; the start is that of the marker."""
    start = 2
    while start < len(file):
        marker, length = file[start + 1], (file[start + 2] << 8) + file[start + 3]
        end = start + 2 + length
        yield marker, start, end
        if marker == 0xDA:
            return
        start = end


def _jpeg(image: np.ndarray, quality: int) -> bytes:
    import simplejpeg

    gray = image.ndim == 2
    pixels = np.ascontiguousarray(image[..., None] if gray else image)
    return simplejpeg.encode_jpeg(
        pixels, quality, "GRAY" if gray else "RGB", "Gray" if gray else "420", False
    )


def _jpeg_pixels(file: bytes, gray: bool) -> np.ndarray:
    import simplejpeg

    return simplejpeg.decode_jpeg(file, "GRAY" if gray else "RGB", False, False)


def _jpeg_scan(file: bytes) -> int:
    """The bytes after the scan header, without the end marker; a search over rates asks for each file's."""
    start = 2
    while file[start + 1] != 0xDA:
        start += 2 + (file[start + 2] << 8) + file[start + 3]
    return len(file) - (start + 2 + (file[start + 2] << 8) + file[start + 3]) - 2


def _pillow(form: str, **options: Any) -> Callable[[np.ndarray, int], bytes]:
    """An encoder by Pillow; an option given as a function is asked for its value at each quality."""

    def encode_by_pillow(image: np.ndarray, quality: int) -> bytes:
        from PIL import Image

        given = {name: value(quality) if callable(value) else value for name, value in options.items()}
        if form == "AVIF":
            given["subsampling"] = "4:0:0" if image.ndim == 2 else "4:2:0"
        file = io.BytesIO()
        Image.fromarray(image).save(file, form, **given)
        return file.getvalue()

    return encode_by_pillow


def _pillow_pixels(file: bytes, gray: bool) -> np.ndarray:
    from PIL import Image

    with Image.open(io.BytesIO(file)) as image:
        return np.asarray(image.convert("L" if gray else "RGB"))


def _webp_scan(file: bytes) -> int:
    """The payload of the chunk that holds the image, without what both sides know: signature and size.

    Those are 7 bytes of a lossy chunk, behind its own tag of 3, and 5 of a lossless one (RFC 6386, 9649).
    """
    return struct.unpack_from("<I", file, 16)[0] - (5 if file[12:16] == b"VP8L" else 7)


def _jpeg2000_scan(file: bytes) -> int:
    """What stands between the marker "start of data" and the marker "end of codestream"."""
    return len(file) - file.index(b"\xff\x93") - 4


def _avif_scan(file: bytes) -> int:
    """The payload of the media data box, after its size and its name."""
    start = 0
    while start < len(file):
        size, name = struct.unpack_from(">I4s", file, start)
        if name == b"mdat":
            return size - 8
        start += size
    raise ValueError("this AVIF file holds no image")


CODECS = {
    codec.name: codec
    for codec in (
        Codec("jpeg", tuple(range(1, 101)), _jpeg, _jpeg_pixels, _jpeg_scan),
        Codec(
            "webp",
            (*range(0, 40, 4), *range(40, 101, 10)),
            _pillow("WEBP", quality=int, method=4),
            _pillow_pixels,
            _webp_scan,
        ),
        Codec(
            "webp_lossless",
            (100,),
            _pillow("WEBP", quality=int, lossless=True),
            _pillow_pixels,
            _webp_scan,
        ),
        Codec(
            "jpeg2000",
            tuple(range(4, 50, 3)),
            _pillow(
                "JPEG2000",
                quality_mode="dB",
                quality_layers=lambda quality: [quality],
                irreversible=True,
                no_jp2=True,
                num_resolutions=3,
            ),
            _pillow_pixels,
            _jpeg2000_scan,
        ),
        Codec(
            "avif",
            (*range(0, 40, 5), *range(40, 101, 15)),
            _pillow("AVIF", quality=int, speed=8),
            _pillow_pixels,
            _avif_scan,
        ),
    )
}
