"""The results folder: what is put there replaces what was, or leaves it."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_report import record

from harness import store as storing
from harness.store import Store

KEY = "a" * 32


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results")


def made(store: Store, text: str) -> Path:
    """A folder of work in progress."""
    work = store.scratch(KEY)
    (work / f"{text}.txt").write_text(text)
    (work / "facts.json").write_text(text)
    return work


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_an_artifact_stays_if_its_replacement_cannot_be_put_there(store: Store) -> None:
    store.publish(KEY, made(store, "old"))
    with pytest.raises(OSError):
        store.publish(KEY, store.tmp / "nowhere")
    assert names(store.artifact(KEY)) == ["facts.json", "old.txt"]
    store.publish(KEY, made(store, "new"))
    assert names(store.artifact(KEY)) == ["facts.json", "new.txt"]
    assert names(store.tmp) == []


def test_nobody_discards_what_a_store_tries_to_write(store: Store, monkeypatch) -> None:
    write = Path.write_bytes

    def beset(path: Path, content: bytes) -> int:
        for left in store.tmp.iterdir():  # as a run does that begins at this moment
            store.discard(left)
        return write(path, content)

    monkeypatch.setattr(Path, "write_bytes", beset)
    store.check_writable()
    assert names(store.tmp) == []


def test_a_cell_and_its_files_stay_if_its_replacement_cannot_be_written(store: Store, monkeypatch) -> None:
    def full(path: Path, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    store.write(record(KEY), made(store, "old"))
    with monkeypatch.context() as patch, pytest.raises(OSError):
        patch.setattr(storing, "write_file", full)
        store.write(record(KEY, seed=1), made(store, "new"))
    assert (store.read(KEY).seed, names(store.cell_folder(KEY))) == (
        0,
        ["cell.json", "facts.json", "old.txt"],
    )
    store.write(record(KEY, seed=1), made(store, "new"))
    assert (store.read(KEY).seed, names(store.cell_folder(KEY))) == (
        1,
        ["cell.json", "facts.json", "new.txt"],
    )
