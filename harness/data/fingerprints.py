"""Checksums of local files, remembered for as long as the files stay as they are."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import time
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

CHUNK = 1 << 20
# Clocks of file systems tick coarsely: a file written this recently may be written again unseen.
SETTLE_SECONDS = 2.0


@dataclass(frozen=True)
class Content:
    """What identifies a file's bytes, after decompression. `size` is −1 for a damaged `.gz`."""

    size: int
    sha256: str
    md5: str


class Digest:
    """A `Content` in the making."""

    def __init__(self) -> None:
        self.size = 0
        self._sha256 = hashlib.sha256()
        self._md5 = hashlib.md5(usedforsecurity=False)

    def update(self, chunk: bytes) -> None:
        self.size += len(chunk)
        self._sha256.update(chunk)
        self._md5.update(chunk)

    def content(self) -> Content:
        return Content(self.size, self._sha256.hexdigest(), self._md5.hexdigest())


def content_of(path: Path) -> Content:
    """The content of `path`, decompressed where the name ends in `.gz`. Raises `OSError`.

    A `.gz` that cannot be decompressed is known by its raw bytes and the size −1.
    """
    with path.open("rb") as raw:
        if path.suffix != ".gz":
            return _drain(raw)
        try:
            return _drain(gzip.GzipFile(fileobj=raw))
        except (gzip.BadGzipFile, EOFError, zlib.error):
            raw.seek(0)
            damaged = _drain(raw)
            return Content(-1, damaged.sha256, damaged.md5)


def _drain(stream: IO[bytes] | gzip.GzipFile) -> Content:
    digest = Digest()
    while chunk := stream.read(CHUNK):
        digest.update(chunk)
    return digest.content()


class Fingerprints:
    """Contents of files by path, kept in the JSON file `store`; trusted while size, times and inode agree.

    As in git's index, a file that changed within the last two seconds is read but not remembered.
    A store that cannot be read or written costs time and nothing else.
    """

    def __init__(self, store: Path) -> None:
        self._store = store
        self._known = _read(store)
        self._learnt = False

    def of(self, path: Path) -> Content:
        """The content of `path`. Raises `OSError`."""
        key = str(path.absolute())
        stamp = _stamp(path)
        known = self._known.get(key)
        if known and known["stamp"] == stamp:
            return Content(*known["content"])
        content = content_of(path)
        if _stamp(path) == stamp and _settled(stamp):
            values = [content.size, content.sha256, content.md5]
            self._known[key] = {"stamp": stamp, "content": values}
            self._learnt = True
        return content

    def save(self) -> None:
        """Write what was learnt, forgetting the files that are gone."""
        if not self._learnt:
            return
        kept = {path: entry for path, entry in self._known.items() if os.path.exists(path)}  # noqa: PTH110
        beside = self._store.with_name(f"{self._store.name}.{os.getpid()}.new")
        try:
            self._store.parent.mkdir(parents=True, exist_ok=True)
            beside.write_text(json.dumps(kept, indent=1))
            beside.replace(self._store)
        except OSError:
            return


def _stamp(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]


def _settled(stamp: list[int]) -> bool:
    return time.time() - max(stamp[1], stamp[2]) / 1e9 > SETTLE_SECONDS


def _read(store: Path) -> dict[str, dict[str, Any]]:
    try:
        entries = json.loads(store.read_text())
        return {path: e for path, e in entries.items() if len(e["stamp"]) == 4 and len(e["content"]) == 3}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}
