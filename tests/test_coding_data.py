"""The data sets of the coding study, on made-up files."""

from __future__ import annotations

import hashlib
import io
import zipfile

import numpy as np
from PIL import Image

from harness import data
from harness.datasets import celeba, cifar10, kodak, random_bits


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
