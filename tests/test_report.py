"""The page about results: what it says, what it refuses to run, and how it behaves in a real browser."""

from __future__ import annotations

import itertools
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest
from browser import MISSING, opened
from click.testing import CliRunner
from PIL import Image
from project import Project

from harness import registry, session
from harness.cli import main
from harness.row import Row
from harness.store import LOG, Measurement, Record, Store
from harness.views import report

HOSTILE = "</script><script>window.hit = 1</script><img src=x onerror='window.hit = 1'>"
QUICK = 300
"""Milliseconds that a filter over 20,000 rows may take."""

in_a_browser = pytest.mark.skipif(
    bool(MISSING), reason=f"{MISSING} is not installed: apt-get install chromium chromium-driver"
)


def record(key: str, **given) -> Record:
    made = {
        "address": "a",
        "fit": "f" * 32,
        "task": "fairness",
        "method": "lmifr",
        "seed": 0,
        "problem": {"dataset": "adult", "steps": 5},
        "score": {},
        "parameters": {},
        "fit_code": {},
        "score_code": {},
        "data": {},
        "status": "ok",
        "metrics": {"violation": Measurement(0.01), "c2": Measurement(0.25, 0.01, 40)},
        "seconds": {"fit": 3.0, "score": 1.5},
        "finished": 1e9,
    }
    return Record(key=key, **(made | given))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A results folder with two good cells, one of which kept a picture, and a failed one with a log."""
    store = Store(tmp_path / "results")
    beside = tmp_path / "beside"
    beside.mkdir()
    Image.new("L", (1200, 600), 200).save(beside / "many_people.png")
    beside.joinpath("torn.png").write_bytes(b"")
    shutil.copytree(beside, store.artifact("f" * 32) / "files")  # what a fit wrote is beside its cells, too
    store.write(record("a" * 32), beside)
    store.write(record("b" * 32, seed=1))
    beside.mkdir()
    beside.joinpath(LOG).write_text("earlier\n" * 50 + HOSTILE)
    store.write(record("c" * 32, seed=2, status="failed", reason=HOSTILE, method="mifr"), beside)
    return store


def rows_of(store: Store) -> list[Row]:
    made = []
    for each in store.records():
        known = Row("tiny", each.task, each.dataset, each.method, each.settings, each.seed, key=each.key)
        for name, measurement in each.metrics.items() if each.status == "ok" else ():
            made.append(known._replace(metric=name, value=measurement.number))
        if each.status != "ok":
            made.append(known._replace(status=each.status, reason=each.reason))
    return made


def page(rows: list[Row], store: Store, tables: tuple[str, ...] = ("lmifr-t2",)) -> str:
    paths = list(map(registry.TABLES.find, tables))
    return report.page(rows, registry.scan(), of=f"tests {HOSTILE}", tables=paths, store=store)


def test_claims_that_results_do_not_speak_of_are_judged_on_frozen_values(tmp_path):
    row = Row(
        "mine", "steganography", "mnist", "untrained", {"method": "untrained"}, 0, metric="e_0", value=1.0
    )
    own, frozen = [row], session.brought()
    bare, full = (
        report.page(own, registry.scan(), of="x", tables=[], store=Store(tmp_path), frozen=given)
        for given in ([], frozen)
    )
    assert "judged on frozen values" not in bare and "frozen values of longer runs" not in bare
    assert "judged on frozen values" in full and "frozen values of longer runs" in full
    assert bare.count("not measured") > full.count("not measured")


def text_of(html: str) -> str:
    """What a reader sees of a page, in one line."""
    found: list[str] = []

    class Reader(HTMLParser):
        hidden = False

        def handle_starttag(self, tag, attributes):
            self.hidden = tag in ("script", "style")

        def handle_endtag(self, tag):
            self.hidden = False

        def handle_data(self, data):
            found.extend([] if self.hidden else [data])

    Reader().feed(html)
    return " ".join(" ".join(found).split())


def many(count: int) -> list[Row]:
    """Made-up rows of one task: 50 metrics of each cell."""
    made = []
    for place in range(count // 50):
        settings = {"method": f"m{place % 7}", "dataset": "adult", "steps": place, "note": HOSTILE}
        cell = Row("big", "fairness", "adult", f"m{place % 7}", settings, place % 3)
        made += [cell._replace(metric=f"metric_{i}", value=(place * 7919 + i) % 1013 / 10) for i in range(50)]
    return made


# --- what it says


def test_without_results_the_frozen_values_are_told_with_the_verdicts_that_claims_gives(
    tmp_path, monkeypatch
):
    few = tmp_path / "few"
    few.mkdir()
    for name in ("necst-distortion", "attack-successes"):
        shutil.copy(registry.FIGURES.find(name), few)
    monkeypatch.setattr(report, "FIGURES", registry.Shelf(few, "figure"))
    results = ["--results", str(tmp_path / "none")]
    told = CliRunner().invoke(main, ["report", *results, "--output", str(tmp_path / "page.html")])
    assert told.exit_code == 0, told.output
    html = (tmp_path / "page.html").read_text()
    text = text_of(html)
    judged = json.loads(CliRunner().invoke(main, ["claims", "--json", *results]).stdout)
    counts = dict.fromkeys(report.ORDER, 0)
    for claim in judged["claims"]:
        counts[claim["verdict"]] += 1
        pattern = rf'id="claim-[a-z]+-{claim["id"].replace("_", "-")}" data-verdict="([a-z-]+)"'
        assert [word.replace("-", " ") for word in re.findall(pattern, html)] == [claim["verdict"]]
    assert "harness report · the frozen values that harness brings" in text
    assert f"Of {len(judged['claims'])} claims from 5 studies, {counts['holds']} hold" in text
    covered = judged["published"]
    assert f"Of {covered['published']} published numbers {covered['comparable']} are comparable" in text
    assert html.count("data:image/svg+xml;base64,") == 1  # of the gallery there is no picture
    assert 'alt="Distortion of binary MNIST' in html
    assert "Software, machine" in text and "full.json" in text
    assert len(html) < report.LARGEST


def test_a_page_tells_pictures_failures_and_where_cells_come_from(store):
    html = page(rows_of(store), store)
    text = text_of(html)
    assert html.count("data:image/webp;base64,") == 1 and "many people of adult, lmifr, seed 0" in html
    assert 'width="640" height="320"' in html
    assert "failed fairness mifr, 1 cell: " + HOSTILE in text
    assert text.count("earlier") == 11  # with the last line twelve
    assert "Cells 3 cells" in text and "fit 9, score 4, summed over cells" in text
    assert "cpu (3 cells)" in text and "2001-09-09" in text
    assert "L-MIFR" in text and "docs/studies/fairness.md" in text and "Coding" not in text


def test_pictures_make_way_for_everything_else_and_it_says_so(store, monkeypatch):
    assert "1 more picture would make this page too large, or cannot be read" in page(rows_of(store), store)
    monkeypatch.setattr(report, "LARGEST", 1000)
    html = page(rows_of(store), store)
    assert "data:image/webp" not in html and "2 more pictures would make this page too large" in text_of(html)


def test_nothing_that_comes_from_results_is_markup(store):
    html = page(rows_of(store) + many(100), store)
    assert html.count("<script") == 2 and "<img src=x" not in html
    data = json.loads(html.partition('id="data">')[2].partition("</script>")[0])
    assert any(HOSTILE in str(cell) for cell in data["cells"])


def test_every_row_is_there_once_and_what_has_no_number_is_null(store):
    made = [*rows_of(store), *many(100)]
    made[-1] = made[-1]._replace(value=float("inf"))
    data = json.loads(page(made, store).partition('id="data">')[2].partition("</script>")[0])
    assert len(data["rows"]) == len(made) and data["rows"][-1][2] is None
    cell, metric, *numbers = data["rows"][1]
    assert data["cells"][cell][:3] == ["fairness", "adult", "lmifr"] and data["metrics"][metric][0] == "c2"
    assert numbers[0] == 0.25


def test_every_colour_of_words_stands_out_from_what_is_behind_it():
    css = Path(report.__file__).with_name("page").joinpath("page.css").read_text()
    light, dark = (dict(re.findall(r"--([a-z-]+): (#\w+)", part)) for part in css.split("@media screen", 1))

    def luminance(colour: str) -> float:
        digits = colour[1:] if len(colour) == 7 else "".join(2 * letter for letter in colour[1:])
        parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
        parts = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), parts, strict=True))

    for theme in (light, dark):
        pairs = [(name, back) for name in ("ink", "quiet", "link") for back in ("paper", "card", "faint")]
        pairs += [(name, f"{name}-back") for name in ("yes", "no", "open", "none")]
        pairs += [(name, back) for name in ("yes", "no", "open", "none") for back in ("paper", "card")]
        for name, back in pairs:
            low, high = sorted((luminance(theme[name]), luminance(theme[back])))
            assert (high + 0.05) / (low + 0.05) >= 4.5, (name, back)


# --- after a run


def test_a_run_ends_with_the_path_of_its_page(project: Project):
    done = project.run()
    assert done.returncode == 0 and done.stdout.splitlines()[-1] == "report   results/report.html"
    html = (project.root / "results/report.html").read_text()
    assert "suite suite" in html and "Guess the mean of a data set." in html


def test_a_page_that_cannot_be_made_fails_no_run(project: Project):
    project.write("harness/views/page/page.html", "{{ nobody.knows }}")
    done = project.run()
    assert done.returncode == 0 and "report   not written: UndefinedError" in done.stderr
    assert "6 cells: 6 ok" in done.stdout


# --- in a browser


@in_a_browser
def test_it_runs_without_a_request_or_an_error_and_finds_rows_at_once(store, tmp_path):
    path = tmp_path / "page.html"
    path.write_text(page([*rows_of(store), *many(20_000)], store), encoding="utf-8")
    with opened(tmp_path / "profile") as browser:
        browser.go(path.as_uri())
        browser.until("document.querySelectorAll('#all tbody tr').length === 100")
        assert browser.value("window.hit === undefined && document.scripts.length === 2")
        levels = browser.value("[...document.querySelectorAll('h1,h2,h3,h4')].map(h => +h.tagName[1])")
        assert levels[0] == 1 and all(b - a <= 1 for a, b in itertools.pairwise(levels))
        assert browser.value("[...document.querySelectorAll('th')].every(head => head.scope)")
        assert browser.value("[...document.querySelectorAll('table')].every(each => each.caption)")
        assert browser.value("[...document.images].every(image => image.alt && image.complete)")

        took = """(() => { const start = performance.now(); const box = document.getElementById('words');
          box.value = %s; box.dispatchEvent(new Event('input'));
          document.body.offsetHeight; return performance.now() - start; })()"""
        for words, count in (("metric_7 m3", "57"), ("steps=399 metric_1 -m0", "0"), ("steps=399", "50")):
            best = min(browser.value(took % json.dumps(words)) for _ in range(3))
            assert best < QUICK, f"{words}: {best:.0f} ms"
            told = browser.value("document.getElementById('count').textContent")
            assert told.startswith(f"{count} of 20,"), told
        browser.value(took % "''")

        value = "[...document.querySelectorAll('#all tbody tr')].map(row => row.cells[4].textContent)"
        head = "document.querySelectorAll('#all th')[4]"
        for direction, sign in (("ascending", 1), ("descending", -1)):
            browser.value(f"{head}.firstChild.click()")
            assert browser.value(f"{head}.getAttribute('aria-sort')") == direction
            found = [float(text) for text in browser.value(value)]
            assert found == sorted(found, key=lambda number: sign * number) and len(found) == 100
        browser.value("document.getElementById('after').click()")
        assert browser.value("document.getElementById('where').textContent").startswith("Page 2 of ")

        shown = (
            "[...document.querySelectorAll('.claims tbody tr[data-verdict]')].filter(r => !r.hidden).length"
        )
        before = browser.value(shown)
        browser.value("document.querySelector('[data-verdict=not-measured]').click()")
        assert browser.value(shown) < before
        assert browser.value("document.getElementById('chosen').textContent").endswith("shown")

        sent = [json.loads(entry)["message"] for entry in browser.said("performance")]
        asked = [one["params"] for one in sent if one["method"] == "Network.requestWillBeSent"]
        mine = [each["request"]["url"] for each in asked if each["documentURL"] == path.as_uri()]
        assert {url.partition(":")[0] for url in mine} <= {"file", "data"} and path.as_uri() in mine
        assert browser.said("browser") == []
        for width in (390, 820, 1440):
            browser.emulate(
                "Emulation.setDeviceMetricsOverride",
                width=width,
                height=900,
                deviceScaleFactor=1,
                mobile=True,
            )
            assert browser.value("document.documentElement.scrollWidth") <= width


@in_a_browser
def test_a_script_that_escaping_let_through_would_not_run(store, tmp_path):
    """The policy is the second lock: planted markup is refused, and the console says so."""
    path = tmp_path / "page.html"
    html = page(rows_of(store), store).replace("</main>", f"{HOSTILE}<img src='http://127.0.0.1:9/x'></main>")
    path.write_text(html, encoding="utf-8")
    with opened(tmp_path / "profile") as browser:
        browser.go(path.as_uri())
        browser.until("document.readyState === 'complete'")
        assert browser.value("window.hit === undefined")
        assert sum("Content Security Policy" in line for line in browser.said("browser")) >= 3
