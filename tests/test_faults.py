"""Whatever a method does costs one cell; whatever happens to a run costs what was not finished."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from project import Project, make, wait_until

BAD_METHODS = {
    "raises": "print('on the way')\nraise ValueError('broken \\x1b[31mpipe\\udc80\\nsecond line')",
    "exits": "print('last words')\nos._exit(3)",
    "segfaults": "os.kill(os.getpid(), 11)",
    "quits": "raise SystemExit(0)",
    "hangs": "while True:\n    time.sleep(1)",
    "ignores": "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nwhile True:\n    pass",
    "hoards": "held = []\nwhile True:\n    held.append(b'x' * 2**25)\n    time.sleep(0.005)",
    "shares": """
        held = []
        os.fork(), os.fork()
        for _ in range(8):
            held.append(b'x' * 2**25)
        time.sleep(30)
    """,
    "refused": "raise MemoryError('no room')",
    "nan": "return {'guess': problem.noise.mean() * float('nan')}",
    "infinite": "return {'guess': problem.noise.mean() + 3e38, 'fine': problem.noise}",
    "nothing": "pass",
    "forks": """
        if os.fork() == 0:
            time.sleep(60)
        return {'guess': problem.noise.mean()}
    """,
    "escapes": """
        if os.fork() == 0:
            os.setsid()
            os.fork()
            time.sleep(60)
        return {'guess': problem.noise.mean()}
    """,
    "splits": """
        os.fork()
        return {'guess': problem.noise.mean()}
    """,
    "orphans": "os.kill(os.getppid(), 9)\ntime.sleep(60)",
    "links": """
        (run.folder / 'kept').mkdir()
        (run.folder / 'kept' / '9.pt').write_text('weights')
        (run.folder / 'kept' / 'last').symlink_to(run.folder / 'kept' / '9.pt')
        (run.folder / 'nowhere').symlink_to('/no/such/file')
        os.mkfifo(run.folder / 'kept' / 'pipe')
        return {'guess': problem.noise.mean()}
    """,
    "names": "(run.folder / 'log.txt').mkdir()\nreturn {'guess': problem.noise.mean()}",
    "swaps": "run.folder.rmdir()\nrun.folder.write_text('x')\nreturn {'guess': problem.noise.mean()}",
    "litters": "(run.folder / 'cell.json').mkdir()\nraise ValueError('no')",
    "passes": "raise harness.Skip('its peer is not installed')",
}

STATUSES = {
    "raises": ("failed", r"ValueError: broken \?\[31mpipe\? \(raises.py:16\)"),
    "exits": ("crashed", "the process exited with status 3 before it had a result"),
    "segfaults": ("crashed", "ended by SIGSEGV"),
    "quits": ("failed", r"SystemExit: 0 \(quits.py:15\)"),
    "hangs": ("timeout", "took longer than 2 s"),
    "ignores": ("timeout", "took longer than 2 s"),
    "hoards": ("oom", "took more than 0.8 GB of memory"),
    "shares": ("oom", "took more than 0.8 GB of memory"),
    "refused": ("oom", "no room"),
    "nan": ("diverged", "numbers that are not finite were returned in 'guess'"),
    "infinite": ("diverged", "not finite: distance"),
    "nothing": ("failed", "TypeError: arrays by name must be returned, not NoneType .*"),
    "forks": ("ok", "left 1 process behind, now ended"),
    "escapes": ("ok", "left 2 processes behind, now ended"),
    "splits": ("ok", "(left 1 process behind, now ended)?"),
    "orphans": ("crashed", "the supervisor of its process ended with status -9"),
    "links": ("ok", ""),
    "names": ("ok", ""),
    "swaps": ("failed", "what it left in run.folder cannot be kept: files: File exists"),
    "litters": ("failed", r"ValueError: no \(litters.py:16\)"),
    "passes": ("skipped", "its peer is not installed"),
    "mean": ("ok", ""),
    "other": ("ok", ""),
}


class Faulty(NamedTuple):
    project: Project
    done: subprocess.CompletedProcess[str]
    left: list[int]
    rows: list[dict[str, Any]]


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Faulty:
    """One run of every bad method beside two good ones."""
    project = make(tmp_path_factory.mktemp("faulty"))
    for name, body in BAD_METHODS.items():
        project.method(name, body)
    listed = ", ".join(sorted(set(STATUSES) - {"hangs", "ignores", "hoards", "shares", "infinite"}))
    project.write(
        "suite.yaml",
        "cells:\n"
        "  - {task: guess, methods: [hangs, ignores], limits: {seconds: 2}}\n"
        "  - {task: guess, methods: [hoards, shares], limits: {memory_gb: 0.8}}\n"
        f"  - {{task: guess, methods: [{listed}]}}\n"
        "  - {task: guess, methods: [infinite], power: 2}\n",
    )
    done = project.run("suite.yaml", "--jobs", "2")
    return Faulty(project, done, project.processes(), project.rows())


@pytest.mark.parametrize("method", STATUSES)
def test_every_fault_is_a_row_with_its_status(faulty: Faulty, method: str) -> None:
    status, reason = STATUSES[method]
    rows = [row for row in faulty.rows if row["method"] == method]
    assert {row["status"] for row in rows} == {status}
    assert re.fullmatch(reason, rows[0]["reason"]), rows[0]["reason"]
    assert {row["metric"] for row in rows} == ({"distance", "spread"} if status == "ok" else {""})


def test_what_a_method_leaves_is_kept_whatever_it_is(faulty: Faulty) -> None:
    (cell,) = {row["key"] for row in faulty.rows if row["method"] == "links"}
    folder = faulty.project.root / "results/cells" / cell
    assert (folder / "kept/9.pt").read_text() == "weights"
    assert (folder / "kept/last").is_symlink() and (folder / "kept/pipe").is_fifo()
    assert (folder / "nowhere").is_symlink()


def test_faults_leave_no_process_and_no_litter_and_exit_with_1(faulty: Faulty) -> None:
    assert faulty.left == []
    assert list((faulty.project.root / "results" / "tmp").iterdir()) == []
    assert faulty.done.returncode == 1
    assert faulty.done.stderr == ""


def test_the_output_names_each_failure_and_has_no_control_characters(faulty: Faulty) -> None:
    lines = faulty.done.stdout.splitlines()
    summary = next(line for line in lines if line.startswith("23 cells: 7 ok, "))
    for counted in ("3 crashed", "5 failed", "3 oom", "2 timeout", "2 diverged", "1 skipped"):
        assert counted in summary
    for method, (status, _) in STATUSES.items():
        named = [line for line in lines if line.startswith(f"{status} ") and f" {method} " in line]
        assert len(named) == (status not in ("ok", "skipped")), method
    assert all(letter.isprintable() or letter == "\n" for letter in faulty.done.stdout)


@pytest.mark.parametrize(
    ("method", "ends"),
    [
        ("raises", ["on the way", "  ValueError: broken", "raises.py"]),
        ("exits", ["of 1 lines of its log:", "  last words"]),
        ("infinite", ["Diverged: not finite: distance"]),
    ],
)
def test_show_prints_status_and_the_end_of_the_log(faulty: Faulty, method: str, ends: list[str]) -> None:
    key = next(row["key"] for row in faulty.rows if row["method"] == method)
    told = faulty.project.harness("show", key[:12])
    assert told.returncode == 0
    assert f"status   {STATUSES[method][0]}: " in told.stdout
    assert all(end in told.stdout for end in ends)
    assert "another exception occurred" not in told.stdout
    short = faulty.project.harness("show", key[:12], "--lines", "0").stdout
    assert ends[-1] not in short.partition("lines of its log:")[2]


def test_only_what_failed_is_tried_again(faulty: Faulty) -> None:
    planned = {cell["method"]: (cell["status"], cell["reason"]) for cell in faulty.project.plan()}
    for method, (status, _) in STATUSES.items():
        assert planned[method] == (("hit", "") if status == "ok" else ("miss", f"failed before ({status})"))


# What happens to the runner.

SLEEPER = """
    if os.path.exists('awake'):
        return {'guess': problem.noise.mean()}
    if os.fork() == 0:
        os.setsid()
        time.sleep(60)
    count(f'sleeper{run.seed}')
    time.sleep(60)
"""
QUICK = """
    count(f'quick{run.seed}')
    return {'guess': problem.noise.mean()}
"""
LONG_SUITE = f"""
cells:
  - {{task: guess, methods: [sleeper]}}
  - {{task: guess, methods: [quick], seeds: {list(range(40))}}}
"""


@pytest.fixture
def long(project: Project) -> Project:
    """A suite that begins with a cell which sleeps until the file `awake` is there; 40 quick cells follow."""
    project.method("sleeper", SLEEPER)
    project.method("quick", QUICK)
    project.write("suite.yaml", LONG_SUITE)
    return project


def finished(project: Project) -> set[str]:
    """Keys of the cells that are stored."""
    return {path.parent.name for path in (project.root / "results").glob("cells/*/cell.json")}


def litter(project: Project) -> list[Path]:
    return list((project.root / "results").glob("tmp/*"))


def test_a_killed_run_loses_and_repeats_nothing(long: Project) -> None:
    runner = long.start("run", "suite.yaml", "--jobs", "2")
    wait_until(lambda: len(finished(long)) >= 10)
    assert "sleeper0" in long.counted()
    assert len(long.processes()) >= 5  # runner, fork server, keeper, worker, what it forked
    os.kill(runner.pid, signal.SIGKILL)
    wait_until(lambda: not long.processes(), seconds=2)
    runner.communicate()
    assert len(litter(long)) <= 2  # jobs that had ended and were not yet published; the next run clears up
    kept = finished(long)
    assert {cell["key"] for cell in long.plan() if cell["status"] == "hit"} == kept
    before = long.counted()
    long.write("awake", "")
    done = long.run()
    assert done.returncode == 0
    assert f"41 cells: 41 ok; {41 - len(kept)} ran now, {len(kept)} were there" in done.stdout
    after = long.counted()[len(before) :]
    assert len(after) == len(set(after)) <= 41 - len(kept) - 1  # the sleeper, awake, counts nothing
    assert {f"quick{seed}" for seed in range(40)} == set(long.counted()) - {"sleeper0"}
    assert litter(long) == []


def interrupt(runner: subprocess.Popen[str], how: str) -> tuple[str, str]:
    """Stop a run as a terminal does (SIGINT to all of its group) or as a scheduler does; it has 2 seconds."""
    started = time.monotonic()
    if how == "terminal":
        os.killpg(runner.pid, signal.SIGINT)
    else:
        os.kill(runner.pid, getattr(signal, how))
    out, err = runner.communicate(timeout=10)
    assert time.monotonic() - started < 2
    return out, err


@pytest.mark.parametrize("how", ["terminal", "SIGTERM"])
def test_stopping_is_clean(long: Project, how: str) -> None:
    runner = long.start("run", "suite.yaml", "--jobs", "2")
    wait_until(lambda: len(finished(long)) >= 3)
    out, err = interrupt(runner, how)
    assert runner.returncode == 130
    assert err == "harness: stopped; finished cells are kept, the same command goes on\n"
    assert long.processes() == []
    assert litter(long) == []
    assert {cell["key"] for cell in long.plan() if cell["status"] == "hit"} == finished(long)
    assert len(out.splitlines()) in (len(finished(long)), len(finished(long)) - 1)


def test_stopping_while_libraries_are_loaded_is_clean(long: Project) -> None:
    runner = long.start("run", "suite.yaml", "--jobs", "2")
    wait_until(lambda: litter(long))
    time.sleep(0.4)
    _, err = interrupt(runner, "terminal")
    assert runner.returncode == 130
    assert err == "harness: stopped; finished cells are kept, the same command goes on\n"
    assert long.processes() == []
    assert litter(long) == []


def test_two_runs_of_one_suite_share_its_cells(project: Project) -> None:
    project.method("quick", QUICK)
    project.write("suite.yaml", LONG_SUITE.replace("[sleeper]", "[other]"))
    runners = [project.start("run", "suite.yaml", "--jobs", "2") for _ in range(2)]
    told = [runner.communicate(timeout=60) for runner in runners]
    assert [runner.returncode for runner in runners] == [0, 0]
    assert sorted(project.counted()) == sorted(f"quick{seed}" for seed in range(40))
    assert all("41 cells: 41 ok" in out and not err for out, err in told)
    assert litter(project) == []


def test_what_another_run_made_after_the_plan_is_not_made_again(project: Project) -> None:
    project.method("quick", QUICK)
    project.write("suite.yaml", "cells: [{task: guess, methods: [quick], seeds: [0, 1]}]\n")
    project.write(
        "late.py",
        """
from pathlib import Path
from subprocess import run
from sys import executable

from harness import session
from harness.cli import options

if __name__ == "__main__":
    chosen = options.Selection("suite.yaml", (), (), (), Path("results"))
    suite, registry, store, cells = options.lay_out(chosen)
    run([executable, "-m", "harness", "run", "suite.yaml"], check=True)
    print(len(session.compute(store, cells, session.Where(jobs=1))))
""",
    )
    done = subprocess.run(
        [project.command()[0], "late.py"], cwd=project.root, env=project.variables(), capture_output=True
    )
    assert done.stdout.endswith(b"\n2\n"), done.stderr
    assert sorted(project.counted()) == ["quick0", "quick1"]


# What happens to the results folder.


@pytest.fixture
def small_disk(project: Project) -> Iterator[Path]:
    """A file system of 4 MB in the project's folder `small`."""
    disk = project.root / "small"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", disk], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting is not permitted here")
    yield disk
    subprocess.run(["umount", disk], check=True)


def test_a_full_disk_stops_the_run_and_loses_nothing(project: Project, small_disk: Path) -> None:
    project.method("large", "return {'guess': problem.noise.mean(), 'pad': problem.noise.repeat(300_000)}")
    project.write("suite.yaml", "seeds: [0, 1]\ncells: [{task: guess, methods: [mean, large]}]\n")
    stopped = project.run("suite.yaml", "--results", "small/results", "--jobs", "1")
    assert stopped.returncode == 2
    assert re.fullmatch("harness: small/results: .*the disk is full; free some space .*\n", stopped.stderr)
    assert list(small_disk.glob("results/tmp/*")) == []
    small_disk.joinpath("fill").write_bytes(b"x" * 2**20)
    with pytest.raises(OSError), small_disk.joinpath("more").open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)
    refused = project.run("suite.yaml", "--results", "small/results")
    assert refused.returncode == 2
    assert refused.stderr.startswith("harness: small/results: the disk is full; free some space")
    subprocess.run(["mount", "-o", "remount,size=64m", small_disk], check=True)
    done = project.run("suite.yaml", "--results", "small/results")
    assert done.returncode == 0
    assert "4 cells: 4 ok; 3 ran now, 1 were there" in done.stdout


def test_a_folder_that_cannot_be_written_is_refused_before_work(project: Project, small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    for verb in (["run", "suite.yaml"], ["accept", "suite.yaml"]):
        refused = project.harness(*verb, "--results", "small/results")
        assert refused.returncode == 2
        assert refused.stdout == ""
        expected = "small/results: the results folder cannot be written; choose another with --results DIR"
        assert refused.stderr == f"harness: {expected}\n"
    looked = project.harness("plan", "suite.yaml", "--results", "small/results")
    assert looked.returncode == 0
    assert looked.stdout.endswith("6 miss\n")


def test_files_in_the_place_of_folders_are_told(project: Project) -> None:
    project.write("file", "")
    refused = project.run("suite.yaml", "--results", "file")
    assert refused.returncode == 2
    assert "Directory 'file' is a file" in refused.stderr
    project.write("results/cells", "")
    refused = project.run()
    assert refused.returncode == 2
    assert refused.stderr == "harness: results/cells: File exists\n"
