"""The key of a cell: what its result depends on, and nothing else.

A cell is fitted, then scored, so it has two keys: `fit` covers all that training saw, `key` adds the scoring.
An asset has one of its own. Code counts by its syntax tree: comments, docstrings and layout do not. See
docs/cache-key.md.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from harness.declared import parse
from harness.registry import HOME, PACKAGE

FORMAT = 2
"""Raise it when the meaning of a stored result changes: every key changes with it."""

_ROOMS = ("kit", "studies", "datasets")
"""The parts of the package whose code decides results; the rest is the engine and is not hashed."""

_DECLARED = ("FILES", "LICENCE", "_file")
"""What a data set's module says about where its files come from; their checksums count instead."""

_METRICS = ("METRICS",)
"""What a score file says of its metrics: how they are shown and judged, not what they are."""

_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True)


@dataclass(frozen=True)
class Inputs:
    """What a cell was made from: digests of code by file, checksums of data by file.

    `data` is what the fit may read, `score_data` what the score may read beside it.
    """

    fit_code: dict[str, str]
    score_code: dict[str, str]
    data: dict[str, str]
    score_data: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Keys:
    """`address` names the question asked (it ignores code and data); `fit` and `key` the exact answer."""

    address: str
    fit: str
    key: str


def canonical(value: Any) -> str:
    """One text per value: sorted keys, no spaces, 1 and 1.0 apart."""
    return _ENCODER.encode(value)


def digest(value: Any) -> str:
    """128 bits of SHA-256 over the canonical text, in hexadecimal."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:32]


def settings(method: str, problem: dict, score: dict, parameters: dict) -> dict[str, Any]:
    """The settings of a cell: its resolved parameters, its method, and its data set where it has one."""
    merged = problem | score | parameters | {"method": method}
    return {name: value for name, value in merged.items() if name != "dataset" or value}


def keys(
    task: str, method: str, seed: int, problem: dict, score: dict, parameters: dict, inputs: Inputs
) -> Keys:
    """The keys of a cell from its resolved parameters (problem's, score's, method's) and its inputs."""
    asked = [task, problem, method, parameters, seed]
    fit = digest([FORMAT, "fit", *asked, inputs.fit_code, inputs.data])
    return Keys(
        address=digest([*asked, score]),
        fit=fit,
        key=digest([FORMAT, "cell", fit, score, inputs.score_code, inputs.score_data]),
    )


def asset_key(builder: str, parameters: Mapping[str, Any], code: Mapping[str, str], data: Mapping) -> str:
    """The key of what the function `builder` makes of its resolved parameters."""
    return digest([FORMAT, "asset", builder, parameters, code, data])


class Source(NamedTuple):
    """A file whose code counts, with all that it imports: from `root` too, but for the names in `hidden`."""

    path: str
    root: str = ""
    hidden: tuple[str, ...] = ()


def fit_sources(task: Path, method: Path, root: Path, datasets: Iterable[Path]) -> list[Source]:
    """What the code of a fit is found from. The method may import files of the folder `root`."""
    return [*_reading(datasets), Source(str(task)), Source(str(method.resolve()), str(root))]


def score_sources(score: Path, datasets: Iterable[Path]) -> list[Source]:
    """What the code of a score is found from."""
    return [*_reading(datasets), Source(str(score), hidden=_METRICS)]


def asset_sources(builder: Path, root: str, datasets: Iterable[Path]) -> list[Source]:
    """What the code of an asset is found from, whose builder is in the file `builder`."""
    return [*_reading(datasets), Source(str(builder), root)]


def _reading(datasets: Iterable[Path]) -> list[Source]:
    return [Source(str(path), hidden=_DECLARED) for path in datasets]


def code_of(sources: Iterable[Source]) -> dict[str, str]:
    """Digests of the code that these sources and their imports hold, by file label."""
    return _code_of(tuple(Source(path, root, tuple(hidden)) for path, root, hidden in sources))


@functools.cache
def _code_of(sources: tuple[Source, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for path, root, hidden in sources:
        found |= closure(Path(path), root=Path(root) if root else None, hidden=frozenset(hidden))
    return found


@functools.cache
def closure(path: Path, *, root: Path | None = None, hidden: frozenset[str] = frozenset()) -> dict[str, str]:
    """Digests of a file and of every project file that it imports, however indirectly.

    Project files are those of the package's rooms and those below `root`. Names in `hidden` are left out of
    the first file, unless the rest of that file uses them.
    """
    found: dict[str, str] = {}
    waiting: list[tuple[Path, frozenset[str]]] = [(path, hidden)]
    while waiting:
        file, names = waiting.pop()
        if label(file, root) not in found:
            found[label(file, root)], imports = _read(file, names, root)
            waiting += [(imported, frozenset()) for imported in imports]
    return found


def label(path: Path, root: Path | None = None) -> str:
    """How a file is named in keys and messages: independent of where the project lies."""
    path = path.resolve()
    for room in ("methods", "baselines"):
        if path.is_relative_to(HOME / room):
            return str(path.relative_to(HOME))
    if path.is_relative_to(PACKAGE):
        return str(path.relative_to(PACKAGE.parent))
    return str(path.relative_to(_above(root))) if root and path.is_relative_to(root) else path.name


def _above(root: Path) -> Path:
    """What paths of files below `root` are told from: a package is part of its files' names."""
    return root.parent if (root / "__init__.py").is_file() else root


def located(name: str, root: Path) -> Path:
    """The file that `label` has named so."""
    for room in ("methods", "baselines"):
        if name.startswith(f"{room}/") and (HOME / name).is_file():
            return HOME / name
    return (PACKAGE.parent if name.startswith("harness/") else _above(root)) / name


@functools.cache
def _read(path: Path, hidden: frozenset[str], root: Path | None) -> tuple[str, list[Path]]:
    """The digest of a file's syntax tree without `hidden` names, and the project files it imports."""
    tree = parse(path)
    kept = [node for node in tree.body if _defines(node) not in hidden]
    used = {node.id for top in kept for node in ast.walk(top) if isinstance(node, ast.Name)}
    tree.body = [node for node in tree.body if _defines(node) not in hidden - used]
    words = "\x1f".join(_words(tree))
    return hashlib.sha256(words.encode()).hexdigest(), sorted(_imports(tree, path, root))


def _defines(node: ast.stmt) -> str | None:
    if isinstance(node, ast.FunctionDef):
        return node.name
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
        return node.targets[0].id
    return None


@dataclass(frozen=True)
class _Word:
    text: str


def _words(tree: ast.Module) -> list[str]:
    """The tree's meaning, alike under every supported Python, however deep it is nested.

    Positions are never fields; empty fields are left out because newer Pythons add such fields.
    """
    words: list[str] = []
    waiting: list[Any] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, _Word):
            words.append(node.text)
        elif isinstance(node, ast.AST):
            words.append(f"({type(node).__name__}")
            waiting.append(_Word(")"))
            waiting.extend(reversed(list(_fields(node))))
        elif isinstance(node, list):
            words.append("[")
            waiting.append(_Word("]"))
            waiting.extend(reversed(node))
        else:
            words.append(f"{type(node).__name__}:{node!r}")
    return words


def _fields(node: ast.AST) -> Iterable[Any]:
    for name in node._fields:
        value = getattr(node, name, None)
        if (value is None and not isinstance(node, ast.Constant)) or value == []:
            continue
        if name in ("body", "values") and isinstance(value, list):
            value = [item for item in value if not _is_idle(node, item)]
        yield _Word(name)
        yield value


def _is_idle(parent: ast.AST, item: ast.AST) -> bool:
    """Whether a part does nothing: a docstring, or an empty piece of an f-string, which Pythons differ in."""
    if isinstance(item, ast.Expr) and isinstance(item.value, ast.Constant):
        return isinstance(item.value.value, str)
    return isinstance(parent, ast.JoinedStr) and isinstance(item, ast.Constant) and item.value == ""


def _imports(tree: ast.Module, path: Path, root: Path | None) -> set[Path]:
    """The project files that the tree imports, at any depth of nesting, and the packages around it."""
    package = _package(path.resolve(), root)
    names = {".".join(package)} if root and path.resolve().is_relative_to(root) else set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            names |= {module} | {f"{module}.{alias.name}".strip(".") for alias in node.names}
    return {file for name in names for file in (*_of_package(name), *_of_root(name, root))}


def _package(path: Path, root: Path | None) -> list[str]:
    """The package that the module in `path` belongs to, in parts."""
    if path.is_relative_to(PACKAGE):
        return list(path.relative_to(PACKAGE.parent).parts[:-1])
    return list(path.relative_to(_above(root)).parts[:-1]) if root and path.is_relative_to(root) else []


def _of_package(module: str) -> list[Path]:
    parts = module.split(".")
    if parts[0] != "harness" or len(parts) < 2 or parts[1] not in _ROOMS:
        return []
    base = PACKAGE.joinpath(*parts[1:])
    return [file for file in (base.with_suffix(".py"), base / "__init__.py") if file.is_file()]


def _of_root(module: str, root: Path | None) -> list[Path]:
    """Files below `root` that importing `module` may run: its own and those of the packages around it."""
    if root is None or not module:
        return []
    parts = module.split(".")
    files = _along(root, parts)
    if parts[0] == root.name and (root / "__init__.py").is_file():
        files += [root / "__init__.py", *_along(root, parts[1:])]
    return [file for file in files if file.is_file()]


def _along(root: Path, parts: list[str]) -> list[Path]:
    bases = [root.joinpath(*parts[:depth]) for depth in range(1, len(parts) + 1)]
    return [base / "__init__.py" for base in bases] + [
        base.with_name(f"{base.name}.py") for base in bases[-1:]
    ]
