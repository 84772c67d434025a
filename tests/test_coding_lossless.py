"""The arithmetic coder and the pixel model: files come back bit for bit, and are as short as they can be."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.context import Run
from harness.studies.coding import arithmetic, images, pixel_model
from harness.studies.coding.pixel_model import PixelModel

symbols = st.lists(
    st.tuples(st.integers(0, 1), st.one_of(st.integers(1, 65535), st.sampled_from([1, 2, 32768, 65535]))),
    max_size=80,
)


def read(file: str, ones: list[int]) -> tuple[list[int], int]:
    return arithmetic.decode(file, len(ones), lambda past: ones[len(past)])


@settings(max_examples=200, deadline=None)
@given(symbols, st.text("01", max_size=20))
def test_any_symbols_come_back_whatever_follows_them(pairs, following):
    sent, ones = [bit for bit, _ in pairs], [one for _, one in pairs]
    file = arithmetic.encode(sent, ones)
    assert read(file + following, ones) == (sent, len(file))
    information = -sum(math.log2((one if bit else 65536 - one) / 65536) for bit, one in pairs)
    assert information - 1e-6 <= len(file) < information + 2


def test_files_of_all_messages_are_free_of_prefixes():
    ones = [60000, 20000, 1, 65535, 32768]
    files = [arithmetic.encode(sent, ones) for sent in itertools.product((0, 1), repeat=5)]
    assert sum(2.0 ** -len(file) for file in files) <= 1
    assert not any(a.startswith(b) for a, b in itertools.permutations(files, 2))


def test_what_cannot_be_coded_is_named():
    for one in (0, 65536):
        with pytest.raises(ValueError, match=f"from 1 to 65535, not {one}"):
            arithmetic.encode([1], [one])
    with pytest.raises(ValueError, match="breaks off: 9 symbols take 9 bits, and it has 3"):
        read("010", [32768] * 9)


@pytest.fixture
def wild() -> PixelModel:
    """Weights so large that logits leave the table, on 3 × 3 pixels."""
    rng = np.random.default_rng(0)
    return PixelModel(np.triu(rng.integers(-3000, 3000, (9, 9)), 1), rng.integers(-4000, 4000, 9))


def test_every_image_comes_back_behind_every_other(wild):
    every = np.array(list(itertools.product((0, 1), repeat=9)), np.uint8)
    files = wild.encode(every)
    assert np.array_equal(wild.decode_all("".join(files), len(files)), every)
    assert sum(2.0 ** -len(file) for file in files) <= 1


def test_a_file_is_as_long_as_the_model_finds_the_image_unlikely(wild):
    image = np.array([[0, 1, 1, 0, 1, 0, 0, 1, 1]], np.uint8)
    tame = PixelModel(wild.weights // 8, wild.bias // 8)
    logits = (image.astype(np.int64) @ tame.weights + tame.bias) / 256
    unlikely = np.log2(1 + np.exp(-np.where(image == 1, logits, -logits))).sum()
    assert unlikely - 0.01 <= len(tame.encode(image)[0]) < unlikely + 2.01


def test_a_pixel_is_foretold_by_earlier_ones_alone(wild):
    """Later pixels do not touch earlier probabilities, or no receiver could follow."""
    assert not np.tril(wild.weights).any()
    generator = torch.Generator().manual_seed(0)
    x = (torch.rand(300, 12, generator=generator) < 0.5).float()
    x[:, 6:] = x[:, :6]  # the second half repeats the first: coders that look back need fewer than 12 bits
    found = PixelModel.restore(pixel_model.fit(x[:200], x[200:], generator, 300))
    assert not np.tril(found.weights).any()
    assert np.mean([len(file) for file in found.encode(x[200:].numpy().astype(np.uint8))]) < 12


def test_neighbours_save_bits_on_digits(tmp_path):
    """Files, their ends included, are shorter than the entropy of independent pixels."""
    found = images.load(Run(seed=0, folder=tmp_path), "digits", True, 100)
    model = PixelModel.restore(pixel_model.fit(found.x_train, found.x_valid, torch.Generator(), 300))
    files = model.encode(found.x_test.numpy().astype(np.uint8))
    share = found.x_train.mean(0).clamp(1e-4, 1 - 1e-4)
    alone = -(share * share.log2() + (1 - share) * (1 - share).log2()).sum()
    assert np.mean([len(file) for file in files]) < float(alone)
