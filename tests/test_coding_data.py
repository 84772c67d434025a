"""The data sets of the coding study, on made-up files."""

from __future__ import annotations

import hashlib
import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harness import data
from harness.datasets import celeba, cifar10, cifar10_whole, kodak, random_bits
from harness.errors import UserError


def test_random_bits_are_the_same_everywhere():
    found = random_bits.load({})
    assert {name: bits.shape for name, bits in found.items()} == {
        "x_train": (5000, 50),
        "x_valid": (1000, 50),
        "x_test": (1000, 50),
    }
    content = np.concatenate([found["x_train"], found["x_valid"], found["x_test"]])
    assert hashlib.sha256(content.tobytes()).hexdigest()[:16] == "41c95092d4371aee"
    assert abs(content.mean() - 0.5) < 0.005
    assert data.locate("random_bits").problem is None


def test_cifar10(tmp_path):
    rng = np.random.default_rng(0)
    arrays = {f"x_{part}": rng.integers(0, 256, (3, 32, 32, 3), np.uint8) for part in ("train", "test")}
    arrays |= {f"y_{part}": np.arange(3, dtype=np.uint8) for part in ("train", "test")}
    path = tmp_path / "cifar10_20k.npz"
    np.savez(path, label_names=np.array(["a"]), **arrays)
    found = cifar10.load({"cifar10/cifar10_20k.npz": path})
    assert found.keys() == arrays.keys() and all(np.array_equal(found[name], arrays[name]) for name in arrays)


def batches(images: int = 2) -> dict[str, bytes]:
    """The six members of CIFAR-10's archive; label, then bytes that name their channel, row and column."""
    rows, columns = np.mgrid[:32, :32]
    planes = (
        np.stack([64 * channel + rows + columns // 16 for channel in range(3)]).astype(np.uint8).tobytes()
    )
    names = cifar10_whole.TRAIN + cifar10_whole.TEST
    return {
        name: b"".join(bytes([number]) + planes for _ in range(images)) for number, name in enumerate(names)
    }


def packed(path: Path, content: dict[str, bytes], link: str | None = None) -> dict[str, Path]:
    with tarfile.open(path, "w:gz") as tar:
        for name, each in content.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(each)
            tar.addfile(entry, io.BytesIO(each))
        if link:
            entry = tarfile.TarInfo(link)
            entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
            tar.addfile(entry)
    return {cifar10_whole.NAME: path}


def test_whole_cifar10_is_read_out_of_its_archive_in_order(tmp_path):
    # members in another order, and one that is not asked for
    content = dict(reversed(batches().items())) | {"cifar-10-batches-bin/readme.html": b"read me"}
    found = cifar10_whole.load(packed(tmp_path / "cifar.tgz", content))
    assert found["y_train"].tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4] and found["y_test"].tolist() == [5, 5]
    assert found["x_train"].shape == (10, 32, 32, 3) and found["x_test"].shape == (2, 32, 32, 3)
    assert found["x_train"][3, 7, 20].tolist() == [8, 72, 136] and found["x_test"][1, 20, 7, 2] == 148
    assert all(array.dtype == np.uint8 for array in found.values())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cifar.tgz"]


def test_whole_cifar10_refuses_what_is_not_its_archive(tmp_path):
    whole, path = batches(), tmp_path / "cifar.tgz"
    first = cifar10_whole.TRAIN[0]
    for content, link, message in (
        ({name: each for name, each in whole.items() if name != first}, None, f"there is no {first}"),
        (whole | {first: whole[first][:-1]}, None, "not made of records of 3073"),
        (whole | {first: b""} | dict.fromkeys(cifar10_whole.TEST, b""), None, "batch of 0 bytes"),
        (whole | {"../out": b""}, None, "leads out of the archive"),
        (whole | {"/out": b""}, None, "leads out of the archive"),
        ({name: each for name, each in whole.items() if name != first}, first, "no regular file"),
    ):
        with pytest.raises(UserError, match=message):
            cifar10_whole.load(packed(path, content, link))
    packed(path, whole)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(UserError, match="cut short or damaged"):
        cifar10_whole.load({cifar10_whole.NAME: path})


def test_kodak_patches_are_cut_row_by_row_and_split_by_photograph(tmp_path):
    files, rng = {}, np.random.default_rng(0)
    for number, file in enumerate(kodak.FILES, start=1):
        height, width = (64, 96) if number % 2 else (96, 64)
        pixels = rng.integers(0, 256, (height, width, 3), np.uint8)
        files[file.name] = tmp_path / f"{number}.png"
        Image.fromarray(pixels).save(files[file.name])
        if number == 1:
            first = pixels
    found = kodak.load(files)
    assert found["x_train"].shape == (18 * 6, 32, 32, 3) and found["x_test"].shape == (6 * 6, 32, 32, 3)
    assert np.array_equal(found["x_train"][1], first[:32, 32:64])
    assert np.array_equal(found["x_train"][3], first[32:, :32])
    assert set(found["y_train"]) == set(range(1, 19)) and set(found["y_test"]) == set(range(19, 25))


def test_celeba_is_resized_cropped_and_labelled(tmp_path):
    gradient = np.linspace(0, 255, 109)[:, None, None].repeat(89, 1).repeat(3, 2).astype(np.uint8)
    jpeg = io.BytesIO()
    Image.fromarray(gradient).save(jpeg, "JPEG", quality=95)
    names = [f"{number:06d}.jpg" for number in range(1, 12)]
    with zipfile.ZipFile(tmp_path / "faces.zip", "w") as archive:
        for name in names:
            archive.writestr(f"img_align_celeba/{name}", jpeg.getvalue())
    table = "11\nBald Male Young\n" + "".join(
        f"{name} -1 {1 if number % 3 == 0 else -1} 1\n" for number, name in enumerate(names)
    )
    (tmp_path / "labels.txt").write_text(table)
    paths = [tmp_path / "faces.zip", tmp_path / "labels.txt"]
    files = {file.name: path for file, path in zip(celeba.FILES, paths, strict=True)}
    found = celeba.load(files)
    assert found["x_test"].shape == (3, 64, 64, 3) and found["x_train"].shape == (8, 64, 64, 3)
    assert found["y_test"].tolist() == [1, 0, 0] and found["y_train"].sum() == 3
    top, bottom = found["x_test"][0][0].mean(), found["x_test"][0][-1].mean()
    assert abs(top - 255 * 7.5 / 78) < 4 and abs(bottom - 255 * 70.5 / 78) < 4
