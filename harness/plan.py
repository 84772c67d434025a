"""What a suite still has to compute, and for every cell the reason."""

from __future__ import annotations

import functools
import operator
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from harness import data, key
from harness.declared import Method, Task
from harness.errors import UserError, did_you_mean
from harness.key import Inputs, Keys, Source
from harness.registry import Registry
from harness.store import Damaged, Record, Store
from harness.suite import Cell, Suite, named_data

FILTERS = ("task", "method", "dataset", "seed")


@dataclass(frozen=True)
class Half:
    """One of a cell's two jobs: where its code is found, and the data sets that it may read."""

    sources: list[Source]
    datasets: tuple[str, ...]


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
    fit: Half
    score: Half
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
            "settings": cell.settings,
            "seed": cell.seed,
            "assets": self.record.assets if self.record else {},
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
    cells = _wanted(suite, only or {})
    sets = [_data_of(cell, registry) for cell in cells]
    located = {name: data.locate(name) for name in {name for both in sets for name in (*both[0], *both[1])}}
    kinds = [(cell.task, cell.method, *both) for cell, both in zip(cells, sets, strict=True)]
    halves = {kind: _halves(registry, located, *kind) for kind in dict.fromkeys(kinds)}
    looked_up = [
        _look_up(cell, registry, store, halves[kind], force) for cell, kind in zip(cells, kinds, strict=True)
    ]
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
        filters.setdefault(name, []).extend(value.strip() for value in values.split(","))
    return filters


def _wanted(suite: Suite, only: Mapping[str, Sequence[str]]) -> list[Cell]:
    """The cells that a filter keeps. Raises `UserError` for a value that no cell has, and if none is left."""
    shown = [{name: str(getattr(cell, name)) for name in FILTERS} for cell in suite.cells]
    for name, values in only.items():
        known = {each[name] for each in shown}
        for value in values:
            if value not in known:
                hint = did_you_mean(value, known)
                raise UserError(f"--only {name}={value}: no cell of {suite.path} has it{hint}")
    pairs = zip(suite.cells, shown, strict=True)
    kept = [cell for cell, own in pairs if all(own[name] in values for name, values in only.items())]
    if not kept:
        spelled = " ".join(f"{name}={','.join(values)}" for name, values in only.items())
        raise UserError(f"{suite.path}: no cell is left by --only {spelled}")
    return kept


def _data_of(cell: Cell, registry: Registry) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The data sets that a cell's parameters name: those its fit may read, and those its score may."""
    task, method = registry.tasks[cell.task], registry.methods[cell.task, cell.method]
    fit = named_data(task.problem_parameters | method.parameters, cell.problem | cell.parameters)
    score = named_data(task.score_parameters, cell.score)
    return tuple(fit), tuple(sorted({*fit, *score}))


def _halves(
    registry: Registry,
    located: Mapping[str, data.Located],
    task_name: str,
    method_name: str,
    fit_data: tuple[str, ...],
    score_data: tuple[str, ...],
) -> tuple[Half, Half, Inputs]:
    """A cell's two jobs and what they are made from: alike for all cells of a method on the same data."""
    task, method = registry.tasks[task_name], registry.methods[task_name, method_name]
    sources = {name: located[name].dataset.source for name in score_data}
    fit_sources = key.fit_sources(task.path, method.path, method.root, [sources[n] for n in fit_data])
    score_sources = key.score_sources(task.score_path, sources.values())
    inputs = Inputs(
        key.code_of(fit_sources),
        key.code_of(score_sources),
        checksums(located, fit_data),
        checksums(located, set(score_data) - set(fit_data)),
    )
    return Half(fit_sources, fit_data), Half(score_sources, score_data), inputs


def _look_up(
    cell: Cell, registry: Registry, store: Store, halves: tuple[Half, Half, Inputs], force: bool
) -> Planned:
    task, method = registry.tasks[cell.task], registry.methods[cell.task, cell.method]
    fit, score, inputs = halves
    keys = key.keys(cell.task, cell.method, cell.seed, cell.problem, cell.score, cell.parameters, inputs)
    planned = Planned(cell, task, method, inputs, keys, "miss", "", fit, score, forced=force)
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


def checksums(located: Mapping[str, data.Located], names: Iterable[str]) -> dict[str, str]:
    """The checksums of all files of these data sets, by file."""
    return {file: sha for name in sorted(names) for file, sha in located[name].checksums.items()}


def _explain(looked_up: Sequence[Planned], store: Store) -> list[Planned]:
    """Give every cell that has no result the reason: the nearest earlier record tells what is different."""
    if all(planned.status == "hit" or planned.reason for planned in looked_up):
        return list(looked_up)
    known = _Known(store.records())
    return [
        planned if planned.status == "hit" or planned.reason else _compare(planned, known)
        for planned in looked_up
    ]


class _Known:
    """The records of a store, to be found by what they answer. Each look-up costs the same, however many
    there are."""

    def __init__(self, records: Iterable[Record]) -> None:
        self.same: dict[str, Record] = {}
        self.kin: dict[tuple[Any, ...], Record] = {}
        for record in records:
            best = max(self.same.get(record.address, record), record, key=_worth)
            self.same[record.address] = best
            for place in (_family(record), *_neighbourhoods(record)):
                self.kin[place] = max(self.kin.get(place, record), record, key=_worth)

    def nearest(self, cell: Cell) -> Record | None:
        """A record of the same task, method, data set and seed: one that differs in a single setting if
        there is one, else the latest."""
        found = (self.kin.get(place) for place in (*_neighbourhoods(cell), _family(cell)))
        return next(filter(None, found), None)


def _worth(record: Record) -> tuple[bool, float]:
    return record.status == "ok", record.finished


def _family(of: Cell | Record) -> tuple[Any, ...]:
    return of.task, of.method, of.dataset, of.seed


def _neighbourhoods(of: Cell | Record) -> Iterator[tuple[Any, ...]]:
    """For each setting: all the others. Two cells with one of these in common differ in that setting only."""
    family = _family(of)
    marks = {name: hash((name, repr(value))) for name, value in of.settings.items()}
    every = functools.reduce(operator.xor, marks.values())
    for name, mark in marks.items():
        yield (*family, name, every ^ mark)


def _compare(planned: Planned, known: _Known) -> Planned:
    """The reason of a miss: what is different from the record that comes nearest."""
    same = known.same.get(planned.keys.address)
    if same:
        data_now = planned.inputs.data | planned.inputs.score_data
        if moved := _differences(same.data | same.score_data, data_now):
            return replace(planned, reason="data: " + ", ".join(moved))
        if changed := _changed_files(same, planned.inputs):
            bless = same.key if same.status == "ok" else ""
            return replace(planned, reason="code: " + ", ".join(changed), predecessor=bless)
        return replace(planned, reason="key format")
    nearest = known.nearest(planned.cell)
    if nearest is None:
        return replace(planned, reason="new")
    then, now = nearest.settings, planned.cell.settings
    shown = [f"{name} {then.get(name)} -> {now.get(name)}" for name in _differences(then, now)]
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
    absent = [located[name] for name in planned.score.datasets if located[name].problem is not None]
    if planned.status == "hit" or not absent:
        return planned
    for here in absent:
        if here.dataset.name in unavailable:
            return replace(planned, status="skipped", reason=unavailable[here.dataset.name])
        if offline or not here.fetchable:
            reason = f"{here.problem}; fetch it with: {here.command}"
            return replace(planned, status="skipped", reason=reason)
    problems = "; ".join(str(here.problem) for here in absent)
    return replace(planned, reason=f"{planned.reason}; {problems}; run fetches it")


def drift(plan: Sequence[Planned], store: Store, now: Mapping[str, str]) -> list[str]:
    """How the software behind the hits differs from today's: one line per difference, with its count."""
    hits = Counter(
        planned.record.environment for planned in plan if planned.status == "hit" and planned.record
    )
    counts: Counter[str] = Counter()
    for environment, count in hits.items():
        made = store.software(environment)
        for name in _differences(made, now):
            counts[f"{name} {made.get(name, 'unknown')} (now {now.get(name, 'none')})"] += count
    return [f"{count} results were made with {line}" for line, count in sorted(counts.items())]
