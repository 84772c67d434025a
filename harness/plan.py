"""What a suite still has to compute, and for every cell the reason."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from harness import data, identity
from harness.errors import UserError, did_you_mean
from harness.identity import Inputs, Keys
from harness.registry import Method, Registry, Task
from harness.store import Damaged, Record, Store
from harness.suite import Cell, Suite

FILTERS = ("task", "method", "dataset", "seed")


@dataclass(frozen=True)
class Planned:
    """A cell, its keys and inputs, and whether it must run. `reason` is for people."""

    cell: Cell
    task: Task
    method: Method
    inputs: Inputs
    keys: Keys
    status: Literal["hit", "miss", "skipped"]
    reason: str
    record: Record | None = None
    predecessor: str = ""
    """For a miss through changed code alone: the key of the result that `accept` would bless."""
    forced: bool = False
    """A miss only because that was asked for: what is stored, its fit too, must not be used again."""

    def summary(self) -> dict[str, Any]:
        cell = self.cell
        return {
            "key": self.keys.key,
            "status": self.status,
            "reason": self.reason,
            "task": cell.task,
            "dataset": cell.dataset,
            "method": cell.method,
            "params": cell.params,
            "seed": cell.seed,
        }


def make(
    suite: Suite,
    registry: Registry,
    store: Store,
    *,
    only: Mapping[str, Sequence[str]] | None = None,
    force: bool = False,
    offline: bool = False,
    unavailable: Mapping[str, str] | None = None,
) -> list[Planned]:
    """Look every cell of the suite up in the store, in the suite's order.

    `only` maps a filter (task, method, dataset, seed) to the values that stay. Cells whose data is not here
    are misses while `run` may fetch it, and skipped when it may not, or when that has failed: `unavailable`
    says why, by data set.
    """
    cells = [cell for cell in suite.cells if _wanted(cell, only or {})]
    if not cells:
        raise UserError(f"{suite.path}: no cell is left by --only {_spell(only or {})}")
    located = {name: data.locate(name) for name in {cell.dataset for cell in cells} if name}
    looked_up = [_look_up(cell, registry, store, located, force) for cell in cells]
    explained = _explain(looked_up, store)
    return [_without_data(planned, located, offline, unavailable or {}) for planned in explained]


def parse_filters(words: Sequence[str]) -> dict[str, list[str]]:
    """`['method=vae,iwae', 'seed=0']` to a mapping; raises `UserError` for anything else."""
    filters: dict[str, list[str]] = {}
    for word in words:
        name, equals, values = word.partition("=")
        if not equals or name not in FILTERS:
            raise UserError(
                f"--only {word}: write task=, method=, dataset= or seed={did_you_mean(name, FILTERS)}"
            )
        filters.setdefault(name, []).extend(values.split(","))
    return filters


def _wanted(cell: Cell, only: Mapping[str, Sequence[str]]) -> bool:
    shown = {"task": cell.task, "method": cell.method, "dataset": str(cell.dataset), "seed": str(cell.seed)}
    return all(shown[name] in values for name, values in only.items())


def _spell(only: Mapping[str, Sequence[str]]) -> str:
    return " ".join(f"{name}={','.join(values)}" for name, values in only.items())


def _look_up(
    cell: Cell, registry: Registry, store: Store, located: Mapping[str, data.Located], force: bool
) -> Planned:
    task, method = registry.tasks[cell.task], registry.methods[cell.task, cell.method]
    here = located.get(cell.dataset) if cell.dataset else None
    source = here.dataset.source if here else None
    fit_code, score_code = identity.code_inputs(task.path, task.score_function, method.path, source)
    inputs = Inputs(fit_code, score_code, dict(here.checksums) if here else {})
    keys = identity.keys(cell.task, cell.method, cell.seed, cell.problem, cell.score, cell.parameters, inputs)
    planned = Planned(cell, task, method, inputs, keys, "miss", "", forced=force)
    try:
        record = store.read(keys.key)
    except Damaged as damage:
        return replace(planned, reason="forced" if force else f"damaged: {damage}")
    if force:
        return replace(planned, reason="forced", record=record)
    if record is None:
        return planned
    if record.status != "ok":
        return replace(planned, reason=f"failed before ({record.status})", record=record)
    return replace(planned, status="hit", record=record)


def _explain(looked_up: Sequence[Planned], store: Store) -> list[Planned]:
    """Give every cell that has no result the reason: the nearest earlier record tells what is different."""
    if all(planned.status == "hit" or planned.reason for planned in looked_up):
        return list(looked_up)
    same, kin = defaultdict(list), defaultdict(list)
    for record in store.records():
        same[record.address].append(record)
        kin[_family(record)].append(record)
    return [
        planned
        if planned.status == "hit" or planned.reason
        else _compare(planned, same[planned.keys.address], kin[_family(planned.cell)])
        for planned in looked_up
    ]


def _family(of: Cell | Record) -> tuple[str, str, str | None, int]:
    return of.task, of.method, of.dataset, of.seed


def _compare(planned: Planned, same: Sequence[Record], kin: Sequence[Record]) -> Planned:
    """The reason of a miss, from records that asked the `same` question and from their `kin`."""
    if same:
        latest = max(same, key=lambda record: (record.status == "ok", record.finished))
        changed = _changed_files(latest, planned.inputs)
        if latest.data != planned.inputs.data:
            return replace(
                planned, reason="data: " + ", ".join(_differences(latest.data, planned.inputs.data))
            )
        if changed:
            bless = latest.key if latest.status == "ok" else ""
            return replace(planned, reason="code: " + ", ".join(changed), predecessor=bless)
        return replace(planned, reason="key format")
    if not kin:
        return replace(planned, reason="new")
    params = planned.cell.params
    nearest = min(kin, key=lambda record: len(_differences(record.params, params)))
    shown = [
        f"{name} {nearest.params.get(name)} -> {params.get(name)}"
        for name in _differences(nearest.params, params)
    ]
    return replace(planned, reason="parameters: " + ", ".join(shown))


def _changed_files(record: Record, inputs: Inputs) -> list[str]:
    fit = _differences(record.fit_code, inputs.fit_code)
    score = _differences(record.score_code, inputs.score_code)
    return sorted({*fit, *score})


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    return sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))


def _without_data(
    planned: Planned, located: Mapping[str, data.Located], offline: bool, unavailable: Mapping[str, str]
) -> Planned:
    """A miss whose data set is not at hand: to be fetched by `run`, or skipped."""
    here = located.get(planned.cell.dataset) if planned.cell.dataset else None
    if planned.status == "hit" or here is None or here.problem is None:
        return planned
    if here.dataset.name in unavailable:
        return replace(planned, status="skipped", reason=unavailable[here.dataset.name])
    if here.fetchable and not offline:
        return replace(planned, reason=f"{planned.reason}; {here.problem}; run fetches it")
    return replace(planned, status="skipped", reason=f"{here.problem}; fetch it with: {here.command}")


def drift(plan: Sequence[Planned], store_root: Path, now: Mapping[str, str]) -> list[str]:
    """How the software behind the hits differs from today's: one line per difference, with its count."""
    import json

    counts: dict[str, int] = {}
    for planned in plan:
        if planned.status != "hit" or planned.record is None:
            continue
        path = store_root / "envs" / f"{planned.record.environment}.json"
        made = json.loads(path.read_text()) if path.is_file() else {}
        for name in _differences(made, now):
            line = f"{name} {made.get(name, 'unknown')} (now {now.get(name, 'none')})"
            counts[line] = counts.get(line, 0) + 1
    return [f"{count} results were made with {line}" for line, count in sorted(counts.items())]
