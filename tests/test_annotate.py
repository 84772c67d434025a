"""People's votes: the page in a real browser, real HTTP requests, the file they are kept in, agreement."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import threading
from contextlib import contextmanager

import msgspec
import numpy as np
import pytest
from browser import MISSING, opened
from click.testing import CliRunner

from harness import frozen
from harness import rows as making
from harness.annotate import questions as asking
from harness.annotate import reports
from harness.annotate.server import HERE, open_server
from harness.annotate.votes import NONE, Ballot, check_name, cohen, fleiss, majority
from harness.cli import main
from harness.errors import UserError
from harness.row import Row
from harness.show import find
from harness.store import Measurement, Record, Store

KEY, FIT = "c" * 32, "f" * 32


@pytest.fixture
def results(tmp_path):
    """A results folder with one cell that kept twelve images of an attack and eight controls."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (20, 8, 8), dtype=np.uint8)
    source = np.arange(20) % 10
    oracle = np.where(np.arange(20) < 6, source, -1)
    kind = np.array(["attack"] * 12 + ["plain"] * 4 + ["real"] * 4)
    beside = tmp_path / "made"
    beside.mkdir()
    np.savez_compressed(beside / asking.FILE, images=images, source=source, oracle=oracle, kind=kind)
    record = Record(
        key=KEY,
        address="a",
        fit=FIT,
        task="attack",
        method="guided_attack",
        seed=0,
        problem={"dataset": "digits", "target": "plain"},
        score={},
        parameters={},
        fit_code={},
        score_code={},
        data={},
        status="ok",
        metrics={"joint_rate": Measurement(50.0)},
    )
    root = tmp_path / "results"
    Store(root).write(record, beside)
    return root


def the_cell(results):
    return find(results, KEY[:6])


@contextmanager
def served(results, **more):
    server = open_server(results, the_cell(results), **more)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def ask(port, method, path, given=None, headers=()):
    link = http.client.HTTPConnection(HERE, port, timeout=10)
    body = given if isinstance(given, bytes) else None if given is None else json.dumps(given).encode()
    link.request(method, path, body, {"Content-Type": "application/json", **dict(headers)})
    answer = link.getresponse()
    content = answer.read()
    link.close()
    return answer.status, content


def vote(port, who, at, answer):
    status, content = ask(port, "POST", "/vote", {"annotator": who, "at": at, "answer": answer})
    assert status == 200, content
    return json.loads(content)


# --- requests


def test_every_question_is_asked_once_and_nothing_tells_its_kind(results):
    questions = {question.name: question for question in asking.of_record(results, the_cell(results))}
    with served(results) as port:
        seen = []
        for at in range(20):
            status, image = ask(port, "GET", f"/image?annotator=ada&at={at}")
            assert status == 200 and image.startswith(b"\x89PNG")
            assert b"tEXt" not in image and b"attack" not in image
            seen.append(image)
            state = vote(port, "ada", at, 3)
        assert state["at"] == state["total"] == 20
        assert len(set(seen)) == 20
        state = json.loads(ask(port, "GET", "/state?annotator=ada")[1])
        assert not {"source", "oracle", "kind"} & state.keys()
    kinds = [questions[one.name].kind for one in asking.order(list(questions.values()), "ada")]
    assert kinds != sorted(kinds) and set(kinds[:10]) != {"attack"}


def test_annotators_have_orders_of_their_own_that_stay(results):
    questions = asking.of_record(results, the_cell(results))
    first, again, other = (asking.order(questions, who) for who in ("ada", "ada", "bob"))
    assert [one.name for one in first] == [one.name for one in again] != [one.name for one in other]


def test_votes_survive_a_restart_and_a_line_cut_off_by_a_kill(results):
    with served(results) as port:
        for at in range(3):
            vote(port, "ada", at, at)
    path = asking.ballot(results, the_cell(results)).path
    assert path.name == f"{FIT}.jsonl"
    with path.open("a") as file:
        file.write('{"annotator": "ada", "ima')  # the machine stopped here
    with served(results) as port:
        state = json.loads(ask(port, "GET", "/state?annotator=ada")[1])
        assert (state["at"], state["last"]) == (3, 2)
    with path.open("a") as file:
        file.write("\n")
    path.write_text(path.read_text().splitlines(keepends=True)[0] * 1)
    with served(results) as port:
        assert vote(port, "ada", 1, 7)["at"] == 2


def test_a_vote_after_a_cut_off_line_is_kept(tmp_path):
    ballot = Ballot(tmp_path / "votes.jsonl")
    ballot.vote("ada", "one", 4)
    with ballot.path.open("a") as file:
        file.write('{"annot')
    assert ballot.votes() == {"ada": {"one": 4}}
    ballot.vote("ada", "two", NONE)
    assert ballot.votes() == {"ada": {"one": 4, "two": NONE}}


def test_undo_takes_back_the_last_answer_alone(results):
    with served(results) as port:
        vote(port, "ada", 0, 5)
        vote(port, "ada", 1, 6)
        vote(port, "bob", 0, 1)
        state = json.loads(ask(port, "POST", "/undo", {"annotator": "ada"})[1])
        assert (state["at"], state["last"]) == (1, 5)
        for _ in range(3):
            state = json.loads(ask(port, "POST", "/undo", {"annotator": "ada"})[1])
        assert (state["at"], state["last"]) == (0, None)
        assert json.loads(ask(port, "GET", "/state?annotator=bob")[1])["at"] == 1


@pytest.mark.parametrize(
    ("request_", "status", "message"),
    [
        (
            ("POST", "/vote", {"annotator": "ada", "at": 99, "answer": 1}),
            400,
            "99 is not a place from 0 to 19",
        ),
        (("POST", "/vote", {"annotator": "ada", "at": 0, "answer": 10}), 400, "10 is neither a digit"),
        (("POST", "/vote", {"annotator": "ada", "at": 0, "answer": None}), 400, "None is neither a digit"),
        (("POST", "/vote", {"annotator": "ada", "at": 0, "answer": True}), 400, "True is neither"),
        (("POST", "/vote", {"annotator": "<b>", "at": 0, "answer": 1}), 400, "is no name"),
        (("POST", "/vote", b"no json"), 400, "send a JSON object"),
        (("POST", "/vote", b"[1]"), 400, "send a JSON object"),
        (("POST", "/vote", b" " * 20_000), 413, "too long"),
        (("POST", "/other", {}), 404, "no such page"),
        (("GET", "/../cell.json"), 404, "no such page"),
        (("GET", "/image?annotator=ada&at=-1"), 400, "'-1' is not a place"),
        (("GET", "/state"), 400, "is no name"),
        (("GET", "/", None, {"Host": "evil.example:80"}), 403, "only this machine"),
        (("GET", "/", None, {"Host": "127.0.0.1.evil.example"}), 403, "only this machine"),
        (("POST", "/undo", {"annotator": "ada"}, {"Content-Type": "text/plain"}), 415, "application/json"),
    ],
)
def test_what_cannot_be_is_refused_and_changes_nothing(results, request_, status, message):
    with served(results) as port:
        found, content = ask(port, *request_)
        assert (found, message in content.decode()) == (status, True), content
    assert not asking.ballot(results, the_cell(results)).path.exists()


def test_only_this_machine_can_connect(results):
    server = open_server(results, the_cell(results))
    assert server.server_address[0] == "127.0.0.1"
    server.server_close()


def test_cells_without_images_and_taken_ports_are_named(results):
    with served(results) as port, pytest.raises(UserError, match=f"port {port} cannot be used"):
        open_server(results, the_cell(results), port)
    (Store(results).cell_folder(KEY) / asking.FILE).unlink()
    with pytest.raises(UserError, match=r"kept no judged\.npz"):
        open_server(results, the_cell(results))


def test_a_limit_keeps_half_for_the_attack_and_both_kinds_of_controls(results):
    questions = asking.of_record(results, the_cell(results))
    kinds = [one.kind for one in asking.chosen(questions, 8, FIT)]
    assert (kinds.count("attack"), kinds.count("plain"), kinds.count("real")) == (4, 2, 2)
    assert len(asking.chosen(questions, 1000, FIT)) == 20


# --- agreement


def test_kappas_equal_hand_computed_and_library_values():
    from sklearn.metrics import cohen_kappa_score

    rng = np.random.default_rng(1)
    first = {str(n): int(answer) for n, answer in enumerate(rng.integers(-1, 10, 60))}
    second = {name: int(rng.integers(-1, 10)) if rng.random() < 0.4 else said for name, said in first.items()}
    expected = cohen_kappa_score(list(first.values()), list(second.values()))
    assert cohen(first, second | {"unseen": 3}) == pytest.approx(expected)
    # 3 of 4 agree; chance is (2·1 + 2·3) / 16 = 1/2, so κ is (3/4 − 1/2) / (1/2)
    assert cohen({"a": 1, "b": 1, "c": 2, "d": 2}, {"a": 1, "b": 2, "c": 2, "d": 2}) == pytest.approx(0.5)
    assert cohen({"a": 1, "b": 2}, {"a": 2, "b": 1}) == pytest.approx(-1)
    assert cohen({"a": 1}, {"b": 1}) is None and cohen({"a": 4}, {"a": 4}) == 1
    # three raters, answers (1,1,2) and (2,2,2): P = (1/3 + 1) / 2, chance = (1/3)² + (2/3)²
    assert fleiss([[1, 1, 2], [2, 2, 2]]) == pytest.approx((2 / 3 - 5 / 9) / (1 - 5 / 9))
    assert fleiss([[1], [2]]) is None and fleiss([]) is None
    assert fleiss([[3, 3], [3, 3], [5]]) == 1


def test_fleiss_equals_its_published_example():
    """Wikipedia's and Fleiss' own layout: ten subjects, fourteen raters, five answers; κ = .210."""
    table = [
        [0, 0, 0, 0, 14],
        [0, 2, 6, 4, 2],
        [0, 0, 3, 5, 6],
        [0, 3, 9, 2, 0],
        [2, 2, 8, 1, 1],
        [7, 7, 0, 0, 0],
        [3, 2, 6, 3, 0],
        [2, 5, 3, 2, 2],
        [6, 5, 2, 1, 0],
        [0, 2, 2, 3, 7],
    ]
    answers = [[digit for digit, count in enumerate(row) for _ in range(count)] for row in table]
    assert fleiss(answers) == pytest.approx(0.210, abs=5e-4)


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([3], 3),
        ([3, 3], 3),
        ([3, 4], NONE),
        ([3, 3, 4], 3),
        ([3, 4, 5], NONE),
        ([1, 1, 2, 2, 1], 1),
        ([], NONE),
    ],
)
def test_the_majority_is_more_than_half(answers, expected):
    assert majority(answers) == expected


def test_a_report_compares_people_with_the_oracle(results):
    record = the_cell(results)
    questions, ballot = asking.of_record(results, record), asking.ballot(results, record)
    cell = Row("quick", "attack", "digits", "guided_attack", {}, 0, key=KEY)
    assert reports.as_text(results, record) == "nobody has judged an image of this cell yet"
    assert reports.rows(results, record, cell) == []
    for who in ("ada", "bob", "cyd"):
        for place, one in enumerate(questions):
            wrong = one.kind == "real" and place == 16
            ballot.vote(who, one.name, NONE if place in (0, 1) or wrong else one.source)
    ballot.vote("cyd", questions[2].name, 9)  # outvoted
    ballot.vote("cyd", "0" * 16, 9)  # an image that this cell does not have
    votes = reports.of_cell(results, record)[1]
    shares, kappas = reports.shares(questions, votes), reports.agreement(questions, votes)
    assert shares["people_rate"] == reports.Share(10, 12) and shares["people_oracle_rate"] == reports.Share(
        6, 12
    )
    assert shares["people_none"] == reports.Share(2, 12) and shares["people_misread_real"] == reports.Share(
        1, 4
    )
    assert shares["people_misread_plain"] == reports.Share(0, 4) and shares["people_0"] == reports.Share(1, 2)
    assert kappas["Cohen's kappa, ada and bob"] == 1 > kappas["Cohen's kappa, ada and cyd"] > 0.9
    text = reports.as_text(results, record)
    assert "automatic oracle, not people" in text and " 83.3 % (10 of 12)" in text
    rows = {row.metric: row for row in reports.rows(results, record, cell)}
    assert rows["people_rate"].value == pytest.approx(100 * 10 / 12) and rows["people_rate"].n == 12
    assert rows["people_mean"].value == pytest.approx((0.5 + 0.5 + 8) * 10)
    assert rows["people_misread_real"].value == 25
    assert rows["people_fleiss"].value == kappas["people_fleiss"]
    assert {row.key for row in rows.values()} == {KEY}


def test_votes_are_rows_beside_the_score_s_and_the_verb_prints_them(results):
    """By the command line: `annotate --report`, then `rows`, of a cell that a suite's last run names."""
    record = the_cell(results)
    for one in asking.of_record(results, record):
        asking.ballot(results, record).vote("ada", one.name, one.source)
    told = CliRunner().invoke(main, ["annotate", KEY[:6], "--report", "--results", str(results)])
    assert told.exit_code == 0 and "people_rate          100.0 % (12 of 12)" in told.output
    assert "people_misread_real    0.0 % (0 of 4)" in told.output
    told = CliRunner().invoke(main, ["annotate", "dead", "--results", str(results)])
    assert told.exit_code == 2 and "no cell in" in told.output
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(making.ledger, "suites_of_cells", lambda store: {KEY: ["quick"]})
        told = CliRunner().invoke(main, ["rows", "--format", "json", "--results", str(results)])
    rows = {row["metric"]: row for row in json.loads(told.output) if row["key"] == KEY}
    assert rows["people_rate"]["value"] == 100 and rows["joint_rate"]["value"] == 50


def test_votes_on_images_that_are_gone_are_no_rows(results):
    record = the_cell(results)
    for one in asking.of_record(results, record):
        asking.ballot(results, record).vote("ada", one.name, one.source)
    cell = Row("quick", record.task, record.dataset, record.method, record.settings, record.seed, key=KEY)
    assert {row.kind for row in reports.rows(results, record, cell)} == {"votes"}
    assert reports.rows(results, msgspec.structs.replace(record, status="failed"), cell) == []
    (Store(results).cell_folder(KEY) / asking.FILE).unlink()
    assert reports.rows(results, record, cell) == []


def test_a_browser_that_leaves_the_usual_port_unsaid_is_answered(results):
    with served(results) as port:
        assert ask(port, "GET", "/", None, {"Host": "127.0.0.1"})[0] == 200


def test_votes_are_not_frozen(results):
    record = the_cell(results)
    cell = Row("quick", record.task, record.dataset, record.method, record.settings, record.seed, key=KEY)
    score = cell._replace(metric="joint_rate", value=50.0, direction="higher")
    votes = cell._replace(metric="people_rate", value=90.0, kind="votes")
    kept = frozen.gather([score, votes], results)
    assert {metric for _, _, metric in kept.values} == {"joint_rate"}


def test_names_are_checked():
    assert check_name("  Ada L. ") == "Ada L."
    for name in ("", " ", "a" * 41, "../x/", "a\nb"):
        with pytest.raises(UserError, match="is no name"):
            check_name(name)


# --- the page itself


@pytest.mark.skipif(
    bool(MISSING), reason=f"{MISSING} is not installed: apt-get install chromium chromium-driver"
)
def test_a_keyboard_is_enough_in_a_real_browser(results, tmp_path):
    tab, enter, backspace = "\ue004", "\ue007", "\ue003"  # WebDriver's names of keys
    with served(results) as port, opened(tmp_path / "profile") as browser:
        browser.go(f"http://{HERE}:{port}/")
        browser.until("document.activeElement.id === 'name'")
        browser.press("A", "d", "a", enter)
        browser.until("document.body.dataset.at === '0'")
        browser.press("7")
        browser.until("document.body.dataset.at === '1'")
        browser.press("n")
        browser.until("document.body.dataset.at === '2'")
        assert browser.value("document.getElementById('said').textContent") == "Saved: none of these."
        browser.press(backspace)
        browser.until("document.body.dataset.at === '1'")
        browser.press("3")
        browser.until("document.body.dataset.at === '2'")
        browser.until("document.getElementById('image').naturalWidth === 8")
        browser.picture(tmp_path / "page.png")
        browser.go(f"http://{HERE}:{port}/?annotator=Ada")  # a reload loses nothing
        browser.until("document.body.dataset.at === '2'")
        browser.press(tab, tab, tab, tab, enter)  # the buttons, too: the fourth is "3"
        browser.until("document.body.dataset.at === '3'")
        for at in range(3, 20):
            browser.press("1")
            browser.until(f"document.body.dataset.at === '{at + 1}'")
        assert browser.value("document.getElementById('end').hidden") is False
        browser.press("u")
        browser.until("document.body.dataset.at === '19'")
    votes = asking.ballot(results, the_cell(results)).votes()
    order = asking.order(asking.of_record(results, the_cell(results)), "Ada")
    assert [votes["Ada"].get(one.name) for one in order] == [7, 3, 3, *[1] * 16, None]


@pytest.mark.skipif(
    bool(MISSING), reason=f"{MISSING} is not installed: apt-get install chromium chromium-driver"
)
def test_a_killed_server_is_told_and_loses_nothing(results, tmp_path):
    command = [sys.executable, "-m", "harness", "annotate", KEY, "--results", str(results)]
    command += ["--annotator", "Ada"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        address = server.stdout.readline().strip()
        assert address.endswith("/?annotator=Ada")
        with opened(tmp_path / "profile") as browser:
            browser.go(address)
            browser.until("document.body.dataset.at === '0'")
            browser.press("4")
            browser.until("document.body.dataset.at === '1'")
            server.kill()
            server.wait(10)
            browser.press("5")
            browser.until("document.getElementById('trouble').textContent.startsWith('Not saved')")
            assert browser.value("document.body.dataset.at") == "1"
    finally:
        server.kill()
        server.wait(10)
    with served(results) as port:
        state = json.loads(ask(port, "GET", "/state?annotator=Ada")[1])
        assert (state["at"], state["last"]) == (1, 4)
