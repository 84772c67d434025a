"""One cell for people: what it was made from, how it ended, the end of its log."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec

from harness.errors import UserError
from harness.store import LOG, Damaged, Record, Store


def find(results: Path, prefix: str) -> Record:
    """The record whose key begins with `prefix`; raises `UserError` unless there is exactly one."""
    keys = sorted(path.parent.name for path in results.glob("cells/*/cell.json"))
    names = [key for key in keys if key.startswith(prefix)]
    if len(names) != 1:
        what = "no cell" if not names else f"{len(names)} cells"
        raise UserError(
            f"{what} in {results} with a key that begins with {prefix!r}; harness plan SUITE lists keys"
        )
    try:
        record = Store(results).read(names[0])
    except Damaged as damage:
        raise UserError(f"{damage}; run its suite again to recompute it") from None
    assert record is not None
    return record


def as_json(results: Path, prefix: str) -> str:
    """The record as JSON."""
    return msgspec.json.format(msgspec.json.encode(find(results, prefix)), indent=1).decode()


def as_text(results: Path, prefix: str, lines: int) -> str:
    """The record, its files and the last `lines` of its log."""
    record = find(results, prefix)
    store = Store(results)
    folder = store.cell_folder(record.key)
    told = [
        f"key      {record.key}",
        f"cell     {record.task} {record.method} seed {record.seed}",
        "settings " + ", ".join(f"{name}={value}" for name, value in record.settings.items()),
        f"status   {record.status}" + (f": {record.reason}" if record.reason else ""),
        f"finished {time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(record.finished))} on {record.device}",
        "seconds  " + ", ".join(f"{name} {value:.2f}" for name, value in record.seconds.items()),
    ]
    if record.accepted_from:
        told.append(f"accepted from {record.accepted_from}")
    if record.status == "ok" and not store.has_artifact(record.fit):
        told.append("fit      dropped; another score of it would have it trained again")
    for name, metric in record.metrics.items():
        doubt = (
            f" ± {metric.error:.3g} (standard error, {metric.n} examples)" if metric.error is not None else ""
        )
        told.append(f"metric   {name} = {metric.value:.6g}{doubt}")
    made_from = {**record.fit_code, **record.score_code, **record.data, **record.score_data}
    for label, checksum in sorted(made_from.items()):
        told.append(f"from     {label} {checksum[:12]}")
    files = [path for path in sorted(folder.iterdir()) if path.name != "cell.json"]
    for key, builder in sorted(record.assets.items(), key=lambda item: (item[1], item[0])):
        told.append(f"asset    {key[:10]} {_asset(store, key, builder)}")
        files += store.files(key)
    told += [f"file     {path}" for path in files]
    log = folder / LOG
    if log.is_file():
        text = log.read_text(errors="replace").splitlines()
        shown = text[max(len(text) - lines, 0) :]
        told.append(f"the last {len(shown)} of {len(text)} lines of its log:")
        told += [f"  {line}" for line in shown]
    return "\n".join(told)


def _asset(store: Store, key: str, builder: str) -> str:
    """An asset in words: what was built, with which parameters."""
    facts = store.facts(key)
    if not facts:
        return f"{builder}, no longer here"
    shown = [f"{name}={value}" for name, value in facts["parameters"].items() if len(str(value)) <= 40]
    return f"{builder}({', '.join(shown)}) built in {facts['seconds'].get('build', 0.0):.1f} s"
