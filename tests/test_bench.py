"""`harness bench` on a repository whose code spins for as long as it is told: speeds are known."""

import json
import math
import random
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner
from project import ROOT, wait_until

from harness import bench
from harness.cli import main
from harness.errors import UserError

SPIN = """
import time

def spin(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass

def work():
    spin(0.002)
"""
KERNEL = """
def work(folder):
    import harness
    return harness.work
"""
QUICK = {
    "timer.py": ("SHORTEST = 0.01", "SHORTEST = 0.001"),
    "turns.py": ("SPAN, FEWEST, MOST = 2.0, 5, 50", "SPAN, FEWEST, MOST = 0.0, 5, 5"),
}
THRESHOLD = 0.4  # turns as short as here differ by a few percent on a machine that runs other tests


def git(tree, *arguments):
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    command = ["git", "-C", tree, *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


class Clone:
    """A repository; what is committed is the old code. Turns and rounds are short, to be quick."""

    def __init__(self, root: Path) -> None:
        self.root, self.benchmarks = root, root / "tests" / "benchmarks"
        (self.benchmarks / "kernels").mkdir(parents=True)
        (root / "harness").mkdir()
        for name, (before, after) in QUICK.items():
            text = (ROOT / "tests" / "benchmarks" / name).read_text()
            assert before in text
            (self.benchmarks / name).write_text(text.replace(before, after))
        self.write(SPIN, KERNEL)
        git(root, "init", "-q")
        self.commit()

    def write(self, code: str, kernels: str) -> None:
        (self.root / "harness" / "__init__.py").write_text(code)
        (self.benchmarks / "kernels" / "study.py").write_text(kernels)

    def commit(self) -> None:
        git(self.root, "add", "-A")
        git(self.root, "commit", "-q", "-m", "old")

    def bench(self, *words: str) -> dict[str, bench.Kernel]:
        found = bench.bench(
            self.root, "HEAD", words, rounds=4, seconds=300, threshold=THRESHOLD, told=lambda line: None
        )
        return {kernel.name.removeprefix("study/"): kernel for kernel in found}


@pytest.fixture
def clone(tmp_path, monkeypatch):
    made = Clone(tmp_path / "clone")
    monkeypatch.chdir(made.root)
    return made


def kernel(name: str) -> str:
    return KERNEL.replace("work", name)


def code(name: str, body: str) -> str:
    return f"def {name}():\n    {body}\n"


# --- what is found


def test_changes_are_found_and_measured(clone):
    """Also a sleep, which takes no processor's time, and memory."""
    new = {
        "longer": "spin(0.004)",
        "shorter": "spin(0.001)",
        "asleep": "spin(0.002); time.sleep(0.003)",
        "larger": "spin(0.002); bytearray(b'x') * 30_000_000",
    }
    kernels = "".join(map(kernel, new))
    clone.write(SPIN + "".join(code(name, "spin(0.002)") for name in new), kernels)
    clone.commit()
    clone.write(SPIN + "".join(code(name, body) for name, body in new.items()), kernels)
    found = clone.bench("study")
    outcomes = [found[name].outcome for name in ("longer", "shorter", "asleep")]
    assert outcomes == ["slower", "faster", "slower"]
    for name, ratio in (("longer", 2), ("shorter", 0.5), ("asleep", 2.5)):
        assert len(found[name].noise) == 3 and len(found[name].ratios) == 4
        assert math.exp(sum(found[name].ratios) / 4) == pytest.approx(ratio, rel=0.2)
    old, large = found["larger"].megabytes
    assert large - old == pytest.approx(30, abs=5)
    assert bench.exit_code(list(found.values())) == 1


def test_an_unchanged_tree_is_the_same_and_what_is_on_one_side_only_is_said(clone):
    clone.write(SPIN, KERNEL + kernel("past"))
    clone.commit()
    clone.write(
        SPIN + code("fresh", "spin(0.002)"),
        KERNEL + "def fresh(folder):\n    from harness import fresh\n    return fresh\n",
    )
    found = clone.bench()
    outcomes = {name: each.outcome for name, each in found.items()}
    assert outcomes == {"work": "same", "fresh": "only here", "past": "only there"}
    assert "cannot import name 'fresh'" in found["fresh"].why
    assert bench.exit_code(list(found.values())) == 0
    assert bench.exit_code([found["fresh"], found["past"]]) == 2


def test_a_kernel_that_fails_is_a_failure_with_its_message(clone):
    bodies = {
        "wrong": ("raise ValueError('no such shape')", "this tree: ValueError: no such shape"),
        "killed": ("import os; os.kill(os.getpid(), 9)", "this tree: its process ended with -9"),
        "lost": ("from harness import nothing", "this tree: ImportError: cannot import name 'nothing'"),
    }
    clone.write(SPIN + "".join(code(name, "pass") for name in bodies), "".join(map(kernel, bodies)))
    clone.commit()
    clone.write(
        SPIN + "".join(code(name, body) for name, (body, _) in bodies.items()),
        "".join(map(kernel, bodies)) + kernel("work"),
    )
    found = clone.bench()
    for name, (_, said) in bodies.items():
        assert found[name].outcome == "failed" and said in found[name].why
    assert found["work"].outcome == "same"
    assert bench.exit_code(list(found.values())) == 1


# --- the command


def test_the_command_prints_noise_and_table_and_leaves_no_tree(clone):
    clone.write(SPIN.replace("0.002", "0.004"), KERNEL)
    command = ["bench", "study", "--against", "HEAD", "--rounds", "4", "--format", "json"]
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 1, done.output
    (row,) = json.loads(done.stdout)["rows"]
    assert row["outcome"]["text"] == "slower" and row["change"]["value"] == pytest.approx(1.0, abs=0.3)
    assert "HEAD against itself, round 3 of 3" in done.stderr and "machine's own noise" in done.stderr
    assert len(git(clone.root, "worktree", "list").splitlines()) == 1


def test_time_that_ran_out_leaves_things_undecided(clone):
    command = ["bench", "--against", "HEAD", "--seconds", "0.01", "--format", "markdown"]
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 3 and "| undecided | study/work |" in done.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_leaves_neither_tree_nor_process(clone, number):
    begun = clone.root / "begun"
    clone.write(
        SPIN, f"def work(folder):\n    open({str(begun)!r}, 'w')\n    import time\n    time.sleep(60)\n"
    )
    start = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
        f"sys.path.insert(0, {str(ROOT)!r}); from harness.cli import main; main()"
    )
    command = [sys.executable, "-c", start, "bench", "--against", "HEAD"]
    running = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
    wait_until(begun.exists)
    tree = git(clone.root, "worktree", "list").splitlines()[1].split()[0]
    assert timing(tree)
    running.send_signal(number)
    assert running.wait(60) == 130
    assert len(git(clone.root, "worktree", "list").splitlines()) == 1 and not Path(tree).exists()
    wait_until(lambda: not timing(tree), seconds=10)


def timing(tree: str) -> list[int]:
    """The living processes that time code of `tree`."""
    found = []
    for process in psutil.process_iter(["status"]):
        try:
            mine = process.environ().get("PYTHONPATH") == tree
        except psutil.Error:
            continue
        if mine and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(process.pid)
    return found


@pytest.mark.parametrize(
    ("ref", "words", "more", "said"),
    [
        ("v9", (), {}, "no tree of 'v9'"),
        ("HEAD", ("studi",), {}, "no kernel 'studi'"),
        ("HEAD", (), {"rounds": 3}, "at least 4 rounds"),
        ("HEAD", (), {"threshold": 0.0}, "threshold above 0"),
    ],
)
def test_wrong_usage(clone, ref, words, more, said):
    given = {"rounds": 4, "seconds": 10.0, "threshold": 0.05} | more
    with pytest.raises(UserError, match=said):
        bench.bench(clone.root, ref, words, told=print, **given)


def test_a_folder_without_kernels_is_wrong_usage(tmp_path):
    with pytest.raises(UserError, match="no kernels in tests/benchmarks/kernels"):
        bench.bench(tmp_path, "HEAD", (), rounds=4, seconds=1.0, threshold=0.05, told=print)


# --- the rule that stops


def outcomes(draw, runs: int, kernels: int = 6, rounds: int = 13) -> list[list[str]]:
    """Simulated runs: log-ratios of each kernel by `draw()`, looked at and ended as `bench` does."""
    marks, found = bench.looks(rounds), []
    for _ in range(runs):
        made = [bench.Kernel(str(number)) for number in range(kernels)]
        for each in made:
            for mark in marks:
                each.ratios += [draw() for _ in range(mark - len(each.ratios))]
                each.judge(bench.RISK / kernels / len(marks), 0.05)
                if each.outcome != "undecided":
                    break
        found.append([each.outcome for each in made])
    return found


@pytest.mark.parametrize(("spread", "outlying"), [(0.01, 0.0), (0.08, 0.1)], ids=["calm", "wild"])
def test_runs_without_a_change_are_flagged_in_at_most_5_percent(spread, outlying):
    """Calm: normal. Wild: every tenth round is five times as noisy as the others."""
    source = random.Random(0)

    def draw() -> float:
        return source.gauss(0, spread) * (5 if source.random() < outlying else 1)

    flagged = sum(any(one in ("slower", "faster") for one in run) for run in outcomes(draw, 200))
    assert flagged <= 0.05 * 200


def test_a_slowdown_of_just_the_threshold_is_misjudged_in_at_most_5_percent():
    source = random.Random(1)
    runs = outcomes(lambda: source.gauss(math.log(1.05), 0.01), 200)
    assert sum(set(run) != {"undecided"} for run in runs) <= 0.05 * 200


@pytest.mark.parametrize("spread", [0.01, 0.04])
def test_a_slowdown_of_a_fifth_is_found_in_at_least_95_percent(spread):
    source = random.Random(2)
    runs = outcomes(lambda: source.gauss(math.log(1.2), spread), 40)
    found = [one for run in runs for one in run]
    assert found.count("slower") >= 0.95 * len(found)
