"""What is inside archives, read where it lies: nothing is ever unpacked into a folder."""

from __future__ import annotations

import io
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from harness.errors import UserError

if TYPE_CHECKING:
    import numpy

PICTURES = (".jpg", ".jpeg", ".png")
Content = Callable[[], bytes]
DAMAGED = (EOFError, OSError, tarfile.TarError, zipfile.BadZipFile, zlib.error, KeyError)


def halved_pictures(archive: Path, folder: str) -> numpy.ndarray:
    """The pictures right below `folder` of a tar (packed or not) or zip, halved: uint8 (N, H, W, 3).

    In the order of the numbers in their names; each pixel is the mean of four.

    Raises `UserError` where the archive is cut short or damaged, a name leads out of it, a member is a link,
    the folder is empty, or pictures differ in size.
    """
    import numpy
    from PIL import Image

    found, sizes = {}, set()
    try:
        for name, content in members(archive):
            path = PurePosixPath(name)
            if str(path.parent) == folder and path.suffix.lower() in PICTURES:
                with Image.open(io.BytesIO(content())) as picture:
                    sizes.add(picture.size)
                    found[path.name] = _halved(numpy.asarray(picture.convert("RGB")))
    except DAMAGED as error:
        raise UserError(f"{archive} is cut short or damaged ({error}): get it again") from None
    if not found:
        raise UserError(f"{archive}: there are no pictures in {folder}/")
    if len(sizes) > 1:
        raise UserError(f"{archive}: pictures in {folder}/ differ in size: {sorted(sizes)}")
    return numpy.stack([found[name] for name in sorted(found, key=_numbered)])


def _halved(picture: numpy.ndarray) -> numpy.ndarray:
    """(H, W, 3) at half the size; an odd last row or column is left out."""
    import numpy

    height, width = (side // 2 for side in picture.shape[:2])
    fours = picture[: 2 * height, : 2 * width].reshape(height, 2, width, 2, 3).astype(numpy.uint16)
    return ((fours.sum((1, 3)) + 2) // 4).astype(numpy.uint8)


def _numbered(name: str) -> tuple[int, str]:
    """1.jpg, 2_B.jpg, 10.jpg: by number, then by name."""
    digits = "".join(character for character in name.split(".")[0] if character.isdigit())
    return (int(digits) if digits else 0, name)


def members(archive: Path) -> Iterator[tuple[str, Content]]:
    """(name, how to read it) of every member but folders. Raises `UserError` for links and for names that
    lead out of the archive, and those of `DAMAGED`."""
    for name, content in _members(archive):
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or "\\" in name:
            raise UserError(f"{archive}: the member {name!r} leads out of the archive; it is refused")
        yield name, content


def _members(archive: Path) -> Iterator[tuple[str, Content]]:
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as pack:
            for entry in pack.infolist():
                if entry.external_attr >> 28 == 0xA:
                    raise UserError(f"{archive}: the member {entry.filename!r} is a link; it is refused")
                if not entry.is_dir():
                    yield entry.filename, partial(pack.read, entry)
        return
    with tarfile.open(archive) as tar:
        for member in tar:
            if member.isdir():
                continue
            stream = tar.extractfile(member) if member.isreg() else None
            if stream is None:
                raise UserError(f"{archive}: the member {member.name!r} is no regular file; it is refused")
            yield member.name, stream.read
