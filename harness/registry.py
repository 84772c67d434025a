"""What there is to run: all tasks and methods, in the harness, in folders and in installed packages."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from harness import declared
from harness.declared import Method, Parameter, Task
from harness.errors import UserError, did_you_mean

PACKAGE = Path(__file__).resolve().parent
BUNDLED = PACKAGE / "bundled"
HOME = BUNDLED if BUNDLED.is_dir() else PACKAGE.parent
"""Where `methods`, `baselines`, `suites` and `results/published` lie: a clone's root, or inside a wheel."""

STUDIES = PACKAGE / "studies"


@dataclass(frozen=True)
class Shelf:
    """What is declared in a folder of `suites`, a file each, and what one is called in an error."""

    folder: Path
    what: str

    def names(self) -> list[str]:
        return sorted(path.stem for path in self.folder.glob("[!.]*.yaml"))

    def find(self, name: str) -> Path:
        """The file of that name. Raises `UserError` if there is none."""
        if name not in (known := self.names()):
            raise UserError(f"no {self.what} {name!r}{did_you_mean(name, known)}")
        return self.folder / f"{name}.yaml"


TABLES = Shelf(HOME / "suites" / "tables", "table")
FIGURES = Shelf(HOME / "suites" / "figures", "figure")
CLAIMS = Shelf(HOME / "suites" / "claims", "claims of")


@dataclass
class Registry:
    """All tasks by name and all methods by (task, name)."""

    tasks: dict[str, Task] = field(default_factory=dict)
    methods: dict[tuple[str, str], Method] = field(default_factory=dict)

    def of_task(self, task: str) -> dict[str, Method]:
        return {method.name: method for method in self.methods.values() if method.task == task}


def scan(folders: Sequence[Path] = ()) -> Registry:
    """Read the harness's own files, the user's `folders`, and the entry point group `harness.methods`.

    Raises `UserError` with file and line for a file that breaks the rules. A package of somebody else's that
    cannot be read is told on standard error and left out.
    """
    registry = Registry()
    for path in sorted(STUDIES.rglob("task.py")):
        found = declared.task(path)
        registry.tasks[found.name] = found
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"--methods {folder}: no such folder")
    for room in dict.fromkeys(room.resolve() for room in [HOME / "baselines", HOME / "methods", *folders]):
        for path in sources(room):
            _add(registry, declared.methods(path, room.name, room))
    for name, module in _entry_points():
        try:
            _add(registry, _scan_package(name, module))
        except UserError as error:
            print(f"harness: {error}; its methods are left out", file=sys.stderr)
    return registry


def sources(folder: Path) -> list[Path]:
    """The method files of a folder: not those whose names begin with a dot or an underscore."""
    return sorted(path for path in folder.glob("[!_.]*.py") if path.is_file())


def _add(registry: Registry, methods: Iterable[Method]) -> None:
    for method in methods:
        where = f"{method.path}:{method.line}: {method.name}"
        task = registry.tasks.get(method.task)
        if task is None:
            raise UserError(
                f"{where}: there is no task {method.task!r}{did_you_mean(method.task, registry.tasks)}"
            )
        clash = set(method.parameters) & set(task.parameters)
        if clash:
            raise UserError(f"{where}: the parameter {min(clash)!r} is the task's already; rename it")
        if taken := method.parameters.keys() & {"method", "seed"}:
            raise UserError(f"{where}: every cell has a {min(taken)} already; rename the parameter")
        for metric, line in method.measures:
            if metric not in task.metrics:
                raise UserError(
                    f"{method.path}:{line}: {method.name}: the task {task.name} declares no metric "
                    f"{metric!r}{did_you_mean(metric, task.metrics)}"
                )
        twin = registry.methods.setdefault((method.task, method.name), method)
        if (twin.path, twin.line) != (method.path, method.line):
            raise UserError(f"{where} is also defined in {twin.path}:{twin.line}; rename one of them")


def _entry_points() -> Iterator[tuple[str, str]]:
    from importlib.metadata import entry_points

    for point in entry_points(group="harness.methods"):
        yield point.name, point.module


def _scan_package(name: str, module: str) -> list[Method]:
    """The methods of an entry point. Its package is looked for, and not imported."""
    path = _module_file(module)
    if path is None:
        raise UserError(f"entry point {name!r}: the module {module} is not installed")
    depth = module.count(".") + (path.name == "__init__.py")
    package = path.parents[depth - 1] if depth else path.with_suffix("")  # nothing lies below a lone file
    return declared.methods(path, module, package, module)


def _module_file(module: str) -> Path | None:
    """Where the source of `module` lies, found without running its parents' code."""
    from importlib.machinery import PathFinder
    from importlib.util import find_spec

    parts = module.split(".")
    spec = find_spec(parts[0])  # asks the finders of editable installs, too
    for index in range(1, len(parts)):
        where = list(spec.submodule_search_locations or []) if spec else []
        spec = PathFinder.find_spec(".".join(parts[: index + 1]), where)
    return Path(spec.origin) if spec and spec.origin and spec.origin.endswith(".py") else None


def as_json(registry: Registry) -> dict[str, Any]:
    """The registry as plain values, for `harness list --json`."""
    return {
        "tasks": [
            {
                "name": task.name,
                "doc": task.doc,
                "parameters": _plain(task.parameters),
                "metrics": [asdict(metric) for metric in task.metrics.values()],
            }
            for task in registry.tasks.values()
        ],
        "methods": [
            {
                "name": method.name,
                "task": method.task,
                "room": method.room,
                "cite": method.cite,
                "doc": method.doc,
                "parameters": _plain(method.parameters),
            }
            for method in registry.methods.values()
        ],
    }


def _plain(parameters: dict[str, Parameter]) -> dict[str, Any]:
    return {
        name: {
            "default": word.default,
            "required": word.required,
            "range": str(word.interval) if word.interval else None,
        }
        for name, word in parameters.items()
    }
