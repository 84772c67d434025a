"""The one YAML loader: strict, typed, and it reports every error with file and line.

YAML 1.2's core scalars (`1e-3` is a number, `on` is a string); no tags, anchors, merges or duplicate keys.
`read` parses a file to `Entry`s, which remember their lines; `build` makes a dataclass of an entry.
"""

from __future__ import annotations

import dataclasses
import re
import types
import typing
from pathlib import Path
from typing import Any, Literal, TypeVar, Union

import yaml

from harness.errors import UserError, did_you_mean

T = TypeVar("T")

_INT = re.compile(r"[-+]?[0-9]{1,18}$")  # what 64 bits hold; a longer one is a number, but not a whole one
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$")
_SPECIAL: dict[str, bool | float | None] = {"true": True, "false": False, "null": None, "~": None, "": None}
_SPECIAL |= {".inf": float("inf"), "-.inf": float("-inf"), ".nan": float("nan")}


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """A parser that leaves every plain scalar a string: `_scalar` decides."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012


@dataclasses.dataclass(frozen=True)
class Entry:
    """A value of a YAML file and the line it stands on: a scalar, a list or a mapping of entries."""

    value: Any
    line: int


@dataclasses.dataclass(frozen=True, order=True)
class Fault:
    """One error of a file."""

    line: int
    key: str
    message: str


class InvalidFile(UserError):
    """All faults of one file, one line each: `file:line: key: message`."""

    def __init__(self, path: Path | str, faults: list[Fault]) -> None:
        self.faults = sorted(set(faults))
        where = [f"{path}:{f.line}: " + (f"{f.key}: " if f.key else "") + f.message for f in self.faults]
        super().__init__("\n".join(where))


def read(path: Path) -> Entry:
    """Parse `path`. Raises `InvalidFile` for what is not strict YAML, `UserError` if it cannot be read."""
    faults: list[Fault] = []
    entry = parse(path, faults)
    if faults:
        raise InvalidFile(path, faults)
    return entry


def parse(path: Path, faults: list[Fault]) -> Entry:
    """As `read`, but keys given twice, aliases and tags go to `faults`, so that others can join them."""
    try:
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise InvalidFile(path, [Fault(line, "", "not UTF-8 text; save the file as UTF-8")]) from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        fault = Fault(mark.line + 1 if mark else 1, "", f"not YAML: {error.problem or error.context}")
        raise InvalidFile(path, [fault]) from None
    except yaml.YAMLError as error:
        line = text[: getattr(error, "position", 0)].count("\n") + 1
        raise InvalidFile(path, [Fault(line, "", f"not YAML: {str(error).splitlines()[0]}")]) from None
    if node is None:
        raise InvalidFile(path, [Fault(1, "", "the file is empty")])
    return _entry(node, faults, set())


def _entry(node: yaml.Node, faults: list[Fault], seen: set[int]) -> Entry:
    line = node.start_mark.line + 1
    if id(node) in seen:
        faults.append(Fault(line, "", "anchors and aliases are not used here; write the value out"))
        return Entry(None, line)
    seen.add(id(node))
    if not node.tag.startswith("tag:yaml.org,2002:") or node.tag.split(":")[-1] not in ("str", "seq", "map"):
        faults.append(Fault(line, "", f"the tag {node.tag} is not used here"))
        return Entry(None, line)
    if isinstance(node, yaml.SequenceNode):
        return Entry([_entry(item, faults, seen) for item in node.value], line)
    if isinstance(node, yaml.MappingNode):
        return Entry(_mapping(node, faults, seen), line)
    quoted = isinstance(node, yaml.ScalarNode) and node.style
    return Entry(node.value if quoted else _scalar(node.value), line)


def _mapping(node: yaml.MappingNode, faults: list[Fault], seen: set[int]) -> dict[str, Entry]:
    made: dict[str, Entry] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode):
            faults.append(Fault(line, "", "a key must be a word"))
            continue
        key = key_node.value
        if key in made:
            faults.append(Fault(line, key, f"given twice (first on line {made[key].line})"))
            continue
        made[key] = _entry(value_node, faults, seen)
    return made


def _scalar(text: str) -> str | int | float | bool | None:
    if text in _SPECIAL:
        return _SPECIAL[text]  # type: ignore[return-value]
    if _INT.match(text):
        return int(text)
    return float(text) if _FLOAT.match(text) else text


def build(kind: type[T], entry: Entry, faults: list[Fault], key: str = "") -> T | None:
    """An instance of the dataclass `kind` from a mapping; what is wrong is added to `faults`.

    Fields may be scalars, `X | None`, `Literal`, `list`, `dict[str, …]`, dataclasses, or `Entry` for parts
    whose shape depends on something else. Returns None where a fault made the object impossible.
    """
    if not isinstance(entry.value, dict):
        faults.append(Fault(entry.line, key, f"expected keys and values, found {describe(entry)}"))
        return None
    hints = typing.get_type_hints(kind)
    before = len(faults)
    fields = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    for name, item in entry.value.items():
        if name not in fields:
            faults.append(Fault(item.line, name, f"unknown key{did_you_mean(name, fields)}"))
    values = {
        name: convert(hints[name], item, faults, name) for name, item in entry.value.items() if name in fields
    }
    for name, field in fields.items():
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if name not in values and required:
            faults.append(Fault(entry.line, key, f"the key {name!r} is missing"))
    return kind(**values) if len(faults) == before else None


def convert(hint: Any, entry: Entry, faults: list[Fault], key: str) -> Any:
    """The value of `entry` as the type `hint`; a mismatch is added to `faults`."""
    if hint is Entry:
        return entry
    if dataclasses.is_dataclass(hint):
        return build(hint, entry, faults, key)  # type: ignore[arg-type]
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    value = entry.value
    if origin is list and isinstance(value, list):
        return [convert(arguments[0], item, faults, key) for item in value]
    if origin is dict and isinstance(value, dict):
        return {name: convert(arguments[1], item, faults, f"{key}.{name}") for name, item in value.items()}
    if origin in (Union, types.UnionType):
        return _convert_union(arguments, entry, faults, key)
    fits, converted = fit_scalar(hint, value)
    if not fits:
        faults.append(Fault(entry.line, key, f"expected {spell(hint)}, found {describe(entry)}"))
    return converted


def _convert_union(arguments: tuple[Any, ...], entry: Entry, faults: list[Fault], key: str) -> Any:
    for hint in arguments:
        attempt: list[Fault] = []
        value = convert(hint, entry, attempt, key)
        if not attempt:
            return value
    wanted = " or ".join(spell(hint) for hint in arguments)
    faults.append(Fault(entry.line, key, f"expected {wanted}, found {describe(entry)}"))
    return None


def fit_scalar(hint: Any, value: Any) -> tuple[bool, Any]:
    """Whether the scalar `value` is a `hint`, and the value as one: an int serves as a float, no more."""
    if hint is None or hint is type(None):
        return value is None, None
    if typing.get_origin(hint) is Literal:
        same = [option for option in typing.get_args(hint) if option == value and type(option) is type(value)]
        return bool(same), value
    if hint is float and type(value) is int:
        return True, float(value)
    return type(value) is hint, value


def spell(hint: Any) -> str:
    """A type in a user's words."""
    names = {str: "text", int: "a whole number", float: "a number", bool: "true or false", type(None): "null"}
    if typing.get_origin(hint) is Literal:
        return "one of " + ", ".join(str(option) for option in typing.get_args(hint))
    if dataclasses.is_dataclass(hint) or typing.get_origin(hint) is dict:
        return "keys and values"
    if typing.get_origin(hint) is list:
        return "a list"
    return names.get(hint, str(hint))


def describe(entry: Entry) -> str:
    """What was found, in a user's words."""
    if isinstance(entry.value, list):
        return "a list"
    if isinstance(entry.value, dict):
        return "keys and values"
    return "nothing" if entry.value is None else repr(entry.value)
