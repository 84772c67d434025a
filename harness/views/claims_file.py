"""Claims files: each sentence of a source as a comparison of metrics. Strictly read, all faults at once."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from harness import strict_yaml
from harness.errors import did_you_mean
from harness.groups import Scalar, Where
from harness.registry import Registry
from harness.strict_yaml import Entry, Fault

BESIDE = ("other", "published")
_ARGUMENTS = {"max": range(2, 10), "min": range(2, 10), "abs": range(1, 2)}
"""The functions of a claim, and how many arguments each takes."""


@dataclass(frozen=True)
class Claim:
    """A sentence in our words, and the comparison that it comes to.

    `holds` compares arithmetic over a cell's metrics with <, <=, >, >=, joined by `and`; `other.metric` is
    that of the rival with the same seed, `published.metric` the number of the table `published`.
    `where` keeps rows of both sides, `of` ours, `against` the rivals'; each of several rival methods is
    tested. Ours and a rival pair where all settings that both have agree, but for those of `of`, `against`
    and `apart`. Only settings count in which those named in `same` equal one another.
    The comparison must hold in every combination of `for_each`; what a list in `where` or `of` asks for and
    nobody ran is not measured. Of several budgets (settings) the largest is judged at which enough seeds
    pair with every rival. All claims of one `family` share an error rate; what is `exact` (a count over all
    images, an invariant) is no matter of chance and must hold in every seed. `needs` tells what a
    measurement takes beside time.
    """

    id: str
    says: str
    place: str
    task: str
    holds: str
    family: str = "claims"
    where: dict[str, Scalar | list[Scalar]] = field(default_factory=dict)
    of: dict[str, Scalar | list[Scalar]] = field(default_factory=dict)
    against: dict[str, Scalar | list[Scalar]] = field(default_factory=dict)
    apart: list[str] = field(default_factory=list)
    same: list[str] = field(default_factory=list)
    for_each: list[str] = field(default_factory=list)
    budget: list[str] = field(default_factory=list)
    published: str = ""
    exact: bool = False
    needs: str = ""

    @property
    def ours(self) -> Where:
        return {**self.where, **self.of}


@dataclass(frozen=True)
class _File:
    claims: list[Claim]


@dataclass(frozen=True)
class Comparison:
    """One inequality: `large` − `small` is its margin; `strict` where equality is not enough."""

    text: str
    small: str
    large: str
    strict: bool


def load(path: Path, registry: Registry) -> list[Claim]:
    """Read a claims file. Raises `InvalidFile` with all faults: unknown tasks, methods and metrics, too."""
    entry = strict_yaml.read(path)
    faults: list[Fault] = []
    file = strict_yaml.build(_File, entry, faults)
    if file and not faults:
        seen: dict[str, int] = {}
        for claim, item in zip(file.claims, entry.value["claims"].value, strict=True):
            faults += _faults_of(claim, item, registry)
            if seen.setdefault(claim.id, item.line) != item.line:
                faults.append(Fault(item.line, "id", f"{claim.id!r} is given on line {seen[claim.id]}, too"))
    if faults or file is None:
        raise strict_yaml.InvalidFile(path, faults)
    return file.claims


def comparisons(text: str) -> list[Comparison]:
    """The inequalities that `text` joins. Raises ValueError, in a user's words, for anything else."""
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except SyntaxError:
        raise ValueError("not a comparison: write e.g. e_0 <= 2 * other.e_0") from None
    parts = tree.values if isinstance(tree, ast.BoolOp) and isinstance(tree.op, ast.And) else [tree]
    made = [each for part in parts for each in _chain(part)]
    for side in (side for each in made for side in (each.small, each.large)):
        _check(ast.parse(side, mode="eval").body)
    return made


def metrics(text: str) -> dict[str, set[str]]:
    """The metrics that an expression names: of ours under "", of "other", and of "published"."""
    found: dict[str, set[str]] = {"": set(), **{name: set() for name in BESIDE}}
    for node in ast.walk(ast.parse(text.strip(), mode="eval")):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            found[node.value.id].add(node.attr)
        elif isinstance(node, ast.Name):
            found[""].add(node.id)
    found[""] -= {*_ARGUMENTS, *BESIDE}
    return found


def _chain(node: ast.expr) -> Iterable[Comparison]:
    if not isinstance(node, ast.Compare):
        raise ValueError(f"{ast.unparse(node)!r} compares nothing")
    for left, sign, right in zip([node.left, *node.comparators], node.ops, node.comparators, strict=False):
        if not isinstance(sign, (ast.Lt, ast.LtE, ast.Gt, ast.GtE)):
            raise ValueError("use <, <=, > or >=")
        first, second, strict = ast.unparse(left), ast.unparse(right), isinstance(sign, (ast.Lt, ast.Gt))
        text = ast.unparse(ast.Compare(left, [sign], [right]))
        upwards = isinstance(sign, (ast.Lt, ast.LtE))
        yield Comparison(text, *((first, second) if upwards else (second, first)), strict)


def _check(node: ast.expr) -> None:
    match node:
        case ast.BinOp(left, ast.Add() | ast.Sub() | ast.Mult() | ast.Div(), right):
            _check(left)
            _check(right)
        case ast.UnaryOp(ast.USub(), operand):
            _check(operand)
        case ast.Call(ast.Name(name), arguments, []) if len(arguments) in _ARGUMENTS.get(name, ()):
            for argument in arguments:
                _check(argument)
        case ast.Attribute(ast.Name(name)) if name in BESIDE:
            pass
        case ast.Name(name) if name not in (*BESIDE, *_ARGUMENTS):
            pass
        case ast.Constant(value) if type(value) in (int, float):
            pass
        case _:
            raise ValueError(f"{ast.unparse(node)!r} is not arithmetic over metrics")


def _faults_of(claim: Claim, item: Entry, registry: Registry) -> Iterable[Fault]:
    def fault(key: str, message: str) -> Fault:
        return Fault(item.value[key].line if key in item.value else item.line, key, message)

    try:
        comparisons(claim.holds)
    except ValueError as error:
        yield fault("holds", str(error))
        return
    named = metrics(claim.holds)
    if claim.against and "method" not in claim.against:
        yield fault("against", "the key 'method' is missing")
    for key in BESIDE:
        given = claim.against if key == "other" else claim.published
        if bool(named[key]) != bool(given):
            yield fault("holds", f"{key}. and the key {'against' if key == 'other' else key} need each other")
    if claim.task not in registry.tasks:
        yield fault("task", f"unknown task {claim.task!r}{did_you_mean(claim.task, registry.tasks)}")
        return
    known = registry.tasks[claim.task].metrics
    for name in sorted((named[""] | named["other"]) - set(known)):
        yield fault("holds", f"{claim.task} has no metric {name!r}{did_you_mean(name, known)}")
    methods = registry.of_task(claim.task)
    for key, where in (("where", claim.where), ("of", claim.of), ("against", claim.against)):
        listed = where.get("method", [])
        if listed == [] and "method" in where:
            yield fault(key, "name a method")
        for named_method in listed if isinstance(listed, list) else [listed]:
            if named_method not in methods:
                yield fault(
                    key,
                    f"{claim.task} has no method {named_method!r}{did_you_mean(str(named_method), methods)}",
                )
