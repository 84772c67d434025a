"""The verbs: what each prints, as text and as JSON, and what it costs to ask."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import time
from pathlib import Path

import pandas
import pytest
from project import Project, make

from harness.cli import main

SUITE = """
seeds: [0, 1]
tables: [best]
cells:
  - task: guess
    methods:
      - mean: {shift: [0.0, 1.0]}
      - other
      - absent
"""
TABLE = "{title: Best, task: guess, columns: [{metric: distance}], headline: distance, within: [scale]}\n"
HEAVY = ("torch", "numpy", "pandas", "sklearn", "scipy", "matplotlib")
COLUMNS = {"suite", "task", "dataset", "method", "settings", "seed", "metric", "value", "unit", "status"}
COLUMNS |= {"origin", "key"}
VERBS = (
    "plan",
    "run",
    "show",
    "rows",
    "list",
    "table",
    "data",
    "accept",
    "gc",
    "doctor",
    "freeze",
    "compare",
)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose suite has been run; nobody changes it."""
    project = make(tmp_path_factory.mktemp("ran"))
    project.method("absent", "raise harness.Skip('its peer is not installed')")
    project.write("suite.yaml", SUITE)
    project.write("suites/tables/best.yaml", TABLE)
    done = project.run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "table    results/tables/best.md" in done.stdout
    return project


def printed(project: Project, *arguments: str) -> str:
    done = project.harness(*arguments)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def test_help_names_every_verb(ran: Project) -> None:
    told = printed(ran, "--help")
    for verb in VERBS:
        assert f"\n  {verb} " in told
    assert printed(ran, "--version").startswith("harness ")
    unknown = ran.harness("lst")
    assert unknown.returncode == 2
    assert "list" in unknown.stderr


def test_list(ran: Project) -> None:
    told = printed(ran, "list")
    assert "guess: Guess the mean of a data set\n" in told
    assert "  measures distance, spread, device_gb\n" in told
    assert "The sample mean (shift=0.0, name='x', again=False)  [methods]" in told
    found = json.loads(printed(ran, "list", "--json"))
    assert [method["name"] for method in found["methods"]] == ["absent", "mean", "other"]
    (task,) = found["tasks"]
    assert task["metrics"][0] == {
        "name": "distance",
        "unit": "1",
        "direction": "lower",
        "kind": "quality",
        "tolerance": 0.1,
        "meaning": "",
    }
    assert set(task["parameters"]) == {"dataset", "scale", "power"}


def test_plan(ran: Project) -> None:
    told = printed(ran, "plan", "suite.yaml")
    assert told.endswith("6 hit, 2 miss\n")
    assert "guess mean shift=1 seed=0\n" in told
    assert "guess absent seed=1  failed before (skipped)\n" in told
    planned = json.loads(printed(ran, "plan", "suite.yaml", "--json"))
    assert [(cell["method"], cell["seed"], cell["status"]) for cell in planned[:3]] == [
        ("mean", 0, "hit"),
        ("mean", 0, "hit"),
        ("other", 0, "hit"),
    ]
    named = {"key", "status", "reason", "task", "dataset", "method", "settings", "seed", "assets"}
    assert set(planned[0]) == named
    own = {"shift": 1.0, "name": "x", "again": False}
    assert planned[1]["settings"] == own | {"scale": 1.0, "power": 1, "method": "mean"}
    assert len({cell["key"] for cell in planned}) == 8


def test_plan_and_run_choose_cells_alike(ran: Project) -> None:
    options = ["--only", "method=mean", "--offline", "seed=0"]
    assert printed(ran, "plan", "suite.yaml", *options).endswith("2 hit\n")
    assert printed(ran, "run", "suite.yaml", *options).startswith("2 cells: 2 ok; 0 ran now, 2 were there\n")


def test_no_verb_takes_what_it_makes_nothing_of() -> None:
    for name, verb in main.commands.items():
        taken = {word.name: word for word in verb.params}
        assert not any(getattr(word, "hidden", False) for word in taken.values()), name
        assert not {"form", "as_json"} <= taken.keys(), name


def test_rows_is_the_long_table_in_three_formats(ran: Project) -> None:
    rows = json.loads(printed(ran, "rows", "suite.yaml", "--format", "json"))
    assert set(rows[0]) >= COLUMNS
    assert len(rows) == 6 * 2 + 2
    assert {row["status"] for row in rows} == {"ok", "skipped"}
    assert {row["origin"] for row in rows} == {"measured"}
    spread = next(row for row in rows if row["metric"] == "spread")
    assert (spread["value"], spread["error"], spread["n"], spread["unit"]) == (1.5, 0.5, 10, "1")
    assert json.loads(spread["settings"])["name"] == "x"
    skipped = [row for row in rows if row["status"] == "skipped"]
    assert [(row["metric"], row["value"], row["reason"]) for row in skipped] == [
        ("", None, "its peer is not installed")
    ] * 2

    as_csv = list(csv.DictReader(io.StringIO(printed(ran, "rows", "suite.yaml"))))
    assert len(as_csv) == len(rows)
    for text, row in zip(as_csv, rows, strict=True):
        assert all(
            text[name] == ("" if row[name] is None else str(row[name])) for name in ("key", "metric", "seed")
        )
        assert (
            text["value"] == ""
            if row["value"] is None
            else float(text["value"]) == pytest.approx(row["value"])
        )

    printed(ran, "rows", "suite.yaml", "--format", "parquet", "--output", "rows.parquet")
    table = pandas.read_parquet(ran.root / "rows.parquet")
    assert list(table["key"]) == [row["key"] for row in rows]
    refused = ran.harness("rows", "suite.yaml", "--format", "parquet")
    assert (refused.returncode, "--output FILE" in refused.stderr) == (2, True)


def test_load_returns_what_rows_prints(ran: Project) -> None:
    script = "import harness; harness.load('results').to_csv('loaded.csv', index=False)"
    subprocess.run([ran.command()[0], "-c", script], cwd=ran.root, env=ran.variables(), check=True)
    assert (ran.root / "loaded.csv").read_text() == printed(ran, "rows", "--format", "csv")
    script = "import harness; harness.load('nowhere')"
    failed = subprocess.run(
        [ran.command()[0], "-c", script], cwd=ran.root, env=ran.variables(), capture_output=True
    )
    assert failed.stderr.endswith(b"UserError: nowhere: no such results folder; run a suite first\n")


def test_show(ran: Project) -> None:
    key = next(cell["key"] for cell in ran.plan() if cell["method"] == "mean")
    told = printed(ran, "show", key[:6])
    for line in (f"key      {key}", "cell     guess mean seed 0", "status   ok", "  guessing with 0.0"):
        assert f"{line}\n" in told
    assert json.loads(printed(ran, "show", key, "--json"))["metrics"]["spread"]["value"] == 1.5
    for prefix, message in (("zzz", "no cell in results"), ("**", "no cell in results"), ("", "8 cells")):
        refused = ran.harness("show", prefix)
        assert refused.returncode == 2
        assert message in refused.stderr


def test_table(ran: Project) -> None:
    assert printed(ran, "table") == "best\n"
    assert json.loads(printed(ran, "table", "--format", "json")) == ["best"]
    assert "distance" in printed(ran, "table", "best")
    assert (ran.root / "results/tables/best.md").is_file()
    assert (ran.root / "results/tables/best.csv").is_file()
    refused = ran.harness("table", "bst")
    assert refused.stderr == "harness: no table 'bst' (did you mean 'best'?)\n"
    assert refused.returncode == 2


def test_data(ran: Project) -> None:
    listed = {row["name"]: row for row in json.loads(printed(ran, "data", "list", "--json"))}
    assert listed["digits"]["here"] is True
    assert listed["mnist"]["command"] == "harness data get mnist"
    assert printed(ran, "data", "get", "digits") == "digits: here\n"
    assert printed(ran, "data", "verify", "digits") == "digits             digits/digits.csv: ok\n"
    refused = ran.harness("data", "get", "digit")
    assert refused.stderr == "harness: there is no dataset 'digit' (did you mean 'digits'?)\n"


def test_doctor(ran: Project) -> None:
    checks = {row["check"]: row for row in json.loads(printed(ran, "doctor", "--json"))}
    assert checks["torch"]["ok"] is True
    assert checks["results"]["ok"] is True
    assert checks["mnist"]["ok"] is False
    assert list((ran.root / "results" / "tmp").iterdir()) == []


def test_a_reader_that_goes_away_is_no_error(ran: Project) -> None:
    line = " ".join(ran.command("plan", "suite.yaml", "--json"))
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {line} | head -c 1"],
        cwd=ran.root,
        env=ran.variables(),
        capture_output=True,
    )
    assert done.stderr == b""


def loaded_by(project: Project, *arguments: str) -> list[str]:
    """Which heavy libraries a command imports; 'workers' if it started any."""
    script = f"""
import atexit, json, sys


def tell():
    found = [name for name in {HEAVY!r} if name in sys.modules]
    server = sys.modules.get("multiprocessing.forkserver")
    found += ["workers"] if server and server._forkserver._forkserver_pid else []
    print(json.dumps(found), file=sys.stderr)


atexit.register(tell)
sys.argv = ["harness", *{arguments!r}]
from harness.cli import main

main()
"""
    done = subprocess.run(
        [project.command()[0], "-c", script],
        cwd=project.root,
        env=project.variables(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stderr.splitlines()[-1])


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["list"],
        ["list", "--json"],
        ["plan", "suite.yaml"],
        ["plan", "suite.yaml", "--force", "--json"],
        ["run", "suite.yaml", "--only", "method=mean,other"],
        ["gc"],
        ["accept", "suite.yaml"],
        ["data", "list"],
        ["table"],
    ],
    ids=" ".join,
)
def test_what_computes_nothing_imports_nothing_heavy(ran: Project, arguments: list[str]) -> None:
    assert loaded_by(ran, *arguments) == []


def test_show_imports_nothing_heavy(ran: Project) -> None:
    assert loaded_by(ran, "show", ran.plan()[0]["key"]) == []


def test_the_check_for_heavy_imports_can_fail(ran: Project) -> None:
    assert loaded_by(ran, "rows") == ["numpy", "pandas"]


def test_a_finished_suite_runs_again_in_no_time(ran: Project, tmp_path: Path) -> None:
    durations: list[float] = []
    while len(durations) < 5 and min(durations, default=1.0) >= 1:  # the machine may be busy
        started = time.perf_counter()
        done = ran.run("suite.yaml", "method=mean,other")
        durations.append(time.perf_counter() - started)
        assert "0 ran now, 6 were there" in done.stdout
    assert min(durations) < 1
