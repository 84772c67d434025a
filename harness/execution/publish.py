"""What becomes of a job that has ended: a stored artifact, or a cell's record with its files beside it.

Only the process that holds the claim on a key calls these.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import msgspec

from harness.execution.job import Outcome
from harness.key import digest
from harness.plan import Planned
from harness.store import LOG, Record, Store, explain, write_file


def artifact(store: Store, key: str, planned: Planned, outcome: Outcome, scratch: Path) -> None:
    """Put a fit or an asset into the store, with its files, its log and the cell that asked for it."""
    work, files = scratch / "artifact", scratch / "files"
    files.mkdir(parents=True, exist_ok=True)
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
    """
    fit = store.artifact(planned.keys.fit)
    told = (fit / "note").read_text() if outcome.status == "ok" and (fit / "note").is_file() else ""
    reason = "; ".join(filter(None, [told, outcome.reason]))
    record = new_record(store, planned, msgspec.structs.replace(outcome, reason=reason))
    kept = planned.forced and planned.record is not None and planned.record.status == "ok"
    if kept and record.status != "ok":
        return msgspec.structs.replace(record, reason=f"{record.reason} (the earlier result is kept)")
    scratch = scratch or store.scratch(planned.keys.key)
    files = scratch / "files"
    files.mkdir(parents=True, exist_ok=True)
    logs = [fit / "files" / LOG, scratch / LOG]
    (files / LOG).write_bytes(b"".join(log.read_bytes() for log in logs if log.is_file()))
    for path in store.files(planned.keys.fit):
        if not (files / path.name).exists():
            _link(path, files / path.name)
    store.write(record, beside=files)
    shutil.rmtree(scratch, ignore_errors=True)
    return record


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


def _link(source: Path, target: Path) -> None:
    """The same file under another name, or a copy where the file system has no such thing."""
    if source.is_dir():
        shutil.copytree(source, target)
        return
    try:
        target.hardlink_to(source)
    except OSError:
        shutil.copy2(source, target)
