"""From a suite file to its cells: every error with file and line, then the product of all axes."""

from __future__ import annotations

import itertools
import math
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness import data, strict_yaml
from harness.declared import Method, Parameter, Task
from harness.errors import UserError, did_you_mean
from harness.key import settings
from harness.registry import HOME, TABLES, Registry
from harness.strict_yaml import Entry, Fault, InvalidFile, describe

_BLOCK_KEYS = ("task", "methods", "seeds", "limits")


@dataclass(frozen=True)
class Limits:
    """What one job of a cell may take. Recorded, never part of a key.

    Past `seconds` or `memory_gb` its process group is killed. `cpus` and `gpus` are the places it occupies:
    a method with processes of its own says so; threads stay one, whatever it says. `gpus` counts where the
    device is one; 0.25 lets four such jobs share a GPU.
    """

    seconds: float = 600.0
    memory_gb: float = 8.0
    cpus: int = 1
    gpus: float = 1


@dataclass(frozen=True)
class Cell:
    """One task, one method, fully resolved parameters, one seed."""

    task: str
    method: str
    seed: int
    problem: dict[str, Any]
    score: dict[str, Any]
    parameters: dict[str, Any]
    limits: Limits = field(compare=False, repr=False)

    @property
    def dataset(self) -> str | None:
        return self.problem.get("dataset")

    @property
    def settings(self) -> dict[str, Any]:
        """Everything that the result depends on beside the seed: method, data set and all parameters."""
        return settings(self.method, self.problem, self.score, self.parameters)


@dataclass(frozen=True)
class Suite:
    """A named list of cells and the tables that show them."""

    name: str
    path: Path
    cells: list[Cell]
    tables: list[str]


@dataclass
class _File:
    cells: list[Entry]
    title: str = ""
    seeds: Entry = field(default_factory=lambda: Entry([Entry(0, 0)], 0))
    limits: Entry = field(default_factory=lambda: Entry({}, 0))
    tables: list[str] = field(default_factory=list)


def find(name: str) -> Path:
    """The suite file called `name`: a path, or one that the harness brings (`suites/quick.yaml`, `quick`)."""
    for candidate in (Path(name), HOME / name, HOME / "suites" / f"{name}.yaml"):
        if candidate.is_file():
            return candidate
    raise UserError(f"{name}: no such suite file{did_you_mean(Path(name).stem, bundled())}")


def bundled() -> list[str]:
    """Names of the suites that the harness brings."""
    return sorted(path.stem for path in (HOME / "suites").glob("*.yaml"))


def load(path: Path, registry: Registry) -> Suite:
    """Read and expand a suite. Raises `InvalidFile` with all faults; then nothing has been run."""
    faults: list[Fault] = []
    entry = strict_yaml.parse(path, faults)
    file = strict_yaml.build(_File, entry, faults) or _salvage(entry)
    reader = _Block(registry, faults)
    if not file.cells:
        reader.seeds(file.seeds)
        reader.limits(file.limits)
        if isinstance(entry.value, dict) and "cells" in entry.value and entry.value["cells"].value == []:
            reader.fault(entry.value["cells"], "cells", "there is nothing to run")
    cells: dict[str, Cell] = {}
    for block in file.cells:
        for cell in reader.expand(block, file.seeds, file.limits):
            cells.setdefault(repr(cell), cell)
    for table in file.tables:
        try:
            TABLES.find(table)
        except UserError as error:
            faults.append(Fault(entry.value["tables"].line, "tables", str(error)))
    if faults:
        raise InvalidFile(path, faults)
    return Suite(path.stem, path, list(cells.values()), file.tables)


def _salvage(entry: Entry) -> _File:
    """What can be read of a file with a faulty head, so that the faults of its blocks are told as well."""
    given = entry.value if isinstance(entry.value, dict) else {}
    cells = given["cells"].value if "cells" in given else None
    kept = {key: given[key] for key in ("seeds", "limits") if key in given}
    return _File(cells if isinstance(cells, list) else [], **kept)


class _Block:
    """One entry of `cells`: a task, its parameters, and methods with theirs."""

    def __init__(self, registry: Registry, faults: list[Fault]) -> None:
        self.registry = registry
        self.faults = faults

    def fault(self, entry: Entry, key: str, message: str) -> None:
        self.faults.append(Fault(entry.line, key, message))

    def expand(self, block: Entry, seeds: Entry, limits: Entry) -> list[Cell]:
        if not isinstance(block.value, dict):
            self.fault(block, "cells", f"expected keys and values, found {describe(block)}")
            return []
        given = dict(block.value)
        task = self._task(block)
        numbers = self.seeds(given.get("seeds", seeds))
        bounds = self.limits(given.get("limits", limits))
        methods = self._methods(block, task)
        if task is None:
            return []
        axes = {key: entry for key, entry in given.items() if key not in _BLOCK_KEYS}
        choices = self._grid(axes, task.parameters, f"task {task.name}", block)
        made = []
        for seed in numbers:
            for setting in choices:
                problem = {name: setting[name] for name in task.problem_parameters}
                score = {name: setting[name] for name in task.score_parameters}
                made += [
                    Cell(task.name, name, seed, problem, score, parameters, bounds)
                    for name, parameters in methods
                ]
        return made

    def _task(self, block: Entry) -> Task | None:
        entry = block.value.get("task")
        if entry is None:
            self.fault(block, "task", "the key 'task' is missing")
        elif not isinstance(entry.value, str):
            self.fault(entry, "task", f"expected text, found {describe(entry)}")
        elif entry.value not in self.registry.tasks:
            self.fault(
                entry, "task", f"unknown task {entry.value!r}{did_you_mean(entry.value, self.registry.tasks)}"
            )
        else:
            return self.registry.tasks[entry.value]
        return None

    def _methods(self, block: Entry, task: Task | None) -> list[tuple[str, dict[str, Any]]]:
        listed = block.value.get("methods")
        if listed is None:
            self.fault(block, "methods", "the key 'methods' is missing")
            return []
        if not isinstance(listed.value, list):
            self.fault(listed, "methods", f"expected a list of methods, found {describe(listed)}")
            return []
        if not listed.value:
            self.fault(listed, "methods", "an empty list leaves nothing to run")
        if task is None:
            return []
        made = []
        for entry in listed.value:
            name, settings = self._method_entry(entry)
            method = self._find_method(name, entry, task) if name else None
            if method:
                grid = self._grid(settings, method.parameters, f"method {name}", entry)
                made += [(method.name, setting) for setting in grid]
        return made

    def _method_entry(self, entry: Entry) -> tuple[str | None, dict[str, Entry]]:
        if isinstance(entry.value, str):
            return entry.value, {}
        if isinstance(entry.value, dict) and len(entry.value) == 1:
            name, settings = next(iter(entry.value.items()))
            if isinstance(settings.value, dict):
                return name, settings.value
            if settings.value is None:
                return name, {}
            self.fault(settings, name, f"expected parameters and values, found {describe(settings)}")
            return None, {}
        found = f"{len(entry.value)} keys" if isinstance(entry.value, dict) else describe(entry)
        self.fault(entry, "methods", f"expected a name or one 'name: {{parameters}}', found {found}")
        return None, {}

    def _find_method(self, name: str, entry: Entry, task: Task) -> Method | None:
        known = self.registry.of_task(task.name)
        if name not in known:
            self.fault(
                entry, "methods", f"task {task.name} has no method {name!r}{did_you_mean(name, known)}"
            )
        return known.get(name)

    def seeds(self, entry: Entry) -> list[int]:
        items = entry.value if isinstance(entry.value, list) else [entry]
        if not items:
            self.fault(entry, "seeds", "an empty list leaves nothing to run")
        seen: list[Any] = []
        for item in items:
            if type(item.value) is not int or item.value < 0:
                self.fault(item, "seeds", f"expected whole numbers from 0, found {describe(item)}")
            elif item.value in seen:
                self.fault(item, "seeds", f"{item.value} is given twice")
            seen.append(item.value)
        return seen

    def limits(self, entry: Entry) -> Limits:
        limits = strict_yaml.build(Limits, entry, self.faults, "limits") or Limits()
        for name, value in vars(limits).items():
            if not (0 < value < math.inf or (name == "gpus" and value == 0)):
                self.fault(entry.value[name], name, f"expected a positive number, found {value}")
        return limits

    def _grid(
        self, axes: dict[str, Entry], parameters: dict[str, Parameter], owner: str, where: Entry
    ) -> list[dict[str, Any]]:
        """All settings of `parameters`: a list is an axis, 'a, b' ties axes, the rest takes its default."""
        choices: list[list[dict[str, Any]]] = []
        named: set[str] = set()
        for key, entry in axes.items():
            # Python reads the names of parameters so, whatever letters their authors typed.
            names = [unicodedata.normalize("NFKC", name.strip()) for name in key.split(",")]
            unknown = [name for name in names if name not in parameters]
            for name in unknown:
                self.fault(entry, name, f"{owner} has no such parameter{did_you_mean(name, parameters)}")
            for name in names:
                if name in named or names.count(name) > 1:
                    self.fault(entry, name, "given twice")
            named |= set(names)
            if not unknown:
                choices.append(self._axis(names, entry, parameters))
        for name, parameter in parameters.items():
            if parameter.required and name not in named:
                self.fault(where, name, f"{owner} needs this parameter")
        defaults = {name: parameter.default for name, parameter in parameters.items()}
        return [
            defaults | {name: value for setting in combination for name, value in setting.items()}
            for combination in itertools.product(*choices)
        ]

    def _axis(self, names: list[str], entry: Entry, parameters: dict[str, Parameter]) -> list[dict[str, Any]]:
        if len(names) == 1:
            items = entry.value if isinstance(entry.value, list) else [entry]
            if not items:
                self.fault(entry, names[0], "an empty list leaves nothing to run")
            return [{names[0]: self._value(parameters[names[0]], item)} for item in items]
        rows = entry.value if isinstance(entry.value, list) else []
        good = [row for row in rows if isinstance(row.value, list) and len(row.value) == len(names)]
        if not rows or len(good) < len(rows):
            self.fault(entry, ", ".join(names), f"expected a list of lists of {len(names)} values")
        return [
            {name: self._value(parameters[name], item) for name, item in zip(names, row.value, strict=True)}
            for row in good
        ]

    def _value(self, parameter: Parameter, entry: Entry) -> Any:
        before = len(self.faults)
        value = strict_yaml.convert(parameter.hint, entry, self.faults, parameter.name)
        if len(self.faults) == before and (fault := parameter.fault(value)):
            self.fault(entry, parameter.name, fault)
        if parameter.names_data and isinstance(value, str) and value not in data.names():
            hint = did_you_mean(value, data.names())
            self.fault(entry, parameter.name, f"unknown data set {value!r}{hint}")
        return value


def named_data(parameters: dict[str, Parameter], values: dict[str, Any]) -> list[str]:
    """The data sets that `values` of these parameters name."""
    return sorted({values[n] for n, word in parameters.items() if word.names_data and values[n]})
