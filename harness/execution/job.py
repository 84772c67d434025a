"""One piece of work as files: a job is written for a worker, an outcome and its files come back.

job.json        what to do
outcome.json    how it ended
artifact/       arrays and facts of a fit or an asset, ready to be published
files/          what it wrote into `run.folder`
log.txt         what it printed
progress.json   where it stands
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import msgspec

from harness.key import Source
from harness.store import LOG, Measurement

THREADS = 1
"""Of every worker, whatever a suite's limits say: another number would change the order of sums, so the last
bits."""

Scalar = str | int | float | bool | None


class Call(msgspec.Struct, frozen=True):
    """A function of a file, and its keyword parameters.

    `module` is what the file is imported as; a file that is part of no package is loaded by its path.
    """

    file: str
    module: str | None
    function: str
    parameters: dict[str, Any]


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """All a worker is told.

    A fit builds the problem and calls a method; a score builds the problem afresh and judges the artifact
    `fit`; an asset calls its builder. The result is published under `key`.
    """

    kind: Literal["fit", "score", "asset"]
    key: str
    seed: int
    device: str
    work: Call
    problem: Call | None = None
    fit: str = ""
    defaults: dict[str, Scalar] = {}
    metrics: list[str] = []
    sources: list[Source]
    code: dict[str, str]
    data: dict[str, str]
    datasets: list[str]
    limits: dict[str, float]
    gpus: list[str] = []
    """Those that it may see, as CUDA names them; all that there are if none is named."""
    results: str
    scratch: str
    since: float
    """A moment before the code was read for the key (Unix time, seconds)."""

    @property
    def folder(self) -> Path:
        return Path(self.scratch)

    @property
    def files(self) -> Path:
        return self.folder / "files"

    @property
    def log(self) -> Path:
        return self.folder / LOG

    @property
    def artifact(self) -> Path:
        return self.folder / "artifact"


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """An asset that a job asked for and that is not there: all that a job to build it needs."""

    key: str
    work: Call
    sources: list[Source]
    code: dict[str, str]
    data: dict[str, str]
    datasets: list[str]
    limits: dict[str, float]

    @property
    def name(self) -> str:
        """For people."""
        shown = [f"{name}={value}" for name, value in self.work.parameters.items() if len(str(value)) <= 24]
        return f"{self.work.function}({', '.join(shown)})"


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How a job ended. `waiting` means that it must be started again: when the assets `asked` are there, or,
    without any, when the fit that it judges has been made anew, for what is stored is damaged."""

    status: str
    reason: str = ""
    metrics: dict[str, Measurement] = {}
    seconds: dict[str, float] = {}
    device: str = "cpu"
    environment: dict[str, str] = {}
    assets: dict[str, str] = {}
    asked: list[Request] = []


def write(job: Job) -> Path:
    """Write the job's file into its folder; returns it."""
    path = job.folder / "job.json"
    path.write_bytes(msgspec.json.encode(job))
    return path


def read(path: Path) -> Job:
    """The job of a file. Raises FileNotFoundError when whoever wrote it has been stopped meanwhile."""
    return msgspec.json.decode(path.read_bytes(), type=Job)


def end(folder: Path, outcome: Outcome) -> None:
    """Leave the outcome in the job's folder, whole or not at all."""
    beside = folder / "outcome.new"
    beside.write_bytes(msgspec.json.encode(outcome))
    beside.replace(folder / "outcome.json")


def ended(folder: Path) -> Outcome | None:
    """The outcome in the folder, if there is a readable one."""
    try:
        return msgspec.json.decode((folder / "outcome.json").read_bytes(), type=Outcome)
    except (OSError, msgspec.MsgspecError):
        return None
