"""Getting datasets from packages: made-up ones, which the real clients download; and reading archives."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
from data_server import DataServer
from made_up import (
    CONTENT,
    deb,
    declaring,
    empty_folders,
    everything_in,
    failure,
    pinned,
    put,
    sha,
    tar,
    wheel,
)

from harness import data
from harness.data import downloads
from harness.data.archives import DAMAGED, open_member
from harness.data.errors import SourceError
from harness.data.sources import Debian, File, Npm, PyPI


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


@pytest.fixture
def pip_folder(tmp_path, monkeypatch):
    """The only place where pip looks."""
    folder = tmp_path / "wheels"
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.delenv("PIP_EXTRA_INDEX_URL", raising=False)
    return folder


def test_wheel_is_downloaded_once_unpacked_and_never_imported(folders, declare, pip_folder, monkeypatch):
    members = {
        "made/__init__.py": b"raise SystemExit('imported')",
        "made/a.csv": CONTENT,
        "made/b.csv.gz": gzip.compress(CONTENT),
        "../../../escaped": b"outside",
    }
    wheel(pip_folder, "made", members)
    calls, run = [], downloads._run_client
    monkeypatch.setattr(downloads, "_run_client", lambda *call: calls.append(call) or run(*call))
    files = [
        pinned(f"made/{name}", CONTENT, PyPI("made", "1.0", f"made/{member}"))
        for name, member in (("a", "a.csv"), ("b", "b.csv.gz"))
    ]
    located = data.fetch(declare(*files))
    assert located.problem is None and len(calls) == 1
    assert everything_in(folders[1]) == ["made/a", "made/b"]
    assert not any(path.name == "escaped" for path in folders[1].parent.parent.rglob("*"))


def test_what_pip_lacks_is_said_for_each_file_but_asked_once(folders, declare, pip_folder):
    pip_folder.mkdir()
    message = failure(declare(pinned("made/a", CONTENT, PyPI("made", "1.0", "made/a"))))
    assert "Python package made 1.0: ERROR: " in message and "made==1.0" in message
    assert everything_in(folders[1]) == []


def test_code_of_a_source_distribution_is_not_run(folders, declare, pip_folder, tmp_path):
    build = b"[build-system]\nrequires = []\nbuild-backend = 'trap'\nbackend-path = ['.']\n"
    trap = f"open({str(tmp_path / 'ran')!r}, 'w').close()".encode()
    members = {"pyproject.toml": build, "trap.py": trap, "a": CONTENT}
    tar(pip_folder / "made-1.0.tar.gz", {f"made-1.0/{name}": content for name, content in members.items()})
    failure(declare(pinned("made/a", CONTENT, PyPI("made", "1.0", "made-1.0/a"))))
    assert not (tmp_path / "ran").exists()


@pytest.mark.skipif(not shutil.which("npm"), reason="npm is not installed")
def test_npm_package_from_a_made_up_registry(folders, declare, server, tmp_path, monkeypatch):
    package = tar(
        tmp_path / "made.tgz",
        {"package/package.json": b'{"name": "made", "version": "1.0.0"}', "package/data/a": CONTENT},
    ).read_bytes()
    tarball = {"tarball": server.url("made.tgz"), "shasum": hashlib.sha1(package).hexdigest()}
    versions = {"1.0.0": {"name": "made", "version": "1.0.0", "dist": tarball}}
    server.files["made"] = json.dumps({"name": "made", "versions": versions}).encode()
    server.files["made.tgz"] = package
    monkeypatch.setenv("npm_config_registry", server.url(""))
    monkeypatch.setenv("npm_config_cache", str(tmp_path / "npm"))
    monkeypatch.setenv("npm_config_userconfig", str(tmp_path / "npmrc"))
    name = declare(pinned("made/a", CONTENT, Npm("made", "1.0.0", "package/data/a")))
    assert data.fetch(name).problem is None
    declare(pinned("made/b", CONTENT, Npm("made", "2.0.0", "package/data/a")))
    assert "npm package made 2.0.0: npm" in failure(name)


@pytest.fixture
def apt(tmp_path, monkeypatch):
    """An apt that knows one folder of packages, `pool`; call it after the package is there."""
    pool = tmp_path / "pool"
    for folder in ("state/lists/partial", "cache/archives/partial", "etc"):
        (tmp_path / folder).mkdir(parents=True)
    put(tmp_path, "state/status", b"")
    put(tmp_path, "etc/sources.list", f"deb [trusted=yes] file:{pool} ./\n".encode())
    put(
        tmp_path,
        "apt.conf",
        f'Dir "{tmp_path}/"; Dir::State "state"; Dir::State::status "{tmp_path}/state/status"; '
        f'Dir::Cache "cache"; Dir::Etc "etc"; Dir::Log "state"; APT::Sandbox::User ""; '
        f'Dir::Bin::methods "/usr/lib/apt/methods";'.encode(),
    )

    def update() -> None:
        package = (pool / "made.deb").read_bytes()
        index = (
            "Package: made\nVersion: 1.0\nArchitecture: all\nFilename: ./made.deb\n"
            f"Size: {len(package)}\nSHA256: {sha(package)}\n"
        )
        put(pool, "Packages", index.encode())
        monkeypatch.setenv("APT_CONFIG", str(tmp_path / "apt.conf"))
        subprocess.run(["apt-get", "update", "-q"], check=True, capture_output=True)

    return SimpleNamespace(pool=pool, update=update)


@pytest.mark.skipif(not shutil.which("apt-get"), reason="apt-get is not installed")
def test_debian_package_from_a_made_up_archive(folders, declare, apt):
    deb(apt.pool / "made.deb", {"./usr/share/made/a.gz": gzip.compress(CONTENT)})
    apt.update()
    name = declare(pinned("made/a", CONTENT, Debian("made", "usr/share/made/a.gz")))
    assert data.fetch(name).problem is None
    declare(pinned("made/b", CONTENT, Debian("maid", "usr/share/made/a.gz")))
    assert "Debian package maid: E: " in failure(name)


# --- archives


def member_of(archive: Path, member: str) -> bytes:
    with open_member(archive, member) as stream:
        return stream.read()


@pytest.mark.parametrize("packing", ["gz", "xz", "bz2"])
def test_debian_packages_are_read_by_the_standard_library(tmp_path, packing, monkeypatch):
    monkeypatch.setenv("PATH", "")
    package = deb(tmp_path / "made.deb", {"./usr/other": b"odd", "./usr/a": CONTENT}, packing)
    assert member_of(package, "usr/a") == CONTENT


@pytest.mark.skipif(not shutil.which("dpkg-deb"), reason="dpkg-deb is not installed")
def test_debian_package_packed_with_zstd_needs_dpkg(tmp_path, monkeypatch):
    put(tmp_path, "tree/usr/a")
    about = b"Package: made\nVersion: 1.0\nArchitecture: all\nMaintainer: n <n@n>\nDescription: made up\n"
    put(tmp_path, "tree/DEBIAN/control", about)
    package = tmp_path / "made.deb"
    subprocess.run(["dpkg-deb", "-Zzstd", "-b", str(tmp_path / "tree"), str(package)], check=True)
    assert member_of(package, "usr/a") == CONTENT
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SourceError, match="packed with zstd, and dpkg-deb is not installed"):
        member_of(package, "usr/a")


def test_links_and_missing_members_are_refused(tmp_path):
    put(tmp_path, "secret", b"secret")
    links = {"package/a": str(tmp_path / "secret"), "package/b": "../../secret", "package/e": "c"}
    members = {"package/c": CONTENT, **links}
    for archive in (tar(tmp_path / "made.tgz", members), deb(tmp_path / "made.deb", members)):
        for link in links:
            with pytest.raises(SourceError, match="not a regular file"):
                member_of(archive, link)
        with pytest.raises(SourceError, match="no package/d in the archive"):
            member_of(archive, "package/d")
        assert member_of(archive, "package/c") == CONTENT
    with pytest.raises(SourceError, match="no made/d in the archive"):
        member_of(wheel(tmp_path, "made", {"made/c": CONTENT}), "made/d")


@pytest.mark.parametrize("kind", ["whl", "tgz", "deb"])
@pytest.mark.parametrize("kept", [0, 5, 70, 0.5, 0.9])
def test_cut_off_archives_are_refused(tmp_path, kind, kept):
    content = os.urandom(50_000)
    make = {
        "whl": lambda: wheel(tmp_path, "made", {"a": content}),
        "tgz": lambda: tar(tmp_path / "made.tgz", {"a": content}),
        "deb": lambda: deb(tmp_path / "made.deb", {"./a": content}),
    }
    archive = make[kind]()
    whole = archive.read_bytes()
    archive.write_bytes(whole[: kept if isinstance(kept, int) else int(kept * len(whole))])
    with pytest.raises((SourceError, *DAMAGED)):
        member_of(archive, "a")


def test_damaged_package_is_said_and_leaves_nothing(folders, declare, tmp_path, monkeypatch):
    package = tar(tmp_path / "made.tgz", {"package/a": os.urandom(50_000)})
    package.write_bytes(package.read_bytes()[:30_000])
    monkeypatch.setattr(downloads, "_run_client", lambda command, folder: package)
    monkeypatch.setattr(Npm, "obstacle", lambda self: None)
    message = failure(declare(File("made/a", None, None, (Npm("made", "1.0", "package/a"),))))
    assert "npm package made 1.0: it is damaged: " in message
    assert everything_in(folders[1]) == []
