"""The cache: it misses exactly what changed, says why, and returns nothing that was not written whole."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from project import Project, make, wait_until

SUITE = """
cells:
  - {task: guess, methods: [mean, kitten, loner]}
  - {task: guess, methods: [loner], seeds: [5]}
  - {task: guess, methods: [loner], dataset: made}
"""
DATASET = '''
"""Made up.

For a test.
"""

from harness.data.sources import File

LICENCE = "none"
FILES = (File("made/numbers.csv", None, None, ()),)


def load(files):
    return {}
'''
KITTEN = """
from harness.kit.upper import double


def helper(problem):
    '''A docstring.'''
    return double(problem.noise.mean())  # a comment


FACTOR = 2


@harness.method(task="guess", cite="nobody")
def kitten(problem, run, *, k: int = 1):
    '''Uses kit that uses kit.'''
    count("kitten")
    return {"guess": helper(problem) * k * FACTOR}
"""
CELLS = ["mean", "kitten", "loner", "loner 5", "loner made"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a project whose suite has been run; its tests work on copies."""
    project = make(tmp_path_factory.mktemp("finished"))
    project.write("harness/kit/lower.py", '"""Lower."""\n\nTWO = 2.0\n')
    project.write(
        "harness/kit/upper.py",
        "from harness.kit import lower\n\n\ndef double(x):\n    return x * lower.TWO\n",
    )
    project.method(
        "loner", "count('loner')\nreturn {'guess': problem.noise.mean() + shift}", "shift: float = 1"
    )
    project.method("kitten", "pass")
    head = (project.root / "methods/kitten.py").read_text().partition("@harness")[0]
    project.write("methods/kitten.py", head + KITTEN)
    project.write("harness/datasets/made.py", DATASET)
    project.write("data/made/numbers.csv", "1,2,3\n")
    project.write("suite.yaml", SUITE)
    project.environment["HARNESS_DATA"] = str(project.root / "data")
    done = project.run()
    assert done.returncode == 0, done.stdout + done.stderr
    return project.root


@pytest.fixture
def cached(finished: Path, tmp_path: Path) -> Iterator[Project]:
    """A copy of the finished project, to be changed."""
    shutil.copytree(finished, tmp_path / "copy", symlinks=True)
    project = Project(tmp_path / "copy", {"HARNESS_DATA": str(tmp_path / "copy" / "data")})
    yield project
    wait_until(lambda: not project.processes(), seconds=10)


def state(project: Project, *arguments: str) -> dict[str, str]:
    """'hit', or the reason of the miss, by cell."""
    told = {}
    for cell in project.plan("suite.yaml", *arguments):
        name = " ".join([cell["method"], *(["5"] if cell["seed"] else []), *filter(None, [cell["dataset"]])])
        told[name] = "hit" if cell["status"] == "hit" else cell["reason"]
    return told


def stored(project: Project, method: str, seed: int = 0) -> Path:
    """The folder of a method's first cell."""
    found = [c["key"] for c in project.plan() if (c["method"], c["seed"]) == (method, seed)]
    return project.root / "results" / "cells" / found[0]


def fit_of(project: Project, method: str) -> Path:
    """The folder of the artifact that a method's first cell was scored from."""
    told = project.harness("show", stored(project, method).name, "--json")
    return project.root / "results" / "artifacts" / json.loads(told.stdout)["fit"]


def test_a_second_run_finds_everything(cached: Project) -> None:
    assert state(cached) == dict.fromkeys(CELLS, "hit")
    before = sorted(cached.root.glob("results/*/*"))
    done = cached.run()
    assert done.stdout == "5 cells: 5 ok; 0 ran now, 5 were there\nreport   results/report.html\n"
    assert done.returncode == 0
    assert sorted(cached.root.glob("results/*/*")) == before


def test_comments_docstrings_and_layout_make_no_miss(cached: Project) -> None:
    cached.edit("methods/kitten.py", "# a comment", "# another comment")
    cached.edit("methods/kitten.py", "'''A docstring.'''", "'''Another\n\n    docstring.'''\n\n")
    cached.edit("methods/kitten.py", "'''Uses kit that uses kit.'''", "# none")
    cached.edit("methods/kitten.py", 'count("kitten")', "count(\n        'kitten',\n    )")
    cached.edit("harness/kit/lower.py", '"""Lower."""', '# lower\n"""The lower kit."""\n\n\n')
    cached.edit("harness/studies/guess/task.py", '"""The problem."""', '"""The one problem."""')
    cached.edit("harness/datasets/made.py", "For a test.", "For the test.")
    assert state(cached) == dict.fromkeys(CELLS, "hit")


def test_what_the_task_says_of_its_metrics_makes_no_miss(cached: Project) -> None:
    cached.edit("harness/studies/guess/score.py", "tolerance=0.1", "tolerance=0.2")
    assert state(cached) == dict.fromkeys(CELLS, "hit")


def test_the_engine_is_not_part_of_the_key(cached: Project) -> None:
    cached.edit("harness/execution/display.py", "class Plain:", "UNUSED = 1\n\n\nclass Plain:")
    assert state(cached) == dict.fromkeys(CELLS, "hit")


@pytest.mark.parametrize(
    ("file", "before", "after", "missing", "label"),
    [
        ("methods/kitten.py", "FACTOR = 2", "FACTOR = 3", ["kitten"], "methods/kitten.py"),
        ("methods/kitten.py", "double(problem", "0 + double(problem", ["kitten"], "methods/kitten.py"),
        ("harness/kit/upper.py", "x * lower", "x / lower", ["kitten"], "harness/kit/upper.py"),
        ("harness/kit/lower.py", "2.0", "2", ["kitten"], "harness/kit/lower.py"),
        ("harness/kit/toy.py", "1.5", "1.25", CELLS, "harness/kit/toy.py"),
        ("harness/studies/guess/task.py", "scale *", "2 * scale *", CELLS, "harness/studies/guess/task.py"),
        ("harness/studies/guess/score.py", ".abs()", ".square()", CELLS, "harness/studies/guess/score.py"),
        (
            "harness/datasets/made.py",
            "return {}",
            "return {1: 2}",
            ["loner made"],
            "harness/datasets/made.py",
        ),
    ],
)
def test_an_edit_misses_what_uses_the_file_and_plan_names_it(
    cached: Project, file: str, before: str, after: str, missing: list[str], label: str
) -> None:
    cached.edit(file, before, after)
    expected = {cell: f"code: {label}" if cell in missing else "hit" for cell in CELLS}
    assert state(cached) == expected
    cached.edit(file, after, before)
    assert state(cached) == dict.fromkeys(CELLS, "hit")


def test_an_import_that_comes_or_goes_is_named(cached: Project) -> None:
    cached.edit("methods/kitten.py", "FACTOR = 2", "FACTOR = 2\nfrom harness.kit import extra")
    cached.write("harness/kit/extra.py", "ONE = 1\n")
    assert state(cached)["kitten"] == "code: harness/kit/extra.py, methods/kitten.py"


def test_other_reasons(cached: Project) -> None:
    cached.edit("suite.yaml", "[loner], seeds: [5]", "[loner: {shift: 2.5}], seeds: [5]")
    cached.edit("suite.yaml", "[mean, kitten, loner]", "[mean: {shift: 0.0, name: x}, kitten, loner, other]")
    cached.edit("methods/kitten.py", "k: int = 1", "k: int = 2")
    assert state(cached) == {
        "mean": "hit",  # defaults written out
        "kitten": "parameters: k 1 -> 2",
        "loner": "hit",
        "other": "new",
        "loner 5": "parameters: shift 1.0 -> 2.5",
        "loner made": "hit",
    }
    assert set(state(cached, "--force").values()) == {"forced"}
    assert set(state(cached, "--only", "method=loner")) == {"loner", "loner 5", "loner made"}


def test_changed_data_misses_its_cells(cached: Project) -> None:
    cached.write("data/made/numbers.csv", "1,2,4\n")
    expected = dict.fromkeys(CELLS, "hit") | {"loner made": "data: made/numbers.csv"}
    assert state(cached) == expected
    assert "0 of 5 cells accepted" in cached.harness("accept", "suite.yaml").stdout
    cached.write("data/made/numbers.csv", "1,2,3\n")
    assert state(cached) == dict.fromkeys(CELLS, "hit")


def test_missing_data_skips_its_cells_with_the_way_to_get_it(cached: Project) -> None:
    (cached.root / "data/made/numbers.csv").unlink()
    done = cached.run()
    assert done.returncode == 0
    assert "5 cells: 4 ok, 1 skipped; 0 ran now, 4 were there" in done.stdout
    assert "made/numbers.csv" in done.stdout
    assert "HARNESS_DATA" in done.stdout


def test_accept_blesses_what_misses_through_code_alone(cached: Project) -> None:
    before = {row["method"] + row["metric"]: row["value"] for row in cached.rows()}
    cached.edit("harness/kit/lower.py", "TWO", "TWICE")
    cached.edit("harness/kit/upper.py", "TWO", "TWICE")
    cached.edit("suite.yaml", "[loner], seeds: [5]", "[loner], seeds: [6]")
    assert state(cached)["kitten"] == "code: harness/kit/lower.py, harness/kit/upper.py"
    old = fit_of_record(cached, "kitten")
    accepted = cached.harness("accept", "suite.yaml")
    assert accepted.returncode == 0
    assert "1 of 5 cells accepted" in accepted.stdout
    assert "code: harness/kit/lower.py, harness/kit/upper.py" in accepted.stdout
    assert state(cached) == {**dict.fromkeys(CELLS, "hit"), "loner 5": "new"}
    assert {row["method"] + row["metric"]: row["value"] for row in cached.rows() if row["metric"]} == before
    assert f"accepted from {old}" in cached.harness("show", stored(cached, "kitten").name).stdout
    assert fit_of(cached, "kitten").is_dir()
    cached.harness("gc", "--delete")  # what was accepted is what the suite is made of now
    assert state(cached) == {**dict.fromkeys(CELLS, "hit"), "loner 5": "new"}


def fit_of_record(project: Project, method: str) -> str:
    """The key under which a method's only cell is stored, whatever today's code would call it."""
    for path in (project.root / "results").glob("cells/*/cell.json"):
        if json.loads(path.read_text())["content"]["method"] == method:
            return path.parent.name
    raise AssertionError(f"no cell of {method}")


def test_damaged_cells_are_noticed_said_and_recomputed(cached: Project) -> None:
    whole = {row["key"] + row["metric"]: row["value"] for row in cached.rows()}
    truncated, edited = stored(cached, "mean") / "cell.json", stored(cached, "kitten") / "cell.json"
    swapped, emptied = stored(cached, "loner") / "cell.json", stored(cached, "loner", 5) / "cell.json"
    truncated.write_bytes(truncated.read_bytes()[:-40])
    text = edited.read_text()
    edited.write_text(text.replace('"value":1.5', '"value":2.5'))
    assert edited.read_text() != text
    swapped.write_bytes(emptied.read_bytes())
    emptied.write_bytes(b"")
    (stored(cached, "mean") / ".cell.json-12345678").write_text("half a cell")
    told = {cell: reason.partition(":")[0] for cell, reason in state(cached).items()}
    assert told == dict.fromkeys(CELLS, "damaged") | {"loner made": "hit"}
    assert (
        state(cached)["kitten"]
        == f"damaged: results/cells/{edited.parent.name}/cell.json was edited after it was written"
    )
    assert "run its suite again" in cached.harness("show", edited.parent.name).stderr
    counted = len(cached.counted())
    done = cached.run()
    assert done.returncode == 0
    assert "5 cells: 5 ok; 4 ran now, 1 were there" in done.stdout
    assert {row["key"] + row["metric"]: row["value"] for row in cached.rows()} == whole
    assert len(cached.counted()) == counted  # their fits were whole, so nothing was trained again


def test_damaged_artifacts_are_recomputed(cached: Project) -> None:
    arrays = fit_of(cached, "kitten") / "arrays.safetensors"
    facts = fit_of(cached, "loner") / "facts.json"
    arrays.write_bytes(arrays.read_bytes()[:-1] + b"\x99")
    facts.write_text(facts.read_text().replace('"fit":', '"fit":1'))
    counted = len(cached.counted())
    cached.edit("suite.yaml", "[mean, kitten, loner]", "[mean, kitten, loner], power: 2")
    cached.edit("suite.yaml", "[loner], dataset", "[loner], power: 2, dataset")
    done = cached.run()
    assert done.returncode == 0
    assert "5 cells: 5 ok; 4 ran now, 1 were there" in done.stdout
    assert sorted(cached.counted()[counted:]) == ["kitten", "loner"]
    assert cached.harness("gc").returncode == 0


def test_code_that_is_edited_during_a_run_never_answers_for_the_old_code(cached: Project) -> None:
    cached.method(
        "slow",
        "count('slow')\nwhile not os.path.exists('go'):\n    time.sleep(0.02)\n"
        "return {'guess': problem.noise.mean()}",
    )
    cached.write("suite.yaml", "cells: [{task: guess, methods: [slow, kitten: {k: 7}, loner: {shift: 7}]}]\n")
    planned = state(cached)
    runner = cached.start("run", "suite.yaml", "--jobs", "1")
    wait_until(lambda: "slow" in cached.counted())
    cached.edit("harness/kit/lower.py", "2.0", "3.0")
    cached.edit("methods/loner.py", "'''Made up.'''", "'''Made up, with a longer docstring.'''")
    cached.write("go", "")
    out, _ = runner.communicate(timeout=30)
    assert runner.returncode == 1
    assert "kitten k=7 seed=0: the code was edited while the suite was running; run it again" in out
    assert state(cached) == {**planned, "slow": "hit", "loner": "hit", "kitten": "code: harness/kit/lower.py"}
    cached.edit("harness/kit/lower.py", "3.0", "2.0")
    assert state(cached)["kitten"] == "failed before (failed)"


def test_force_trains_again(cached: Project) -> None:
    counted = len(cached.counted())
    done = cached.run("suite.yaml", "--force", "--only", "method=loner")
    assert done.returncode == 0
    assert cached.counted()[counted:] == ["loner", "loner", "loner"]


def test_gc_deletes_only_what_nothing_refers_to(cached: Project) -> None:
    key = stored(cached, "kitten").name
    artifact = fit_of(cached, "kitten")
    cached.edit("suite.yaml", "[mean, kitten, loner]", "[mean, loner]")
    assert cached.harness("gc").stdout.startswith(
        "0 to delete (harness gc --delete)\n"
    )  # until the suite has run
    assert cached.run().returncode == 0
    listed = cached.harness("gc", "--json")
    assert json.loads(listed.stdout) == [f"results/cells/{key}", f"results/artifacts/{artifact.name}"]
    assert artifact.is_dir()
    assert "\n2 deleted, 0.0 MB\n" in cached.harness("gc", "--delete").stdout
    assert not artifact.exists()
    assert state(cached) == {cell: "hit" for cell in CELLS if cell != "kitten"}
    cached.edit("suite.yaml", "[mean, loner]", "[mean, kitten, loner]")
    assert state(cached)["kitten"] == "new"


def test_fits_can_be_dropped_without_a_row_lost_and_only_another_score_trains_again(cached: Project) -> None:
    cached.method("broken", "raise ValueError('no')")
    cached.edit("suite.yaml", "[mean, kitten, loner]", "[mean, kitten, loner, broken]")
    assert cached.run().returncode == 1
    rows, key, counted = cached.rows(), stored(cached, "kitten").name, len(cached.counted())
    fits = len(list(cached.root.glob("results/artifacts/*")))
    assert "the arrays of fits and assets that stay take 0.0 MB" in cached.harness("gc").stdout
    assert "dropped" not in cached.harness("show", key).stdout
    done = cached.harness("gc", "--keep", "metrics", "--delete")
    assert f"\n{fits} deleted, 0.0 MB\n" in done.stdout
    assert not list(cached.root.glob("results/artifacts/*"))
    assert "fit      dropped; another score of it" in cached.harness("show", key).stdout
    assert cached.rows() == rows
    assert set(state(cached).values()) == {"hit", "failed before (failed)"}
    assert cached.run("suite.yaml", "--only", "method=kitten").returncode == 0
    assert len(cached.counted()) == counted
    cached.edit("suite.yaml", "loner, broken]", "loner], power: 2")
    assert cached.run("suite.yaml", "--only", "method=kitten").returncode == 0
    assert cached.counted()[counted:] == ["kitten"]


def test_a_run_of_some_cells_keeps_the_rows_of_the_others_and_replaces_its_own(cached: Project) -> None:
    cached.edit("methods/kitten.py", "FACTOR = 2", "FACTOR = 3")
    assert cached.run("suite.yaml", "--only", "method=kitten").returncode == 0
    rows = json.loads(cached.harness("rows", "--format", "json").stdout)
    assert sorted(row["method"] for row in rows if row["metric"] == "distance") == sorted(
        ["kitten", "loner", "loner", "loner", "mean"]
    )


def test_drift_of_the_software_is_said_and_makes_no_miss(cached: Project) -> None:
    (made,) = (cached.root / "results" / "envs").iterdir()
    for name in ("torch", "pillow"):
        made.write_text(made.read_text().replace(f'"{name}":"', f'"{name}":"0.'))
    told = cached.harness("plan", "suite.yaml").stdout
    for name in ("torch", "pillow"):
        assert f"drift: 5 results were made with {name} 0." in told
    assert "5 hit" in told
    made.write_text("{")
    told = cached.harness("plan", "suite.yaml")
    assert (told.returncode, told.stderr) == (0, "")
    assert "drift: 5 results were made with torch unknown" in told.stdout
