"""Figures: data from planted rows, faults of a file, what is drawn; the shipped ones over frozen values."""

from __future__ import annotations

import io
import itertools
import math
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import registry, rows
from harness.registry import HOME
from harness.row import Row
from harness.store import Store
from harness.strict_yaml import InvalidFile
from harness.views import curve, drawing, figure_file, gallery
from harness.views.figure_file import Beside, CurveSpec, GallerySpec, Line

ROOT = Path(__file__).resolve().parent.parent


def row(method: str, seed: int, metric: str, value: float, **settings: object) -> Row:
    known = {"method": method, "dataset": "d", **settings}
    return Row(
        "s", "t", "d", method, known, seed, metric, value, key=f"{method}{seed}{sorted(settings.items())}"
    )


def printed(metric: str, value: float, **settings: object) -> Row:
    known = {"method": "a", "dataset": "d", **settings}
    return Row("book", "t", "d", "a", known, -1, metric, value, origin="published", place="Table 1")


def spec(**more: object) -> CurveSpec:
    base = {"kind": "curve", "title": "t", "task": "t", "x_title": "x", "y_title": "y"}
    return CurveSpec(
        **{**base, **({"x_setting": "eps", "y": "l1"} if "x_values" not in more else {}), **more}
    )  # type: ignore[arg-type]


def lines(figure: curve.Figure) -> dict[str, list[tuple[float, float]]]:
    """Points by label; with several panels by title, too."""
    many = len(figure.panels) > 1
    return {
        f"{panel.title}: {each.label}" if many else each.label: [(point.x, point.y) for point in each.points]
        for panel in figure.panels
        for each in panel.series
    }


PLAIN = [row(m, seed, "l1", x + seed, eps=x) for m in "ab" for x in (0.2, 0.0, 0.1) for seed in (0, 1, 2)]


def test_a_curve_is_the_mean_over_seeds_by_x_with_the_t_interval() -> None:
    figure = curve.make(spec(), PLAIN)
    assert lines(figure) == {m: [(0.0, 1.0), (0.1, pytest.approx(1.1)), (0.2, 1.2)] for m in "ab"}
    point = figure.panels[0].series[0].points[0]
    assert (point.n, point.high) == (3, pytest.approx(1 + 4.302653 / math.sqrt(3)))
    assert "n = 3" in figure.notes[0] and figure.x_ticks == [0.0, 0.1, 0.2]


def test_rows_of_other_settings_never_share_a_curve_unless_the_file_says_so() -> None:
    made = [row("a", 0, "l1", x, eps=x, steps=steps) for x, steps in ((0.0, 4), (0.1, 4), (0.5, 1))]
    assert set(lines(curve.make(spec(), made))) == {"a (steps=4)", "a (steps=1)"}
    joined = curve.make(spec(along=["steps"]), made)
    assert list(lines(joined)) == ["a"] and "Along the curves steps is 4; 1." in joined.notes
    clash = [*made, row("a", 0, "l1", 9.0, eps=0.1, steps=1)]
    assert set(lines(curve.make(spec(along=["steps"]), clash))) == {"a, steps=4", "a, steps=1"}


def test_panels_settings_in_the_notes_and_rows_that_are_missing() -> None:
    made = [
        row(m, 0, "l1", 1.0, eps=0.0, bits=bits, rate=r)
        for m, r in (("a", 1), ("b", 2))
        for bits in (1000, 50)
    ]
    lost = row("c", 0, "", math.nan, eps=0.0, bits=50, rate=1)._replace(status="oom", reason="out of memory")
    figure = curve.make(spec(panels=["bits"]), [*made, lost])
    assert [panel.title for panel in figure.panels] == ["bits 50", "bits 1000"]
    told = "\n".join(figure.notes)
    assert "rate=1: a; c." in told and "rate=2: b." in told and "oom: out of memory." in told
    assert not curve.make(spec(panels=["bits"]), [lost]).panels


def test_more_panels_than_a_page_has_room_for_are_told_and_not_drawn() -> None:
    made = [row("a", seed, "l1", 1.0, eps=0.0, bits=bits) for bits in range(20) for seed in range(3)]
    figure = curve.make(spec(panels=["bits"]), made)
    assert (
        len(figure.panels) == 12
        and "8 more panels are not drawn: keep fewer of them by `where`." in figure.notes
    )


def test_metrics_as_xs_a_metric_as_x_and_settings_that_must_agree() -> None:
    noise = [row("a", s, m, v) for s in (0, 1, 2) for m, v in (("e_0", 1.0), ("e_1", 2.0 + s))]
    assert lines(curve.make(spec(x_values={"e_0": 0.0, "e_1": 0.1}), noise)) == {
        "a": [(0.0, 1.0), (0.1, 3.0)]
    }
    both = [row("a", s, m, v + s) for s in (0, 1, 2) for m, v in (("leak", 5.0), ("l1", 1.0))]
    both.append(row("a", 3, "l1", 100.0))  # no leak on this seed: it counts in neither mean
    figure = curve.make(spec(x_setting="", x_metric="leak"), both)
    point = figure.panels[0].series[0].points[0]
    assert (point.x, point.y, point.n) == (6.0, 2.0, 3) and point.x_low is not None and not figure.x_ticks
    mixed = [row("a", 0, "l1", t, eps=e, test=t) for e in (0.0, 0.1) for t in (0.0, 0.1)]
    only = spec(x_setting="test", along=["eps"], lines=[Line(same=["eps", "test"])])
    assert lines(curve.make(only, mixed)) == {"a": [(0.0, 0.0), (0.1, 0.1)]}


def test_a_reference_belongs_to_no_method_and_says_where_rows_disagree() -> None:
    floor = [row(m, 0, "bound", 30.0, eps=x) for m in "ab" for x in (0.0, 0.1)]
    drawn = [Line(), Line(y="bound", complement=100, label="at least", reference=True)]
    figure = curve.make(spec(lines=drawn), [*PLAIN, *floor])
    assert lines(figure)["at least"] == [(0.0, 70.0), (0.1, 70.0)] and figure.labels_of("measured") == [
        "a",
        "b",
    ]
    figure = curve.make(spec(lines=drawn), [*PLAIN, *floor, row("c", 0, "bound", 20.0, eps=0.0)])
    level = figure.panels[0].series[-1].points[0]
    assert (level.low, level.high) == (70.0, 80.0) and any("range over the rows" in n for n in figure.notes)


def test_published_points_stand_in_every_panel_that_they_may_belong_to() -> None:
    made = [row("a", 0, "l1", 1.0, eps=0.1, dataset=d, steps=s) for d in "de" for s in (1, 2)]
    asked = spec(panels=["dataset", "steps"], published=Beside("book", "theirs", "Other data."))
    figure = curve.make(asked, [*made, printed("theirs", 3.0, eps=0.1)])
    assert [t for t in lines(figure) if "published: a" in t] == [
        "d, steps 1: published: a",
        "d, steps 2: published: a",
    ]
    assert "Stars: published. Other data." in figure.notes


def test_a_file_with_faults_names_them_all(tmp_path: Path) -> None:
    path = tmp_path / "f.yaml"
    path.write_text(
        "kind: curve\ntitle: t\ntask: coding\nx_title: x\ny_title: y\ny: l3\nx_setting: eps\nx_metric: bits\n"
        "published: {table: t, y: z, note: n}\ny_scale: 0\n"
    )
    with pytest.raises(InvalidFile) as fault:
        figure_file.load(path, registry.scan())
    told = str(fault.value)
    assert "number above 0" in told
    assert "one of x_setting" in told and "no metric 'l3'" in told and "if the figure has an x_metric" in told
    path.write_text("kind: pie\ntitle: t\n")
    with pytest.raises(InvalidFile, match="expected one of curve"):
        figure_file.load(path, registry.scan())


@given(st.lists(st.tuples(st.floats(-1, 2), st.floats(0.01, 0.2)), min_size=1, max_size=8))
def test_labels_never_overlap_keep_their_order_and_stay_inside_if_they_fit(asked) -> None:
    wanted, sizes = [place for place, _ in asked], [size for _, size in asked]
    placed = drawing.spread(wanted, sizes)
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    for below, above in itertools.pairwise(order):
        assert placed[above] - placed[below] >= (sizes[below] + sizes[above]) / 2 - 1e-9
    if sum(sizes) <= 1:
        assert all(
            half / 2 - 1e-9 <= at <= 1 - half / 2 + 1e-9 for at, half in zip(placed, sizes, strict=True)
        )


def test_labels_that_have_room_stay_where_they_are() -> None:
    assert drawing.spread([0.8, 0.2, 0.5], [0.1, 0.1, 0.1]) == pytest.approx([0.8, 0.2, 0.5])
    assert drawing.spread([0.5, 0.5], [0.2, 0.2]) == pytest.approx([0.4, 0.6])


def test_drawn_text_is_text_and_equal_figures_give_equal_files() -> None:
    figure = curve.make(spec(title="a < b"), PLAIN)
    svg = drawing.draw(figure, "svg")
    assert svg == drawing.draw(figure, "svg") and b"<text" in svg and b">b</text>" in svg
    assert b"<dc:date>" not in svg
    pdf = drawing.draw(figure, "pdf")
    assert pdf == drawing.draw(figure, "pdf") and pdf.startswith(b"%PDF") and b"CreationDate" not in pdf
    with pytest.raises(ValueError, match="without panels"):
        drawing.draw(curve.make(spec(), []), "svg")


def test_no_two_methods_look_alike_and_curves_use_their_room() -> None:
    many = [row(f"m{i}", 0, "l1", float(i), eps=x) for i in range(14) for x in (0.0, 1.0)]
    figure = curve.make(spec(), many)
    looks = [drawing._look(each, figure) for each in figure.panels[0].series]
    assert len({(look["color"], look["marker"]) for look in looks}) == len(looks) == 14
    from PIL import Image

    picture = Image.open(io.BytesIO(drawing.draw(figure, "png"))).convert("RGB")
    blue = bytes.fromhex(drawing.COLOURS[0][1:])
    flat = picture.tobytes()
    columns = {i // 3 % picture.width for i in range(0, len(flat), 3) if flat[i : i + 3] == blue}
    assert len(columns) > 0.55 * picture.width  # the first curve is a flat one without gaps


def test_a_gallery_shows_the_lowest_seed_that_has_a_picture_and_names_who_has_none(tmp_path: Path) -> None:
    from PIL import Image

    made = [row(m, seed, "l1", 1.0, bits=bits) for m in "ab" for bits in (1000, 50) for seed in (2, 1, 0)]
    for each in made:
        if each.method == "a" and each.seed:
            folder = tmp_path / "cells" / each.key
            folder.mkdir(parents=True)
            Image.new("L", (8, 4), each.seed).save(folder / "p.png")
    asked = GallerySpec("gallery", "t", "t", "p.png", panels=["bits"])
    hung = gallery.make(asked, made, Store(tmp_path))
    assert {t: [p.caption for p in pictures] for t, pictures in hung.rows.items()} == {
        "bits 50": ["a, seed 1"],
        "bits 1000": ["a, seed 1"],
    }
    assert "No such picture: b [bits 50]; b [bits 1000]." in hung.notes
    assert drawing.hang(hung, "svg") == drawing.hang(hung, "svg")
    with pytest.raises(ValueError, match="without pictures"):
        drawing.hang(gallery.make(asked, [], Store(tmp_path)), "svg")


def test_every_shipped_figure_loads_and_those_with_frozen_values_are_drawn(tmp_path: Path) -> None:
    found = registry.scan()
    frozen = rows.frozen(sorted((HOME / "results" / "frozen").glob("*.json")))
    specs = {name: figure_file.load(registry.FIGURES.find(name), found) for name in registry.FIGURES.names()}
    drawn = {name: curve.make(each, frozen) for name, each in specs.items() if isinstance(each, CurveSpec)}
    assert len(drawn) < len(specs)
    assert drawn["necst-distortion"].panels and len(drawn["bsvi-budget"].labels_of("measured")) == 7


def test_the_verb_lists_writes_and_says_when_there_is_nothing(tmp_path: Path) -> None:
    def harness(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-P", "-m", "harness", "figure", *arguments, "--results", "none"]
        settings = os.environ | {"PYTHONPATH": str(ROOT)}
        return subprocess.run(command, cwd=tmp_path, env=settings, capture_output=True, text=True)

    assert harness().stdout.split() == registry.FIGURES.names()
    done = harness("bsvi-budget", "--output", "here")
    assert done.returncode == 0 and "here/bsvi-budget.svg" in done.stdout and "frozen values" in done.stdout
    assert re.search(r"<svg", (tmp_path / "here/bsvi-budget.svg").read_text())
    assert harness("bsvi-budget", "--format", "json").stdout.startswith("none/figures/bsvi-budget.json\n")
    wrong = harness("bsvi-budget", "bsvi-bugdet")
    told = "harness: no figure 'bsvi-bugdet' (did you mean 'bsvi-budget'?)\n"
    assert (wrong.stdout, wrong.stderr) == ("", told)
    (tmp_path / "none" / "cells").mkdir(parents=True)
    nothing = harness("cyclegan-noise", "bsvi-budget")
    assert nothing.returncode == 2 and "cyclegan-noise: nothing to draw" in nothing.stderr
