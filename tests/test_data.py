"""Finding, checking and loading datasets; getting them is in test_data_fetch.py."""

from __future__ import annotations

import gzip
import hashlib
import importlib
import json
import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_up import CONTENT, declaring, empty_folders, pinned, put, sha
from scipy.io import savemat

from harness import data
from harness.data import fingerprints
from harness.data.sources import Address, Debian, File, Installed, Npm, PyPI
from harness.datasets._formats import idx
from harness.errors import UserError

REAL = os.environ.get("HARNESS_DATA")


@pytest.fixture
def folders(tmp_path, monkeypatch):
    return empty_folders(tmp_path, monkeypatch)


@pytest.fixture
def declare(tmp_path, monkeypatch):
    yield from declaring(tmp_path, monkeypatch)


# --- what there is


def test_every_dataset_says_what_it_is():
    assert {"digits", "fashion_mnist", "mnist", "omniglot", "omniglot_rebuilt", "svhn"} <= set(data.names())
    for name in data.names():
        dataset = data.describe(name)
        assert dataset.title and dataset.licence and dataset.source.name == f"{name}.py"
        # What is fetched is checked; what only its owner can supply is taken as it is.
        assert all(file.sha256 or file.md5 or not file.sources for file in dataset.files)
        assert all(len(file.sha256 or "0" * 64) == 64 and "/" in file.name for file in dataset.files)


def test_planning_imports_nothing_heavy(tmp_path):
    code = (
        "import sys; from harness import data\n"
        "[data.locate(name) for name in data.names()]\n"
        "heavy = {'numpy', 'scipy', 'sklearn', 'pandas', 'torch', 'urllib.request', 'tarfile'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    environment = {**os.environ, "HARNESS_CACHE": str(tmp_path), "HARNESS_DATA": ""}
    ended = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert (ended.stdout, ended.stderr) == ("[]\n", "")


def test_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(UserError, match=r"no dataset 'mnits' \(did you mean 'mnist'\?\)"):
        data.describe("mnits")


def test_incomplete_module_is_named(declare, tmp_path):
    declare()
    module = tmp_path / "datasets" / "made.py"
    module.write_text(module.read_text().replace("LICENCE", "LICENSE"))
    with pytest.raises(UserError, match=r"made\.py: .*LICENCE is missing"):
        data.describe("made")


@pytest.mark.parametrize("name", ["../out", "/out", "a/../../out", "", ".", "a\\..\\out", "C:/out"])
def test_names_that_leave_their_folder_are_refused(name):
    makers = [
        lambda: File(name, None, None, ()),
        lambda: Installed(name),
        lambda: PyPI("p", "1", name),
        lambda: Npm("p", "1", name),
        lambda: Debian("p", name),
    ]
    for make in makers:
        with pytest.raises(UserError, match="would leave its folder"):
            make()


def test_an_address_is_on_the_web():
    with pytest.raises(UserError, match="not an http or https address"):
        Address("file:///etc/passwd")


# --- where it lies


def test_users_folder_comes_before_the_cache_and_gz_is_the_same_content(folders, declare):
    mine, cached = folders
    name = declare(pinned("made/a"), pinned("made/b"))
    in_cache, packed = put(cached, "made/a"), put(mine, "made/b.gz", gzip.compress(CONTENT))
    located = data.locate(name)
    assert located.paths == {"made/a": in_cache, "made/b": packed}
    assert located.checksums == {"made/a": sha(CONTENT), "made/b": sha(CONTENT)}
    assert located.problem is None and located.changed == []
    raw = put(mine, "made/a")
    assert data.locate(name).paths["made/a"] == raw


def test_missing_file_keeps_its_declared_checksum(folders, declare):
    name = declare(pinned("made/a"), File("made/b", None, None, (Address("http://localhost/b"),)))
    located = data.locate(name)
    assert located.checksums == {"made/a": sha(CONTENT), "made/b": "missing"}
    assert all(text in located.problem for text in ("made/a", "made/b", *map(str, folders)))
    assert not located.fetchable and located.command.startswith("export HARNESS_DATA=")
    with pytest.raises(data.Unavailable, match="made/a") as caught:
        data.load(name)
    assert caught.value.command == located.command


def test_changed_local_file_is_refused_by_name_and_the_next_is_used(folders, declare):
    mine, cached = folders
    name, other = declare(pinned("made/a")), CONTENT.replace(b"seven", b"eight")
    changed = put(mine, "made/a", other)
    located = data.locate(name)
    assert located.paths == {}
    assert located.checksums == {"made/a": sha(other)}
    assert all(text in located.problem for text in (str(changed), sha(other), sha(CONTENT)))
    assert located.changed and str(changed) in located.changed[0]
    good = put(cached, "made/a")
    located = data.locate(name)
    assert (located.paths, located.problem) == ({"made/a": good}, None)
    assert located.checksums == {"made/a": sha(CONTENT)}
    assert str(changed) in located.changed[0]


@pytest.mark.parametrize("damaged", [gzip.compress(CONTENT)[:-9], CONTENT], ids=["cut short", "not packed"])
def test_damaged_gz_is_refused(folders, declare, damaged):
    name = declare(File("made/a", None, sha(CONTENT), ()))
    put(folders[0], "made/a.gz", damaged)
    located = data.locate(name)
    assert located.paths == {} and located.checksums == {"made/a": sha(damaged)}
    assert "made/a.gz is refused: it cannot be decompressed" in located.problem


def test_file_known_by_md5_alone(folders, declare):
    name = declare(File("made/a", None, None, (), md5=hashlib.md5(CONTENT).hexdigest()))
    put(folders[0], "made/a")
    assert data.locate(name).checksums == {"made/a": sha(CONTENT)}
    put(folders[0], "made/a", CONTENT + b"!")
    assert "its md5 is" in data.locate(name).problem


def test_verify_reads_again_and_reports_each_place(folders, declare):
    mine, cached = folders
    name = declare(pinned("made/a"), pinned("made/b"), pinned("made/c"))
    put(cached, "made/a"), put(mine, "made/b", b"other"), put(cached, "made/b")
    lines = data.verify(name)
    assert [file for file, _ in lines] == ["made/a", "made/b", "made/b", "made/c"]
    assert [status for file, status in lines if file != "made/b"] == ["ok", "missing"]
    assert str(mine) in lines[1][1] and lines[2][1] == "ok"


def test_wrong_users_folder_is_an_error(folders, declare, monkeypatch):
    monkeypatch.setenv("HARNESS_DATA", str(folders[0] / "nowhere"))
    with pytest.raises(UserError, match=r"HARNESS_DATA is .*nowhere, which is no folder"):
        data.locate(declare(pinned("made/a")))


def test_cache_folder_follows_the_environment(monkeypatch):
    monkeypatch.setenv("HARNESS_CACHE", "/a")
    monkeypatch.setenv("XDG_CACHE_HOME", "/b")
    monkeypatch.setenv("HOME", "/c")
    assert data.cache_folder() == Path("/a")
    monkeypatch.delenv("HARNESS_CACHE")
    assert data.cache_folder() == Path("/b/harness")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert data.cache_folder() == Path("/c/.cache/harness")


# --- remembered checksums


@pytest.fixture
def settled(monkeypatch):
    """Files count as settled as soon as they are written."""
    monkeypatch.setattr(fingerprints, "SETTLE_SECONDS", -1.0)


def test_unchanged_file_is_not_read_again(folders, declare, settled, monkeypatch):
    name = declare(pinned("made/a"))
    put(folders[0], "made/a.gz", gzip.compress(CONTENT))
    first = data.locate(name)
    monkeypatch.setattr(fingerprints, "content_of", lambda path: pytest.fail(f"{path} was read again"))
    assert data.locate(name) == first


def test_rewritten_file_is_read_again_though_size_and_time_agree(folders, declare, settled):
    name = declare(pinned("made/a"))
    path = put(folders[0], "made/a")
    data.locate(name)
    before = path.stat()
    path.write_bytes(CONTENT[::-1])
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert data.locate(name).checksums == {"made/a": sha(CONTENT[::-1])}


def test_file_written_just_now_is_not_remembered(folders, declare):
    name = declare(pinned("made/a"))
    put(folders[0], "made/a")
    data.locate(name)
    assert not (data.cache_folder() / "fingerprints.json").exists()


@pytest.mark.parametrize("garbage", ["", "{", "[]", '{"a": 1}', '{"a": {"stamp": [1], "content": []}}', "\0"])
def test_unreadable_store_is_ignored(folders, declare, settled, garbage):
    name = declare(pinned("made/a"))
    path = put(folders[0], "made/a")
    store = data.cache_folder() / "fingerprints.json"
    store.write_text(garbage)
    assert data.locate(name).problem is None
    assert list(json.loads(store.read_text())) == [str(path)]


def test_store_that_cannot_be_written_is_done_without(folders, declare, settled, monkeypatch):
    name = declare(pinned("made/a"))
    path = put(folders[0], "made/a")
    monkeypatch.setenv("HARNESS_CACHE", str(path / "below-a-file"))
    assert data.locate(name).problem is None


def test_store_forgets_files_that_are_gone(folders, declare, settled):
    name = declare(pinned("made/a"), pinned("made/b"))
    gone, kept = put(folders[0], "made/a"), put(folders[0], "made/b")
    data.locate(name)
    gone.unlink()
    put(folders[0], "made/b", CONTENT + b"!")
    data.locate(name)
    assert list(json.loads((data.cache_folder() / "fingerprints.json").read_text())) == [str(kept)]


# --- formats and loaders


@given(st.lists(st.integers(0, 5), min_size=1, max_size=4), st.booleans())
def test_idx_gives_back_what_was_written(tmp_path_factory, shape, packed):
    array = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    written = struct.pack(f">HBB{len(shape)}I", 0, 8, len(shape), *shape) + array.tobytes()
    path = tmp_path_factory.mktemp("idx") / ("array.gz" if packed else "array")
    path.write_bytes(gzip.compress(written) if packed else written)
    assert np.array_equal(idx(path), array)
    assert idx(path).flags.writeable


def test_idx_of_a_wrong_length_is_refused(tmp_path):
    path = put(tmp_path, "array", struct.pack(">HBBI", 0, 8, 1, 9) + b"12345678")
    with pytest.raises(ValueError, match="not an idx file"):
        idx(path)


def test_digits_are_scikit_learns_without_importing_it(tmp_path):
    code = (
        "import sys, numpy; from harness import data; arrays = data.load('digits')\n"
        "assert 'sklearn' not in sys.modules\n"
        f"numpy.savez({str(tmp_path / 'digits.npz')!r}, **arrays)"
    )
    environment = {**os.environ, "HARNESS_CACHE": str(tmp_path), "HARNESS_DATA": ""}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    from sklearn.datasets import load_digits

    truth, ours = load_digits(), np.load(tmp_path / "digits.npz")
    test = np.arange(1797) % 5 == 0
    assert np.array_equal(ours["x_train"], truth.images[~test]) and len(ours["x_train"]) == 1437
    assert np.array_equal(ours["x_test"], truth.images[test]) and len(ours["x_test"]) == 360
    assert np.array_equal(ours["y_train"], truth.target[~test])
    assert np.array_equal(ours["y_test"], truth.target[test])
    assert ours["x_train"].dtype == np.uint8 and ours["x_train"].max() == 16
    assert data.describe("digits").levels == 17


def test_svhn_on_a_made_up_file(tmp_path):
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (200, 200, 200), (255, 255, 255), (10, 20, 30)]
    # BT.601: 0.299 × 255 = 76.2, 0.587 × 255 = 149.7, 0.114 × 255 = 29.1, 2.99 + 11.74 + 3.42 = 18.2
    luma = [76, 150, 29, 200, 255, 18]
    images = np.zeros((32, 32, 3, 6), np.uint8)
    images[3, 7] = np.array(colours).T
    path = tmp_path / "made.mat"
    savemat(path, {"X": images, "y": np.array([[1], [2], [9], [10], [10], [5]], np.uint8)})
    arrays = load_from("svhn", {"svhn/train_32x32.mat": path, "svhn/test_32x32.mat": path})
    assert arrays["x_train"].shape == (6, 32, 32) and arrays["x_test"].dtype == np.uint8
    assert arrays["x_train"][:, 3, 7].tolist() == luma
    assert arrays["x_train"].sum() == sum(luma)
    assert arrays["y_test"].tolist() == [1, 2, 9, 0, 0, 5]


def test_chardata_is_turned_upright(tmp_path):
    upright = np.random.default_rng(0).integers(0, 256, (5, 28, 28))
    columns = np.stack([image.flatten(order="F") for image in upright], axis=1) / 255
    alphabets = np.eye(50)[:, [0, 3, 49, 7, 7]]
    path = tmp_path / "chardata.mat"
    savemat(
        path,
        {"data": columns, "target": alphabets, "testdata": columns[:, :2], "testtarget": alphabets[:, :2]},
    )
    with path.open("rb") as raw, gzip.open(tmp_path / "chardata.mat.gz", "wb") as packed:
        shutil.copyfileobj(raw, packed)
    for place in (path, tmp_path / "chardata.mat.gz"):
        arrays = load_from("omniglot", {"omniglot/chardata.mat": place})
        assert np.array_equal(arrays["x_train"], upright) and arrays["x_train"].dtype == np.uint8
        assert np.array_equal(arrays["x_test"], upright[:2])
        assert arrays["y_train"].tolist() == [0, 3, 49, 7, 7] and arrays["y_test"].tolist() == [0, 3]


def load_from(name: str, files: dict[str, Path]) -> dict[str, np.ndarray]:
    return importlib.import_module(f"harness.datasets.{name}").load(files)


REAL_SETS = [
    ("mnist", 60000, 10000, [5, 0, 4, 1, 9], [7, 2, 1, 0, 4]),
    ("fashion_mnist", 60000, 10000, [9, 0, 0, 3, 0], [9, 2, 1, 1, 6]),
    ("omniglot_rebuilt", 24345, 8070, None, None),
]


@pytest.mark.skipif(not REAL, reason="HARNESS_DATA names no folder with the real files")
@pytest.mark.parametrize(("name", "train", "test", "first_train", "first_test"), REAL_SETS)
def test_real_files(name, train, test, first_train, first_test, tmp_path, monkeypatch):
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path))
    if data.locate(name).problem:
        pytest.skip(f"{name} is not in HARNESS_DATA")
    arrays = data.load(name)
    assert arrays["x_train"].shape == (train, 28, 28) and arrays["x_test"].shape == (test, 28, 28)
    assert arrays["y_train"].shape == (train,) and arrays["y_test"].shape == (test,)
    assert arrays["x_train"].dtype == arrays["x_test"].dtype == np.uint8 and arrays["x_train"].max() == 255
    if first_train:
        assert arrays["y_train"][:5].tolist() == first_train and arrays["y_test"][:5].tolist() == first_test
