"""Getting datasets from web addresses: a server on this machine that misbehaves on request."""

from __future__ import annotations

import gzip
import subprocess
import sys
import time

import pytest
from data_server import DataServer
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up import CONTENT, declaring, empty_folders, everything_in, failure, pinned, put, sha

import harness.datasets
from harness import data
from harness.data import downloads
from harness.data.errors import SourceError
from harness.data.sources import Address, Debian, Installed, Npm


@pytest.fixture
def folders(tmp_path, monkeypatch):
    return empty_folders(tmp_path, monkeypatch)


@pytest.fixture
def declare(tmp_path, monkeypatch):
    yield from declaring(tmp_path, monkeypatch)


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(downloads, "PAUSE_SECONDS", 0.0)
    running = DataServer()
    running.files["a"] = CONTENT
    yield running
    running.close()


@pytest.mark.parametrize("packed", [False, True])
def test_address_is_fetched_once_and_reported(folders, declare, server, packed):
    server.files["a.gz"] = gzip.compress(CONTENT)
    name = declare(pinned("made/a", CONTENT, Address(server.url("a.gz" if packed else "a"))))
    assert data.locate(name).fetchable and data.locate(name).command == "harness data get made"
    told = []
    located = data.fetch(name, lambda *event: told.append(event))
    assert located.paths == {"made/a": folders[1] / "made/a"} and located.problem is None
    assert located.paths["made/a"].read_bytes() == CONTENT
    assert everything_in(folders[1]) == ["made/a"]
    assert told[0] == ("made/a", 0, None) and told[-1] == ("made/a", len(CONTENT), len(CONTENT))
    assert data.fetch(name) == located and len(server.log) == 1


def test_an_archive_is_kept_as_it_is_published(folders, declare, server):
    archive = gzip.compress(CONTENT)
    server.files["a.tar.gz"] = archive
    name = declare(pinned("made/a.tgz", archive, Address(server.url("a.tar.gz"), packed=True)))
    assert data.fetch(name).problem is None
    assert (folders[1] / "made/a.tgz").read_bytes() == archive
    server.files["a.tar.gz"] = gzip.compress(CONTENT[::-1])
    (folders[1] / "made/a.tgz").unlink()
    assert "declared" in failure(name) and everything_in(folders[1]) == []


@pytest.mark.parametrize("wrong", [CONTENT[::-1], CONTENT + b"!", CONTENT[:-1]])
@pytest.mark.parametrize("packed", [False, True])
def test_wrong_content_is_refused_and_leaves_nothing(folders, declare, server, wrong, packed):
    server.files["a.gz"], server.files["a"] = gzip.compress(wrong), wrong
    name = declare(pinned("made/a", CONTENT, Address(server.url("a.gz" if packed else "a"))))
    message = failure(name)
    if len(wrong) == len(CONTENT):
        assert sha(wrong) in message and sha(CONTENT) in message
    assert server.url("a") in message and "harness data get made" in message
    assert everything_in(folders[1]) == []


def test_more_than_declared_is_not_read_to_its_end(folders, declare, server):
    server.lengths = False
    server.files["a.gz"] = gzip.compress(bytes(10**7))
    name = declare(pinned("made/a", CONTENT, Address(server.url("a.gz"))))
    assert f"more than the declared {len(CONTENT)} bytes" in failure(name)
    assert everything_in(folders[1]) == []


@pytest.mark.parametrize("ranges", [True, False])
def test_cut_off_download_goes_on_or_starts_again(folders, declare, server, ranges):
    server.ranges, server.cuts = ranges, [5000, 6000]
    data.fetch(declare(pinned("made/a", CONTENT, Address(server.url("a")))))
    assert everything_in(folders[1]) == ["made/a"]
    resumed = ["bytes=5000-", "bytes=11000-"] if ranges else ["bytes=5000-", "bytes=6000-"]
    assert [asked for _, asked in server.log] == [None, *resumed]


def test_next_fetch_goes_on_where_the_last_was_cut_off(folders, declare, server):
    name = declare(pinned("made/a", CONTENT, Address(server.url("a"))))
    server.cuts = [4000, 0, 0]
    assert f"cut off: after 4000 of {len(CONTENT)} bytes" in failure(name)
    assert data.locate(name).paths == {} and len(everything_in(folders[1])) == 1
    data.fetch(name)
    assert server.log[-1][1] == "bytes=4000-" and everything_in(folders[1]) == ["made/a"]


def test_file_that_changed_between_two_fetches_is_fetched_whole(folders, declare, server):
    server.files["a"], server.cuts = CONTENT[::-1], [4000, 0, 0]
    name = declare(pinned("made/a", CONTENT, Address(server.url("a"))))
    failure(name)
    server.files["a"] = CONTENT
    data.fetch(name)
    assert [asked for _, asked in server.log[-2:]] == ["bytes=4000-", None]
    assert everything_in(folders[1]) == ["made/a"]


def test_download_that_lacks_nothing_but_the_check_is_not_stuck(folders, declare, server):
    name = declare(pinned("made/a", CONTENT, Address(server.url("a"))))
    server.cuts = [4000, 0, 0]
    failure(name)
    [part] = folders[1].rglob("*.part")
    part.write_bytes(CONTENT)
    data.fetch(name)
    assert everything_in(folders[1]) == ["made/a"]


@settings(max_examples=30, deadline=None)
@given(st.binary(max_size=300), st.lists(st.integers(0, 200), max_size=2), st.booleans(), st.booleans())
def test_any_cuts_give_the_same_bytes(tmp_path_factory, content, cuts, ranges, lengths):
    server = DataServer()
    try:
        server.files["a"], server.cuts, server.ranges = content, cuts, ranges
        server.lengths = lengths or bool(cuts)  # without a length nobody can tell a cut
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(downloads, "PAUSE_SECONDS", 0.0)
            folder = tmp_path_factory.mktemp("parts")
            part = downloads.Downloads(folder, folder, lambda *_: None).transfer(server.url("a"), "a", None)
        assert part.read_bytes() == content
    finally:
        server.close()


def test_passing_trouble_is_tried_again_and_a_final_answer_is_not(folders, declare, server):
    server.statuses = [503, 429]
    data.fetch(declare(pinned("made/a", CONTENT, Address(server.url("a")))))
    assert len(server.log) == 3
    name = declare(pinned("made/b", CONTENT, Address(server.url("gone"))))
    assert f"{server.url('gone')}: HTTP 404 Not Found" in failure(name)
    assert len(server.log) == 4


def test_size_announced_wrong_is_refused_before_it_is_read(folders, declare, server):
    server.files["a"] = bytes(10**7)
    told = []
    name = declare(pinned("made/a", CONTENT, Address(server.url("a"))))
    with pytest.raises(data.Unavailable, match=f"it has 10000000 bytes, declared are {len(CONTENT)}"):
        data.fetch(name, lambda *event: told.append(event))
    assert told == [("made/a", 0, None)]


def test_every_source_is_tried_in_turn_and_named(folders, declare, server, monkeypatch):
    server.files["bad"] = CONTENT[::-1]
    closed = DataServer()
    closed.close()
    sources = (
        Installed("harness/no-such-file"),
        Npm("made", "1.0", "package/a"),
        Debian("made", "usr/a"),
        Address(closed.url("a")),
        Address(server.url("bad")),
    )
    monkeypatch.setenv("PATH", "")
    name = declare(pinned("made/a", CONTENT, *sources))
    message = failure(name)
    assert "npm package made 1.0: npm is not installed" in message
    assert "Debian package made: apt-get is not installed" in message
    assert f"{closed.url('a')}: 127.0.0.1:" in message and "cannot be reached" in message
    assert f"{server.url('bad')}: its sha256 is {sha(CONTENT[::-1])}" in message
    declare(pinned("made/a", CONTENT, *sources, Address(server.url("a"))))
    assert data.fetch(name).problem is None


def test_host_that_cannot_be_reached_is_asked_for_one_file_only(tmp_path, monkeypatch):
    asked = []

    def unreachable(request, timeout):
        asked.append(request.full_url)
        raise downloads.URLError("no route")

    monkeypatch.setattr(downloads, "urlopen", unreachable)
    monkeypatch.setattr(downloads, "PAUSE_SECONDS", 0.0)
    here = downloads.Downloads(tmp_path, tmp_path, lambda *_: None)
    for file in ("a", "b"):
        with pytest.raises(SourceError, match="cannot be reached: no route"):
            here.transfer(f"http://nowhere.invalid/{file}", file, None)
    assert asked == ["http://nowhere.invalid/a"] * downloads.ATTEMPTS


def test_missing_client_is_said_before_anything_is_tried(folders, declare, monkeypatch):
    monkeypatch.setenv("PATH", "")
    located = data.locate(declare(pinned("made/a", CONTENT, Npm("made", "1.0", "package/a"))))
    assert not located.fetchable and "npm is not installed" in located.problem


def test_changed_file_in_the_cache_is_replaced(folders, declare, server):
    put(folders[1], "made/a", b"changed")
    located = data.fetch(declare(pinned("made/a", CONTENT, Address(server.url("a")))))
    assert located.paths["made/a"].read_bytes() == CONTENT and located.changed == []


def test_cache_that_cannot_be_written_is_named(folders, declare, server, monkeypatch):
    monkeypatch.setenv("HARNESS_CACHE", str(put(folders[0], "file") / "below"))
    message = failure(declare(pinned("made/a", CONTENT, Address(server.url("a")))))
    assert "cannot be put into the cache" in message and "HARNESS_CACHE" in message


def test_processes_that_fetch_the_same_file_share_one_download(folders, declare, server):
    name = declare(pinned("made/a", CONTENT, Address(server.url("a"))))
    code = (
        "import sys, harness.datasets; harness.datasets.__path__.append(sys.argv[1])\n"
        "from harness import data; print('ready', flush=True)\n"
        f"print(data.fetch({name!r}).problem)"
    )
    command = [sys.executable, "-c", code, harness.datasets.__path__[-1]]
    server.gate.clear()
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert [process.stdout.readline() for process in running] == ["ready\n"] * 3
    time.sleep(0.3)
    server.gate.set()
    assert [process.communicate(timeout=60)[0] for process in running] == ["None\n"] * 3
    assert len(server.log) == 1
    assert everything_in(folders[1]) == ["made/a"]
