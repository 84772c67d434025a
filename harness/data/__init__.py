"""Datasets: what there is, where its files lie, and how to get those that are missing.

A dataset is a module in `harness/datasets` with a docstring (title, what it is), `LICENCE`, `FILES` and
`load(files) -> {name: array}`. Its files are looked for in the folder `HARNESS_DATA`, then in the user's
cache, then inside installed packages; `fetch` brings what is missing into the cache.
"""

from __future__ import annotations

import fcntl
import importlib
import os
import pkgutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from harness.data.errors import SourceError
from harness.data.fingerprints import CHUNK, Content, Digest, Fingerprints, content_of
from harness.data.sources import File
from harness.errors import UserError, did_you_mean

if TYPE_CHECKING:
    import numpy

    from harness.data.downloads import Downloads, Report


@dataclass(frozen=True)
class Dataset:
    """What a dataset's module declares. `levels` is the number of pixel values, None where none are pixels;
    `source` is the module's file."""

    name: str
    title: str
    licence: str
    files: tuple[File, ...]
    levels: int | None
    source: Path


@dataclass(frozen=True)
class Located:
    """Where a dataset's files lie, and under which checksums.

    `paths` has the files that are there, by name, as they lie (raw or `.gz`). `checksums` has the sha256 of
    every file's decompressed content: of the file found; else of a local file that was refused; else the
    declared one; else "missing". `problem` says what is missing or refused, None when all is there.
    `changed` names every refused local file with the reason. `fetchable` says whether `fetch` could bring
    all that is missing; `command` is what the user can do about it.
    """

    dataset: Dataset
    paths: dict[str, Path]
    checksums: dict[str, str]
    problem: str | None
    changed: list[str]
    fetchable: bool
    command: str


class Unavailable(UserError):
    """A dataset that is not here and could not be had; `reason` says why, `command` what would bring it."""

    def __init__(self, reason: str, command: str) -> None:
        super().__init__(f"{reason}\nto get it: {command}")
        self.reason = reason
        self.command = command


def names() -> list[str]:
    """The names of all datasets; none is imported."""
    # By name, as each is loaded: data sets stand on this room, and it knows none of them.
    modules = pkgutil.iter_modules(importlib.import_module("harness.datasets").__path__)
    return sorted(module.name for module in modules if not module.name.startswith("_"))


def describe(name: str) -> Dataset:
    """The declaration of a dataset. Raises `UserError` for an unknown name or an incomplete module."""
    if name not in names():
        raise UserError(f"there is no dataset {name!r}{did_you_mean(name, names())}")
    module = importlib.import_module(f"harness.datasets.{name}")
    source = Path(module.__file__ or "")
    for needed in ("__doc__", "LICENCE", "FILES", "load"):
        if getattr(module, needed, None) in (None, ""):
            raise UserError(
                f"{source}: a dataset needs a docstring, LICENCE, FILES and load; {needed} is missing"
            )
    title = (module.__doc__ or "").strip().splitlines()[0]
    return Dataset(name, title, module.LICENCE, module.FILES, getattr(module, "LEVELS", None), source)


def locate(name: str) -> Located:
    """Find and check a dataset's files, without a network. Raises `UserError` as `describe` does."""
    fingerprints = Fingerprints(cache_folder() / "fingerprints.json")
    dataset = describe(name)
    found = [_find(file, fingerprints.of) for file in dataset.files]
    fingerprints.save()
    return _located(dataset, found)


def verify(name: str) -> list[tuple[str, str]]:
    """(file, status) after reading every byte again: "ok", "missing", or which local file is refused and why.

    A file that is refused in one place and found in another has a line for each.
    """
    lines = []
    for file in describe(name).files:
        found = _find(file, content_of)
        lines += [(file.name, text) for text in found.refused]
        if found.path or not found.refused:
            lines.append((file.name, "ok" if found.path else "missing"))
    return lines


def load(name: str) -> dict[str, numpy.ndarray]:
    """The arrays of a dataset, as its module documents them. Raises `Unavailable` when files are missing."""
    located = locate(name)
    if located.problem:
        raise Unavailable(f"{name}: {located.problem}", located.command)
    try:
        return importlib.import_module(f"harness.datasets.{name}").load(located.paths)
    except (LookupError, ValueError, EOFError) as error:
        files = ", ".join(map(str, located.paths.values()))
        raise UserError(
            f"{name}: {files} cannot be read ({type(error).__name__}: {error}); it is not what "
            f"{located.dataset.source.name} describes: {located.dataset.title}"
        ) from error


def fetch(name: str, report: Report | None = None) -> Located:
    """Bring what a dataset lacks into the user's cache, and locate it again.

    `report` is told (file name, bytes done, bytes in all or None). One process fetches at a time; the others
    wait and then find the files. Raises `Unavailable`, naming every source and why it failed.
    """
    located = locate(name)
    if located.problem is None:
        return located
    cache = cache_folder()
    try:
        with _alone(cache / "fetch.lock"):
            _fetch_missing(locate(name), cache / "data", report or (lambda *_: None))
    except OSError as error:
        raise Unavailable(
            f"{name} cannot be put into the cache: {error}", "export HARNESS_CACHE=FOLDER"
        ) from None
    return locate(name)


def cache_folder() -> Path:
    """The user's cache: `$HARNESS_CACHE`, else `$XDG_CACHE_HOME/harness`, else `~/.cache/harness`."""
    if chosen := os.environ.get("HARNESS_CACHE"):
        return Path(chosen).absolute()
    if base := os.environ.get("XDG_CACHE_HOME"):
        return Path(base) / "harness"
    try:
        return Path.home() / ".cache" / "harness"
    except RuntimeError:
        raise UserError("there is no home folder for the cache: export HARNESS_CACHE=FOLDER") from None


def data_folders() -> dict[str, Path]:
    """Where files are looked for, in this order, by what the folder is. Raises `UserError`."""
    folders = {"the cache": cache_folder() / "data"}
    if chosen := os.environ.get("HARNESS_DATA"):
        if not Path(chosen).is_dir():
            raise UserError(f"HARNESS_DATA is {chosen}, which is no folder: correct or unset it")
        return {"HARNESS_DATA": Path(chosen).absolute(), **folders}
    return folders


@dataclass(frozen=True)
class _Found:
    """One file: where it lies (None: nowhere), under which checksum, and which candidates were refused."""

    file: File
    path: Path | None
    checksum: str
    refused: list[str]


def _find(file: File, content: Callable[[Path], Content]) -> _Found:
    refused, seen = [], None
    for path in _candidates(file):
        try:
            if not path.is_file():
                continue
            actual = content(path)
        except OSError as error:
            refused.append(f"{path} cannot be read: {error.strerror}")
            continue
        difference = file.difference(actual)
        if difference is None:
            return _Found(file, path, actual.sha256, refused)
        refused.append(f"{path} is refused: {difference}")
        seen = seen or actual.sha256
    return _Found(file, None, seen or file.sha256 or "missing", refused)


def _candidates(file: File) -> Iterator[Path]:
    for folder in data_folders().values():
        yield folder / file.name
        yield folder / f"{file.name}.gz"
    yield from (path for source in file.installed if (path := source.path()))


def _located(dataset: Dataset, found: list[_Found]) -> Located:
    missing = [each for each in found if each.path is None]
    obstacles = {file.name: _obstacles(file) for file in (each.file for each in missing)}
    fetchable = all(obstacle is None for obstacle in obstacles.values())
    return Located(
        dataset=dataset,
        paths={each.file.name: each.path for each in found if each.path},
        checksums={each.file.name: each.checksum for each in found},
        problem=_problem(missing, [text for text in obstacles.values() if text]) if missing else None,
        changed=[text for each in found for text in each.refused],
        fetchable=fetchable,
        command=f"harness data get {dataset.name}"
        if fetchable
        else f"export HARNESS_DATA=FOLDER  # one that holds {', '.join(each.file.name for each in missing)}",
    )


def _obstacles(file: File) -> str | None:
    """Why no source of `file` can even be tried, or None when one can."""
    obstacles = [source.obstacle() for source in file.remote]
    if None in obstacles:
        return None
    return "; ".join(text for text in obstacles if text) or "no source offers it"


def _problem(missing: list[_Found], obstacles: list[str]) -> str:
    folders = " nor ".join(f"{folder} ({what})" for what, folder in data_folders().items())
    absent = [each.file.name for each in missing if not each.refused]
    parts = [text for each in missing for text in each.refused]
    if absent:
        parts.insert(0, f"{', '.join(absent)} not in {folders}")
    return "; ".join([*parts, *dict.fromkeys(obstacles)])


def _fetch_missing(located: Located, folder: Path, report: Report) -> None:
    from tempfile import TemporaryDirectory

    from harness.data.downloads import Downloads

    with TemporaryDirectory(prefix="harness-") as scratch:
        downloads = Downloads(Path(scratch), folder, report)
        for file in located.dataset.files:
            if file.name not in located.paths:
                report(file.name, 0, None)
                if failures := _obtain(file, folder / file.name, downloads):
                    tried = "".join(f"\n  {source}: {reason}" for source, reason in failures.items())
                    raise Unavailable(f"{file.name} cannot be had{tried}", located.command)
                size = (folder / file.name).stat().st_size
                report(file.name, size, size)


def _obtain(file: File, target: Path, downloads: Downloads) -> dict[str, str]:
    """Put `file` at `target` from the first source that gives it; else {source: why it failed}."""
    from harness.data.archives import DAMAGED

    failures = {}
    for source in downloads.attempts(file):
        try:
            if obstacle := source.obstacle():
                raise SourceError(obstacle)
            with source.open(file, downloads) as stream:
                _deposit(stream, file, target)
            return {}
        except SourceError as error:
            failures[str(source)] = str(error)
        except DAMAGED as error:
            failures[str(source)] = f"it is damaged: {error}"
    return failures or {"sources": "none is declared; only you can supply it"}


def _deposit(stream: IO[bytes], file: File, target: Path) -> None:
    """Write `stream` to `target` if it is what `file` declares; else leave nothing, raise `SourceError`."""
    target.parent.mkdir(parents=True, exist_ok=True)
    new = target.with_name(f"{target.name}.new")  # the lock makes it ours
    digest = Digest()
    try:
        with new.open("wb") as out:
            while chunk := stream.read(CHUNK):
                out.write(chunk)
                digest.update(chunk)
                if file.size is not None and digest.size > file.size:
                    raise SourceError(f"it has more than the declared {file.size} bytes")
            out.flush()
            os.fsync(out.fileno())
        if difference := file.difference(digest.content()):
            raise SourceError(difference)
        new.replace(target)
    finally:
        new.unlink(missing_ok=True)


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Hold `lock` against other processes, waiting for it as long as it takes."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
