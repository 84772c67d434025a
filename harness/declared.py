"""What source files declare: tasks, methods, their parameters and metrics; read, and never imported."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from harness import strict_yaml
from harness.authoring import DEVICE_MEMORY, Metric
from harness.errors import UserError, did_you_mean
from harness.interval import Interval

_TYPES: dict[str, Any] = {"int": int, "float": float, "str": str, "bool": bool, "None": None}
_ROLES = ("asset", "method", "score", "task")
_DATA_SET = ("harness.DataSet", "DataSet")


@dataclass(frozen=True)
class Parameter:
    """One keyword parameter: its type (see `strict_yaml.fit_scalar`) and default, unless it is required.

    `interval` is the range of a number, where one is said; `names_data` is true for a `harness.DataSet`.
    """

    name: str
    hint: Any
    default: Any
    required: bool
    interval: Interval | None = None
    names_data: bool = False

    def fault(self, value: Any) -> str | None:
        """Why `value`, which has the right type, cannot be; None when it can."""
        if type(value) not in (int, float):
            return None
        if value - value != 0:
            return f"{value} is not a finite number"
        if self.interval and value not in self.interval:
            return f"{value} is outside its range, {self.interval}"
        return None


@dataclass(frozen=True)
class Method:
    """A decorated function of a method file. `room` is the folder or package it came from.

    `root` is the folder, a package's own or that of the file, whose code beside its own counts.
    """

    name: str
    task: str
    cite: str
    doc: str
    path: Path
    line: int
    room: str
    parameters: dict[str, Parameter]
    root: Path
    module: str | None = None
    """For a method of an installed package; the others are loaded by their path."""
    measures: tuple[tuple[str, int], ...] = ()
    """Metrics that its file tells `run.measure` of by name, with their lines."""


@dataclass(frozen=True)
class Task:
    """A study's task: what its problem and its score can be told, and what it measures."""

    name: str
    doc: str
    path: Path
    score_path: Path
    score_function: str
    problem_parameters: dict[str, Parameter]
    score_parameters: dict[str, Parameter]
    metrics: dict[str, Metric]

    @property
    def parameters(self) -> dict[str, Parameter]:
        return self.problem_parameters | self.score_parameters


def parse(path: Path) -> ast.Module:
    """The syntax tree of a source file; a broken file is a user's error with its line."""
    try:
        return ast.parse(path.read_bytes(), filename=str(path))
    except SyntaxError as error:
        where = f"{path}:{error.lineno}" if error.lineno else f"{path}"
        raise UserError(f"{where}: not Python: {error.msg}") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read: {error}") from None


def methods(path: Path, room: str, root: Path, module: str | None = None) -> list[Method]:
    """The methods of a file. Raises `UserError` with file and line where it breaks the rules."""
    found = []
    tree = parse(path)
    _check_marks(tree, path)
    for function, mark in _marked(tree, "method"):
        if not isinstance(mark, ast.Call):
            raise UserError(f"{path}:{function.lineno}: write @harness.method(task=..., cite=...)")
        given = {word.arg: _literal(word.value, path) for word in mark.keywords if word.arg}
        if mark.args or set(given) != {"task", "cite"}:
            raise UserError(f"{path}:{function.lineno}: @harness.method takes exactly task=... and cite=...")
        for word, value in given.items():
            if not isinstance(value, str):
                raise UserError(f"{path}:{mark.lineno}: @harness.method: {word}={value!r} must be text")
        if len(function.args.posonlyargs + function.args.args) != 2:
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
                root=root,
                module=module,
                measures=_measures(tree),
            )
        )
    return found


def _measures(tree: ast.Module) -> tuple[tuple[str, int], ...]:
    """The metrics that `run.measure` is called with, as far as they are literals, and their lines."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and node.args]
    return tuple(
        (call.args[0].value, call.lineno)
        for call in calls
        if ast.unparse(call.func) == "run.measure"
        and isinstance(call.args[0], ast.Constant)
        and isinstance(call.args[0].value, str)
    )


def task(path: Path) -> Task:
    """The task of a `task.py` and of the `score.py` beside it. Raises `UserError` likewise."""
    score_path = path.with_name("score.py")
    if not score_path.is_file():
        raise UserError(f"{path}: there must be a score.py beside it")
    tree, score_tree = parse(path), parse(score_path)
    _check_marks(tree, path)
    _check_marks(score_tree, score_path)
    problems, scores = _marked(tree, "task"), _marked(score_tree, "score")
    if len(problems) != 1:
        raise UserError(f"{path}: a task file has one @harness.task function")
    if len(scores) != 1:
        raise UserError(f"{score_path}: a score file has one @harness.score function")
    problem, score = problems[0][0], scores[0][0]
    asked, scored = _parameters(problem, path), _parameters(score, score_path)
    if clash := set(asked) & set(scored):
        raise UserError(f"{score_path}:{score.lineno}: the parameter {min(clash)!r} is the problem's already")
    return Task(
        name=problem.name,
        doc=ast.get_docstring(tree) or "",
        path=path,
        score_path=score_path,
        score_function=score.name,
        problem_parameters=asked,
        score_parameters=scored,
        metrics=_metrics(score_tree, score_path),
    )


def _marked(tree: ast.Module, role: str) -> list[tuple[ast.FunctionDef, ast.expr]]:
    """Top-level functions decorated with `harness`'s `role`."""
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    return [(node, mark) for node, mark, word in _marks(tree) if word == role and node in functions]


def _check_marks(tree: ast.Module, path: Path) -> None:
    """Raise `UserError` for marks that mean nothing: misspelt ones, and those of other things than functions
    at the top level."""
    for node, mark, word in _marks(tree):
        where = f"{path}:{mark.lineno}: @harness.{word}"
        if word not in _ROLES:
            raise UserError(f"{where}: there is no such mark{did_you_mean(word, _ROLES)}")
        if not isinstance(node, ast.FunctionDef) or node not in tree.body:
            raise UserError(f"{where} is for a plain function at the top level of its file")


def _marks(tree: ast.Module) -> Iterator[tuple[ast.AST, ast.expr, str]]:
    """What is decorated with something of `harness`, under whatever name the file imports it; the decorator,
    and its name in `harness`."""
    modules = {"harness"}
    words: dict[str, str] = {}
    for node in tree.body:
        if isinstance(node, ast.Import):
            modules |= {a.asname or a.name for a in node.names if a.name == "harness"}
        elif isinstance(node, ast.ImportFrom) and node.module == "harness" and not node.level:
            words |= {a.asname or a.name: a.name for a in node.names}
    for marked in ast.walk(tree):
        for mark in getattr(marked, "decorator_list", []):
            before, _, word = ast.unparse(mark.func if isinstance(mark, ast.Call) else mark).rpartition(".")
            if before in modules or (not before and word in words):
                yield marked, mark, word if before else words[word]


def _parameters(function: ast.FunctionDef, path: Path) -> dict[str, Parameter]:
    if rest := function.args.vararg or function.args.kwarg:
        raise UserError(
            f"{path}:{rest.lineno}: {function.name}: name every parameter instead of {rest.arg!r}"
        )
    made = {}
    for argument, default in zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True):
        where = f"{path}:{argument.lineno}: {function.name}: the parameter {argument.arg!r}"
        if argument.annotation is None:
            raise UserError(f"{where} needs a type: int, float, str, bool, Literal[...] or X | None")
        annotation, interval = _interval(argument.annotation, path, where)
        hint = _hint(annotation, path, where)
        names_data = any(ast.unparse(part) in _DATA_SET for part in _options(annotation))
        made[argument.arg] = parameter = Parameter(
            argument.arg, hint, None, default is None, interval, names_data
        )
        if default is not None:
            faults: list[strict_yaml.Fault] = []
            given = strict_yaml.Entry(_literal(default, path), default.lineno)
            value = strict_yaml.convert(hint, given, faults, argument.arg)
            messages = [fault.message for fault in faults] or [parameter.fault(value) or ""]
            for message in filter(None, messages):
                raise UserError(f"{where} has a default that does not fit: {message}")
            made[argument.arg] = replace(parameter, default=value)
    return made


def data_parameters(path: Path, function: str) -> set[str]:
    """The parameters of type `harness.DataSet` of a top-level function of the file `path`."""
    for node in parse(path).body:
        if isinstance(node, ast.FunctionDef) and node.name == function:
            arguments = [word for word in node.args.kwonlyargs if word.annotation is not None]
            return {
                word.arg
                for word in arguments
                if any(ast.unparse(part) in _DATA_SET for part in _options(word.annotation))  # type: ignore[arg-type]
            }
    return set()


def _interval(node: ast.expr, path: Path, where: str) -> tuple[ast.expr, Interval | None]:
    """The type and the range of `Annotated[type, "[0, 1)"]`; other annotations have no range."""
    if not (isinstance(node, ast.Subscript) and ast.unparse(node.value).split(".")[-1] == "Annotated"):
        return node, None
    parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else []
    if len(parts) != 2:
        raise UserError(f'{where}: write Annotated[float, "[0, 1)"]')
    try:
        return parts[0], Interval.parse(_literal(parts[1], path))
    except ValueError as error:
        raise UserError(f"{where}: {error}") from None


def _options(node: ast.expr) -> list[ast.expr]:
    """The types of a union."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return [*_options(node.left), *_options(node.right)]
    return [node]


def _hint(node: ast.expr, path: Path, where: str) -> Any:
    text = ast.unparse(node)
    if text in _DATA_SET:
        return str
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
            return {metric.name: metric for metric in [*metrics, DEVICE_MEMORY]}
    raise UserError(f"{path}: a score file has METRICS = (harness.Metric(...), ...)")


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
