"""Where the two domains come from: archives of pairs, tiles, and domains whose lost part is known."""

from __future__ import annotations

import io
import itertools
import tarfile
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from harness import data
from harness.datasets import maps, maps_cyclegan
from harness.errors import UserError
from harness.studies.steganography import domains


def jpeg(value: int, width: int, height: int) -> bytes:
    """A picture of one shade of gray."""
    stream = io.BytesIO()
    Image.new("RGB", (width, height), (value,) * 3).save(stream, "png")
    return stream.getvalue()


def pair(photo: int, plan: int, side: int = 8) -> bytes:
    picture = Image.new("RGB", (2 * side, side), (photo,) * 3)
    picture.paste((plan,) * 3, (side, 0, 2 * side, side))
    stream = io.BytesIO()
    picture.save(stream, "png")
    return stream.getvalue()


def tar(path, members: dict[str, bytes], mode: str = "w:gz"):
    with tarfile.open(path, mode) as archive:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path


def packed(path, members: dict[str, bytes]):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


PIX2PIX = {
    "maps/train/10.jpg": pair(100, 200),
    "maps/train/9.jpg": pair(90, 190),
    "maps/train/1.jpg": pair(10, 110),
    "maps/val/1.jpg": pair(0, 255),
    "maps/readme.txt": b"no picture",
}
CYCLEGAN = {
    f"maps/{part}{side}/{number}_{side}.jpg": jpeg(number + (100 if side == "B" else 0), 10, 10)
    for part, side, number in itertools.product(("train", "test"), "AB", (1, 2, 10))
}


def load(module, path):
    return module.load({module.FILES[0].name: path})


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_pix2pix_archive_is_cut_into_photographs_and_maps_in_order(tmp_path, mode):
    arrays = load(maps, tar(tmp_path / "maps.tar", PIX2PIX, mode))
    assert arrays["x_train"].shape == arrays["y_train"].shape == (3, 4, 4, 3)
    assert arrays["x_train"][:, 0, 0, 0].tolist() == [10, 90, 100]
    assert arrays["y_train"][:, 3, 3, 2].tolist() == [110, 190, 200]
    assert arrays["x_test"].max() == 0 and arrays["y_test"].min() == 255


def test_cyclegan_archive_keeps_partners_together(tmp_path):
    arrays = load(maps_cyclegan, packed(tmp_path / "maps.zip", CYCLEGAN))
    assert arrays["x_train"].shape == (3, 5, 5, 3)
    for part in ("train", "test"):
        assert arrays[f"x_{part}"][:, 0, 0, 0].tolist() == [1, 2, 10]
        assert (arrays[f"y_{part}"] - arrays[f"x_{part}"] == 100).all()


@pytest.mark.parametrize("keep", [0.2, 0.6, 0.9])
def test_an_archive_cut_short_is_an_error(tmp_path, keep):
    noise = np.random.default_rng(0).integers(0, 255, (64, 128, 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(noise).save(stream, "png")
    members = {f"maps/{part}/1.jpg": stream.getvalue() for part in ("train", "val")}
    for module, whole in (
        (maps, tar(tmp_path / "maps.tar", members)),
        (maps_cyclegan, packed(tmp_path / "maps.zip", CYCLEGAN)),
    ):
        short = tmp_path / f"short-{whole.name}"
        short.write_bytes(whole.read_bytes()[: int(keep * whole.stat().st_size)])
        with pytest.raises(UserError, match=r"cut short or damaged|no pictures"):
            load(module, short)


@pytest.mark.parametrize("name", ["../outside.jpg", "/outside.jpg", "maps/train/../../../outside.jpg"])
def test_no_member_leaves_the_archive(tmp_path, name):
    inside = tmp_path / "inside"
    inside.mkdir()
    for module, path in (
        (maps, tar(inside / "maps.tar", PIX2PIX | {name: pair(1, 2)})),
        (maps_cyclegan, packed(inside / "maps.zip", CYCLEGAN | {name: pair(1, 2)})),
    ):
        with pytest.raises(UserError, match="leads out of the archive"):
            load(module, path)
    assert not list(tmp_path.glob("*.jpg")) and not list(inside.glob("**/*.jpg"))


def test_links_are_refused(tmp_path):
    path = tmp_path / "maps.tar"
    with tarfile.open(path, "w") as archive:
        entry = tarfile.TarInfo("maps/train/1.jpg")
        entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/hostname"
        archive.addfile(entry)
    with pytest.raises(UserError, match="no regular file"):
        load(maps, path)


def test_partners_that_are_missing_or_of_another_size_are_errors(tmp_path):
    odd = {name: content for name, content in CYCLEGAN.items() if name != "maps/trainB/2_B.jpg"}
    with pytest.raises(UserError, match=r"3 photographs .* 2 maps .* not pairs"):
        load(maps_cyclegan, packed(tmp_path / "odd.zip", odd))
    with pytest.raises(UserError, match="differ in size"):
        load(
            maps_cyclegan, packed(tmp_path / "sizes.zip", CYCLEGAN | {"maps/trainA/1_A.jpg": jpeg(1, 12, 10)})
        )
    empty = {name: content for name, content in CYCLEGAN.items() if "testB" not in name}
    with pytest.raises(UserError, match="no pictures in maps/testB/"):
        load(maps_cyclegan, packed(tmp_path / "empty.zip", empty))
    with pytest.raises(UserError, match=r"12 wide and 4 high: they are no pairs"):
        load(maps, tar(tmp_path / "wide.tar", {name: jpeg(1, 24, 8) for name in PIX2PIX}))


# --- domains


def drawn(arrays, domain="mosaic", size=32, counts=(40, 24), seed=0) -> domains.Domains:
    return domains.draw(arrays, domain, size, counts, torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def digits():
    return data.load("digits")


def test_a_mosaic_is_its_coins_and_the_median_is_the_closed_form(digits):
    """The free ground is dark or light by the coin; over many coins and hues the median is the ink's."""
    train = drawn(digits, counts=(64, 16)).train
    assert train.x.shape == (64, 3, 32, 32) and train.y.shape == (64, 1, 32, 32)
    assert train.x.abs().max() <= 1 and 0.4 < train.bits.float().mean() < 0.6
    brightness = train.x.mean(1)[:, 2::4, 2::4]
    bare = train.ink[:, 0, 2::4, 2::4] == 0
    threshold = -domains.LIGHT
    assert ((brightness > threshold) == train.bits)[bare].all()
    ink = train.ink[:1].expand(4001, -1, -1, -1)
    many, _ = domains.paint(ink, torch.Generator().manual_seed(3))
    expected = (2 * ink[0] - 1) * domains.LIGHT
    for guess in (expected - 0.05, expected + 0.05):
        assert (many - guess).abs().mean() > (many - expected).abs().mean()
    # Between two equally frequent values every number is a median; half of the draws lie on each side.
    share = (many < expected - 1e-6).float().mean(0)
    assert ((share - 0.5).abs()[ink[0].expand(3, -1, -1) < 0.9] < 0.05).all()


def test_the_honest_error_is_what_the_cells_and_hues_leave(digits):
    """E|x − median| by enumeration: the coin and the ground's hue behind 1 − m, the ink's hue behind m."""
    test = drawn(digits, counts=(16, 600)).test
    m = test.ink
    signs = itertools.product((-1, 1), repeat=3)
    terms = [
        ((1 - m) * (domains.CONTRAST * coin + domains.HUE * ground) + m * domains.HUE * ink).abs().mean()
        for coin, ground, ink in signs
    ]
    measured = (test.x - test.median).abs().mean()
    assert float(measured) == pytest.approx(float(sum(terms) / 8), abs=0.002)


@pytest.mark.skipif(
    data.locate("mnist").problem is not None, reason="MNIST is not here: harness data get mnist"
)
def test_the_floor_on_mnist():
    """.36454 by enumeration over all 10,000 test images; .0005 is two standard errors of 2,000."""
    test = drawn(data.load("mnist"), counts=(16, 2000)).test
    assert float((test.x - test.median).abs().mean()) == pytest.approx(0.36454, abs=0.0005)


def test_unpaired_images_show_other_digits():
    """Every image has a shade of its own, and no shade is in both halves."""
    shades = np.arange(1, 61, dtype=np.uint8)[:, None, None] * np.ones((1, 28, 28), np.uint8)
    arrays = {"x_train": shades, "x_test": shades[:20]}
    made = drawn(arrays, counts=(30, 16))
    rich, poor = (y.amax((1, 2, 3)).mul(1000).round().tolist() for y in (made.train.y, made.others))
    assert len(set(rich)) == len(set(poor)) == 30 and not set(rich) & set(poor)


@pytest.mark.parametrize("rows", [4, 5, 41])
def test_an_odd_number_of_images_is_halved(digits, rows):
    made = drawn({"x_train": digits["x_train"][:rows], "x_test": digits["x_test"][:1]}, counts=(17, 16))
    assert len(made.train.x) == len(made.others) == 17 and len(made.test.x) == 16


def test_repeated_digits_are_shifted(digits):
    one = {"x_train": digits["x_train"][:2], "x_test": digits["x_test"][:1]}
    ink = drawn(one, counts=(40, 16)).train.ink
    assert len({tuple(image.flatten().tolist()) for image in ink}) > 10
    torch.testing.assert_close(ink.sum((1, 2, 3)), ink[0].sum().expand(40))


def test_outlines_are_empty_inside_and_outside():
    ink = torch.zeros(1, 1, 16, 16)
    ink[..., 4:12, 4:12] = 1
    rim = domains.outlines(ink)[0, 0]
    assert rim[0, 0] == 0 and rim[8, 8] == 0 and rim[4, 4] == 1 and rim[3, 3] == 1 and rim[2, 2] == 0


def test_edges_are_where_the_gray_changes():
    x = torch.full((1, 3, 16, 16), -1.0)
    x[..., 8:] = 1
    found = domains.edges(x)[0, 0]
    assert found[:, :7].abs().max() == 0 and found[:, 9:].abs().max() == 0 and found[:, 7:9].min() == 1


def test_tiles_stay_aligned_and_parts_apart():
    """The map is the photograph's negative; test tiles are of a shade that training has not."""
    random = np.random.default_rng(0)
    photos = random.integers(0, 100, (9, 32, 32, 3), np.uint8)
    arrays = {"x_train": photos, "y_train": 255 - photos}
    arrays |= {"x_test": photos[:2] + 150, "y_test": 105 - photos[:2]}
    made = drawn(arrays, "tiles", 16, (30, 16))
    torch.testing.assert_close(made.train.x, -made.train.y)
    torch.testing.assert_close(made.test.x, -made.test.y)
    assert made.train.x.shape == (30, 3, 16, 16) and made.train.ink is None
    assert made.train.x.max() < -0.2 and made.test.x.min() > 0.1


@pytest.mark.parametrize(
    ("change", "domain", "size", "message"),
    [
        ({"x_train": np.zeros((0, 8, 8))}, "mosaic", 32, "0 training and 2 test images leave a domain empty"),
        ({"x_test": np.zeros((0, 8, 8))}, "mosaic", 32, "4 training and 0 test images"),
        ({"x_train": np.ones((4, 8, 9))}, "mosaic", 32, r"must be square and gray .* not \(2, 8, 9\)"),
        ({"x_train": np.ones((4, 40, 40))}, "outlines", 32, "size: 32 is too small for digits of side 40"),
        ({}, "edges", 32, r"edges need colour images of side 32, .* not \(4, 8, 8\)"),
        (
            {"x_train": np.zeros((4, 32, 32, 3))},
            "tiles",
            32,
            r"equal numbers, not \(4, 32, 32, 3\) and \(3, 32",
        ),
        ({"x_train": np.zeros((3, 32, 30, 3))}, "tiles", 32, r"of one size in equal numbers"),
        (
            {"x_train": np.zeros((3, 16, 16, 3)), "y_train": np.zeros((3, 16, 16, 3))},
            "tiles",
            32,
            r"size: 32 is more than the side of the photographs, 16 × 16",
        ),
    ],
)
def test_data_that_no_domain_can_be_made_of(change, domain, size, message):
    arrays = {
        "x_train": np.ones((4, 8, 8)),
        "x_test": np.ones((2, 8, 8)),
        "y_train": np.zeros((3, 32, 32, 3)),
    }
    with pytest.raises(UserError, match=message):
        drawn(arrays | change, domain, size)


@pytest.mark.skipif(
    data.locate("sat2maps").problem is not None, reason="the aerial photographs are not here (sat2maps)"
)
def test_the_aerial_photographs_are_cut_into_aligned_tiles():
    arrays = data.load("sat2maps")
    assert arrays["x_train"].shape == arrays["y_train"].shape == (48, 128, 128, 3)
    assert arrays["x_test"].shape == arrays["y_test"].shape == (16, 128, 128, 3)
    # Photographs are darker and busier than maps.
    assert arrays["x_train"].mean() < arrays["y_train"].mean()
    assert arrays["x_train"].std((1, 2)).mean() > arrays["y_train"].std((1, 2)).mean()
