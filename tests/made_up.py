"""Made-up data files, datasets and packages for the tests of `harness.data`."""

from __future__ import annotations

import hashlib
import importlib
import io
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import harness.datasets
from harness import data
from harness.data.sources import File

CONTENT = b"seven letters\n" * 1000


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def pinned(name: str, content: bytes = CONTENT, *sources: Any) -> File:
    return File(name, len(content), sha(content), sources)


def put(folder: Path, name: str, content: bytes = CONTENT) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def empty_folders(tmp_path: Path, monkeypatch: Any) -> tuple[Path, Path]:
    """An empty HARNESS_DATA and an empty cache: (folder for the user's data, folder for cached data)."""
    mine, cache = tmp_path / "mine", tmp_path / "cache"
    mine.mkdir()
    (cache / "data").mkdir(parents=True)
    monkeypatch.setenv("HARNESS_DATA", str(mine))
    monkeypatch.setenv("HARNESS_CACHE", str(cache))
    return mine, cache / "data"


def declaring(tmp_path: Path, monkeypatch: Any) -> Iterator[Callable[..., str]]:
    """A function that declares the dataset `made` with the files it is given, as a module like any other."""
    place = tmp_path / "datasets"
    place.mkdir()
    monkeypatch.setattr(harness.datasets, "__path__", [*harness.datasets.__path__, str(place)])

    def declare(*files: File) -> str:
        (place / "made.py").write_text(
            '"""Made up.\n\nFor tests.\n"""\nfrom harness.data.sources import *\nLICENCE = "none"\n'
            f"FILES = {files!r}\n\n\ndef load(files):\n    return files\n"
        )
        importlib.invalidate_caches()
        sys.modules.pop("harness.datasets.made", None)
        return "made"

    yield declare
    sys.modules.pop("harness.datasets.made", None)


def everything_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def failure(name: str) -> str:
    """What `fetch` says when it cannot have the dataset."""
    with pytest.raises(data.Unavailable) as caught:
        data.fetch(name)
    return str(caught.value)


def tar(path: Path, members: dict[str, bytes | str], mode: str = "w:gz") -> Path:
    """A tar of files (bytes) and symbolic links (the target as str)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as archive:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            if isinstance(content, str):
                entry.type, entry.linkname = tarfile.SYMTYPE, content
                archive.addfile(entry)
            else:
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
    return path


def wheel(folder: Path, package: str, members: dict[str, bytes]) -> Path:
    """A wheel of version 1.0 that pip accepts."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{package}-1.0-py3-none-any.whl"
    about = f"{package}-1.0.dist-info"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
        archive.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{about}/RECORD", "")
    return path


def deb(path: Path, members: dict[str, bytes | str], packing: str = "xz") -> Path:
    """A Debian package `made` of version 1.0: an `ar` archive of three members."""
    path.parent.mkdir(parents=True, exist_ok=True)
    control = b"Package: made\nVersion: 1.0\nArchitecture: all\nMaintainer: nobody\nDescription: made up\n"
    scratch = path.with_suffix(".tar")
    parts = {
        "debian-binary": b"2.0\n",
        "control.tar.gz": tar(scratch, {"./control": control}).read_bytes(),
        f"data.tar.{packing}": tar(scratch, members, f"w:{packing}").read_bytes(),
    }
    scratch.unlink()
    with path.open("wb") as out:
        out.write(b"!<arch>\n")
        for name, content in parts.items():
            out.write(f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n".encode())
            out.write(content + b"\n" * (len(content) % 2))
    return path
