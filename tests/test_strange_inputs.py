"""Inputs that broke the product once, each a sample of a kind: public bug reports of comparable tools."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest
from project import Project, wait_until

MEAN = "return {'guess': problem.noise.mean()}"

TABLE = """
title: Guesses
task: guess
headline: distance
within: []
columns:
  - {metric: distance}
"""
SHIFTED = "tables: [guesses]\ncells: [{{task: guess, methods: [mean: {{shift: {}}}]}}]\n"


@pytest.fixture
def tabled(project: Project) -> Project:
    """Two suites that show their cells in one table."""
    project.write("suites/tables/guesses.yaml", TABLE)
    project.write("a.yaml", SHIFTED.format("0.5"))
    project.write("b.yaml", SHIFTED.format("1.5"))
    return project


def outside(project: Project, command: list[str]) -> subprocess.CompletedProcess[bytes]:
    """Any command, run as the project's own."""
    return subprocess.run(command, cwd=project.root, env=project.variables(), capture_output=True)


def shown(project: Project) -> str:
    return (project.root / "results/tables/guesses.md").read_text()


def test_a_table_shows_the_cells_of_the_suite_that_was_run_last(tabled: Project) -> None:
    tabled.run("a.yaml")
    first = shown(tabled)
    tabled.run("b.yaml")
    assert shown(tabled) != first
    again = tabled.run("a.yaml")
    assert "0 ran now" in again.stdout
    assert shown(tabled) == first
    assert "Shows 1 cell of a.yaml (cells " in first


def test_a_run_of_some_cells_keeps_the_others_in_tables_and_report(tabled: Project) -> None:
    tabled.write("a.yaml", "tables: [guesses]\ncells: [{task: guess, methods: [mean, other]}]\n")
    tabled.run("a.yaml")
    first, page = shown(tabled), (tabled.root / "results/report.html").read_bytes()
    assert "1 cells: 1 ok; 0 ran now" in tabled.run("a.yaml", "--only", "method=mean").stdout
    assert shown(tabled) == first
    assert (tabled.root / "results/report.html").read_bytes() == page


def test_a_run_of_some_cells_forgets_those_that_the_suite_has_no_more(tabled: Project) -> None:
    tabled.write("a.yaml", "cells: [{task: guess, methods: [mean: {shift: [0.5, 1.5]}, other]}]\n")
    tabled.run("a.yaml")
    tabled.edit("a.yaml", "[0.5, 1.5]", "0.5")
    tabled.run("a.yaml", "--only", "method=other")
    rows = json.loads(tabled.harness("rows", "--format", "json").stdout)
    shifts = {row["method"]: json.loads(row["settings"]).get("shift") for row in rows}
    assert len(rows) == 4 and shifts == {"mean": 0.5, "other": None}


# Code beside a method file.


def test_an_imported_neighbour_is_part_of_the_key(project: Project) -> None:
    project.write("mine/_deep.py", "from harness.kit import toy\n\nFACTOR = 2 * bool(toy.CONSTANT)\n")
    project.write("mine/kit/__init__.py", "")
    project.write("mine/kit/part.py", "from _deep import FACTOR\n")
    project.method(
        "near", "from kit.part import FACTOR\nreturn {'guess': problem.noise.mean() * FACTOR}", folder="mine"
    )
    project.write("suite.yaml", "cells: [{task: guess, methods: [near]}]\n")
    assert project.run("suite.yaml", "--methods", "mine").returncode == 0
    assert [cell["status"] for cell in project.plan("suite.yaml", "--methods", "mine")] == ["hit"]
    project.edit("mine/_deep.py", "2", "3")
    (cell,) = project.plan("suite.yaml", "--methods", "mine")
    assert (cell["status"], cell["reason"]) == ("miss", "code: _deep.py")


def test_a_method_does_not_stand_in_for_the_package_that_it_wraps(project: Project) -> None:
    project.method("wraps", "import wraps\nreturn {'guess': problem.noise.mean()}", folder="mine")
    project.write("suite.yaml", "cells: [{task: guess, methods: [wraps]}]\n")
    assert "No module named 'wraps'" in project.run("suite.yaml", "--methods", "mine").stdout


def test_code_that_no_import_statement_names_is_an_error(project: Project) -> None:
    project.write("mine/_hidden.py", "FACTOR = 2\n")
    body = "import importlib\nreturn {'guess': importlib.import_module('_hid' + 'den').FACTOR}"
    project.method("sly", body, folder="mine")
    project.write("suite.yaml", "cells: [{task: guess, methods: [sly]}]\n")
    done = project.run("suite.yaml", "--methods", "mine")
    assert done.returncode == 1
    assert "_hidden.py was loaded, but nothing in the source says so" in done.stdout


def test_packages_of_an_environment_among_the_methods_are_not_theirs(project: Project) -> None:
    project.write("mine/.venv/lib/python3/site-packages/peer.py", "FACTOR = 2\n")
    project.environment["PYTHONPATH"] = f"{project.root}:{project.root}/mine/.venv/lib/python3/site-packages"
    body = """
        import importlib
        return {'guess': problem.noise.mean() * importlib.import_module('pe' + 'er').FACTOR}
    """
    project.method("late", body, folder="mine")
    project.write("suite.yaml", "cells: [{task: guess, methods: [late]}]\n")
    assert project.run("suite.yaml", "--methods", "mine").returncode == 0


# What a fit leaves behind.


def test_the_score_sees_a_fresh_problem_and_a_fresh_torch(project: Project) -> None:
    body = """
        import torch
        guess = problem.noise.mean().clone()
        problem.noise.mul_(7)
        torch.set_default_dtype(torch.float64)
        torch.manual_seed(5)
        return {'guess': guess}
    """
    project.method("spoils", body)
    project.write("suite.yaml", "cells: [{task: guess, methods: [spoils, mean]}]\n")
    done = project.run()
    assert "the fit changed problem.noise; the score saw a fresh problem" in done.stdout
    values = {row["method"]: row["value"] for row in project.rows() if row["metric"] == "distance"}
    assert values["spoils"] == values["mean"] == 0.0


def test_files_that_a_method_left_open_are_kept_whole(project: Project) -> None:
    body = "global kept\nkept = open(run.folder / 'curve.csv', 'w')\nkept.write('1,2,3')\n"
    project.method("opens", body + "return {'guess': problem.noise.mean()}")
    project.write("suite.yaml", "cells: [{task: guess, methods: [opens], power: [1, 2]}]\n")
    assert project.run().returncode == 0
    kept = list(project.root.glob("results/cells/*/curve.csv"))
    assert [path.read_text() for path in kept] == ["1,2,3"] * 2  # scored twice, fitted once


def test_a_removed_folder_costs_nothing(project: Project) -> None:
    project.method(
        "cleans", "import shutil\nshutil.rmtree(run.folder)\nreturn {'guess': problem.noise.mean()}"
    )
    project.write("suite.yaml", "seeds: [0, 1]\ncells: [{task: guess, methods: [cleans, mean]}]\n")
    done = project.run("suite.yaml", "--jobs", "1")
    assert (done.returncode, done.stderr) == (0, "")
    assert "4 cells: 4 ok; 4 ran now" in done.stdout


# Suites of one name, renamed suites.


def test_two_suites_of_one_name_are_two(project: Project) -> None:
    for folder, shift in (("one", 0.5), ("two", 1.5)):
        project.write(
            f"{folder}/suite.yaml", f"cells: [{{task: guess, methods: [mean: {{shift: {shift}}}]}}]\n"
        )
        assert project.run(f"{folder}/suite.yaml").returncode == 0
    rows = json.loads(project.harness("rows", "--format", "json").stdout)
    assert {row["suite"] for row in rows} == {"../one/suite.yaml", "../two/suite.yaml"}
    assert project.harness("gc", "--delete").stdout.startswith("0 deleted")
    assert [cell["status"] for cell in project.plan("one/suite.yaml")] == ["hit"]


def test_a_renamed_suite_can_be_forgotten(tabled: Project) -> None:
    tabled.run("a.yaml")
    (tabled.root / "a.yaml").rename(tabled.root / "c.yaml")
    tabled.edit("methods/mean.py", "+ shift", "+ 2 * shift")
    tabled.run("c.yaml")
    refused = tabled.harness("table", "guesses")
    assert refused.returncode == 2
    assert "in the suites a and c" in refused.stderr and "harness forget SUITE" in refused.stderr
    assert tabled.harness("forget", "b").stderr.startswith("harness: results: no suite 'b' has been run here")
    assert tabled.harness("forget", "a").stdout == "forgot ../a.yaml (1 cells)\n"
    assert tabled.harness("table", "guesses").returncode == 0
    assert "2 deleted" in tabled.harness("gc", "--delete").stdout
    assert [cell["status"] for cell in tabled.plan("c.yaml")] == ["hit"]


# Force, devices.


@pytest.mark.parametrize(
    ("device", "why"),
    [("gpu", "there is no such device; choose cpu"), ("cuda:99", "CUDA devices; choose cpu")],
)
def test_a_device_that_is_not_there_is_told_once_and_nothing_is_lost(
    project: Project, device: str, why: str
) -> None:
    assert project.run().returncode == 0
    before = sorted(path.name for path in project.root.glob("results/artifacts/*"))
    refused = project.run("suite.yaml", "--force", "--device", device)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert why in refused.stderr
    assert sorted(path.name for path in project.root.glob("results/artifacts/*")) == before
    assert {cell["status"] for cell in project.plan()} == {"hit"}


def test_a_forced_failure_keeps_the_good_result(project: Project) -> None:
    project.method("moody", f"if os.path.exists('bad'):\n    raise ValueError('not today')\n{MEAN}")
    project.write("suite.yaml", "cells: [{task: guess, methods: [moody]}]\n")
    assert project.run().returncode == 0
    project.write("bad", "")
    forced = project.run("suite.yaml", "--force")
    assert forced.returncode == 1
    assert "ValueError: not today (moody.py:16) (the earlier result is kept)" in forced.stdout
    assert [cell["status"] for cell in project.plan()] == ["hit"]


# Processes and signals.


def test_nohup_is_heeded(project: Project) -> None:
    project.method("slow", "count('slow')\ntime.sleep(1.5)\nreturn {'guess': problem.noise.mean()}")
    project.write("suite.yaml", "cells: [{task: guess, methods: [slow]}]\n")
    runner = subprocess.Popen(
        ["nohup", *project.command("run", "suite.yaml")],
        cwd=project.root,
        env=project.variables(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
    )
    wait_until(lambda: "slow" in project.counted())
    os.kill(runner.pid, signal.SIGHUP)
    out, _ = runner.communicate(timeout=60)
    assert runner.returncode == 0
    assert b"1 cells: 1 ok" in out


@pytest.mark.parametrize("how", ["fork", "spawn", "forkserver", None])
def test_a_method_s_own_code_can_be_run_by_its_child_processes(project: Project, how: str | None) -> None:
    path = project.method(
        "pools",
        f"""
        import multiprocessing
        with multiprocessing.get_context({how!r}).Pool(1) as pool:
            assert pool.map(double, [1, 2]) == [2, 4]
        run.log(multiprocessing.get_start_method())
        return {{'guess': problem.noise.mean()}}
        """,
    )
    path.write_text(path.read_text() + "\n\ndef double(x):\n    return 2 * x\n")
    project.write("suite.yaml", "cells: [{task: guess, methods: [pools], limits: {seconds: 60}}]\n")
    done = project.run()
    assert done.returncode == 0, done.stdout
    log = next(project.root.glob("results/cells/*/log.txt")).read_text()
    import multiprocessing

    assert log.split()[-1] == multiprocessing.get_start_method()  # the platform's, not ours


def test_memory_that_processes_share_counts_once(project: Project) -> None:
    body = """
        rows = bytearray(b'x' * 300_000_000)
        children = []
        for _ in range(4):
            if (child := os.fork()) == 0:
                sum(rows[::4096])
                time.sleep(2)
                os._exit(0)
            children.append(child)
        for child in children:
            os.waitpid(child, 0)
        return {'guess': problem.noise.mean()}
    """
    project.method("sharer", body)
    project.write("suite.yaml", "cells: [{task: guess, methods: [sharer], limits: {memory_gb: 0.9}}]\n")
    assert "1 cells: 1 ok" in project.run().stdout


# Where files lie, and who may write them.


def test_locks_can_be_taken_by_whom_the_umask_allows(project: Project) -> None:
    (project.root / "results").mkdir()
    command = ["sh", "-c", 'umask 002; exec "$@"', "sh", *project.command("run", "suite.yaml")]
    subprocess.run(command, cwd=project.root, env=project.variables(), check=True, capture_output=True)
    for path in (project.root / "results/claims").iterdir():
        assert path.stat().st_mode & 0o777 == 0o664


def test_a_broken_package_of_somebody_else_costs_its_methods_only(project: Project) -> None:
    project.write("site/broken/__init__.py", "import a_dependency_that_is_missing\n")
    project.write("site/broken/methods.py", "def broken(:\n")
    project.write("site/broken-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    project.write("site/broken-1.0.dist-info/entry_points.txt", "[harness.methods]\nx = broken.methods\n")
    project.environment["PYTHONPATH"] = f"{project.root}:{project.root / 'site'}"
    for verb in (["list"], ["plan", "suite.yaml"], ["run", "suite.yaml"], ["rows"]):
        done = project.harness(*verb)
        assert done.returncode == 0, done.stderr
        assert "not Python" in done.stderr and "left out" in done.stderr


def test_files_whose_names_begin_with_a_dot_are_nobody_s(project: Project) -> None:
    assert project.run().returncode == 0
    (project.root / "methods/.#mean.py").symlink_to("user@host.1234:1700000000")
    project.write("methods/._mean.py", b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X\xb0")
    project.write("results/suites/._x.json", b"\x00\x05")
    project.write("results/cells/.DS_Store", b"\x00")
    project.write("results/artifacts/.DS_Store", b"\x00")
    assert {cell["status"] for cell in project.plan()} == {"hit"}
    assert project.harness("rows").returncode == 0
    assert project.harness("gc").stdout.startswith("0 to delete")


def test_any_letter_can_be_printed(project: Project) -> None:
    project.edit("methods/mean.py", "The sample mean.", "The sample mean μ̂ → ∞.")
    assert project.run().returncode == 0
    project.environment["PYTHONIOENCODING"] = "iso-8859-1:strict"
    for verb in (["list"], ["rows"], ["rows", "--output", "out.csv"], ["plan", "suite.yaml"]):
        done = subprocess.run(
            project.command(*verb), cwd=project.root, env=project.variables(), capture_output=True
        )
        assert done.returncode == 0, done.stderr
    assert (project.root / "out.csv").stat().st_size > 100
    closed = ["sh", "-c", 'exec "$@" >&-', "sh", *project.command("list")]
    done = outside(project, closed)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_long_temporary_folder_and_no_home_are_no_riddles(project: Project) -> None:
    deep = project.root / ("scratch_of_a_batch_system_" * 4)
    deep.mkdir()
    project.environment["TMPDIR"] = str(deep)
    assert project.run().returncode == 0


# Numbers.


def test_a_measure_that_is_no_number_is_told_and_the_fit_is_kept(project: Project) -> None:
    project.method(
        "nans", "count('fit')\nrun.measure('spread', float('nan'))\nreturn {'guess': problem.noise.mean()}"
    )
    project.edit("harness/studies/guess/score.py", ', "spread": harness.Estimate(toy.CONSTANT, 0.5, 10)', "")
    project.write("suite.yaml", "cells: [{task: guess, methods: [nans]}]\n")
    for _ in range(2):
        assert "diverged guess nans seed=0: not finite: spread" in project.run().stdout
    assert project.counted() == ["fit"]


def test_a_misspelt_measure_is_told_before_anything_runs(project: Project) -> None:
    project.method("typos", f"count('fit')\nrun.measure('spred', 1.0)\n{MEAN}")
    refused = project.run()
    assert refused.returncode == 2
    assert "typos: the task guess declares no metric 'spred' (did you mean 'spread'?)" in refused.stderr


@pytest.mark.parametrize(
    ("hint", "value", "message"),
    [
        ('Annotated[int, "[1, inf)"]', "0", "k: 0 is outside its range, [1, inf)"),
        ('Annotated[float, "[0, 1)"]', "1.0", "k: 1.0 is outside its range, [0, 1)"),
        ('Annotated[float | None, "(0, 1]"]', "0", "k: 0.0 is outside its range, (0, 1]"),
    ],
)
def test_a_parameter_outside_its_range_is_refused(
    project: Project, hint: str, value: str, message: str
) -> None:
    path = project.method("ranged", MEAN, f"k: {hint} = {1 if 'int' in hint else 0.5}")
    path.write_text("from typing import Annotated\n" + path.read_text())
    project.write("suite.yaml", f"cells: [{{task: guess, methods: [ranged: {{k: {value}}}]}}]\n")
    refused = project.run()
    assert (refused.returncode, refused.stderr) == (2, f"harness: suite.yaml:1: {message}\n")


def test_method_files_may_be_written_in_their_authors_ways(project: Project) -> None:
    body = "return {'guess': problem.noise.mean()}"
    alias = project.method("alias", body)
    alias.write_text(
        alias.read_text().replace("import harness", "import harness as h").replace("@harness.", "@h.")
    )
    project.method("greek", body, "ϵ: float = 1.0")
    ladder = project.method("ladder", body)
    steps = "".join(f"    elif x == {n}:\n        pass\n" for n in range(900))
    ladder.write_text(ladder.read_text() + f"\n\ndef steps(x):\n    if x < 0:\n        pass\n{steps}")
    project.write("suite.yaml", "cells: [{task: guess, methods: [alias, ladder, greek: {ϵ: 0.5}]}]\n")
    done = project.run()
    assert "3 cells: 3 ok" in done.stdout, done.stderr


def test_a_task_that_is_no_text_is_told(project: Project) -> None:
    path = project.method("nobody", "return {}")
    path.write_text(path.read_text().replace("task='guess'", "task=None"))
    refused = project.run()
    assert refused.returncode == 2
    assert refused.stderr.endswith("@harness.method: task=None must be text\n")


def test_planning_grows_with_the_number_of_cells_and_no_faster(project: Project) -> None:
    script = """
import sys, time
from pathlib import Path
from harness import plan, registry, suite
from harness.store import Record, Store, _seal

found, store = registry.scan(), Store(Path("many"))


def cells(count, start):
    values = ", ".join(str(0.001 * (n + start)) for n in range(count))
    Path("many.yaml").write_text(f"cells: [{{task: guess, methods: [mean: {{shift: [{values}]}}]}}]")
    return suite.load(Path("many.yaml"), found)


def seconds(count):
    for p in plan.make(cells(count, 0), found, store, offline=True):
        c, k = p.cell, p.keys
        folder = store.cell_folder(k.key)
        folder.mkdir(parents=True, exist_ok=True)
        code = {"fit_code": p.inputs.fit_code, "score_code": p.inputs.score_code, "data": p.inputs.data}
        settings = {"problem": c.problem, "score": c.score, "parameters": c.parameters}
        keys = {"key": k.key, "address": k.address, "fit": k.fit, "status": "ok"}
        record = Record(task=c.task, method=c.method, seed=c.seed, **keys, **code, **settings)
        (folder / "cell.json").write_bytes(_seal(record))
    fresh = cells(count, count)
    start = time.process_time()
    made = plan.make(fresh, found, store, offline=True)
    assert {p.reason.partition(" ")[0] for p in made} == {"parameters:"}
    return time.process_time() - start


small = seconds(250)
print(small, seconds(1000))
"""
    project.write("many.py", script)
    done = outside(project, [project.command()[0], "many.py"])
    assert done.returncode == 0, done.stderr
    small, large = map(float, done.stdout.split())
    assert large < 8 * small  # four times the cells; a square would be sixteen


# Assets.

SLOW_ASSET = '''
import os
import time

import torch

import harness


@harness.asset(seconds=60)
def slow(run, *, size: int):
    """Takes longer than a cell may."""
    with open(os.environ["COUNT"], "a") as file:
        file.write("built" + chr(10))
    if os.path.exists("broken"):
        raise ValueError("no luck")
    time.sleep(2.5)
    (run.folder / "made.txt").write_text("by an asset")
    return {"truth": torch.full((size,), 1.5)}
'''


def standing(project: Project) -> Project:
    """Three cells that need one asset, which takes longer than their limit."""
    project.write("harness/studies/guess/assets.py", SLOW_ASSET)
    task = "harness/studies/guess/task.py"
    project.edit(task, "import harness\n", "import harness\nfrom harness.studies.guess.assets import slow\n")
    project.edit(task, "return Problem(", "run.asset(slow, size=4)\n    return Problem(")
    head = "seeds: [0, 1, 2]\nlimits: {seconds: 2}\n"
    project.write("suite.yaml", head + "cells: [{task: guess, methods: [mean]}]\n")
    return project


def test_waiting_for_an_asset_costs_no_time_limit_and_no_place(project: Project) -> None:
    standing(project)
    done = project.run("suite.yaml", "--jobs", "2")
    assert "3 cells: 3 ok" in done.stdout, done.stdout
    assert project.counted() == ["built"]
    planned = project.harness("plan", "suite.yaml").stdout
    assert "asset slow, used by 3 cells" in planned
    key = project.plan()[0]["key"]
    told = project.harness("show", key).stdout
    assert "slow(size=4) built in 2." in told and "made.txt" in told
    # A refactoring of the asset's file is carried by accept, and the old ones are collected.
    project.edit("harness/studies/guess/assets.py", "(size,)", "[size]")
    assert {cell["status"] for cell in project.plan()} == {"miss"}
    assert project.harness("accept", "suite.yaml").stdout.endswith("3 of 3 cells accepted\n")
    project.edit("suite.yaml", "methods: [mean]", "methods: [mean: {shift: 1.0}]")
    assert "3 cells: 3 ok; 3 ran now" in project.run().stdout
    assert project.counted() == ["built"]  # the accepted asset served
    deleted = project.harness("gc", "--delete", "--json").stdout
    assert (
        len([path for path in json.loads(deleted) if "/artifacts/" in path]) == 3 + 3 + 1
    )  # fits, twice, and the asset
    assert {cell["status"] for cell in project.plan()} == {"hit"}


def test_a_builder_that_fails_is_tried_once_a_run(project: Project) -> None:
    standing(project)
    project.write("broken", "")
    done = project.run("suite.yaml", "--jobs", "2")
    assert done.returncode == 1
    assert project.counted() == ["built"]
    reason = "asset slow(size=4) failed: ValueError: no luck (assets.py:"
    assert done.stdout.count(reason) == 6  # a line each, and the summary
    (project.root / "broken").unlink()
    assert "3 cells: 3 ok" in project.run().stdout


def test_a_score_whose_assets_all_fail_ends_once(project: Project) -> None:
    project.write("harness/studies/guess/assets.py", SLOW_ASSET)
    score = "harness/studies/guess/score.py"
    project.edit(score, "from harness.kit", "from harness.studies.guess.assets import slow\nfrom harness.kit")
    asks = "run.assets([(slow, {'size': size}) for size in (3, 4)])"
    project.edit(score, "    distance =", f"    {asks}\n    distance =")
    project.write("suite.yaml", "cells: [{task: guess, methods: [mean]}]\n")
    project.write("broken", "")
    done = project.run("suite.yaml", "--jobs", "2")
    assert [line for line in done.stdout.splitlines() if line.startswith("[2/")] == []
    assert project.counted() == ["built", "built"]


def test_data_that_no_parameter_names_cannot_be_read(project: Project) -> None:
    project.method("peeks", "run.data('digits')\nreturn {'guess': problem.noise.mean()}")
    project.write("suite.yaml", "cells: [{task: guess, methods: [peeks]}]\n")
    done = project.run()
    why = "the data set 'digits' is not part of the key: name it by a parameter of type harness.DataSet"
    assert why in done.stdout


# Executors.


def test_inline_makes_the_same_values_as_local_to_the_last_bit(project: Project) -> None:
    assert project.run("suite.yaml", "--executor", "inline").returncode == 0
    inline = {row["key"] + row["metric"]: row["value"] for row in project.rows()}
    assert project.run("suite.yaml", "--results", "local").returncode == 0
    done = project.harness("rows", "suite.yaml", "--results", "local", "--format", "json")
    assert {row["key"] + row["metric"]: row["value"] for row in json.loads(done.stdout)} == inline


def test_inline_shows_what_a_method_prints_and_whole_tracebacks(project: Project) -> None:
    project.method("breaks", "print('here I am')\nraise ValueError('whole')")
    project.write("suite.yaml", "cells: [{task: guess, methods: [breaks]}]\n")
    done = project.run("suite.yaml", "--executor", "inline")
    assert done.returncode == 1
    assert "here I am" in done.stdout
    assert "Traceback" in done.stderr and "breaks.py" in done.stderr


def test_the_supervisor_does_a_job_file_by_itself(project: Project) -> None:
    """As a scheduler of a cluster starts it: with a file, and nothing else."""
    script = """
from pathlib import Path
from harness.cli import options
from harness.execution import job as jobs
from harness.execution.places import Places
from harness.execution.scheduler import Scheduler


class Writes:
    def start(self, job):
        print(job)
        raise KeyboardInterrupt

    def stop(self, handle): ...
    def close(self): ...


chosen = options.Selection("suite.yaml", (), (), (), Path("results"))
_, _, store, cells = options.lay_out(chosen)
scheduler = Scheduler(store, Writes(), places=Places(1), device="cpu", view=None)
import shutil
shutil.rmtree = lambda *_, **__: None
try:
    scheduler.complete(cells)
except KeyboardInterrupt:
    pass
"""
    project.write("one.py", script)
    told = outside(project, [project.command()[0], "one.py"])
    job = Path(told.stdout.decode().strip())
    assert (project.root / job).is_file(), told.stderr
    command = [project.command()[0], "-m", "harness.execution.supervisor", str(job)]
    done = subprocess.run(command, cwd=project.root, env=project.variables(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    outcome = json.loads((project.root / job).with_name("outcome.json").read_text())
    assert outcome["status"] == "ok"
    assert (project.root / job).parent.joinpath("artifact", "arrays.safetensors").is_file()
