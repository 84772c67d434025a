"""Suite files: what is wrong is told with file and line, all at once, and nothing runs; the rest expands."""

from __future__ import annotations

from pathlib import Path

import pytest
from project import Project, make

FAULTS = {
    "duplicate key": (
        "cells: [{task: guess, methods: [mean]}]\nseeds: [0]\nseeds: [1]\n",
        ["3: seeds: given twice (first on line 2)"],
    ),
    "duplicate parameter": (
        "cells:\n  - task: guess\n    methods:\n      - mean:\n          shift: 1.0\n          shift: 2.0\n",
        ["6: shift: given twice (first on line 5)"],
    ),
    "unknown key": (
        "cells: [{task: guess, methods: [mean]}]\nseed: [0]\n",
        ["2: seed: unknown key (did you mean 'seeds'?)"],
    ),
    "duplicate seed": (
        "seeds:\n- 0\n- 1\n- 0\ncells: [{task: guess, methods: [mean]}]\n",
        ["4: seeds: 0 is given twice"],
    ),
    "unknown limit": (
        "limits: {second: 5}\ncells: [{task: guess, methods: [mean]}]\n",
        ["1: second: unknown key (did you mean 'seconds'?)"],
    ),
    "impossible limits": (
        "limits:\n  seconds: .inf\n  memory_gb: 0\ncells: [{task: guess, methods: [mean]}]\n",
        [
            "2: seconds: expected a positive number, found inf",
            "3: memory_gb: expected a positive number, found 0.0",
        ],
    ),
    "wrong type": (
        "cells:\n- task: guess\n  methods:\n  - other: {k: 1.5}\n  - mean: {again: 1, shift: many}\n",
        [
            "4: k: expected a whole number, found 1.5",
            "5: again: expected true or false, found 1",
            "5: shift: expected a number, found 'many'",
        ],
    ),
    "too large": (
        "cells: [{task: guess, methods: [other: {k: 9999999999999999999}]}]\nseeds: [" + "9" * 5000 + "]\n",
        ["1: k: expected a whole number, found 1e+19", "2: seeds: expected whole numbers from 0, found inf"],
    ),
    "not finite": (
        "cells: [{task: guess, methods: [mean: {shift: .nan}]}]\n",
        ["1: shift: nan is not a finite number"],
    ),
    "unknown task": (
        "cells: [{task: gues, methods: [mean]}]\n",
        ["1: task: unknown task 'gues' (did you mean 'guess'?)"],
    ),
    "unknown method": (
        "cells:\n  - task: guess\n    methods: [mean, othr]\n",
        ["3: methods: task guess has no method 'othr' (did you mean 'other'?)"],
    ),
    "parameter that the method lacks": (
        "cells:\n  - task: guess\n    methods:\n      - mean: {k: 1}\n      - other: {shft: 1}\n",
        [
            "4: k: method mean has no such parameter (known: again, name, shift)",
            "5: shft: method other has no such parameter (known: k)",
        ],
    ),
    "parameter that the task lacks": (
        "cells: [{task: guess, methods: [mean], scael: 2.0}]\n",
        ["1: scael: task guess has no such parameter (did you mean 'scale'?)"],
    ),
    "unknown data set": (
        "cells: [{task: guess, methods: [mean], dataset: digit}]\n",
        ["1: dataset: unknown data set 'digit' (did you mean 'digits'?)"],
    ),
    "unknown table": (
        "tables: [best]\ncells: [{task: guess, methods: [mean]}]\n",
        ["1: tables: no table 'best'"],
    ),
    "empty": ("", ["1: the file is empty"]),
    "only a comment": ("# nothing yet\n", ["1: the file is empty"]),
    "not UTF-8": (b"title: a\ncells: \xff\n", ["2: not UTF-8 text; save the file as UTF-8"]),
    "control character": (
        "title: a\nseeds: [\x01]\n",
        ["2: not YAML: unacceptable character #x0001: control characters are not allowed"],
    ),
    "unclosed": ("cells: [\n", ["2: not YAML: did not find expected node content"]),
    "a tag": (
        "cells: !!python/name:os.system [{task: guess, methods: [mean]}]\n",
        [
            "1: the tag tag:yaml.org,2002:python/name:os.system is not used here",
            "1: cells: expected a list, found nothing",
        ],
    ),
    "an alias": (
        "seeds: &s [1]\ncells: [{task: guess, methods: [mean], seeds: *s}]\n",
        [
            "1: anchors and aliases are not used here; write the value out",
            "1: seeds: expected whole numbers from 0, found nothing",
        ],
    ),
    "a list where a scalar belongs": (
        "title: [a]\ncells:\n  - task: [guess]\n    methods: [mean]\n"
        "  - task: guess\n    methods: [other: {k: [[1]]}]\n",
        [
            "1: title: expected text, found a list",
            "3: task: expected text, found a list",
            "6: k: expected a whole number, found a list",
        ],
    ),
    "a scalar where a list belongs": (
        "cells: 3\n",
        ["1: cells: expected a list, found 3"],
    ),
    "methods of a wrong form": (
        "cells:\n- task: guess\n  methods:\n  - mean: 3\n  - {mean: {}, other: {}}\n  - [mean]\n",
        [
            "4: mean: expected parameters and values, found 3",
            "5: methods: expected a name or one 'name: {parameters}', found 2 keys",
            "6: methods: expected a name or one 'name: {parameters}', found a list",
        ],
    ),
    "nothing to run": (
        "cells:\n  - {task: guess, methods: []}\n  - {task: guess, methods: [mean], seeds: []}\n"
        "  - {task: guess, methods: [mean: {shift: []}]}\n",
        [
            "2: methods: an empty list leaves nothing to run",
            "3: seeds: an empty list leaves nothing to run",
            "4: shift: an empty list leaves nothing to run",
        ],
    ),
    "bad seeds beside no cells": (
        "seeds: zero\ncells: []\n",
        ["1: seeds: expected whole numbers from 0, found 'zero'", "2: cells: there is nothing to run"],
    ),
    "no cells": ("cells: []\n", ["1: cells: there is nothing to run"]),
    "bad seeds": (
        "seeds: [0, -1, x, 1.5]\ncells: [{task: guess, methods: [mean]}]\n",
        [
            "1: seeds: expected whole numbers from 0, found -1",
            "1: seeds: expected whole numbers from 0, found 'x'",
            "1: seeds: expected whole numbers from 0, found 1.5",
        ],
    ),
    "axes badly tied": (
        "cells:\n- task: guess\n  methods:\n  - mean: {'shift, name': [[1.0], [2.0, a]]}\n"
        "  - mean: {'shift, name': [[1.0, a]], shift: 2.0}\n  - mean: {'shift, shift': [[1.0, 2.0]]}\n",
        [
            "4: shift, name: expected a list of lists of 2 values",
            "5: shift: given twice",
            "6: shift: given twice",
        ],
    ),
    "everything at once": (
        "titel: x\ntitle: [1]\nseeds: [a]\nseeds: [0]\ncells:\n  - task: guess\n    methods: [nobody]\n"
        "  - {task: gess, methods: [mean], limits: {seconds: -1}}\n",
        [
            "1: titel: unknown key (did you mean 'title'?)",
            "2: title: expected text, found a list",
            "3: seeds: expected whole numbers from 0, found 'a'",
            "4: seeds: given twice (first on line 3)",
            "7: methods: task guess has no method 'nobody' (known: mean, other)",
            "8: seconds: expected a positive number, found -1.0",
            "8: task: unknown task 'gess' (did you mean 'guess'?)",
        ],
    ),
}


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project that many bad suites are tried on, because none of them may change it."""
    return make(tmp_path_factory.mktemp("untouched"))


@pytest.mark.parametrize("name", FAULTS)
def test_faults_are_all_told_with_their_lines_and_nothing_runs(untouched: Project, name: str) -> None:
    text, expected = FAULTS[name]
    untouched.write("bad.yaml", text)
    done = untouched.run("bad.yaml")
    told = done.stderr.removeprefix("harness: ").splitlines()
    assert sorted(told) == sorted(f"bad.yaml:{line}" for line in expected)
    assert done.returncode == 2
    assert done.stdout == ""
    assert not (untouched.root / "results").exists()


def test_a_suite_that_is_not_there(untouched: Project) -> None:
    untouched.write("suites/quick.yaml", "cells: [{task: guess, methods: [mean]}]\n")
    done = untouched.run("quik.yaml")
    assert done.stderr == "harness: quik.yaml: no such suite file (did you mean 'quick'?)\n"
    assert done.returncode == 2
    assert untouched.plan("quick")[0]["method"] == "mean"


def asked(project: Project, methods: str, rest: str = "") -> list[dict]:
    """The parameters and seeds that a block with these methods expands to."""
    project.write("good.yaml", f"cells:\n  - task: guess\n    methods: {methods}\n{rest}")
    return [cell["settings"] | {"seed": cell["seed"]} for cell in project.plan("good.yaml")]


def test_scalars_are_those_of_yaml_1_2(untouched: Project) -> None:
    cells = asked(untouched, "[mean: {shift: [1e-3, 1, -.5, 1.E2], name: [on, 'no', 1e-3x, '12']}]")
    assert [cell["shift"] for cell in cells[::4]] == [0.001, 1.0, -0.5, 100.0]
    assert [cell["name"] for cell in cells[:4]] == ["on", "no", "1e-3x", "12"]
    assert all(type(cell["shift"]) is float for cell in cells)


def test_on_is_no_boolean_and_a_bare_number_no_text(untouched: Project) -> None:
    untouched.write(
        "bad.yaml", "cells:\n- task: guess\n  methods:\n  - mean: {again: on}\n  - mean: {name: 12}\n"
    )
    told = untouched.run("bad.yaml").stderr
    assert "bad.yaml:4: again: expected true or false, found 'on'" in told
    assert "bad.yaml:5: name: expected text, found 12" in told


def test_lists_are_axes_and_tied_axes_go_together(untouched: Project) -> None:
    cells = asked(untouched, "[mean: {'shift, name': [[1.0, a], [2.0, b]], again: [true, false]}]")
    found = [(cell["shift"], cell["name"], cell["again"]) for cell in cells]
    assert found == [(1.0, "a", True), (1.0, "a", False), (2.0, "b", True), (2.0, "b", False)]


def test_blocks_override_the_seeds_of_the_file_and_cells_are_counted_once(untouched: Project) -> None:
    text = """
    seeds: [0, 1]
    cells:
      - {task: guess, methods: [other, other: {k: 1}]}
      - {task: guess, methods: [other], limits: {seconds: 5}}
      - {task: guess, methods: [mean], seeds: 7, scale: [1.0, 2.0]}
    """
    untouched.write("good.yaml", text)
    cells = [
        (cell["method"], cell["seed"], cell["settings"]["scale"]) for cell in untouched.plan("good.yaml")
    ]
    assert cells == [("other", 0, 1.0), ("other", 1, 1.0), ("mean", 7, 1.0), ("mean", 7, 2.0)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--only", "methd=mean"], "harness: --only methd=mean: write task=, method=, dataset= or seed="),
        (
            ["--only", "method=mean,othr"],
            "harness: --only method=othr: no cell of suite.yaml has it (did you mean 'other'?)\n",
        ),
        (["--only", "seed=2"], "harness: --only seed=2: no cell of suite.yaml has it (known: 0, 1)\n"),
        (["--methods", "nowhere"], "harness: --methods nowhere: no such folder"),
    ],
)
def test_wrong_options_are_told_and_nothing_runs(
    untouched: Project, arguments: list[str], message: str
) -> None:
    done = untouched.run("suite.yaml", *arguments)
    assert done.stderr.startswith(message)
    assert done.returncode == 2
    assert not (untouched.root / "results").exists()


def test_filters_that_leave_nothing_are_told(untouched: Project) -> None:
    blocks = "{task: guess, methods: [mean], seeds: [0]}, {task: guess, methods: [other], seeds: [1]}"
    untouched.write("two.yaml", f"cells: [{blocks}]\n")
    done = untouched.run("two.yaml", "method=mean", "seed=1")
    assert done.stderr == "harness: two.yaml: no cell is left by --only method=mean seed=1\n"


def test_filters_keep_what_they_name(untouched: Project, tmp_path: Path) -> None:
    kept = untouched.plan("suite.yaml", "method=mean, other", "--only", "seed=1", "--results", str(tmp_path))
    assert [(cell["method"], cell["seed"]) for cell in kept] == [("mean", 1), ("mean", 1), ("other", 1)]
