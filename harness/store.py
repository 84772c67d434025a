"""The results folder: cells, artifacts and claims, written so that nothing half-made is ever read.

cells/<key>/cell.json   one finished cell and what it was made from; its log and pictures beside it
artifacts/<key>/        arrays.safetensors, facts.json and files of a fit or an asset
claims/<key>            locked by whoever makes that key; the lock dies with its process
envs/<digest>.json      the software and machine that made cells
suites/<digest>.json    which cells each suite was last made of
slurm/                  scripts and logs of jobs that went through Slurm
tmp/                    work in progress, never read by another run
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import io
import math
import os
import shutil
import time
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from harness.errors import UserError
from harness.key import FORMAT, settings

if TYPE_CHECKING:
    import torch

S = TypeVar("S", bound=msgspec.Struct)

LOG, RECORD = "log.txt", "cell.json"
"""The names of ours among a cell's files."""

FULL = (errno.ENOSPC, errno.EROFS, errno.EDQUOT)
"""Errors of a disk that nothing can be written to."""


class Measurement(msgspec.Struct, frozen=True, omit_defaults=True):
    """The value of one metric; its standard error over `n` examples and their sketch where they are known."""

    value: float | None
    error: float | None = None
    n: int | None = None
    sketch: tuple[float, ...] = ()

    @property
    def number(self) -> float:
        """The value; not a number where JSON had no word for it."""
        return math.nan if self.value is None else self.value


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One finished cell, whether it went well or not."""

    format: int = FORMAT
    key: str
    address: str
    fit: str
    task: str
    method: str
    seed: int
    problem: dict[str, Any]
    score: dict[str, Any]
    parameters: dict[str, Any]
    fit_code: dict[str, str]
    score_code: dict[str, str]
    data: dict[str, str]
    status: str
    reason: str = ""
    metrics: dict[str, Measurement] = {}
    seconds: dict[str, float] = {}
    environment: str = ""
    device: str = "cpu"
    limits: dict[str, float] = {}
    finished: float = 0.0
    accepted_from: str = ""
    score_data: dict[str, str] = {}
    assets: dict[str, str] = {}
    """What it and its fit asked for, by key: the builders' names."""

    @property
    def dataset(self) -> str | None:
        return self.problem.get("dataset")

    @property
    def settings(self) -> dict[str, Any]:
        """Everything that the result depends on beside the seed, as of a `Cell`."""
        return settings(self.method, self.problem, self.score, self.parameters)


class _Sealed(msgspec.Struct):
    """A text with its checksum, so that an edited or truncated file is noticed."""

    sha256: str
    content: msgspec.Raw


class _Artifact(msgspec.Struct):
    """What stands beside the arrays of an artifact: their checksum, and JSON facts."""

    arrays: str
    facts: dict[str, Any]


class Damaged(Exception):
    """A stored file that is not what was written."""


class Store:
    """One results folder. Every write appears whole or not at all. Work in progress lies in `tmp`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.tmp = root / "tmp"

    def cell_folder(self, key: str) -> Path:
        return self.root / "cells" / key

    def read(self, key: str) -> Record | None:
        """The record under `key`, None if there is none; raises `Damaged` if it is not as written."""
        path = f"{self.root}/cells/{key}/cell.json"  # a Path would cost as much as the reading
        try:
            with io.FileIO(path) as file:
                text = file.readall()
        except (FileNotFoundError, NotADirectoryError):
            return None
        record = _unseal(path, text, Record)
        if record.key != key:
            raise Damaged(f"{path} is another cell's")
        return record

    def readable(self, key: str) -> Record | None:
        """The record under `key`; None where there is none to be read (planning names damaged ones)."""
        with contextlib.suppress(Damaged):
            return self.read(key)
        return None

    def records(self) -> Iterator[Record]:
        """Every readable record."""
        for key in sorted(path.name for path in self.root.glob("cells/*")):
            if record := self.readable(key):
                yield record

    def origin(self, keys: Iterable[str]) -> tuple[str, dict[str, str]]:
        """The devices and the software that made these cells; where there are several, all of them."""
        made: dict[str, set[str]] = {"device": set()}
        for key in keys:
            if record := self.readable(key):
                made["device"].add(record.device)
                for name, version in self.software(record.environment).items():
                    made.setdefault(name, set()).add(version)
        found = {name: ", ".join(sorted(each)) for name, each in sorted(made.items())}
        return found.pop("device"), found

    def software(self, name: str) -> dict[str, str]:
        """The software and machine that records name so; {} where that cannot be read."""
        path = self.root / "envs" / f"{name}.json"
        with contextlib.suppress(OSError, msgspec.MsgspecError):
            return msgspec.json.decode(path.read_bytes(), type=dict[str, str])
        return {}

    def write(self, record: Record, beside: Path | None = None) -> None:
        """Publish a record; the folder `beside` becomes its own. The caller holds the claim."""
        work = beside or self.scratch(record.key)
        write_file(work / RECORD, _seal(record))
        self._put(work, self.cell_folder(record.key))

    def artifact(self, key: str) -> Path:
        return self.root / "artifacts" / key

    def has_artifact(self, key: str) -> bool:
        return (self.artifact(key) / "facts.json").is_file()

    def files(self, key: str) -> list[Path]:
        """What the builder of an artifact wrote into its folder, its log apart."""
        return sorted(path for path in self.artifact(key).glob("files/*") if path.name != LOG)

    def publish(self, key: str, work: Path) -> None:
        """Make the folder `work`, as `pack` left it, the artifact `key`. The caller holds the claim."""
        self._put(work, self.artifact(key))

    def _put(self, work: Path, target: Path) -> None:
        """Let a folder take the place of another, which stays if that fails; nobody sees a mixture."""
        target.parent.mkdir(parents=True, exist_ok=True)
        old = self.tmp / f"{target.name}-{uuid.uuid4().hex[:8]}"
        if target.exists():
            target.rename(old)
        try:
            work.rename(target)
        except OSError:
            if old.exists():
                old.rename(target)
            raise
        _sync(target.parent)
        shutil.rmtree(old, ignore_errors=True)

    def copy_artifact(self, old: str, new: str) -> None:
        """Publish what is stored under `old` under `new` as well. The caller holds the claim on `new`."""
        work = self.scratch(new)
        copy(self.artifact(old), work)
        self.publish(new, work)

    def read_artifact(self, key: str) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        """The arrays (on the CPU) and facts of an artifact; raises `Damaged` if either is not as written."""
        import safetensors.torch

        facts, arrays = self.artifact(key) / "facts.json", self.artifact(key) / "arrays.safetensors"
        try:
            artifact = _unseal(facts, facts.read_bytes(), _Artifact)
            with arrays.open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != artifact.arrays:
                    raise Damaged(f"{arrays} was edited or truncated after it was written")
        except OSError as error:
            raise Damaged(f"{error.filename}: {error.strerror}") from None
        return safetensors.torch.load_file(arrays), artifact.facts

    def intact(self, key: str) -> bool:
        """Whether an artifact is as it was written."""
        facts, arrays = self.artifact(key) / "facts.json", self.artifact(key) / "arrays.safetensors"
        with contextlib.suppress(OSError, Damaged):
            artifact = _unseal(facts, facts.read_bytes(), _Artifact)
            with arrays.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest() == artifact.arrays
        return False

    def facts(self, key: str) -> dict[str, Any]:
        """The facts of an artifact alone, whose arrays may be large; {} where there are none to read."""
        path = self.artifact(key) / "facts.json"
        with contextlib.suppress(OSError, Damaged):
            return _unseal(path, path.read_bytes(), _Artifact).facts
        return {}

    def discard(self, path: Path) -> None:
        """Delete a folder of this store, unless somebody is at work on it."""
        claim = self.claim(path.name.partition("-")[0])  # scratch folders are named after what they are for
        if claim is None:
            return
        try:
            shutil.rmtree(path, ignore_errors=True)
        finally:
            self.release(claim)

    def scratch(self, name: str) -> Path:
        """A new folder for work in progress, on the same file system as its destination."""
        folder = self.tmp / f"{name}-{uuid.uuid4().hex[:8]}"
        folder.mkdir(parents=True)
        return folder

    def claim(self, key: str) -> int | None:
        """Take the claim on `key` if it is free: a descriptor to close when done, else None."""
        claim = self._open_claim(key)
        try:
            fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(claim)
            return None
        return claim

    @staticmethod
    def release(claim: int) -> None:
        """Give a claim back."""
        os.close(claim)

    def _open_claim(self, key: str) -> int:
        path = self.root / "claims" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        try:  # the process's umask decides who else may write
            return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except PermissionError:  # a colleague's file; reading is enough to lock it
            return os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def check_writable(self) -> None:
        """Raise a `UserError` now rather than after an hour of training."""
        try:
            for folder in ("artifacts", "cells", "claims"):
                (self.root / folder).mkdir(parents=True, exist_ok=True)
            if (claim := self.claim("probe")) is None:
                return  # another run is trying right now
            try:
                probe = self.scratch("probe")
                (probe / "byte").write_bytes(b"x" * 4096)
                shutil.rmtree(probe)
            finally:
                self.release(claim)
        except OSError as error:
            raise explain(error, self.root) from None

    def sweep(self, older_than_seconds: float) -> list[Path]:
        """Leftovers of runs that were killed: scratch folders untouched for that long."""
        limit = time.time() - older_than_seconds
        old = []
        for path in self.root.glob("tmp/*"):
            with contextlib.suppress(FileNotFoundError):  # a running suite has just finished with it
                if path.stat().st_mtime < limit:
                    old.append(path)
        return old


def copy(source: Path, target: Path) -> None:
    """The same file or folder again: by another name for it, or a copy where a file system has no such thing.

    Symbolic links stay what they are, for they may lead to nothing by now.
    """
    if source.is_dir() and not source.is_symlink():
        shutil.copytree(source, target, symlinks=True, copy_function=_copy_file, dirs_exist_ok=True)
    else:
        _copy_file(source, target)


def _copy_file(source: Path | str, target: Path | str) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copy2(source, target, follow_symlinks=False)


def pack(work: Path, arrays: dict[str, Any], facts: dict[str, Any]) -> None:
    """Write named arrays (tensors or numpy) and JSON facts into the folder `work`, ready to be published."""
    import safetensors.torch

    content = safetensors.torch.save(_tensors(arrays))
    write_file(work / "arrays.safetensors", content)
    write_file(work / "facts.json", _seal(_Artifact(hashlib.sha256(content).hexdigest(), facts)))


def explain(error: OSError, root: Path) -> UserError:
    """An operating system error on the results folder in a user's words."""
    if error.errno == errno.ENOSPC:
        return UserError(f"{root}: the disk is full; free some space and run again, finished cells are kept")
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return UserError(f"{root}: the results folder cannot be written; choose another with --results DIR")
    if error.errno in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS):
        return UserError(f"{root}: this file system has no locks; choose another with --results DIR")
    return UserError(f"{error.filename or root}: {error.strerror or error}")


def _seal(value: msgspec.Struct) -> bytes:
    content = msgspec.json.encode(value)
    return msgspec.json.encode(_Sealed(hashlib.sha256(content).hexdigest(), msgspec.Raw(content)))


def _unseal(path: Path | str, text: bytes, kind: type[S]) -> S:
    try:
        sealed = msgspec.json.decode(text, type=_Sealed)
        value = msgspec.json.decode(sealed.content, type=kind)
    except msgspec.MsgspecError:
        raise Damaged(f"{path} is truncated or not as it was written") from None
    if hashlib.sha256(sealed.content).hexdigest() != sealed.sha256:
        raise Damaged(f"{path} was edited after it was written")
    return value


def write_file(path: Path, content: bytes) -> None:
    """Write `path` whole or not at all, and have it on the disk before anybody can read it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}-{uuid.uuid4().hex[:8]}")
    try:
        with beside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    _sync(path.parent)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _tensors(arrays: dict[str, Any]) -> dict[str, torch.Tensor]:
    import torch

    return {
        name: torch.as_tensor(array).detach().cpu().contiguous().clone() for name, array in arrays.items()
    }
