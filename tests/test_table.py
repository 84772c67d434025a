"""Tables, published numbers and formats on made-up rows. The golden text below shows a reviewer the look."""

import csv
import io
import itertools
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_rows import rows

from harness import published
from harness.errors import UserError
from harness.key import canonical
from harness.strict_yaml import InvalidFile
from harness.views import latex, render, table

ROOT = Path(__file__).parent.parent
METRICS = {
    "iw500": {"unit": "nats", "direction": "higher", "kind": "quality"},
    "kl": {"unit": "nats", "direction": "none", "kind": "quality"},
    "update_seconds": {"unit": "s", "direction": "lower", "kind": "speed"},
}


def cell(method, seed, status="ok", *, dataset="omniglot", params=None, reason="", **metrics):
    """The rows of one cell, as the store would give them."""
    base = {
        "suite": "quick",
        "task": "likelihood",
        "dataset": dataset,
        "method": method,
        "params": canonical({"preset": "mlp"} if params is None else params),
        "seed": seed,
        "status": status,
        "reason": reason,
        "origin": "measured",
        "key": f"{method}-{seed}",
    }
    if status != "ok":
        return [base | {"metric": ""}]
    return [base | METRICS[name] | {"metric": name, "value": value} for name, value in metrics.items()]


def printed(method, value, error=float("nan"), params=None, dataset="omniglot"):
    return {
        "suite": "paper-t1",
        "task": "likelihood",
        "dataset": dataset,
        "method": method,
        "params": canonical(params or {}),
        "seed": -1,
        "metric": "log_likelihood",
        "value": value,
        "error": error,
        "unit": "nats",
        "direction": "higher",
        "kind": "quality",
        "status": "ok",
        "origin": "published",
        "place": "Table 1; A. Author 2020",
    }


def spec(**given):
    made = {
        "title": "Likelihood",
        "task": "likelihood",
        "columns": [table.Column("iw500")],
        "headline": "iw500",
    }
    return table.TableSpec(**(made | given))


def make(cells, **given):
    return table.make(spec(**given), rows(itertools.chain(*cells)))


def column(made, key):
    """The texts of a column; of `x_published` and `x_verdict` what stands in the cells of `x`."""
    name, _, part = key.rpartition("_")
    part = {"published": "beside", "verdict": "verdict"}.get(part, "text")
    index = [head.key for head in made.heads].index(key if part == "text" else name)
    return [getattr(row[index], part) or "–" for row in made.rows]


def steady(method, base, seeds=range(3), **given):
    """Cells whose values differ from seed to seed in the same way for all methods, up to a little noise."""
    noise = {"vae": 0.02, "iwae": -0.01}.get(method, 0.0)
    return [cell(method, s, iw500=base + s + noise * (s % 2), **given) for s in seeds]


BESIDE = {
    "columns": [table.Column("iw500", published="log_likelihood", agree_within=0.5), table.Column("kl")],
    "published": "paper-t1",
}

GOLDEN = """\
Likelihood

method   k             seeds                     iw500 (nats) ↑     kl (nats)
─────────────────────────────────────────────────────────────────────────────
iwae    10                 3  -88.90 ± 2.48 ● [-89.02 ± 0.05 ✓]  20.50 ± 1.24
vae      –                 3    -91.00 ± 2.62 [-89.83 ± 0.03 ✗]     20.00 ± 0
dreg    10  1 ok, 2 diverged                          -100.00 ○         19.00
svi     10         3 timeout            timeout [-89.65 ± 0.06]       timeout
bsvi    10           not run                  – [-88.80 ± 0.03]             –
─────────────────────────────────────────────────────────────────────────────
"""


def small_rows():
    return [
        *[cell("vae", s, iw500=[-92.0, -91.1, -89.9][s], kl=20.0, update_seconds=0.01) for s in range(3)],
        *[
            cell(
                "iwae",
                s,
                params={"preset": "mlp", "k": 10},
                iw500=-89.9 + s,
                kl=20 + s / 2,
                update_seconds=[0.018, 0.02, 0.025][s],
            )
            for s in range(3)
        ],
        cell("dreg", 0, params={"preset": "mlp", "k": 10}, iw500=-100.0, kl=19.0, update_seconds=0.03),
        *[
            cell("dreg", s, "diverged", params={"preset": "mlp", "k": 10}, reason="loss is nan at update 3")
            for s in (1, 2)
        ],
        *[
            cell("svi", s, "timeout", params={"preset": "mlp", "k": 10}, reason="took longer than 9 s")
            for s in range(3)
        ],
        [printed("vae", -89.83, 0.03)],
        [printed("iwae", -89.02, 0.05, {"k": 10})],
        [printed("svi", -89.65, 0.06, {"k": 10})],
        [printed("bsvi", -88.8, 0.03, {"k": 10})],
    ]


def test_golden_text():
    made = make(small_rows(), show=["k"], **BESIDE)
    text = render.to_text(made)
    assert text.startswith(GOLDEN)
    assert made.footnotes == [
        "In brackets, published: log_likelihood (iw500); ✓ agrees with ours, ✗ differs, ~ not comparable.",
        "✓ our mean is within 0.5 (iw500) of the published value.",
        "Published: Table 1; A. Author 2020.",
        "In all our rows: dataset=omniglot, preset=mlp.",
        "timeout: took longer than 9 s (3 cells).",
        "diverged: loss is nan at update 3 (2 cells).",
        "Ours: mean ± half-width of the 95 % t-interval over seeds (n = 3); it covers the choice of seed and "
        "nothing else. Fewer than 3 seeds: the mean alone, without an interval.",
        "● best iw500 among rows with the same dataset, preset, and all that it does not beat: paired t-test "
        "over common seeds, level 0.05 over rivals and the choice of the best. "
        "○ not tested: shares fewer than 3 seeds with the best that has as many.",
        "Shows 12 cells of quick (cells 7ba37eda78).",
    ]


def test_interval_is_students():
    # Values −1, 0, 1: the half-width is t(2, .975) / √3 = 4.302653 / 1.732051 = 2.48.
    assert column(make(steady("svi", -1)), "iw500") == ["0.00 ± 2.48"]


@pytest.mark.parametrize(("n", "shown"), [(1, "2.00"), (2, "2.50"), (3, "3.00 ± 2.48")])
def test_no_interval_below_three_seeds(n, shown):
    made = make([cell("svi", s, iw500=2.0 + s) for s in range(n)])
    assert column(made, "iw500") == [shown] and column(made, "seeds") == [str(n)]
    assert any("without an interval" in note for note in made.footnotes) == (n < 3)


def test_nothing_is_marked_without_three_common_seeds():
    made = make([*steady("svi", 5, range(2)), *steady("bsvi", 0, range(2))])
    assert all(not cell.mark for row in made.rows for cell in row)
    assert "nothing is claimed" in made.footnotes[-2]


def test_a_row_without_rivals_is_not_marked():
    made = make([*steady("svi", 5, dataset="omniglot"), *steady("bsvi", 0, dataset="mnist")])
    assert all(not cell.mark for row in made.rows for cell in row)


def test_an_infeasible_row_is_never_marked():
    cells = [
        cell(m, s, iw500=base + s + 0.01 * (s % 2) * (base > 1), kl=float(m != "best" or s > 0))
        for m, base in [("best", 9.0), ("kept", 5.0), ("worse", 1.0)]
        for s in range(3)
    ]
    columns = [table.Column("iw500"), table.Column("kl")]
    free, held = (make(cells, columns=columns, **given) for given in ({}, {"requires": "kl"}))
    assert [row[2].mark for row in free.rows] == ["unbeaten", "", ""]
    assert [row[2].mark for row in held.rows] == ["", "unbeaten", ""]


def test_rows_rank_best_first_within_each_data_set_and_groups_are_marked_apart():
    rows = [
        *steady("vae", 1),
        *steady("svi", 5),
        *steady("vae", 50, dataset="mnist"),
        *steady("iwae", 40, dataset="mnist"),
    ]
    made = make(rows, rows=["dataset", "method"])
    assert list(zip(column(made, "dataset"), column(made, "method"), strict=True)) == [
        ("mnist", "vae"),
        ("mnist", "iwae"),
        ("omniglot", "svi"),
        ("omniglot", "vae"),
    ]
    assert [row[3].mark for row in made.rows] == ["unbeaten", "", "unbeaten", ""]
    assert "Groups without ●" not in made.footnotes[-2]
    alone = make([*rows, *steady("svi", 1, dataset="svhn")], rows=["dataset", "method"])
    assert "Groups without ●" in alone.footnotes[-2]


def test_lower_is_better_ranks_the_other_way():
    rows = [row | {"direction": "lower"} for row in itertools.chain(*steady("vae", 1), *steady("svi", 5))]
    made = make([rows])
    assert column(made, "method") == ["vae", "svi"]
    assert made.rows[0][2].mark == "unbeaten" and made.rows[1][2].mark == ""


def test_presets_never_share_a_row_and_are_always_named():
    pixel = {"preset": "pixelcnn"}
    same_method = make([*steady("vae", 1), *steady("vae", 9, params=pixel)])
    assert sorted(column(same_method, "method")) == ["vae (preset=mlp)", "vae (preset=pixelcnn)"]
    other_method = make([*steady("vae", 1), *steady("svi", 9, params=pixel)])
    assert sorted(column(other_method, "method")) == ["svi (preset=pixelcnn)", "vae (preset=mlp)"]
    assert all(not cell.mark for row in other_method.rows for cell in row), "presets are not ranked together"


def test_rows_are_labelled_by_the_parameters_that_differ_and_have_no_column():
    rows = [
        *steady("svi", 1, params={"k": 5, "eta": 0.1, "anneal": True}),
        *steady("svi", 2, params={"k": 10, "eta": 0.5, "anneal": True}),
        *steady("vae", 3, params={"anneal": True}),
    ]
    made = make(rows, show=["k"])
    assert column(made, "method") == ["vae", "svi (eta=0.5)", "svi (eta=0.1)"]
    assert column(made, "k") == ["–", "10", "5"]
    assert "In all our rows: anneal=true, dataset=omniglot." in made.footnotes


def test_where_keeps_equal_values_and_null_stands_for_absent():
    rows = [
        *steady("vae", 1, params={}),
        *steady("svi", 2, params={"k": 1}),
        *steady("iwae", 3, params={"k": True}),
        *steady("bsvi", 4, params={"k": 10}),
    ]
    assert sorted(column(make(rows, where={"k": [None, 1]}), "method")) == ["svi", "vae"]
    assert column(make(rows, where={"k": 10, "method": "bsvi"}), "method") == ["bsvi"]


def test_where_on_an_unknown_setting_is_told():
    made = make(steady("vae", 1), where={"presett": "mlp"})
    assert made.rows == []
    assert "No row has the setting 'presett', which the table's where asks for." in made.footnotes


def test_states_are_counted_never_blank():
    rows = [
        *steady("vae", 1),
        cell("vae", 3, "oom", reason="took more than 2 GB"),
        cell("svi", 0, "failed", reason="ValueError: x"),
        cell("svi", 1, "skipped", reason="no data"),
        cell("svi", 2, "missing", reason="new"),
        cell("bsvi", 0, kl=1.0),
    ]
    made = make(rows, columns=[table.Column("iw500"), table.Column("kl")])
    assert dict(zip(column(made, "method"), column(made, "seeds"), strict=True)) == {
        "vae": "3 ok, 1 oom",
        "svi": "1 failed, 1 missing, 1 skipped",
        "bsvi": "1",
    }
    shown = dict(zip(column(made, "method"), column(made, "iw500"), strict=True))
    assert shown["svi"] == "failed or missing or skipped" and shown["bsvi"] == "not reported"
    assert column(made, "kl")[0] == "not reported"
    assert all(cell.text for row in made.rows for cell in row)
    assert "oom: took more than 2 GB." in made.footnotes


def test_many_reasons_are_cut_short():
    made = make([cell("vae", s, "failed", reason=f"reason {s}") for s in range(5)])
    assert "Cells without a result have 2 more reasons; see harness rows." in made.footnotes


def test_values_that_are_not_finite_are_counted_not_averaged():
    rows = [*steady("svi", 1), cell("svi", 3, iw500=float("nan")), cell("vae", 0, iw500=float("-inf"))]
    made = make(rows)
    assert column(made, "iw500") == ["2.00 ± 2.48 (n=3, 1 not finite)", "not finite"]


def test_a_metric_of_fewer_seeds_shows_its_own_n():
    rows = [cell("svi", s, iw500=1.0 * s, **({"kl": 1.0} if s else {})) for s in range(3)]
    assert column(make(rows, columns=[table.Column("iw500"), table.Column("kl")]), "kl") == ["1.00 (n=2)"]


def test_equal_and_tiny_spreads_are_told_apart():
    exact = make([cell("svi", s, iw500=0.1) for s in range(3)])
    tiny = make([cell("svi", s, iw500=0.1 + 1e-6 * s) for s in range(3)])
    assert column(exact, "iw500") == ["0.10 ± 0"]
    assert column(tiny, "iw500") == ["0.10 ± <0.01"]


def test_a_cell_shared_by_two_suites_counts_once():
    rows = steady("svi", 1)
    again = [[row | {"suite": "full"} for row in group] for group in rows]
    twice, once = make(rows + again), make(rows)
    assert (twice.rows, twice.footnotes[:-1]) == (once.rows, once.footnotes[:-1])
    assert twice.footnotes[-1].startswith("Shows 3 cells of full, quick (")


def test_two_values_for_one_seed_are_refused():
    with pytest.raises(UserError, match=r"two different results for svi, seed 0, iw500"):
        make([cell("svi", 0, iw500=1.0), cell("svi", 0, iw500=2.0)])
    with pytest.raises(UserError, match=r"two different results for svi, seed 0"):
        make([cell("svi", 0, iw500=1.0), cell("svi", 0, "failed")])


def test_frozen_rows_and_other_tasks_do_not_count():
    strangers = [
        [row | {"origin": "frozen"} for row in cell("svi", 9, iw500=99.0)],
        [row | {"task": "coding"} for row in cell("svi", 9, iw500=99.0)],
    ]
    assert make(steady("svi", 1) + strangers) == make(steady("svi", 1))


def test_a_published_number_stands_beside_the_settings_it_states_only():
    rows = [
        *steady("svi", -90, params={"k": 10, "eta": 1}),
        *steady("svi", -90, params={"k": 5, "eta": 1}),
        [printed("svi", -89.0, 0.2, {"k": 10})],
    ]
    made = make(rows, show=["k"], **BESIDE)
    assert dict(zip(column(made, "k"), column(made, "iw500_published"), strict=True)) == {
        "10": "-89 ± 0.2",
        "5": "–",
    }
    assert sorted(column(made, "iw500_verdict")) == ["agrees", "–"]


def test_where_also_keeps_published_numbers_out_as_far_as_they_state_settings():
    rows = [
        [printed("svi", -1, params={"k": 10})],
        [printed("svi", -2, params={"k": 5})],
        [printed("vae", -3)],
    ]
    made = make(rows, where={"k": 10, "preset": "mlp"}, **BESIDE)
    assert column(made, "iw500_published") == ["-1", "-3"]


def test_what_nobody_ran_stands_below_what_was_run():
    rows = [*steady("svi", 1, params={"preset": "pixelcnn"}), [printed("vae", -1)], [printed("bsvi", -2)]]
    assert column(make(rows, **BESIDE), "method") == ["svi", "bsvi", "vae"]


def test_agreement_at_the_edge_of_the_tolerance():
    for value, verdict in [(-88.5, "agrees"), (-88.25, "differs by +0.75")]:
        made = make([cell("svi", 0, iw500=value), [printed("svi", -89.0)]], **BESIDE)
        assert column(made, "iw500_verdict") == [verdict]


def test_what_cannot_be_compared_says_why():
    beside = {"columns": [table.Column("iw500", published="log_likelihood")], "published": "paper-t1"}
    made = make(
        [*steady("svi", -90), [printed("svi", -89.0)]], **beside, not_comparable="Another split was used."
    )
    assert column(made, "iw500_verdict") == ["not comparable"]
    assert made.footnotes[1] == "~ Another split was used."
    assert "[-89 ~]" in render.to_text(made)


def test_settings_that_are_comparable_are_compared_and_no_others():
    rows = [*steady("svi", -90, params={"updates": 9}), *steady("svi", -90, params={"updates": 1})]
    why = {"comparable": {"updates": 9}, "not_comparable": "Short."}
    made = make([*rows, [printed("svi", -89.0)]], **BESIDE, **why, show=["updates"])
    told = dict(zip(column(made, "updates"), column(made, "iw500_verdict"), strict=True))
    assert told == {"9": "agrees", "1": "not comparable"}


def test_a_stand_in_has_the_published_number_of_the_real_data_set_beside_it():
    beside = {"columns": [table.Column("iw500", published="log_likelihood")], "published": "paper-t1"}
    made = make(
        [*steady("svi", -90, dataset="rebuilt"), [printed("svi", -89)]],
        **beside,
        stand_ins={"rebuilt": "omniglot"},
        not_comparable="Rebuilt.",
    )
    assert column(made, "iw500_published") == ["-89"]


def test_a_table_without_any_result_shows_what_is_published():
    made = make([[printed("svi", -89.0, 0.25, {"k": 10})], [printed("svi", -88, 14.95, {"k": 50})]], **BESIDE)
    assert column(made, "method") == ["svi (k=10)", "svi (k=50)"]
    assert column(made, "iw500_published") == ["-89 ± 0.25", "-88 ± 14.95"]
    assert set(column(made, "seeds")) == {"not run"} and set(column(made, "iw500_verdict")) == {"not run"}
    assert made.footnotes[-2] == "There is no result on iw500, so no row is marked."


def test_speed_shows_median_and_range_and_is_never_marked():
    rows = [
        cell(m, s, update_seconds=v + s * s) for m, v in [("svi", 0.01), ("bsvi", 0.02)] for s in range(3)
    ]
    made = make(rows, columns=[table.Column("update_seconds")], headline="update_seconds")
    assert column(made, "method") == ["svi", "bsvi"]
    assert column(made, "update_seconds")[0] == "1.0100 (0.0100–4.0100)"
    assert made.footnotes[-3] == "update_seconds: median (range) over seeds."
    assert all(not cell.mark for row in made.rows for cell in row)


@settings(max_examples=40)
@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 5), st.floats(-99, 99)), min_size=1),
    st.randoms(),
)
def test_the_order_of_rows_does_not_matter(found, shuffle):
    values = {(method, seed): value for method, seed, value in found}
    rows = [cell(method, seed, iw500=value) for (method, seed), value in values.items()]
    made = make(rows)
    assert len(made.rows) == len({method for method, _ in values})
    shuffle.shuffle(rows)
    assert make(rows) == made


NASTY = "<b>|*`\x1b[31m&"


def nasty():
    return make([*steady("svi", 1), *steady("svi", 9, params={"preset": "mlp", "note": NASTY})], title=NASTY)


def test_html_escapes_everything():
    text = render.to_html(nasty())
    assert "<b>" not in text and "&lt;b&gt;" in text
    assert text.count("<tr>") == 3 and text.count("<td") == 6


def test_markdown_keeps_its_columns():
    lines = [line for line in render.to_markdown(nasty()).splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {4}
    assert "<b>" not in re.sub(r"\\<", "", "\n".join(lines))
    assert "**10.00 ± 2.48** ●" in lines[2]


def test_text_cannot_steer_the_terminal():
    assert "\x1b" not in render.to_text(nasty()) + render.to_markdown(nasty())


def test_csv_has_full_precision_and_marks():
    read = list(csv.DictReader(io.StringIO(render.to_csv(make(small_rows(), **BESIDE)))))
    assert [row["method"] for row in read] == ["iwae", "vae", "dreg", "svi", "bsvi (k=10)"]
    first = read[0]
    assert float(first["iw500"]) == pytest.approx(-88.9) and first["iw500_n"] == "3"
    assert float(first["iw500_high"]) - float(first["iw500"]) == pytest.approx(2.484, abs=1e-3)
    assert (first["iw500_mark"], first["iw500_published"], first["iw500_published_error"]) == (
        "unbeaten",
        "-89.02",
        "0.05",
    )
    assert first["iw500_verdict"] == "agrees" and read[3]["iw500"] == "" and read[3]["seeds"] == "3 timeout"


def test_json_is_strict_and_complete():
    rows = [*small_rows(), cell("inf", 0, iw500=float("inf"))]
    read = json.loads(render.to_json(make(rows, **BESIDE)), parse_constant=pytest.fail)
    assert read["title"] == "Likelihood" and len(read["rows"]) == 6
    assert read["rows"][0]["iw500"]["value"] == pytest.approx(-88.9)
    assert read["rows"][-1]["method"]["text"] == "bsvi (k=10)"


GOOD = """\
title: T
task: likelihood
columns:
  - {metric: iw500, decimals: 1, published: log_likelihood, agree_within: 0.5}
  - {metric: kl}
headline: iw500
where: {dataset: omniglot, k: [null, 10]}
show: [k]
published: paper-t1
"""


def read_table(tmp_path, text):
    path = tmp_path / "t.yaml"
    path.write_text(text)
    return table.load(path)


def test_load(tmp_path):
    read = read_table(tmp_path, GOOD)
    assert read.columns[0] == table.Column("iw500", 1, "log_likelihood", 0.5)
    assert read.where == {"dataset": "omniglot", "k": [None, 10]}
    assert read.rows == ["method"] and read.within == ["dataset", "preset"]


@pytest.mark.parametrize(
    ("change", "line", "message"),
    [
        (("headline: iw500", "headline: iw5000"), 6, "'iw5000' is not among the columns (iw500, kl)"),
        (("metric: kl", "metric: iw500"), 5, "this metric has a column already"),
        (("show: [k]", "show: [k]\nrows: [dataset]"), 9, "must contain 'method'"),
        (("show: [k]", "show: [k, method]"), 8, "'method' would be shown twice"),
        (("decimals: 1", "decimals: 11"), 4, "decimals must be from 0 to 10"),
        (("agree_within: 0.5", "agree_within: -1"), 4, "must be a finite number from 0"),
        (("published: paper-t1", "within: [k]"), 1, "name the published table here"),
        ((", agree_within: 0.5", ""), 4, "needs either agree_within here or"),
        (("headline: iw500", "headline: iw500\nnot_comparable: why"), 4, "needs either agree_within here or"),
        (("metric: kl", "metric: kl, agree_within: 1"), 5, "agree_within needs the published metric"),
        (("show: [k]", "stand_ins: {a: b}"), 8, "another data set cannot be compared"),
        (("show: [k]", "comparable: {k: 1}"), 8, "say in not_comparable why"),
        (("headline:", "headlin:"), 6, "unknown key (did you mean 'headline'?)"),
    ],
)
def test_faulty_table_files(tmp_path, change, line, message):
    with pytest.raises(InvalidFile) as caught:
        read_table(tmp_path, GOOD.replace(*change))
    assert any(fault.line == line and message in fault.message for fault in caught.value.faults), str(
        caught.value
    )


def test_all_faults_are_told_at_once(tmp_path):
    with pytest.raises(InvalidFile) as caught:
        read_table(tmp_path, GOOD.replace("headline: iw500", "headline: x").replace("[k]", "[method]"))
    assert len(caught.value.faults) == 2


PAPER = """\
citation: A. Author 2020
url: https://example.org
metrics:
  acc: {unit: "%", direction: higher}
entries:
  - {table: t1, task: x, dataset: d, method: m, metric: acc, value: 88.80, error: 0.03,
     source: slides, place: Table 1}
  - {table: t1, task: x, method: m, metric: acc, value: 7, source: code, place: line 7}
"""


def read_paper(tmp_path, text):
    (tmp_path / "paper.yaml").write_text(text)
    return published.rows(tmp_path)


def test_a_published_row(tmp_path):
    row = read_paper(tmp_path, PAPER)[0]
    assert (row.suite, row.origin, row.status, row.seed) == ("t1", "published", "ok", -1)
    assert (row.value, row.error, row.unit, row.direction) == (88.8, 0.03, "%", "higher")
    assert row.place == "Table 1 (± is not explained there); A. Author 2020"


@pytest.mark.parametrize(
    ("change", "line", "message"),
    [
        (("metric: acc", "metric: ac"), 6, "'ac' is not among this file's metrics (did you mean 'acc'?)"),
        (("88.80", ".nan"), 6, "must be finite"),
        (("error: 0.03", "error: -1"), 6, "must not be negative"),
        (("source: slides", "source: paper"), 7, "expected one of slides, code, third_party"),
        (("dataset: d, ", ""), 8, "given before (on line 6)"),
        (("place: Table 1", "plac: Table 1"), 7, "unknown key (did you mean 'place'?)"),
        (("citation: A. Author 2020\n", ""), 1, "the key 'citation' is missing"),
    ],
)
def test_faulty_published_files(tmp_path, change, line, message):
    with pytest.raises(InvalidFile) as caught:
        read_paper(tmp_path, PAPER.replace(*change))
    assert any(fault.line == line and message in fault.message for fault in caught.value.faults), str(
        caught.value
    )


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (-88.8, 0.03, "-88.80 ± 0.03"),
        (-2203.0, 14.95, "-2203 ± 14.95"),
        (90.05, float("nan"), "90.05"),
        (1e-05, float("nan"), "0.00001"),
        (7.0, float("nan"), "7"),
    ],
)
def test_published_numbers_look_as_printed(value, error, text):
    assert published.printed(value, error) == text


def test_the_shipped_tables_are_valid_and_name_published_tables_that_exist():
    listed = published.rows(ROOT / "results" / "published")
    known = {(row.suite, row.metric) for row in listed}
    paths = sorted((ROOT / "suites" / "tables").glob("*.yaml"))
    assert {"bsvi-t1", "bsvi-t2", "bsvi-t3", "likelihood"} <= {path.stem for path in paths}
    for path in paths:
        read = table.load(path)
        for shown in read.columns:
            assert not shown.published or (read.published, shown.published) in known, path
        assert render.to_text(table.make(read, listed))


def test_the_published_numbers_of_bsvi():
    rows = published.rows(ROOT / "results" / "published")
    first = {row.method: row.value for row in rows if row.suite == "bsvi-t1"}
    assert first == {"vae": -89.83, "iwae": -89.02, "svi": -89.65, "bsvi": -88.80}


def test_people_get_ten_columns_and_none_that_says_the_same_in_all_rows():
    metrics = [f"m{i}" for i in range(14)]
    base = cell("svi", 0, iw500=1.0)[0]
    wide = [
        base | {"method": m, "metric": name, "value": float(i), "seed": s}
        for i, m in enumerate(("svi", "vae"))
        for name in ("iw500", "same", *metrics)
        for s in range(3)
    ]
    wide = [row | {"value": 1.0} if row["metric"] == "same" else row for row in wide]
    columns = [table.Column(name) for name in ("same", *metrics, "iw500")]
    made = make([wide], columns=columns, rows=["dataset", "method"], show=["k"])
    short = render.brief(made)
    assert [head.key for head in short.heads] == ["method", *metrics[:8], "iw500"]
    assert short.footnotes[0] == (
        "In all rows to which it applies, dataset is omniglot; seeds is 3; same (nats) ↑ is 1.00 ± 0."
    )
    assert short.footnotes[1].endswith("in CSV: m8, m9, m10, m11, m12, m13.")
    assert "m13" in render.to_csv(made) and len(render.brief(made, 99).heads) == 16
    alone = make([wide[:51]], columns=columns, where={"method": "svi"})
    assert "same" in [head.key for head in render.brief(alone).heads], "one row shares nothing with others"


def test_published_values_stay_where_nothing_was_measured():
    beside = {**BESIDE, "headline": "kl"}
    made = render.brief(make([[printed("svi", -89.0)], [printed("vae", -88.0)]], **beside))
    assert [head.key for head in made.heads] == ["method", "iw500", "kl"]


def test_every_shipped_table_names_its_measures_within_ten_columns():
    for path in sorted((ROOT / "suites" / "tables").glob("*.yaml")):
        shown = [column.metric for column in table.load(path).columns]
        assert table.load(path).headline in shown[:9], path.name


def test_latex_says_what_the_table_says_and_escapes_the_rest():
    text = latex.to_latex(make(small_rows(), show=["k"], **BESIDE))
    assert (
        r"iwae & 10 & 3 & \textbf{$-$88.90 $\pm$ 2.48} $\bullet$ {\scriptsize [$-$89.02 $\pm$ 0.05 $\surd$]}"
        in text
    )
    assert text.count(r" \\") == 6 and r"\begin{tabular}{lrrrr}" in text
    assert latex.escape("a_b --all 50% -3 x-3 <σ>\\~") == (
        r"a\_b -{}-all 50\% $-$3 x-3 $<$$\sigma$$>$\textbackslash{}$\sim$"
    )
    assert latex.escape("é 漢") == "é ?"


@settings(max_examples=50)
@given(st.text())
def test_nothing_in_a_text_is_a_command_to_tex(text):
    bare = re.sub(r"\\[%&#_{}$]|\\[a-z]+(?![a-z])|\{\}|\$[^$]*\$", "", latex.escape(text))
    assert not set(bare) & set("\\%&#_{}^~$")


def test_a_macro_for_each_number_named_in_letters():
    made = make([*small_rows(), *steady("svi", 1, params={"preset": "mlp", "k": 5})], show=["k"], **BESIDE)
    text = latex.to_macros(made, "paper-t1")
    assert r"\newcommand{\PaperTOneIwaeKOneZeroIwFiveZeroZero}{\ensuremath{-88.90}}" in text
    assert r"\newcommand{\PaperTOneIwaeKOneZeroIwFiveZeroZeroHalf}{\ensuremath{2.48}}" in text
    assert r"\newcommand{\PaperTOneIwaeKOneZeroIwFiveZeroZeroPublished}{\ensuremath{-89.02}}" in text
    names = re.findall(r"\\newcommand\{\\([^}]*)\}", text)
    assert len(names) == len(set(names)) and all(re.fullmatch("[A-Za-z]+", name) for name in names)
    alike = make([*steady("a_b", 1), *steady("a-b", 2)])
    with pytest.raises(UserError, match="two numbers would be called"):
        latex.to_macros(alike, "t")


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="no pdflatex is installed")
def test_a_paper_with_all_of_it_compiles(tmp_path):
    made = [make(small_rows(), show=["k"], **BESIDE), nasty()]
    body = (
        latex.to_macros(made[0], "t") + "".join(map(latex.to_latex, made)) + r"\TIwaeKOneZeroIwFiveZeroZero"
    )
    paper = r"\documentclass{article}\usepackage{booktabs}\begin{document}" + body + r"\end{document}"
    (tmp_path / "paper.tex").write_text(paper)
    command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "paper.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:]
