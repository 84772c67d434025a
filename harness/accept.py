"""Bless results after a refactoring: what older code made stands for what today's code would make."""

from __future__ import annotations

import time
from collections.abc import Sequence

import msgspec

from harness import data, key
from harness.plan import Planned, checksums
from harness.registry import PACKAGE
from harness.store import RECORD, Store, copy


def accept(store: Store, plan: Sequence[Planned]) -> list[Planned]:
    """Give cells that miss only because code changed the result that the earlier code made.

    Their fits and assets come along; what another run is at work on is passed over.
    """
    store.check_writable()
    return [planned for planned in plan if planned.predecessor and _bless(store, planned)]


def _bless(store: Store, planned: Planned) -> bool:
    old = store.read(planned.predecessor)
    claim = store.claim(planned.keys.key) if old else None
    if old is None or claim is None:
        return False
    try:
        _copy(store, old.fit, planned.keys.fit)
        assets = {_carry(store, each, planned): builder for each, builder in old.assets.items()}
        record = msgspec.structs.replace(
            old,
            key=planned.keys.key,
            fit=planned.keys.fit,
            fit_code=planned.inputs.fit_code,
            score_code=planned.inputs.score_code,
            assets=assets,
            accepted_from=old.key,
            finished=time.time(),
        )
        beside = store.scratch(planned.keys.key)
        for item in store.cell_folder(old.key).iterdir():
            if item.name != RECORD:
                copy(item, beside / item.name)
        store.write(record, beside)
    finally:
        store.release(claim)
    return True


def _carry(store: Store, old: str, planned: Planned) -> str:
    """The key of an asset under today's code, where the artifact of the key `old` now stands too."""
    facts = store.facts(old)
    if not facts:
        return old
    root = planned.method.root
    located = {name: data.locate(name) for name in facts["datasets"]}
    if checksums(located, located) != facts["data"]:
        return old
    source = key.located(facts["source"], root)
    inside = "" if source.is_relative_to(PACKAGE) else str(root)
    readers = [here.dataset.source for here in located.values()]
    code = key.code_of(key.asset_sources(source, inside, readers))
    new = key.asset_key(f"{facts['source']}:{facts['builder']}", facts["parameters"], code, facts["data"])
    _copy(store, old, new)
    return new


def _copy(store: Store, old: str, new: str) -> None:
    if old == new or not store.has_artifact(old) or store.has_artifact(new):
        return
    claim = store.claim(new)
    if claim is not None:
        try:
            store.copy_artifact(old, new)
        finally:
            store.release(claim)
