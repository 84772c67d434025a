"""The key of a cell: what its result depends on, and nothing else.

A cell is fitted, then scored, so it has two keys: `fit` covers all that training saw, `key` adds the scoring.
Code counts by its syntax tree: comments, docstrings and layout do not. See docs/cache-key.md.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.registry import HOME, PACKAGE, parse

FORMAT = 1
"""Raise it when the meaning of a stored cell changes: every key changes with it."""

_ROOMS = ("kit", "tasks", "datasets")
"""The parts of the package whose code decides results; the rest is the engine and is not hashed."""

_DECLARED = frozenset({"FILES", "LICENCE", "_file"})
"""What a data set's module says about where its files come from; their checksums count instead."""


@dataclass(frozen=True)
class Inputs:
    """What a cell was made from: digests of code by file, checksums of data by file."""

    fit_code: dict[str, str]
    score_code: dict[str, str]
    data: dict[str, str]


@dataclass(frozen=True)
class Keys:
    """`address` names the question asked (it ignores code and data); `fit` and `key` the exact answer."""

    address: str
    fit: str
    key: str


def canonical(value: Any) -> str:
    """One text per value: sorted keys, no spaces, 1 and 1.0 apart."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def digest(value: Any) -> str:
    """128 bits of SHA-256 over the canonical text, in hexadecimal."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:32]


def keys(
    task: str, method: str, seed: int, problem: dict, score: dict, parameters: dict, inputs: Inputs
) -> Keys:
    """The keys of a cell from its resolved parameters (problem's, score's, method's) and its inputs."""
    asked = [task, problem, method, parameters, seed]
    fit = digest([FORMAT, "fit", *asked, inputs.fit_code, inputs.data])
    return Keys(
        address=digest([*asked, score]),
        fit=fit,
        key=digest([FORMAT, "cell", fit, score, inputs.score_code]),
    )


def code_inputs(
    task: Path, score_function: str, method: Path, dataset: Path | None
) -> tuple[dict[str, str], dict[str, str]]:
    """Digests of the code behind a cell, by file label: (what the fit depends on, what the score adds).

    Takes the files of its task, method and data set. The score function is not part of the fit unless other
    code of the task file names it.
    """
    data = dataset_inputs(dataset) if dataset else {}
    fit = data | closure(task, frozenset({score_function, "METRICS"})) | closure(method)
    return fit, data | closure(task, frozenset({"METRICS"}))


def asset_inputs(path: Path, score_function: str) -> dict[str, str]:
    """Digests of the code behind an asset whose builder is in the file `path`: scoring is no part of it."""
    return closure(path, frozenset({score_function, "METRICS"}))


def dataset_inputs(path: Path) -> dict[str, str]:
    """Digests of the code that reads a data set, whose module is the file `path`."""
    return closure(path, _DECLARED)


@functools.cache
def closure(path: Path, hidden: frozenset[str] = frozenset()) -> dict[str, str]:
    """Digests of a file and of every project file that it imports, however indirectly.

    Names in `hidden` are left out of the first file, unless the rest of that file uses them.
    """
    found: dict[str, str] = {}
    waiting: list[tuple[Path, frozenset[str]]] = [(path, hidden)]
    while waiting:
        file, names = waiting.pop()
        if label(file) not in found:
            found[label(file)], imports = _read(file, names)
            waiting += [(imported, frozenset()) for imported in imports]
    return found


def label(path: Path) -> str:
    """How a file is named in keys and messages: independent of where the project lies."""
    path = path.resolve()
    for room in ("methods", "baselines"):
        if path.is_relative_to(HOME / room):
            return str(path.relative_to(HOME))
    return str(path.relative_to(PACKAGE.parent)) if path.is_relative_to(PACKAGE) else path.name


@functools.cache
def _read(path: Path, hidden: frozenset[str]) -> tuple[str, list[Path]]:
    """The digest of a file's syntax tree without `hidden` names, and the project files it imports."""
    tree = parse(path)
    kept = [node for node in tree.body if _defines(node) not in hidden]
    used = {node.id for top in kept for node in ast.walk(top) if isinstance(node, ast.Name)}
    tree.body = [node for node in tree.body if _defines(node) not in hidden - used]
    words: list[str] = []
    _write(tree, words)
    return hashlib.sha256("\x1f".join(words).encode()).hexdigest(), sorted(_imports(tree, path))


def _defines(node: ast.stmt) -> str | None:
    if isinstance(node, ast.FunctionDef):
        return node.name
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
        return node.targets[0].id
    return None


def _write(node: Any, words: list[str]) -> None:
    """Append the tree's meaning to `words`, alike under every supported Python.

    Positions are never fields; empty fields are left out because newer Pythons add such fields.
    """
    if isinstance(node, ast.AST):
        words.append(f"({type(node).__name__}")
        for name in node._fields:
            value = getattr(node, name, None)
            if (value is None and not isinstance(node, ast.Constant)) or value == []:
                continue
            if name in ("body", "values") and isinstance(value, list):
                value = [item for item in value if not _is_idle(node, item)]
            words.append(name)
            _write(value, words)
        words.append(")")
    elif isinstance(node, list):
        words.append("[")
        for item in node:
            _write(item, words)
        words.append("]")
    else:
        words.append(f"{type(node).__name__}:{node!r}")


def _is_idle(parent: ast.AST, item: ast.AST) -> bool:
    """Whether a part does nothing: a docstring, or an empty piece of an f-string, which Pythons differ in."""
    if isinstance(item, ast.Expr) and isinstance(item.value, ast.Constant):
        return isinstance(item.value.value, str)
    return isinstance(parent, ast.JoinedStr) and isinstance(item, ast.Constant) and item.value == ""


def _imports(tree: ast.Module, path: Path) -> set[Path]:
    """Files of the package's `kit`, `tasks` and `datasets` that the tree imports, at any depth of nesting."""
    names: set[str] = set()
    inside = path.resolve().is_relative_to(PACKAGE)
    package = ["harness", *path.resolve().relative_to(PACKAGE).parts[:-1]] if inside else []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            names |= {module} | {f"{module}.{alias.name}" for alias in node.names}
    return {file for name in names for file in _files(name)}


def _files(module: str) -> list[Path]:
    parts = module.split(".")
    if parts[0] != "harness" or len(parts) < 2 or parts[1] not in _ROOMS:
        return []
    base = PACKAGE.joinpath(*parts[1:])
    return [file for file in (base.with_suffix(".py"), base / "__init__.py") if file.is_file()]
