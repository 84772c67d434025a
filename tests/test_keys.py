"""Keys: one answer has one key, two answers never share one, whatever Python computes it."""

from __future__ import annotations

import ast
import itertools
import json
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as some

from harness import declared, key, registry, strict_yaml, suite
from harness.key import Inputs, Keys
from harness.strict_yaml import Entry

LIGHT = settings(max_examples=60, deadline=None)

SCALARS = some.none() | some.booleans() | some.integers(-(2**63), 2**63 - 1) | some.text(max_size=4)
SCALARS |= some.floats(allow_nan=False, allow_infinity=False)
NAMES = some.sampled_from(["a", "b", "seed", "a,b", "ünsal", ""])
PARAMETERS = some.dictionaries(NAMES, SCALARS, max_size=3)
DIGESTS = some.dictionaries(NAMES, some.sampled_from(["00ff", "ff00", ""]), max_size=2)

Question = dict[str, Any]
QUESTIONS = some.fixed_dictionaries(
    {
        "task": NAMES,
        "method": NAMES,
        "seed": some.integers(0, 2**63 - 1),
        "problem": PARAMETERS,
        "score": PARAMETERS,
        "parameters": PARAMETERS,
        "inputs": some.builds(Inputs, fit_code=DIGESTS, score_code=DIGESTS, data=DIGESTS, score_data=DIGESTS),
    }
)


def keys(question: Question) -> Keys:
    return key.keys(**question)


def same(first: Any, second: Any) -> bool:
    """Whether two questions are equal where 1, 1.0 and True are three things."""
    return repr(ordered(first)) == repr(ordered(second))


def ordered(value: Any) -> Any:
    if isinstance(value, Inputs):
        return ordered(vars(value))
    return {name: ordered(value[name]) for name in sorted(value)} if isinstance(value, dict) else value


@LIGHT
@given(QUESTIONS)
def test_the_order_of_parameters_does_not_matter(question: Question) -> None:
    turned = {
        name: dict(reversed(value.items())) if isinstance(value, dict) else value
        for name, value in question.items()
    }
    assert keys(turned) == keys(question)


@LIGHT
@given(QUESTIONS, QUESTIONS)
def test_different_questions_have_different_keys(first: Question, second: Question) -> None:
    assert (keys(first).key == keys(second).key) == same(first, second)


@LIGHT
@given(
    QUESTIONS, some.sampled_from(["task", "method", "seed", "problem", "score", "parameters"]), some.data()
)
def test_every_part_of_the_question_is_in_the_key(question: Question, part: str, data: Any) -> None:
    changed = question | {part: data.draw(QUESTIONS)[part]}
    moved = not same(changed, question)
    assert (keys(changed).key != keys(question).key) == moved
    assert (keys(changed).address != keys(question).address) == moved
    assert (keys(changed).fit != keys(question).fit) == (moved and part != "score")


@LIGHT
@given(QUESTIONS, some.sampled_from(["fit_code", "score_code", "data", "score_data"]), DIGESTS)
def test_code_and_data_are_in_the_key_but_not_in_the_address(
    question: Question, part: str, digests: dict[str, str]
) -> None:
    before = question["inputs"]
    after = Inputs(**{**vars(before), part: digests})
    moved = not same(after, before)
    now, then = keys(question | {"inputs": after}), keys(question)
    assert now.address == then.address
    assert (now.key != then.key) == moved
    assert (now.fit != then.fit) == (moved and part not in ("score_code", "score_data"))


@LIGHT
@given(PARAMETERS, NAMES, SCALARS, SCALARS)
@example({}, "a", 1, 1.0)
@example({}, "a", 1, True)
@example({}, "a", 0.0, -0.0)
@example({}, "a", "1", 1)
@example({}, "a", None, "null")
def test_values_that_look_alike_are_told_apart(rest: dict, name: str, one: Any, other: Any) -> None:
    first, second = key.digest(rest | {name: one}), key.digest(rest | {name: other})
    assert (first == second) == (repr(one) == repr(other))


def test_a_moved_boundary_between_parts_changes_the_key() -> None:
    whole = {"task": "t", "method": "m", "seed": 0, "score": {}, "inputs": Inputs({}, {}, {})}
    one = keys(whole | {"problem": {"a": 1}, "parameters": {"b": 2}})
    other = keys(whole | {"problem": {}, "parameters": {"a": 1, "b": 2}})
    assert one.key != other.key
    assert one.address != other.address


# What a suite writes, and what that resolves to.


def resolved(tmp_path: Path, hint: str, default: str, written: str) -> tuple[Any, Any]:
    """A parameter's value when the suite leaves it out, and when the suite writes `written`."""
    source = tmp_path / "made.py"
    source.write_text(
        "from harness import method\n\n\n@method(task='t', cite='c')\n"
        f"def made(problem, run, *, x: {hint} = {default}): ...\n"
    )
    (found,) = declared.methods(source, "room", tmp_path)
    faults: list[strict_yaml.Fault] = []
    text = tmp_path / "made.yaml"
    text.write_text(f"x: {written}\n")
    given = strict_yaml.convert(found.parameters["x"].hint, strict_yaml.read(text).value["x"], faults, "x")
    assert not faults
    return found.parameters["x"].default, given


@pytest.mark.parametrize("hint", ["float", "float | None", "None | float"])
@pytest.mark.parametrize(("default", "written"), [*itertools.product(["1", "1.0", "1e0"], repeat=2)])
def test_one_and_one_point_zero_are_one_number(tmp_path: Path, hint: str, default: str, written: str) -> None:
    omitted, given = resolved(tmp_path, hint, default, written)
    assert key.digest({"x": omitted}) == key.digest({"x": given})


@pytest.mark.parametrize(
    ("hint", "default", "written"),
    [("int", "3", "3"), ("bool", "True", "true"), ("str", "'on'", "on"), ("Literal['a', 2]", "2", "2")],
)
def test_a_default_written_out_is_the_default(tmp_path: Path, hint: str, default: str, written: str) -> None:
    omitted, given = resolved(tmp_path, hint, default, written)
    assert key.digest({"x": omitted}) == key.digest({"x": given})


@LIGHT
@given(
    some.lists(some.integers(0, 3), min_size=1, max_size=3, unique=True),
    some.lists(some.integers(0, 3), max_size=3),
)
def test_every_cell_of_a_suite_has_its_own_key(seeds: list[int], ks: list[int]) -> None:
    task = declared.Task("t", "", Path("t.py"), Path("s.py"), "score", {}, {}, {})
    one = declared.Method(
        "m", "t", "", "", Path("m.py"), 1, "room", {"k": declared.Parameter("k", int, 0, False)}, Path()
    )
    known = registry.Registry({"t": task}, {("t", "m"): one})
    entries = [Entry(k, 1) for k in ks or [0]]
    method = Entry({"m": Entry({"k": Entry(entries, 1)}, 1)}, 1)
    block = Entry({"task": Entry("t", 1), "methods": Entry([method, method], 1)}, 1)
    faults: list[strict_yaml.Fault] = []
    numbers = Entry([Entry(seed, 1) for seed in seeds], 1)
    cells = suite._Block(known, faults).expand(block, numbers, Entry({}, 1))
    assert not faults
    made = {
        (cell.seed, cell.parameters["k"]): key.keys(
            cell.task, cell.method, cell.seed, cell.problem, cell.score, cell.parameters, Inputs({}, {}, {})
        ).key
        for cell in cells
    }
    assert set(made) == set(itertools.product(seeds, ks or [0]))
    assert len(set(made.values())) == len(made)


# Code.

CODE = '''
"""A module."""

from dataclasses import dataclass

LEVELS = 256
"""What a constant means."""
NAMES = {"a": 1, **{"b": 2.5}, "c": None}


@dataclass
class Point:
    """A class."""

    x: float = 1e-3
    y: int | None = None


def first(a, /, b=True, *rest, key="k", **more):
    """A function."""
    for i in range(10, 0, -1):
        if i % 2 == 0 and not a:
            continue
        b = b"bytes" if i > 5 else f"{i!r:>{a}}" "tail"
    try:
        return [x * -1.5 + 2j for x in rest if x is not None][1:-1]
    except (ValueError, TypeError) as error:
        raise RuntimeError("broken") from error
    finally:
        del b


async def second(n):
    """Another."""
    async with first(n) as (x, *y):
        return lambda z, w=3: z @ w
'''


def digest_of(text: str) -> str:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "source.py"
        path.write_text(text, encoding="utf-8", newline="")
        return key.closure.__wrapped__(path)["source.py"]


def constants(tree: ast.AST) -> list[ast.Constant]:
    """Every constant but the strings that stand alone."""
    alone = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    return [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in alone]


def test_every_constant_counts() -> None:
    whole = digest_of(CODE)
    count = len(constants(ast.parse(CODE)))
    assert count > 20
    seen = {whole}
    for index in range(count):
        tree = ast.parse(CODE)
        node = constants(tree)[index]
        node.value = f"new {index}" if isinstance(node.value, str) else 987654321 + index
        seen.add(digest_of(ast.unparse(tree)))
    assert len(seen) == count + 1


def test_every_name_operator_and_statement_counts() -> None:
    whole = digest_of(CODE)
    edits = [
        ("LEVELS", "LEVEL"),
        ("x: float", "x: int"),
        ("rest if x", "rest if key"),
        ("i % 2", "i // 2"),
        ("== 0", "!= 0"),
        ("and not a", "or not a"),
        ("and not a", "and a"),
        ("continue", "break"),
        ("[1:-1]", "[1::-1]"),
        ("[1:-1]", "[:-1]"),
        ("a, /, b", "a, b"),
        ("i!r", "i!s"),
        ("i!r:>{a}", "i!r"),
        ("*rest", "*, rest"),
        (", **more", ""),
        (" from error", ""),
        ("        del b", "        pass"),
        ("async with", "with"),
        ("(x, *y)", "(*x, y)"),
        ("@dataclass\n", ""),
        ("ValueError, TypeError", "TypeError, ValueError"),
        ("z @ w", "w @ z"),
        ('b"bytes"', '"bytes"'),
        ("-1.5", "1.5"),
        ("import dataclass", "import dataclass as data"),
    ]
    seen = {whole}
    for before, after in edits:
        assert before in CODE
        seen.add(digest_of(CODE.replace(before, after, 1)))
    assert len(seen) == len(edits) + 1


COMMENTS = some.text(some.characters(exclude_categories=["C", "Z"]), max_size=20)


@LIGHT
@given(some.data())
def test_comments_blank_lines_and_docstrings_do_not_count(data: Any) -> None:
    with_more = []
    for line in CODE.splitlines():
        blank = data.draw(some.sampled_from(["", "\n", "\n  \n"]))
        comment = data.draw(some.none() | COMMENTS)
        with_more.append(blank + line + (f"  # {comment}" if comment is not None and line.strip() else ""))
    text = "\n".join(with_more)
    for docstring in ("A module.", "What a constant means.", "A class.", "A function.", "Another."):
        text = text.replace(docstring, data.draw(COMMENTS).replace('"', "'").replace("\\", "/") + ".")
    assert digest_of(text) == digest_of(CODE)


def test_layout_and_quotes_do_not_count() -> None:
    assert digest_of(ast.unparse(ast.parse(CODE))) == digest_of(CODE)
    assert digest_of(CODE.replace("\n", "\r\n")) == digest_of(CODE)
    assert digest_of("\ufeff" + CODE) == digest_of(CODE)
    bare = CODE.replace('    """A function."""\n', "").replace('"""What a constant means."""\n', "")
    assert digest_of(bare) == digest_of(CODE)


def test_a_string_that_is_used_is_no_docstring() -> None:
    assert digest_of("def f():\n    return 'a'\n") != digest_of("def f():\n    return 'b'\n")
    assert digest_of("x = 'a'\n") != digest_of("x = 'b'\n")


def other_pythons() -> list[str]:
    """Other supported interpreters on this machine, by their usual names."""
    found = []
    for version in ("3.11", "3.12", "3.13"):
        candidates = [
            *Path.home().glob(f".pyenv/versions/{version}.*/bin/python"),
            shutil.which(f"python{version}"),
        ]
        works = [
            str(path)
            for path in candidates
            if path and subprocess.run([path, "-c", ""], capture_output=True).returncode == 0
        ]
        if works and not sys.version.startswith(version):
            found.append(works[0])
    return found


def test_the_digest_is_the_same_under_every_supported_python(tmp_path: Path) -> None:
    pythons = other_pythons()
    if not pythons:
        pytest.skip("no other Python from 3.11 to 3.13 is installed")
    source = tmp_path / "source.py"
    source.write_text(CODE)
    package = Path(key.__file__).parent
    files = [source, *sorted(package.rglob("*.py"))]
    expected = [key._read.__wrapped__(path, frozenset(), None)[0] for path in files]
    script = (
        "import json, sys, types\n"
        "for name in ('msgspec', 'yaml'):\n"  # what the engine needs elsewhere; these digests need neither
        "    sys.modules[name] = types.ModuleType(name)\n"
        "sys.modules['yaml'].SafeLoader = object\n"
        "sys.modules['yaml'].Node = object\n"
        "from pathlib import Path\n"
        "from harness import key\n"
        "print(json.dumps([key._read(Path(path), frozenset(), None)[0] for path in sys.argv[1:]]))\n"
    )
    for python in pythons:
        done = subprocess.run(
            [python, "-c", script, *map(str, files)],
            cwd=package.parent,
            env={"PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) == expected, python
