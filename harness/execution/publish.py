"""What becomes of a job that has ended: a stored artifact, or a cell's record with its files beside it.

Only the process that holds the claim on a key calls these.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from harness.execution.job import Outcome
from harness.key import digest
from harness.plan import Planned
from harness.store import FULL, LOG, RECORD, Record, Store, copy, explain, write_file


def artifact(store: Store, key: str, planned: Planned, outcome: Outcome, scratch: Path) -> None:
    """Put a fit or an asset into the store, with its files, its log and the cell that asked for it.

    Raises `Unkept`.
    """
    work, files = scratch / "artifact", scratch / "files"
    with _keeping(store, files):
        if (scratch / LOG).is_file():
            (scratch / LOG).replace(files / LOG)
        files.replace(work / "files")
    (work / "for").write_text(planned.keys.key)
    (work / "note").write_text(outcome.reason)
    store.publish(key, work)
    shutil.rmtree(scratch, ignore_errors=True)


def cell(store: Store, planned: Planned, outcome: Outcome, scratch: Path | None) -> Record:
    """Put a cell's record into the store, beside it its own files and those of its fit.

    A forced cell that fails keeps the good result that was there; the returned record tells of the failure.
    So does that of a cell whose files cannot be kept.
    """
    scratch = scratch or store.scratch(planned.keys.key)
    try:
        return _cell(store, planned, outcome, scratch)
    except Unkept as error:
        status = "failed" if outcome.status == "ok" else outcome.status
        reason = "; ".join(filter(None, [outcome.reason, str(error)]))
        failure = msgspec.structs.replace(outcome, status=status, reason=reason, metrics={})
        return _cell(store, planned, failure, scratch)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _cell(store: Store, planned: Planned, outcome: Outcome, scratch: Path) -> Record:
    fit = store.artifact(planned.keys.fit)
    told = (fit / "note").read_text() if outcome.status == "ok" and (fit / "note").is_file() else ""
    reason = "; ".join(filter(None, [told, outcome.reason]))
    record = new_record(store, planned, msgspec.structs.replace(outcome, reason=reason))
    kept = planned.forced and planned.record is not None and planned.record.status == "ok"
    if kept and record.status != "ok":
        return msgspec.structs.replace(record, reason=f"{record.reason} (the earlier result is kept)")
    files, logs = scratch / "files", [fit / "files" / LOG, scratch / LOG]
    with _keeping(store, files):
        (files / LOG).write_bytes(b"".join(log.read_bytes() for log in logs if log.is_file()))
        for path in store.files(planned.keys.fit):
            if not (files / path.name).exists():
                copy(path, files / path.name)
    store.write(record, beside=files)
    return record


class Unkept(Exception):
    """What a job left in its folder of files cannot be kept: it has failed."""


@contextlib.contextmanager
def _keeping(store: Store, files: Path) -> Iterator[None]:
    """Raise `Unkept`, and drop the files, where an error is the fault of these and not of the store."""
    try:
        files.mkdir(parents=True, exist_ok=True)
        for name in (LOG, RECORD):  # of ours; a job that took one loses what it wrote there
            _remove(files / name)
        yield
    except OSError as error:
        if error.errno in FULL:
            raise
        store.check_writable()
        _remove(files)
        reason = f"{Path(error.filename or files).name}: {error.strerror or error}"
        raise Unkept(f"what it left in run.folder cannot be kept: {reason}") from None


def _remove(path: Path) -> None:
    """Delete whatever lies there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def new_record(store: Store, planned: Planned, outcome: Outcome) -> Record:
    """The record of a cell that has ended so; where it ran is noted in the store."""
    cell, keys, inputs = planned.cell, planned.keys, planned.inputs
    return Record(
        key=keys.key,
        address=keys.address,
        fit=keys.fit,
        task=cell.task,
        method=cell.method,
        seed=cell.seed,
        problem=cell.problem,
        score=cell.score,
        parameters=cell.parameters,
        fit_code=inputs.fit_code,
        score_code=inputs.score_code,
        data=inputs.data,
        score_data=inputs.score_data,
        status=outcome.status,
        reason=outcome.reason,
        metrics=outcome.metrics,
        seconds=outcome.seconds,
        assets=outcome.assets,
        environment=_note_environment(store, outcome.environment),
        device=outcome.device,
        limits={name: float(value) for name, value in vars(cell.limits).items()},
        finished=time.time(),
    )


def _note_environment(store: Store, described: dict[str, str]) -> str:
    """Keep the description of the software and machine that a job ran on; its name."""
    if not described:
        return ""
    name = digest(described)
    path = store.root / "envs" / f"{name}.json"
    if not path.is_file():
        try:
            write_file(path, msgspec.json.encode(described))
        except OSError as error:
            raise explain(error, store.root) from None
    return name
