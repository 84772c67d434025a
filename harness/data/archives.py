"""One file out of a wheel, zip, tar or Debian package, as a stream; nothing is ever extracted by name."""

from __future__ import annotations

import gzip
import io
import lzma
import os
import shutil
import subprocess
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from harness.data.errors import SourceError

# What the standard library raises for an archive that is cut off or altered.
DAMAGED = (EOFError, gzip.BadGzipFile, lzma.LZMAError, tarfile.TarError, zipfile.BadZipFile, zlib.error)


@contextmanager
def open_member(archive: Path, member: str) -> Iterator[IO[bytes]]:
    """The bytes of the regular file `member`. Raises `SourceError` when it is absent or is a link."""
    if archive.suffix in (".whl", ".zip"):
        with zipfile.ZipFile(archive) as pack, _zip_member(pack, member) as stream:
            yield stream
    else:
        opened = _deb_tar(archive) if archive.suffix == ".deb" else tarfile.open(archive)  # noqa: SIM115
        with opened as tar, _tar_member(tar, member) as stream:
            yield stream


def _zip_member(pack: zipfile.ZipFile, member: str) -> IO[bytes]:
    try:
        return pack.open(member)
    except KeyError:
        raise SourceError(f"there is no {member} in the archive") from None


def _tar_member(tar: tarfile.TarFile, member: str) -> IO[bytes]:
    wanted = PurePosixPath(member)  # drops the './' that Debian puts before every name
    for entry in tar:
        if PurePosixPath(entry.name) == wanted:
            stream = tar.extractfile(entry) if entry.isreg() else None
            if stream is None:
                raise SourceError(f"{member} is not a regular file in its archive")
            return stream
    raise SourceError(f"there is no {member} in the archive")


def _deb_tar(deb: Path) -> tarfile.TarFile:
    """The data part of a Debian package, opened as a tar."""
    name, packed = _data_part(deb)
    # The standard library does not know zstd before Python 3.14.
    return tarfile.open(fileobj=io.BytesIO(_unpack_with_dpkg(deb) if name.endswith(".zst") else packed))


def _data_part(deb: Path) -> tuple[str, bytes]:
    """Name and bytes of the member `data.tar…` of a Debian package, which is an `ar` archive: deb(5)."""
    with deb.open("rb") as stream:
        if stream.read(8) != b"!<arch>\n":
            raise SourceError(f"{deb.name} is not a Debian package")
        while len(header := stream.read(60)) == 60:
            name, size = header[:16].decode("ascii", "replace").strip().rstrip("/"), header[48:58].strip()
            if not size.isdigit():
                break
            if name.startswith("data.tar"):
                return name, stream.read(int(size))
            stream.seek(int(size) + int(size) % 2, os.SEEK_CUR)
    raise SourceError(f"{deb.name} is damaged: it has no data part")


def _unpack_with_dpkg(deb: Path) -> bytes:
    if shutil.which("dpkg-deb") is None:
        raise SourceError(f"{deb.name} is packed with zstd, and dpkg-deb is not installed")
    unpacked = subprocess.run(["dpkg-deb", "--fsys-tarfile", str(deb)], capture_output=True)
    if unpacked.returncode:
        raise SourceError(f"dpkg-deb cannot read it: {unpacked.stderr.decode(errors='replace').strip()}")
    return unpacked.stdout
