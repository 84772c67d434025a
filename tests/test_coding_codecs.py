"""Codecs, what they charge, and what separate coding costs."""

from __future__ import annotations

import io
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from harness.studies.coding import codecs, separate


def digits(count: int, side: int = 28) -> np.ndarray:
    """Made-up gray strokes, (count, side, side)."""
    rng = np.random.default_rng(0)
    images = np.zeros((count, side, side))
    grid = np.indices((side, side))
    for image in images:
        points = rng.uniform(5, side - 5, (2, 2))
        for share in np.linspace(0, 1, 40):
            centre = points[0] * (1 - share) + points[1] * share
            distance = ((grid - centre[:, None, None]) ** 2).sum(0)
            np.maximum(image, np.exp(-distance / 2), out=image)
    return (images * 255).astype(np.uint8)


def colours(count: int) -> np.ndarray:
    rng = np.random.default_rng(1)
    coarse = rng.integers(0, 256, (count, 8, 8, 3)).astype(np.uint8)
    return coarse.repeat(4, axis=1).repeat(4, axis=2)


IMAGES = {"gray": digits(4), "colour": colours(4)}


@pytest.mark.parametrize("kind", IMAGES)
@pytest.mark.parametrize("name", codecs.CODECS)
def test_files_are_real_and_better_ones_are_closer(name, kind):
    codec, images = codecs.find(name), IMAGES[kind]
    errors = []
    for quality in (codec.qualities[0], codec.qualities[-1]):
        files = [codecs.encode(codec, image, quality) for image in images]
        decoded = np.stack(
            [codecs.decode(codec, file, image.shape) for file, image in zip(files, images, strict=True)]
        )
        assert decoded.shape == images.shape and decoded.dtype == np.uint8
        errors.append(np.square(decoded / 255 - images / 255).mean())
        by_others = np.asarray(Image.open(io.BytesIO(files[0])).convert("L" if kind == "gray" else "RGB"))
        assert np.abs(by_others.astype(int) - decoded[0]).max() <= 2
        for file in files:
            assert 0 < codecs.charged_bits(codec, file, "scan") < codecs.charged_bits(codec, file, "file")
    assert errors[1] < 0.01 and errors[1] <= errors[0]
    if name == "webp_lossless":
        assert errors == [0, 0]


def test_jpeg_header_is_330_bytes_of_which_285_are_tables():
    """SOI 2, JFIF 18, quantiser 69, frame 13, Huffman 33 + 183, scan header 10, EOI 2."""
    jpeg = codecs.find("jpeg")
    for quality in (1, 50, 95):
        file = codecs.encode(jpeg, IMAGES["gray"][0], quality)
        bits = {charged: codecs.charged_bits(jpeg, file, charged) for charged in ("file", "stripped", "scan")}
        assert bits["file"] - bits["scan"] == 8 * 330
        assert bits["file"] - bits["stripped"] == 8 * (69 + 33 + 183)


def test_scan_bits_are_the_parts_that_the_formats_name():
    webp = codecs.encode(codecs.find("webp"), IMAGES["gray"][0], 50)
    assert webp[:4] == b"RIFF" and webp[12:16] == b"VP8 "
    assert codecs.charged_bits(codecs.find("webp"), webp, "scan") in (
        8 * len(webp) - 216,
        8 * len(webp) - 224,
    )
    assert webp[23:30] == b"\x9d\x01\x2a\x1c\x00\x1c\x00"  # known to both: start code, 28 × 28
    avif = codecs.encode(codecs.find("avif"), IMAGES["gray"][0], 50)
    assert codecs.charged_bits(codecs.find("avif"), avif, "scan") == 8 * (len(avif) - avif.index(b"mdat") - 4)


def test_the_charged_part_of_a_file_is_its_end():
    jpeg2000, image = codecs.find("jpeg2000"), IMAGES["gray"][0]
    file = codecs.encode(jpeg2000, image, 10)
    assert codecs.charged_part(jpeg2000, file, "file") == f"{int.from_bytes(file, 'big'):0{8 * len(file)}b}"
    for charged in ("file", "scan"):
        part = codecs.charged_part(jpeg2000, file, charged)
        assert len(part) == codecs.charged_bits(jpeg2000, file, charged)
        assert codecs.charged_part(jpeg2000, file, "file").endswith(part)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((28, 28)), "uint8, 0 to 255; this one is float64"),
        (np.zeros((28, 28, 4), np.uint8), r"\(H, W\) or \(H, W, 3\); this one is \(28, 28, 4\)"),
        (np.zeros(784, np.uint8), r"this one is \(784,\)"),
    ],
)
def test_what_is_no_image_is_named(image, message):
    with pytest.raises(ValueError, match=message):
        codecs.encode(codecs.find("jpeg"), image, 50)


def test_unknown_codec_and_charge_are_named():
    with pytest.raises(ValueError, match="no codec 'jpg'; there are jpeg, webp"):
        codecs.find("jpg")
    file = codecs.encode(codecs.find("webp"), IMAGES["gray"][0], 50)
    with pytest.raises(ValueError, match="webp has no tables to strip"):
        codecs.charged_bits(codecs.find("webp"), file, "stripped")


# --- what separate coding costs


def test_ideal_code_charges_the_slides_factors():
    """Bits per source bit at eps .05, .1, .2, .3 and .4."""
    from harness.kit.ldpc.channels import capacity_bsc

    for eps, factor in [(0.05, 1.401), (0.1, 1.883), (0.2, 3.596), (0.3, 8.424), (0.4, 34.42)]:
        assert separate.ideal(np.array([1.0]), capacity_bsc(eps))[0] == pytest.approx(factor, rel=5e-4)
    assert separate.ideal(np.array([0.0, 1.0]), 0.0).tolist() == [0.0, np.inf]


def test_bits_for_a_distortion_mixes_the_two_best_points():
    bits, distortion = np.array([0.0, 100.0, 400.0, 90.0]), np.array([0.3, 0.1, 0.0, 0.29])
    assert separate.bits_for(bits, distortion, 0.1) == 100
    assert separate.bits_for(bits, distortion, 0.2) == pytest.approx(50)
    assert separate.bits_for(bits, distortion, 0.05) == pytest.approx(250)
    assert separate.bits_for(bits, distortion, 0.5) == 0
    assert separate.bits_for(bits, distortion, -0.1) == np.inf
    assert separate.bits_for(np.array([0.0, np.inf]), np.array([0.3, 0.1]), 0.2) == np.inf


@settings(max_examples=50)
@given(
    st.lists(st.tuples(st.floats(1, 1e3), st.floats(0, 1)), min_size=1, max_size=8),
    st.floats(0, 1),
    st.floats(0, 1),
)
def test_less_distortion_never_costs_less(points, one, other):
    bits, distortion = (np.array([0.0, *column]) for column in zip(*points, strict=True))
    distortion[0] = 1.0
    low, high = sorted((one, other))
    assert separate.bits_for(bits, distortion, low) >= separate.bits_for(bits, distortion, high)


def test_blocks_that_fail_lose_images():
    source = np.array([[500.0, 1000.0]])
    intact, blank = np.array([[0.0, 0.2]]), np.array([1.0, 0.6])
    bits, distortion = separate.in_blocks(source, intact, blank, message=500, block=1000, failing=0.1)
    assert bits.tolist() == [[1000, 2000]]
    np.testing.assert_allclose(distortion, [[0.19, 0.2 + 0.271 * 0.4]])


def test_choices_per_image_are_the_lower_hull_of_all_choices():
    """Every choice of two files or none for each of three images, all enumerated, at a price each."""
    random = np.random.default_rng(0)
    bits, intact = random.uniform(10, 200, (2, 3)), random.uniform(0, 0.1, (2, 3))
    blank, fields = np.array([0.1, 0.2, 0.3]), 14.0
    found = separate.chosen(bits, intact, blank, fields)
    cost = np.vstack([bits + fields, np.zeros((1, 3))]) + 1
    distortion = np.vstack([intact, blank[None]])
    every = list(itertools.product(range(3), repeat=3))
    all_bits = np.array([cost[list(each), range(3)].mean() for each in every] + [0.0])
    all_distortions = np.array([distortion[list(each), range(3)].mean() for each in every] + [blank.mean()])
    for target in np.linspace(0.0, 0.25, 26):
        least = separate.bits_for(all_bits, all_distortions, target)
        assert separate.bits_for(*found, target) == pytest.approx(least)


def test_an_image_pays_for_its_flag_and_a_file_for_its_fields():
    bits, distortion = separate.chosen(np.array([[80.0, 80.0]]), np.zeros((1, 2)), np.array([1.0, 0.0]), 5)
    assert sorted(set(bits)) == [0.0, 1.0, 43.5]  # nothing at all; two flags; one file of 80 + 5, two flags
    assert distortion[bits == 43.5].tolist()[0] == 0
    assert separate.fields(np.full((16, 2), 8 * 255.0)) == 4 + 8


@settings(max_examples=40, deadline=None)
@given(st.floats(0, 700), st.integers(0, 5))
def test_a_pool_of_bits_is_kept_to_and_no_cheaper_choice_is_as_good(room, seed):
    """Two files or none for each of three images, all 27 choices: none that fits in less does better."""
    random = np.random.default_rng(seed)
    bits, intact = random.uniform(10, 200, (2, 3)), random.uniform(0, 0.1, (2, 3))
    blank, images = np.array([0.1, 0.2, 0.3]), range(3)
    cost, distortion = separate.offers(bits, intact, blank, 14.0)
    found = separate.pooled(bits, intact, blank, 14.0, room)
    spent, left = cost[found, images].sum(), distortion[found, images].sum()
    assert spent <= room or (found == -1).all()
    for each in itertools.product(images, repeat=3):
        if cost[list(each), images].sum() < spent:
            assert distortion[list(each), images].sum() > left
    assert (separate.pooled(bits, intact, blank, 14.0, 1e6) >= 0).any()


def test_a_pool_that_holds_everything_sends_the_best_of_everything():
    bits, intact = np.array([[10.0, 10.0], [20.0, 20.0]]), np.array([[0.2, 0.2], [0.1, 0.3]])
    assert separate.pooled(bits, intact, np.array([1.0, 0.1]), 0.0, 32).tolist() == [1, -1]
    assert separate.pooled(bits, intact, np.array([1.0, 0.1]), 0.0, 21).tolist() == [0, -1]
    assert separate.pooled(bits, intact, np.array([1.0, 0.1]), 0.0, 0).tolist() == [-1, -1]
