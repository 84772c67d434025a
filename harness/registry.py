"""What there is to run: tasks and methods, found by reading their source and importing none of it."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from harness import strict
from harness.declare import Metric
from harness.errors import UserError, did_you_mean

PACKAGE = Path(__file__).resolve().parent
BUNDLED = PACKAGE / "bundled"
HOME = BUNDLED if BUNDLED.is_dir() else PACKAGE.parent
"""Where `methods`, `baselines`, `suites` and `results/published` lie: a clone's root, or inside a wheel."""

_TYPES: dict[str, Any] = {"int": int, "float": float, "str": str, "bool": bool, "None": None}


@dataclass(frozen=True)
class Parameter:
    """One keyword parameter: its type (see `strict.fit_scalar`) and default, unless it is required."""

    name: str
    hint: Any
    default: Any
    required: bool


@dataclass(frozen=True)
class Method:
    """A decorated function of a method file. `room` is the folder or package it came from."""

    name: str
    task: str
    cite: str
    doc: str
    path: Path
    line: int
    room: str
    parameters: dict[str, Parameter]
    module: str | None = None
    """The import name of a method from an installed package; others are loaded by their path."""


@dataclass(frozen=True)
class Task:
    """A task file: what its problem and its score can be told, and what it measures."""

    name: str
    doc: str
    path: Path
    score_function: str
    problem_parameters: dict[str, Parameter]
    score_parameters: dict[str, Parameter]
    metrics: dict[str, Metric]

    @property
    def parameters(self) -> dict[str, Parameter]:
        return self.problem_parameters | self.score_parameters


@dataclass
class Registry:
    """All tasks by name and all methods by (task, name)."""

    tasks: dict[str, Task] = field(default_factory=dict)
    methods: dict[tuple[str, str], Method] = field(default_factory=dict)

    def of_task(self, task: str) -> dict[str, Method]:
        return {method.name: method for method in self.methods.values() if method.task == task}


def scan(folders: Sequence[Path] = ()) -> Registry:
    """Read the harness's own files, the user's `folders`, and the entry point group `harness.methods`.

    Raises `UserError` with file and line for a file that breaks the rules.
    """
    registry = Registry()
    for path in sorted((PACKAGE / "tasks").glob("[!_]*.py")):
        found = _scan_task(path)
        registry.tasks[found.name] = found
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"--methods {folder}: no such folder")
    for room in dict.fromkeys(room.resolve() for room in [HOME / "baselines", HOME / "methods", *folders]):
        for path in sorted(room.glob("[!_]*.py")):
            _add(registry, _scan_methods(path, room.name))
    _add(registry, _entry_points())
    return registry


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
        twin = registry.methods.setdefault((method.task, method.name), method)
        if (twin.path, twin.line) != (method.path, method.line):
            raise UserError(f"{where} is also defined in {twin.path}:{twin.line}; rename one of them")


def _entry_points() -> list[Method]:
    from importlib.metadata import entry_points
    from importlib.util import find_spec

    found = []
    for point in entry_points(group="harness.methods"):
        try:
            spec = find_spec(point.module)
        except ModuleNotFoundError:
            spec = None
        if spec is None or spec.origin is None:
            raise UserError(f"entry point {point.name!r}: the module {point.module} is not installed")
        methods = _scan_methods(Path(spec.origin), point.module)
        found += [replace(method, module=point.module) for method in methods]
    return found


def parse(path: Path) -> ast.Module:
    """The syntax tree of a source file; a broken file is a user's error with its line."""
    try:
        return ast.parse(path.read_bytes(), filename=str(path))
    except SyntaxError as error:
        raise UserError(f"{path}:{error.lineno}: not Python: {error.msg}") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read: {error}") from None


def _scan_methods(path: Path, room: str) -> list[Method]:
    found = []
    for function, mark in _marked(parse(path), "method"):
        if not isinstance(mark, ast.Call):
            raise UserError(f"{path}:{function.lineno}: write @harness.method(task=..., cite=...)")
        given = {word.arg: _literal(word.value, path) for word in mark.keywords if word.arg}
        if set(given) != {"task", "cite"}:
            raise UserError(f"{path}:{function.lineno}: @harness.method takes exactly task=... and cite=...")
        if len(function.args.args) != 2:
            raise UserError(f"{path}:{function.lineno}: {function.name} must take (problem, run, *, ...)")
        found.append(
            Method(
                name=function.name,
                task=given["task"],
                cite=given["cite"],
                doc=ast.get_docstring(function) or "",
                path=path,
                line=function.lineno,
                room=room,
                parameters=_parameters(function, path),
            )
        )
    return found


def _scan_task(path: Path) -> Task:
    tree = parse(path)
    problems, scores = _marked(tree, "task"), _marked(tree, "score")
    if len(problems) != 1 or len(scores) != 1:
        raise UserError(f"{path}: a task file has one @harness.task and one @harness.score function")
    problem, score = problems[0][0], scores[0][0]
    return Task(
        name=problem.name,
        doc=ast.get_docstring(tree) or "",
        path=path,
        score_function=score.name,
        problem_parameters=_parameters(problem, path),
        score_parameters=_parameters(score, path),
        metrics=_metrics(tree, path),
    )


def _marked(tree: ast.Module, role: str) -> list[tuple[ast.FunctionDef, ast.expr]]:
    """Top-level functions decorated `@harness.<role>` or `@<role>`, with or without arguments."""
    found = []
    for node in tree.body:
        if not isinstance(node, ast.FunctionDef):
            continue
        for mark in node.decorator_list:
            target = mark.func if isinstance(mark, ast.Call) else mark
            if ast.unparse(target) in (role, f"harness.{role}"):
                found.append((node, mark))
    return found


def _parameters(function: ast.FunctionDef, path: Path) -> dict[str, Parameter]:
    made = {}
    for argument, default in zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True):
        where = f"{path}:{argument.lineno}: {function.name}: the parameter {argument.arg!r}"
        if argument.annotation is None:
            raise UserError(f"{where} needs a type: int, float, str, bool, Literal[...] or X | None")
        hint = _hint(argument.annotation, path, where)
        value = None
        if default is not None:
            faults: list[strict.Fault] = []
            given = strict.Entry(_literal(default, path), default.lineno)
            value = strict.convert(hint, given, faults, argument.arg)
            for fault in faults:
                raise UserError(f"{where} has a default that does not fit: {fault.message}")
        made[argument.arg] = Parameter(argument.arg, hint, value, required=default is None)
    return made


def _hint(node: ast.expr, path: Path, where: str) -> Any:
    text = ast.unparse(node)
    if text in _TYPES:
        return _TYPES[text]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return _hint(node.left, path, where) | (_hint(node.right, path, where) or None)
    if isinstance(node, ast.Subscript) and ast.unparse(node.value).split(".")[-1] == "Literal":
        options = _literal(node.slice, path)
        return Literal[options if isinstance(options, tuple) else (options,)]  # type: ignore[valid-type]
    raise UserError(f"{where} has the type {text}; use int, float, str, bool, Literal[...] or X | None")


def _metrics(tree: ast.Module, path: Path) -> dict[str, Metric]:
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "METRICS":
            calls = node.value.elts if isinstance(node.value, ast.Tuple | ast.List) else []
            metrics = [_metric(call, path) for call in calls]
            return {metric.name: metric for metric in metrics}
    raise UserError(f"{path}: a task file has METRICS = (harness.Metric(...), ...)")


def _metric(node: ast.expr, path: Path) -> Metric:
    if not isinstance(node, ast.Call):
        raise UserError(f"{path}:{node.lineno}: METRICS holds harness.Metric(...) only")
    words = {word.arg: _literal(word.value, path) for word in node.keywords if word.arg}
    try:
        return Metric(*[_literal(value, path) for value in node.args], **words)
    except TypeError as error:
        raise UserError(f"{path}:{node.lineno}: {error}") from None


def _literal(node: ast.expr, path: Path) -> Any:
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError):
        raise UserError(f"{path}:{node.lineno}: {ast.unparse(node)} must be a literal") from None


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
    return {name: {"default": word.default, "required": word.required} for name, word in parameters.items()}
