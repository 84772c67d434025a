"""Authoring: one file is one method; packages and folders add theirs; mistakes are told with their lines."""

from __future__ import annotations

import json
from pathlib import Path
from textwrap import dedent

import pytest
from project import METHODS, SCORE, Project, make

HEAD = "import harness\nfrom typing import Literal\n\n"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project that many bad methods are tried on; each test removes what it wrote."""
    return make(tmp_path_factory.mktemp("shared"))


def method(name: str, parameters: str = "", mark: str = 'task="guess", cite="c"') -> str:
    comma = f", *, {parameters}" if parameters else ""
    return f"{HEAD}@harness.method({mark})\ndef {name}(problem, run{comma}):\n    '''Doc.'''\n"


BAD_METHODS = {
    "not Python": ("x =\n", "bad.py:1: not Python: invalid syntax"),
    "a byte that no text has": (
        "x = 1\0\n",
        "bad.py: not Python: source code string cannot contain null bytes",
    ),
    "a misspelt mark": (
        method("a").replace("harness.method", "harness.methd"),
        "bad.py:4: @harness.methd: there is no such mark (did you mean 'method'?)",
    ),
    "a coroutine": (
        method("a").replace("def a", "async def a"),
        "bad.py:4: @harness.method is for a plain function at the top level of its file",
    ),
    "a method under a condition": (
        "from harness import method as m\n\nif m:\n @m(task='guess', cite='c')\n def a(problem, run): ...\n",
        "bad.py:4: @harness.method is for a plain function at the top level of its file",
    ),
    "parameters without a name": (
        f"{HEAD}@harness.method(task='guess', cite='c')\ndef a(problem, run, **rest): ...\n",
        "bad.py:5: a: name every parameter instead of 'rest'",
    ),
    "values without a name": (
        f"{HEAD}@harness.method(task='guess', cite='c')\ndef a(problem, run, *rest): ...\n",
        "bad.py:5: a: name every parameter instead of 'rest'",
    ),
    "a mark with more": (
        method("a", mark='"a", task="guess", cite="c"'),
        "bad.py:5: @harness.method takes exactly task=... and cite=...",
    ),
    "no arguments": (
        f"{HEAD}@harness.method\ndef a(problem, run): ...\n",
        "bad.py:5: write @harness.method(task=..., cite=...)",
    ),
    "no citation": (
        method("a", mark='task="guess"'),
        "bad.py:5: @harness.method takes exactly task=... and cite=...",
    ),
    "a task that is not there": (
        method("a", mark='task="gues", cite="c"'),
        "bad.py:5: a: there is no task 'gues' (did you mean 'guess'?)",
    ),
    "a computed task": (
        method("a", mark='task="gu" + x, cite="c"'),
        "bad.py:4: 'gu' + x must be a literal",
    ),
    "too few arguments": (
        f"{HEAD}@harness.method(task='guess', cite='c')\ndef a(problem): ...\n",
        "bad.py:5: a must take (problem, run, *, ...)",
    ),
    "no type": (
        method("a", "k=1"),
        "bad.py:5: a: the parameter 'k' needs a type: int, float, str, bool, Literal[...] or X | None",
    ),
    "a type that YAML cannot write": (
        method("a", "k: list[int] = 1"),
        "bad.py:5: a: the parameter 'k' has the type list[int]; "
        "use int, float, str, bool, Literal[...] or X | None",
    ),
    "a default that is no literal": (method("a", "k: int = 1 + x"), "bad.py:5: 1 + x must be a literal"),
    "a default of another type": (
        method("a", "k: int = 1.5"),
        "bad.py:5: a: the parameter 'k' has a default that does not fit: expected a whole number, found 1.5",
    ),
    "a default that is no option": (
        method("a", "k: Literal['x', 'y'] = 'z'"),
        "bad.py:5: a: the parameter 'k' has a default that does not fit: expected one of x, y, found 'z'",
    ),
    "an option that is no literal": (method("a", "k: Literal[X] = 1"), "bad.py:5: X must be a literal"),
    "a parameter of the task": (
        method("a", "scale: float = 1.0"),
        "bad.py:5: a: the parameter 'scale' is the task's already; rename it",
    ),
    "a parameter that every cell has": (
        method("a", "method: str = 'x'"),
        "bad.py:5: a: every cell has a method already; rename the parameter",
    ),
    "a seed of its own": (
        method("a", "seed: int = 1"),
        "bad.py:5: a: every cell has a seed already; rename the parameter",
    ),
    "a name twice in a file": (
        method("a") + method("a"),
        "bad.py:11: a is also defined in methods/bad.py:5; rename one of them",
    ),
    "a name of another file": (
        method("mean"),
        "mean.py:6: mean is also defined in methods/bad.py:5; rename one of them",
    ),
}


@pytest.mark.parametrize("name", BAD_METHODS)
def test_a_mistake_in_a_method_is_told_with_its_line(shared: Project, name: str) -> None:
    text, message = BAD_METHODS[name]
    path = shared.write("methods/bad.py", text)
    done = shared.run()
    path.unlink()
    assert done.stderr.replace(f"{shared.root}/", "") == f"harness: methods/{message}\n"
    assert done.returncode == 2
    assert not (shared.root / "results").exists()


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("@harness.score\n", "", "score.py: a score file has one @harness.score function"),
        ("METRICS", "METRIC", "score.py: a score file has METRICS = (harness.Metric(...), ...)"),
        ("tolerance=0.1", "tolerance=T", "score.py:7: T must be a literal"),
        (
            "tolerance=0.1",
            "tol=0.1",
            "score.py:7: Metric.__init__() got an unexpected keyword argument 'tol'",
        ),
        ("METRICS = (", "METRICS = (3, ", "score.py:6: METRICS holds harness.Metric(...) only"),
        ("power: int", "scale: int", "score.py:13: the parameter 'scale' is the problem's already"),
    ],
)
def test_a_mistake_in_a_score_is_told_with_its_line(
    shared: Project, before: str, after: str, message: str
) -> None:
    shared.edit("harness/studies/guess/score.py", before, after)
    done = shared.harness("list")
    shared.write("harness/studies/guess/score.py", SCORE)
    assert done.stderr.replace(f"{shared.root}/", "") == f"harness: harness/studies/guess/{message}\n"
    assert done.returncode == 2


GOOD_METHODS = {
    "annotated": """
        from __future__ import annotations

        from dataclasses import dataclass

        import harness


        @dataclass
        class Box:
            x: float


        @harness.method(task="guess", cite="nobody")
        def annotated(problem, run, *, k: float = 1, flag: bool | None = None):
            return {"guess": problem.noise.mean() * Box(k).x}
    """,
    "bare": """
        from harness import method


        @method(task="guess", cite="nobody")
        def bare(problem, run, *, k: int):
            return {"guess": problem.noise.mean() * k}


        @method(task="guess", cite="nobody")
        def second(problem, run):
            import numpy

            return {"guess": problem.noise.mean(), "counts": numpy.arange(3)}
    """,
    "kitted": """
        from typing import Literal

        import harness
        from harness.kit import toy


        def _scaled(x):
            return x * toy.CONSTANT


        @harness.method(task="guess", cite="nobody")
        def kitted(problem, run, *, how: Literal["a", "b"] = "a"):
            return {"guess": _scaled(problem.noise.mean())}
    """,
}


def test_methods_from_folders_and_packages_run_beside_the_rest(project: Project) -> None:
    project.write("mine/annotated.py", dedent(GOOD_METHODS["annotated"]))
    project.write("mine/kitted.py", dedent(GOOD_METHODS["kitted"]))
    project.write("yours/bare.py", dedent(GOOD_METHODS["bare"]))
    project.write("yours/_private.py", "this is not read")
    project.write("site/guesser/__init__.py", "")
    project.write("site/guesser/deep.py", METHODS["other.py"].replace("def other", "def packaged"))
    project.write(
        "site/guesser-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: guesser\nVersion: 1.0\n"
    )
    project.write(
        "site/guesser-1.0.dist-info/entry_points.txt", "[harness.methods]\nanything = guesser.deep\n"
    )
    project.environment["PYTHONPATH"] = f"{project.root}:{project.root / 'site'}"
    project.write(
        "suite.yaml",
        "cells:\n- task: guess\n  methods:\n  - {annotated: {k: [1, 2]}}\n  - {kitted: {how: [a, b]}}\n"
        "  - {bare: {k: 3}}\n  - mean\n  - second\n  - packaged\n",
    )
    folders = ["--methods", "mine", "--methods", "yours", "--methods", str(project.root / "methods")]
    listed = json.loads(project.harness("list", "--json", *folders).stdout)["methods"]
    rooms = {found["name"]: found["room"] for found in listed}
    assert rooms == {
        "mean": "methods",
        "other": "methods",
        "annotated": "mine",
        "kitted": "mine",
        "bare": "yours",
        "second": "yours",
        "packaged": "guesser.deep",
    }
    done = project.harness("run", "suite.yaml", *folders)
    assert done.returncode == 0, done.stdout
    assert "8 cells: 8 ok" in done.stdout
    project.edit("site/guesser/deep.py", "* k", "* k * 2")
    missing = {
        cell["method"]: cell["reason"] for cell in project.plan("suite.yaml", *folders) if cell["reason"]
    }
    assert missing == {"packaged": "code: guesser/deep.py"}
    without = project.harness("plan", "suite.yaml")
    assert without.returncode == 2
    assert "suite.yaml:6: methods: task guess has no method 'bare'" in without.stderr


def test_an_entry_point_without_its_module_is_told(project: Project) -> None:
    project.write("site/lost-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: lost\nVersion: 1.0\n")
    project.write("site/lost-1.0.dist-info/entry_points.txt", "[harness.methods]\nlost = lost.methods\n")
    project.environment["PYTHONPATH"] = f"{project.root}:{project.root / 'site'}"
    done = project.harness("list")
    assert done.returncode == 0
    why = "entry point 'lost': the module lost.methods is not installed; its methods are left out"
    assert done.stderr == f"harness: {why}\n"
    assert "guess: Guess the mean" in done.stdout


EDITABLE = """
import importlib.util
import sys


class Finder:  # as setuptools installs one for a package that stays where it is developed
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "developed":
            rooms = [{folder!r}]
            return importlib.util.spec_from_file_location(name, {place!r}, submodule_search_locations=rooms)


sys.meta_path.append(Finder)
"""


def test_an_entry_point_of_an_editable_install_is_found(project: Project) -> None:
    place = project.write("elsewhere/developed/__init__.py", "raise ImportError('nobody imports this')\n")
    method = project.method("packaged", "return {'guess': problem.noise.mean()}")
    method.rename(place.parent / "methods.py")
    project.write("site/sitecustomize.py", EDITABLE.format(place=str(place), folder=str(place.parent)))
    project.write("site/d-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: d\nVersion: 1.0\n")
    project.write("site/d-1.0.dist-info/entry_points.txt", "[harness.methods]\nd = developed.methods\n")
    project.environment["PYTHONPATH"] = f"{project.root}:{project.root / 'site'}"
    done = project.harness("list")
    assert (done.returncode, done.stderr) == (0, "")
    assert "packaged" in done.stdout


def test_what_the_source_says_is_checked_when_it_runs(project: Project) -> None:
    project.method("replaced", "return {'guess': problem.noise.mean()}", "k: int = 1")
    project.method("changed", "return {'guess': problem.noise.mean()}", "k: int = 1")
    project.method(
        "undeclared", "name = 'speed'\nrun.measure(name, 3)\nreturn {'guess': problem.noise.mean()}"
    )
    project.method("needs", "import a_peer_that_is_not_there\n")
    with (project.root / "methods/replaced.py").open("a") as file:
        file.write("\n\nreplaced = lambda problem, run, k=1: {}\n")
    with (project.root / "methods/changed.py").open("a") as file:
        file.write("\n\nchanged.__kwdefaults__['k'] = 2\n")
    project.write("suite.yaml", "cells: [{task: guess, methods: [replaced, changed, undeclared, needs]}]\n")
    done = project.run()
    assert done.returncode == 1
    for told in (
        "replaced is not what its file says: another object has taken the decorated function's name",
        "changed has the defaults {'k': 2}, but its source says {'k': 1}",
        "metrics that the task does not declare: speed",
        "No module named 'a_peer_that_is_not_there' (needs.py:",
    ):
        assert told in done.stdout
    key = next(cell["key"] for cell in project.plan() if cell["method"] == "needs")
    assert "ModuleNotFoundError" in project.harness("show", key).stdout


def test_streams_are_common_to_methods_and_fixed_by_seed_and_name(tmp_path: Path) -> None:
    import torch

    from harness.context import Run

    def draw(seed: int, name: str) -> list[float]:
        return torch.rand(3, generator=Run(seed=seed, folder=tmp_path).stream(name)).tolist()

    torch.manual_seed(5)
    first = draw(0, "data")
    torch.rand(7)
    assert draw(0, "data") == first
    assert draw(1, "data") != first
    assert draw(0, "noise") != first
    assert draw(10, "0:data") != draw(1, "00:data")
