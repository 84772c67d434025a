"""Freezing values and judging later ones against them."""

import itertools
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_rows import rows

from harness import compare
from harness.compare import judge
from harness.errors import UserError
from harness.key import canonical
from harness.views import render

METRICS = {
    "iw500": {"direction": "higher", "kind": "quality", "tolerance": 0.5},
    "bytes": {"direction": "lower", "kind": "size", "tolerance": 10.0},
    "kl": {"direction": "none", "kind": "quality", "tolerance": 0.0},
    "update_seconds": {"direction": "lower", "kind": "speed", "tolerance": 0.0},
}


def cell(method, seed, status="ok", *, k=10, dataset="omniglot", **metrics):
    base = {
        "task": "tiny",
        "dataset": dataset,
        "method": method,
        "params": canonical({"k": k}),
        "seed": seed,
        "status": status,
        "origin": "measured",
    }
    if status != "ok":
        return [base | {"metric": ""}]
    return [base | METRICS[name] | {"metric": name, "value": value} for name, value in metrics.items()]


def frame(*cells):
    return rows(itertools.chain(*cells))


def freeze(made, path):
    return compare.freeze(made, path, suite="quick", device="cpu", versions={"torch": "2.13"})


def verdicts(tmp_path, then, now):
    freeze(then, tmp_path / "f.json")
    return compare.compare(compare.thaw(tmp_path / "f.json"), now)


def outcomes(found):
    return {verdict.metric: verdict.judgement.outcome for verdict in found}


def test_freezing_and_thawing(tmp_path):
    made = frame(
        cell("bsvi", 1, iw500=-88.123456789012345, bytes=7, kl=3.0, update_seconds=0.1),
        cell("bsvi", 0, iw500=math.nan, bytes=math.inf),
        cell("svi", 0, "skipped"),
    )
    path = tmp_path / "deep" / "quick.json"
    assert freeze(made, path) == 2
    frozen = compare.thaw(path)
    settings = canonical({"dataset": "omniglot", "method": "bsvi", "k": 10})
    assert (frozen.suite, frozen.device, frozen.versions) == ("quick", "cpu", {"torch": "2.13"})
    assert set(frozen.values) == {("tiny", settings, "iw500"), ("tiny", settings, "bytes")}
    iw500 = frozen.values["tiny", settings, "iw500"]
    assert iw500[1] == -88.123456789012345 and math.isnan(iw500[0])
    assert frozen.values["tiny", settings, "bytes"] == {0: math.inf, 1: 7.0}


def test_the_frozen_file_is_canonical_strict_json_with_one_cell_a_line(tmp_path):
    cells = [cell("bsvi", 0, iw500=math.nan), cell("svi", 1, iw500=1.0), cell("svi", 0, iw500=2.0)]
    freeze(frame(*cells), tmp_path / "a.json")
    freeze(frame(*reversed(cells)), tmp_path / "b.json")
    text = (tmp_path / "a.json").read_text()
    assert text == (tmp_path / "b.json").read_text()
    assert len(text.splitlines()) == 1 + 3 + 1
    found = [frozen["metrics"] for frozen in json.loads(text, parse_constant=pytest.fail)["cells"]]
    assert found == [{"iw500": "nan"}, {"iw500": 2.0}, {"iw500": 1.0}], "in the order of methods and seeds"


@pytest.mark.parametrize("status", ["failed", "timeout", "oom", "crashed", "diverged", "missing"])
def test_a_reference_with_holes_is_refused(tmp_path, status):
    with pytest.raises(UserError, match=f"1 {status}"):
        freeze(frame(cell("svi", 0, iw500=1.0), cell("svi", 1, status)), tmp_path / "f.json")
    assert not (tmp_path / "f.json").exists()


def test_nothing_to_freeze(tmp_path):
    with pytest.raises(UserError, match="nothing to freeze"):
        freeze(frame(cell("svi", 0, kl=1.0, update_seconds=1.0)), tmp_path / "f.json")


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", "null", '{"format": 1, "cells": [1]}', '{"format": 2}', "\x00", '{"format": 1}']
)
def test_other_files_are_refused(tmp_path, text):
    (tmp_path / "f.json").write_text(text)
    with pytest.raises(UserError, match=r"f\.json: "):
        compare.thaw(tmp_path / "f.json")
    with pytest.raises(UserError, match="cannot be read"):
        compare.thaw(tmp_path / "absent.json")


@pytest.mark.parametrize("seeds", [1, 2, 3, 7])
def test_identical_values_are_ok_with_a_change_of_exactly_zero(tmp_path, seeds):
    made = frame(*[cell("svi", s, iw500=0.1 * s, bytes=s) for s in range(seeds)])
    found = verdicts(tmp_path, made, made)
    assert outcomes(found) == {"iw500": "ok", "bytes": "ok"}
    assert all(verdict.judgement.change == 0 and verdict.judgement.n == seeds for verdict in found)
    assert compare.exit_code(found) == 0


def values(*numbers):
    return dict(enumerate(numbers))


@pytest.mark.parametrize(
    ("gains", "outcome"),
    [
        ((-1.0, -1.1, -0.9), "regressed"),
        ((-0.4, -0.41, -0.39), "ok"),  # surely worse, but less than anybody should care about
        ((0.4, 0.41, 0.39), "ok"),
        ((1.0, 1.1, 0.9), "improved"),
        ((-2.0, 2.0, 0.0), "inconclusive"),
        ((1.0, 9.0, 5.0), "inconclusive"),  # three noisy gains do not exclude a loss
        ((0.7, 1.3, 1.0), "ok"),  # 1.0 ± 0.75: no loss, and a gain beyond the tolerance not sure
        ((-0.51, -0.51, -0.51), "regressed"),
        ((-0.5, -0.5, -0.5), "ok"),
    ],
)
def test_three_seeds_are_judged_by_their_interval(gains, outcome):
    then = values(5.0, 7.0, 6.0)
    better = {seed: then[seed] + gains[seed] for seed in then}
    worse = {seed: then[seed] - gains[seed] for seed in then}
    assert judge(then, better, "higher", 0.5).outcome == outcome
    assert judge(then, worse, "lower", 0.5).outcome == outcome


def test_the_interval_of_the_change_is_students_and_has_the_metric_s_own_sign():
    # Changes 1, 2, 3: the half-width is t(2, .975) / √3 = 2.484.
    found = judge(values(0, 0, 0), values(1, 2, 3), "lower", 0.5)
    assert found.change == 2.0
    assert (found.low, found.high) == (pytest.approx(2 - 2.4842, abs=1e-3), pytest.approx(4.4842, abs=1e-3))


@pytest.mark.parametrize(
    ("then", "now", "tolerance", "outcome"),
    [
        ([1.0], [0.6], 0.5, "ok"),
        ([1.0], [0.4], 0.5, "inconclusive"),
        ([1.0], [1.6], 0.5, "inconclusive"),
        ([9.0], [1.0], 0.5, "regressed"),
        ([1.0], [9.0], 0.5, "improved"),
        ([9.0, 9.0], [1.0, 6.0], 0.5, "inconclusive"),
        ([9.0, 9.0], [1.0, 1.0], 0.5, "regressed"),
        ([1.0], [1.0 + 1e-15], 0.0, "ok"),  # rounding is no change
        ([1.0], [0.9], 0.0, "inconclusive"),
    ],
)
def test_below_three_seeds(then, now, tolerance, outcome):
    found = judge(values(*then), values(*now), "higher", tolerance)
    assert found.outcome == outcome and found.low is None


@pytest.mark.parametrize(
    ("then", "now", "direction", "outcome"),
    [
        (math.nan, math.nan, "higher", "ok"),
        (math.inf, math.inf, "higher", "ok"),
        (1.0, math.nan, "lower", "regressed"),
        (math.nan, 1.0, "lower", "improved"),
        (1.0, math.inf, "lower", "regressed"),
        (1.0, math.inf, "higher", "improved"),
        (math.inf, 1.0, "higher", "regressed"),
        (-math.inf, math.inf, "higher", "improved"),
    ],
)
def test_values_that_are_not_finite(then, now, direction, outcome):
    assert judge(values(then, 1.0, 1.0), values(now, 1.0, 1.0), direction, 0.5).outcome == outcome


numbers = st.floats(-1e6, 1e6)


@given(st.lists(st.tuples(numbers, numbers), min_size=1, max_size=6), st.floats(0, 10))
def test_swapping_then_and_now_swaps_loss_and_gain(pairs, tolerance):
    then, now = values(*[a for a, _ in pairs]), values(*[b for _, b in pairs])
    forth, back = judge(then, now, "higher", tolerance), judge(then, now, "lower", tolerance)
    assert (forth.outcome == "regressed") == (back.outcome == "improved")
    assert (forth.outcome == "improved") == (back.outcome == "regressed")
    assert forth.change == pytest.approx(back.change)


@given(st.lists(numbers, min_size=1, max_size=6), st.floats(-1e6, 0), st.floats(0.1, 10))
def test_a_wider_tolerance_never_judges_a_loss_worse(then, shift, tolerance):
    badness = {"improved": 0, "ok": 0, "inconclusive": 1, "regressed": 2}
    now = values(*[value + shift for value in then])
    strict = judge(values(*then), now, "higher", tolerance)
    lax = judge(values(*then), now, "higher", 2 * tolerance)
    assert badness[lax.outcome] <= badness[strict.outcome]


def test_speed_and_metrics_without_direction_are_not_judged(tmp_path):
    then = frame(cell("svi", 0, iw500=1.0, kl=1.0, update_seconds=1.0))
    now = frame(cell("svi", 0, iw500=1.0, kl=99.0, update_seconds=99.0))
    assert outcomes(verdicts(tmp_path, then, now)) == {"iw500": "ok"}


def test_only_the_same_settings_and_seeds_are_paired(tmp_path):
    then = frame(*[cell("svi", s, iw500=float(s)) for s in range(4)])
    now = frame(
        *[cell("svi", s, iw500=float(s)) for s in (1, 2, 3, 9)],
        *[cell("svi", s, iw500=-99.0, k=5) for s in range(4)],
        *[cell("svi", s, iw500=-99.0, dataset="mnist") for s in range(4)],
    )
    (found,) = verdicts(tmp_path, then, now)
    assert found.judgement == compare.Judgement("ok", 3, 0.0, 0.0, 0.0, "3 of 4 frozen seeds")
    assert found.settings == {"dataset": "omniglot", "method": "svi", "k": 10} and found.tolerance == 0.5


def test_today_s_tolerance_counts(tmp_path):
    then, now = (frame(*[cell("svi", s, iw500=value) for s in range(3)]) for value in (1.0, 0.0))
    assert outcomes(verdicts(tmp_path, then, now)) == {"iw500": "regressed"}
    now = [row._replace(tolerance=2.0) for row in now]
    assert outcomes(verdicts(tmp_path, then, now)) == {"iw500": "ok"}


def test_a_failed_cell_is_a_regression_also_where_nothing_was_frozen(tmp_path):
    then = frame(cell("svi", 0, iw500=1.0))
    now = frame(cell("svi", 0, iw500=1.0), cell("new", 0, "timeout"), cell("new", 1, "timeout"))
    found = verdicts(tmp_path, then, now)
    assert (found[0].metric, found[0].judgement.reason) == ("", "2 timeout")
    assert compare.exit_code(found) == 1


@pytest.mark.parametrize("status", ["missing", "skipped"])
def test_what_is_not_measured_any_more_is_not_ok(tmp_path, status):
    then = frame(cell("svi", 0, iw500=1.0), cell("bsvi", 0, iw500=1.0))
    some = verdicts(tmp_path, then, frame(cell("svi", 0, iw500=1.0), cell("bsvi", 0, status)))
    assert [verdict.judgement.outcome for verdict in some] == ["unmatched", "ok"]
    assert compare.exit_code(some) == 3
    none = verdicts(tmp_path, then, frame(cell("svi", 0, status)))
    assert compare.exit_code(none) == 2


def test_a_metric_that_is_gone_is_unmatched(tmp_path):
    then, now = frame(cell("svi", 0, iw500=1.0, bytes=1.0)), frame(cell("svi", 0, iw500=1.0))
    assert outcomes(verdicts(tmp_path, then, now)) == {"iw500": "ok", "bytes": "unmatched"}


@pytest.mark.parametrize(
    ("found", "code"),
    [
        ([], 2),
        (["unmatched"], 2),
        (["ok"], 0),
        (["ok", "improved"], 0),
        (["ok", "unmatched"], 3),
        (["improved", "inconclusive"], 3),
        (["ok", "inconclusive", "regressed"], 1),
        (["unmatched", "regressed"], 1),
    ],
)
def test_exit_codes(found, code):
    judged = [compare.Verdict("t", {}, "m", compare.Judgement(outcome, 1)) for outcome in found]
    assert compare.exit_code(judged) == code


GOLDEN = """\
Now against frozen

outcome       task  dataset   method       metric  n           now − then  tolerance  reason
─────────────────────────────────────────────────────────────────────────────────────────────────────────
regressed     tiny  omniglot  vae (k=1)    –       1                    –          –  1 diverged
regressed     tiny  omniglot  svi (k=10)   iw500   3  -1.8 (-2.3 to -1.3)        0.5  –
inconclusive  tiny  omniglot  vae (k=5)    iw500   1                   +1        0.5  1 of 3 frozen seeds
unmatched     tiny  omniglot  gone (k=10)  iw500   0                    –          –  not measured now
improved      tiny  omniglot  svi (k=10)   bytes   3     -50 (-50 to -50)         10  –
ok            tiny  omniglot  vae (k=1)    iw500   2                    0        0.5  2 of 3 frozen seeds
─────────────────────────────────────────────────────────────────────────────────────────────────────────
now − then: mean over n seeds and, from three seeds, the 95 % t-interval of the differences seed by seed;
  judged against the tolerance of the metric.
"""


def golden_text(tmp_path):
    then = frame(
        *[cell("svi", s, iw500=float(s), bytes=100) for s in range(3)],
        *[cell("vae", s, k=k, iw500=float(s)) for s in range(3) for k in (1, 5)],
        cell("gone", 0, iw500=1.0),
    )
    now = frame(
        *[cell("svi", s, iw500=1.2 * s - 2, bytes=50) for s in range(3)],
        *[cell("vae", s, k=1, iw500=float(s)) for s in range(2)],
        cell("vae", 2, "diverged", k=1),
        cell("vae", 0, k=5, iw500=1.0),
    )
    return render.to_text(compare.as_table(verdicts(tmp_path, then, now)))


def test_verdicts_read_worst_first(tmp_path):
    assert golden_text(tmp_path) == GOLDEN
