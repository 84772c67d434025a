"""Freezing values and judging later ones against them: pairs, holes, exit codes, the command line."""

from __future__ import annotations

import itertools
import json
import math
import re
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner
from made_rows import rows
from project import ROOT, Project

from harness import compare, frozen
from harness.authoring import Metric
from harness.cli import main
from harness.declared import Method, Parameter, Task
from harness.errors import UserError
from harness.frozen import Frozen
from harness.gates import Judgement
from harness.key import canonical
from harness.registry import Registry
from harness.views import render

METRICS = {
    "iw500": {"direction": "higher", "kind": "quality", "tolerance": 0.5},
    "bytes": {"direction": "lower", "kind": "size", "tolerance": 10.0},
    "kl": {"direction": "none", "kind": "quality", "tolerance": 0.0},
    "update_seconds": {"direction": "lower", "kind": "speed", "tolerance": 0.0},
}
HERE = Path("x")
REFERENCE = ROOT / "results" / "frozen" / "steganography.json"
NO_METHOD = (
    '{"format": 2, "suite": "s", "device": "cpu", "versions": {}, "cells": '
    '[{"task": "tiny", "settings": [], "seeds": {"0": {"metrics": {"iw500": 1.0}}}}]}'
)
EXTRA = Parameter("extra", int, 3, required=False)


def registry(tolerance: float = 0.5, **parameters: Parameter) -> Registry:
    """A task with the metrics above, and a method of it."""
    made = {name: Metric(name, "", **about) for name, about in METRICS.items()}
    made["iw500"] = Metric("iw500", "", "higher", "quality", tolerance)
    task = Task("tiny", "", HERE, HERE, "", parameters, {}, made)
    method = Method("svi", "tiny", "", "", HERE, 1, "", {"steps": Parameter("steps", int, 9, False)}, HERE)
    return Registry({"tiny": task}, {("tiny", "svi"): method})


def cell(method, seed, status="ok", *, dataset="omniglot", params=None, **metrics):
    base = {
        "task": "tiny",
        "dataset": dataset,
        "method": method,
        "params": canonical({"k": 10} if params is None else params),
        "seed": seed,
        "status": status,
        "origin": "measured",
    }
    if status != "ok":
        return [base | {"metric": ""}]
    return [base | METRICS[name] | {"metric": name, "value": value} for name, value in metrics.items()]


def gather(*cells) -> Frozen:
    return frozen.gather(rows(itertools.chain(*cells)), Path("nowhere"))


def three(method="svi", less=0.0, seeds=(0, 1, 2), **rest):
    """Three cells whose values vary by 1."""
    return [*itertools.chain(*[cell(method, seed, iw500=seed - less, **rest) for seed in seeds])]


def outcomes(found):
    return [(verdict.metric, verdict.judgement.outcome) for verdict in found]


def judged(then, now, **given):
    return compare.compare(gather(*then), gather(*now), registry(), **given)


def test_freezing_and_thawing(tmp_path):
    made = gather(
        cell("bsvi", 1, iw500=-88.123456789012345, bytes=7, kl=3.0, update_seconds=0.1),
        cell("bsvi", 0, iw500=1.0),
        cell("svi", 0, "skipped"),
    )
    made.suite, made.device, made.versions = "quick", "cpu", {"torch": "2.13"}
    path = tmp_path / "deep" / "quick.json"
    assert frozen.freeze(made, path) == 2
    read = frozen.thaw(path)
    settings = canonical({"dataset": "omniglot", "method": "bsvi", "k": 10})
    assert (read.suite, read.device, read.versions) == ("quick", "cpu", {"torch": "2.13"})
    assert read.values == {
        ("tiny", settings, "iw500"): {1: -88.123456789012345, 0: 1.0},
        ("tiny", settings, "bytes"): {1: 7.0},
        ("tiny", settings, "kl"): {1: 3.0},
    }
    assert read.statuses == {("tiny", settings): {0: "ok", 1: "ok"}}


def test_the_frozen_file_is_canonical_strict_json_with_one_setting_a_line(tmp_path):
    cells = [cell("bsvi", 0, iw500=0.5), cell("svi", 1, iw500=1.0), cell("svi", 0, iw500=2.0)]
    frozen.freeze(gather(*cells), tmp_path / "a.json")
    frozen.freeze(gather(*reversed(cells)), tmp_path / "b.json")
    text = (tmp_path / "a.json").read_text()
    assert text == (tmp_path / "b.json").read_text()
    assert len(text.splitlines()) == 1 + 2 + 1
    found = [made["seeds"] for made in json.loads(text, parse_constant=pytest.fail)["cells"]]
    svi = {"0": {"metrics": {"iw500": 2.0}}, "1": {"metrics": {"iw500": 1.0}}}
    assert found == [{"0": {"metrics": {"iw500": 0.5}}}, svi], "in the order of methods"


@pytest.mark.parametrize("path", sorted((ROOT / "results" / "frozen").glob("*.json")), ids=lambda p: p.stem)
def test_what_was_frozen_before_is_read_and_written_as_it_is(tmp_path, path):
    frozen.freeze(frozen.thaw(path), tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("status", ["failed", "timeout", "oom", "crashed", "diverged", "missing"])
def test_a_reference_with_holes_is_refused(tmp_path, status):
    with pytest.raises(UserError, match=f"1 {status}"):
        frozen.freeze(gather(cell("svi", 0, iw500=1.0), cell("svi", 1, status)), tmp_path / "f.json")
    with pytest.raises(UserError, match="1 not finite"):
        frozen.freeze(gather(cell("svi", 0, iw500=math.nan, bytes=1.0)), tmp_path / "f.json")
    assert not (tmp_path / "f.json").exists()


def test_nothing_to_freeze(tmp_path):
    with pytest.raises(UserError, match="nothing to freeze"):
        frozen.freeze(gather(cell("svi", 0, kl=math.nan, update_seconds=1.0)), tmp_path / "f.json")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "null",
        '{"format": 2, "cells": [1]}',
        '{"format": 1}',
        "\x00",
        '{"format": 2}',
        NO_METHOD,
    ],
)
def test_other_files_are_refused(tmp_path, text):
    (tmp_path / "f.json").write_text(text)
    with pytest.raises(UserError, match=r"f\.json: "):
        frozen.thaw(tmp_path / "f.json")
    with pytest.raises(UserError, match="cannot be read"):
        frozen.thaw(tmp_path / "absent.json")


def test_a_frozen_file_names_its_suite_wherever_both_are_moved(tmp_path, monkeypatch):
    suite = tmp_path / "a" / "mine" / "s.yaml"
    suite.parent.mkdir(parents=True)
    suite.touch()
    reference = tmp_path / "a" / "kept" / "ref.json"
    reference.parent.mkdir()
    made = Frozen(suite=frozen.name_of(suite, reference))
    monkeypatch.chdir("/")
    assert Path(frozen.suite_of(made, reference)).samefile(suite)
    (tmp_path / "a").rename(tmp_path / "b")
    assert Path(frozen.suite_of(made, tmp_path / "b/kept/ref.json")).samefile(tmp_path / "b/mine/s.yaml")
    assert frozen.name_of(ROOT / "suites" / "quick.yaml", reference) == "quick"


@pytest.mark.parametrize("seeds", [1, 2, 3, 7])
def test_identical_values_are_ok_with_a_change_of_exactly_zero(seeds):
    made = [cell("svi", seed, iw500=0.1 * seed, bytes=seed) for seed in range(seeds)]
    found = judged(made, made)
    assert sorted(outcomes(found)) == [("bytes", "ok"), ("iw500", "ok")]
    assert all(verdict.judgement.change == 0 and verdict.judgement.n == seeds for verdict in found)
    assert compare.exit_code(found) == 0


def test_the_metric_s_direction_and_today_s_tolerance_count():
    then = [cell("svi", seed, iw500=seed, bytes=seed) for seed in range(3)]
    now = [cell("svi", seed, iw500=seed - 90, bytes=seed - 900) for seed in range(3)]
    assert outcomes(judged(then, now)) == [("iw500", "regressed"), ("bytes", "improved")]
    lax = compare.compare(gather(*then), gather(*now), registry(tolerance=200.0))
    assert outcomes(lax) == [("bytes", "improved"), ("iw500", "ok")]


def test_speed_and_metrics_without_direction_are_not_judged():
    then = cell("svi", 0, iw500=1.0, kl=1.0, update_seconds=1.0)
    now = cell("svi", 0, iw500=1.0, kl=99.0, update_seconds=99.0)
    assert outcomes(judged([then], [now])) == [("iw500", "ok")]


def test_only_the_same_settings_and_seeds_are_paired():
    others = [three(less=99, params={"k": 5}), three(less=99, dataset="mnist"), three(less=99, seeds=[9])]
    (found,) = judged([three()], [three(), *others])
    assert (found.judgement.outcome, found.judgement.n) == ("ok", 3)
    assert found.settings == {"dataset": "omniglot", "method": "svi", "k": 10} and found.tolerance == 0.5


def test_parameters_at_their_default_do_not_count():
    then = gather(three(params={"k": 10}))
    for params, count in (({"k": 10, "extra": 3, "steps": 9}, 3), ({"k": 10, "extra": 4}, 0)):
        for first, second in ((then, gather(three(params=params))), (gather(three(params=params)), then)):
            found = compare.compare(first, second, registry(extra=EXTRA))
            assert found[0].judgement == Judgement("missing", 3, reason="3 of 3 seeds: 0, 1, 2") or count
            assert [each.judgement.n for each in found if each.judgement.outcome == "ok"] == [3][:count]


@pytest.mark.parametrize("status", ["missing", "skipped", None])
def test_a_missing_seed_does_not_pass(status):
    gone = [] if status is None else [cell("svi", 1, status)]
    found = judged([three()], [three(seeds=[0, 2]), *gone])
    assert outcomes(found) == [("", "missing"), ("iw500", "ok")]
    assert found[0].judgement.reason == "1 of 3 seeds: 1" and found[1].judgement.n == 2
    assert compare.exit_code(found) == 1 and compare.exit_code(found, allow_missing=True) == 0


def test_vanished_settings_and_metrics_do_not_pass():
    found = judged([three(), three("bsvi", bytes=3)], [three()])
    assert outcomes(found) == [("", "missing"), ("iw500", "ok")] and compare.exit_code(found) == 1
    found = judged([three(bytes=3)], [three()])
    assert outcomes(found) == [("bytes", "missing"), ("iw500", "ok")] and compare.exit_code(found) == 1
    nothing = judged([three()], [three("bsvi")])
    assert compare.exit_code(nothing) == compare.exit_code(nothing, allow_missing=True) == 2


def test_a_failed_cell_does_not_pass_also_where_nothing_was_frozen():
    found = judged([three()], [three(), cell("new", 0, "timeout"), cell("new", 1, "timeout")])
    assert (found[0].judgement.outcome, found[0].judgement.reason) == ("failed", "2 timeout")
    assert compare.exit_code(found) == 1 and compare.exit_code(found, allow_missing=True) == 0


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf])
def test_values_that_are_not_finite_never_pass(odd):
    fine, bad = three(seeds=[0, 2, 3]), cell("svi", 1, iw500=odd)
    good = cell("svi", 1, iw500=-40.0)
    for then, now, when in ((bad, good, "when frozen"), (good, bad, "now"), (bad, bad, "now")):
        found = judged([fine, then], [fine, now])
        assert outcomes(found) == [("iw500", "not finite"), ("iw500", "ok")]
        assert found[0].judgement.reason == f"not finite {when}" and found[1].judgement.n == 3
        assert compare.exit_code(found) == 1 and compare.exit_code(found, allow_missing=True) == 0


def test_filters_keep_cells_of_both_sides_and_other_seeds_tell_the_noise():
    then = [three(seeds=range(9)), three("bsvi"), three("lost")]
    now = [three(less=8, seeds=[0, 1]), three("bsvi"), cell("svi", 2, "failed")]
    only = {"method": ["svi"], "seed": ["0", "1"], "dataset": ["omniglot"], "task": ["tiny"]}
    (found,) = judged(then, now, only=only)
    assert (found.judgement.outcome, found.judgement.n) == ("regressed", 2)
    (few,) = judged([three(seeds=[0, 1])], now, only=only)
    assert few.judgement.outcome == "inconclusive"
    assert outcomes(judged(then, now, only={"method": ["bsvi"]})) == [("iw500", "ok")]
    assert judged(then, now, only={"dataset": ["mnist"]}) == []


@pytest.mark.parametrize(
    ("found", "code", "allowed"),
    [
        ([], 2, 2),
        (["missing"], 2, 2),
        (["ok"], 0, 0),
        (["ok", "improved"], 0, 0),
        (["ok", "missing"], 1, 0),
        (["failed"], 1, 2),
        (["improved", "inconclusive"], 3, 3),
        (["inconclusive", "failed"], 1, 3),
        (["ok", "inconclusive", "regressed"], 1, 1),
        (["missing", "regressed"], 1, 1),
    ],
)
def test_exit_codes(found, code, allowed):
    verdicts = [compare.Verdict("t", {}, "m", Judgement(outcome, 1)) for outcome in found]
    assert compare.exit_code(verdicts) == code
    assert compare.exit_code(verdicts, allow_missing=True) == allowed


def test_what_a_reference_can_find_is_told_before_anything_runs():
    then = [three(seeds=range(5)), *[cell("same", s, iw500=1.0) for s in (0, 1)], cell("lone", 0, iw500=1.0)]
    noisy, steady, lone = compare.power(gather(*then), registry(tolerance=4.0))
    assert noisy.startswith("1 of 3 values: a loss of twice the tolerance is found")
    assert "in 0 with 3 seeds, 1 with 5 seeds, 1 with 10 seeds" in noisy
    assert steady.startswith("1 of 3 values: the same") and lone.startswith("1 of 3 values: of one seed")


def test_what_a_comparison_could_have_found_is_told():
    found = judged([three(), cell("lone", 0, iw500=1.0)], [three(), cell("lone", 0, iw500=1.0)])
    assert compare.reach(found) == ["a loss of twice the tolerance would have been found in 0 of 2 values"]
    steady = [cell("svi", seed, iw500=1.0) for seed in range(3)]
    assert "in 1 of 1 values" in compare.reach(judged(steady, steady))[0]
    assert compare.reach(judged([three()], [])) == []


def test_a_verdict_names_what_is_not_at_its_default():
    cells = gather(three(params={"k": 10, "extra": 3, "steps": 9}))
    (found,) = compare.compare(cells, cells, registry(extra=EXTRA))
    assert found.settings == {"dataset": "omniglot", "method": "svi", "k": 10}


def test_devices_and_software_are_told_where_they_differ():
    then = Frozen(device="cpu", versions={"torch": "2.12", "numpy": "2"})
    now = Frozen(device="NVIDIA H100", versions={"torch": "2.13", "numpy": "2"})
    told = ["device: cpu then, NVIDIA H100 now", "torch: 2.12 then, 2.13 now"]
    assert compare.origins(then, now) == told
    assert compare.origins(then, then) == compare.origins(then, Frozen()) == []


def mixed() -> list[compare.Verdict]:
    then = [
        *[cell("svi", s, iw500=float(s), bytes=100 + s) for s in range(3)],
        three("vae", params={"k": 1}),
        three("vae", params={"k": 5}),
        cell("gone", 0, iw500=1.0),
        *[cell("worst", s, iw500=1.0) for s in range(3)],
    ]
    now = [
        *[cell("svi", s, iw500=s - 90.0, bytes=s - 900) for s in range(3)],
        three("vae", seeds=[0, 1], params={"k": 1}),
        cell("vae", 2, "diverged", params={"k": 1}),
        three("vae", less=-2, seeds=[0], params={"k": 5}),
        *[cell("worst", s, iw500=-99.0) for s in range(3)],
    ]
    return judged(then, now)


def test_verdicts_read_worst_first_below_their_summary():
    found = mixed()
    lines = render.to_text(compare.as_table(found)).splitlines()
    assert lines[0] == "2 regressed, 1 failed, 2 missing, 1 inconclusive, 1 improved, 1 ok"
    assert [line.split()[0:4:3] for line in lines[4:12]] == [
        ["regressed", "worst"],
        ["regressed", "svi"],
        ["failed", "vae"],
        ["missing", "gone"],
        ["missing", "vae"],
        ["inconclusive", "vae"],
        ["improved", "svi"],
        ["ok", "vae"],
    ]
    shown = render.to_markdown(compare.as_table(found, every=False))
    assert shown.startswith("### 2 regressed, 1 failed") and "| ok |" not in shown


def test_a_table_for_people_stays_short_and_says_what_it_leaves_out(monkeypatch):
    monkeypatch.setattr(compare, "SHOWN", 2)
    made = compare.as_table(mixed(), every=False)
    assert [row[0].text for row in made.rows] == ["regressed", "regressed"]
    assert made.footnotes[0] == "5 more that are not ok: --all shows them"


def test_two_results_folders_are_compared(project: Project):
    project.write("s.yaml", "seeds: [0, 1, 2]\ncells: [{task: guess, methods: [mean, other]}]\n")
    assert project.run("s.yaml", "--executor", "inline").returncode == 0
    shutil.copytree(project.root / "results", project.root / "before")
    gone = next(
        path
        for path in project.root.glob("results/cells/*")
        if '"seed":1' in (path / "cell.json").read_text()
    )
    shutil.rmtree(gone)
    done = project.harness("compare", "before", "results")
    assert done.returncode == 1 and done.stdout.startswith("1 missing, 2 ok\n"), done.stderr


@pytest.fixture
def told(tmp_path, monkeypatch):
    """The command line on two frozen files: one that is shipped, and `now.json`, without one of its seeds."""
    kept = json.loads(REFERENCE.read_text())
    (cut,) = (each for each in kept["cells"] if each["settings"]["method"] == "cut")
    del cut["seeds"]["2"]
    for name in ("now.json", "now.kept"):
        (tmp_path / name).write_text(json.dumps(kept))
    monkeypatch.chdir(tmp_path)
    return lambda *words: CliRunner().invoke(main, ["compare", str(REFERENCE), *words])


@pytest.mark.parametrize(
    ("words", "code", "summary"),
    [
        (["now.json"], 1, r"1 missing, \d{3} ok"),
        (["now.json", "--allow-missing"], 0, r"1 missing, \d{3} ok"),
        (["now.kept", "--only", "seed=0,1"], 0, r"^\d{3} ok"),
        (["now.json", "--only", "method=nothing"], 2, "nothing to compare"),
        (["absent.json"], 2, "harness: absent.json: cannot be read"),
    ],
)
def test_exit_codes_of_the_command_line(told, words, code, summary):
    done = told(*words)
    assert done.exit_code == code and re.search(summary, done.output.splitlines()[0]), done.output


def test_wrong_usage_is_told(told, tmp_path):
    (tmp_path / "mine.yaml").write_text("cells: []\n")
    done = CliRunner().invoke(main, ["compare", "mine.yaml"])
    assert done.exit_code == 2 and "harness freeze mine.yaml" in done.output
    (tmp_path / "results/cells").mkdir(parents=True)
    for wrong, told in {
        "fulll": "no such suite, frozen file or results folder (did you mean 'full'?)",
        "result": "no such suite, frozen file or results folder (did you mean 'results'?)",
        "fulll.yaml": "no such suite file (did you mean 'full'?)",
    }.items():
        for sides in ([wrong], ["full", wrong]):
            done = CliRunner().invoke(main, ["compare", *sides])
            assert (done.exit_code, done.output) == (2, f"harness: {wrong}: {told}\n")
    done = CliRunner().invoke(main, ["compare", "results"])
    assert done.exit_code == 2 and "compare with what?" in done.output
