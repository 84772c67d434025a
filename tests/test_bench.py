"""Timing two versions in turns, with a stand-in for the harness that invents the times it reports."""

import subprocess

import pytest

from harness import bench, compare
from harness.errors import UserError
from harness.views import render

STAND_IN = """
import json, math, sys
from pathlib import Path

SPEED = 1.0
calls = Path("calls.txt")
if sys.argv[1] == "run":
    with calls.open("a") as file:
        file.write(f"{SPEED} {sys.argv[2:4]}\\n")
    sys.exit("cells failed" if SPEED < 0 else 0)
done = len(calls.read_text().splitlines())
noise = 1 + NOISE * math.sin(7 * done * done)
row = {"task": "t", "dataset": None, "method": "m", "settings": "{}", "origin": "measured", "seed": 0}
print(json.dumps([
    row | {"metric": "update_seconds", "value": 0.01 * SPEED * math.exp(DRIFT * done) * noise},
    row | {"metric": "iw500", "value": -9.0},
    row | {"metric": "update_seconds", "value": 5.0, "origin": "published"},
]))
"""


def git(tree, *arguments):
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    done = subprocess.run(
        ["git", "-C", tree, *identity, *arguments], check=True, capture_output=True, text=True
    )
    return done.stdout


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """A repository whose only commit has speed 1.0; a function edits its working tree."""
    package = tmp_path / "clone" / "harness"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    monkeypatch.chdir(tmp_path / "clone")
    source = STAND_IN

    def edit(speed, drift=0.0, noise=0.0):
        text = source.replace("SPEED = 1.0", f"SPEED = {speed}\nDRIFT = {drift}\nNOISE = {noise}")
        (package / "__main__.py").write_text(text)

    edit(1.0)
    git(package.parent, "init", "-q")
    git(package.parent, "add", "-A")
    git(package.parent, "commit", "-q", "-m", "old")
    return package.parent, edit


def judgement(tree, **given):
    (verdict,) = bench.bench(tree, "HEAD", "quick", ["seed=0"], **given)
    assert (verdict.task, verdict.settings, verdict.metric) == ("t", {"method": "m"}, "update_seconds")
    return verdict.judgement


@pytest.mark.parametrize(
    ("speed", "outcome", "code"),
    [(1.2, "regressed", 1), (1.07, "regressed", 1), (0.8, "improved", 0), (1.03, "ok", 0)],
)
def test_a_change_is_found_and_measured(clone, speed, outcome, code):
    tree, edit = clone
    edit(speed)
    (verdict,) = found = bench.bench(tree, "HEAD", "quick", [], rounds=3)
    assert verdict.judgement.outcome == outcome and compare.exit_code(found) == code
    assert verdict.judgement.change == pytest.approx(speed - 1)
    assert verdict.judgement.n == 3 and verdict.tolerance == 0.05
    row = render.to_text(bench.as_table(found)).splitlines()[4].split()
    assert row[:6] == [outcome, "t", "–", "m", "update_seconds", "3"]


def test_versions_take_turns_old_new_new_old_with_the_filters_given(clone):
    tree, edit = clone
    edit(1.5)
    judgement(tree, rounds=3)
    calls = (tree / "calls.txt").read_text().splitlines()
    assert calls == [f"{speed} ['quick', 'seed=0']" for speed in (1.0, 1.5, 1.5, 1.0) * 3]


def test_a_steady_drift_of_the_machine_cancels(clone):
    tree, edit = clone
    edit(1.0, drift=0.1)
    git(tree, "commit", "-q", "-a", "-m", "drifting")
    assert judgement(tree, rounds=3).change == pytest.approx(0.0, abs=1e-9)


def test_a_noisy_machine_decides_nothing(clone):
    tree, edit = clone
    edit(1.0, noise=0.5)
    git(tree, "commit", "-q", "-a", "-m", "noisy")
    assert judgement(tree, rounds=3).outcome == "inconclusive"


def test_the_tree_of_the_revision_is_gone_afterwards(clone):
    tree, edit = clone
    judgement(tree, rounds=3)
    edit(-1.0)
    with pytest.raises(bench.RunFailed, match="cells failed") as caught:
        judgement(tree, rounds=3)
    assert caught.value.exit_code == 1
    assert len(git(tree, "worktree", "list").splitlines()) == 1


def test_wrong_usage(clone):
    tree, _ = clone
    with pytest.raises(UserError, match="no tree of 'v9'"):
        bench.bench(tree, "v9", "quick", [])
    for given in ({"rounds": 2}, {"threshold": 0.0}):
        with pytest.raises(UserError, match="at least 3 rounds"):
            bench.bench(tree, "HEAD", "quick", [], **given)
