"""Parity-check matrices and encoders against enumeration and linear algebra."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from ldpc_cases import satisfied

from harness.kit.ldpc.code import code_from, regular_code

HAMMING = np.array([[1, 0, 1, 0, 1, 0, 1], [0, 1, 1, 0, 0, 1, 1], [0, 0, 0, 1, 1, 1, 1]])

matrices = st.tuples(st.integers(1, 6), st.integers(2, 9)).flatmap(
    lambda shape: arrays(np.uint8, shape, elements=st.integers(0, 1))
)


def messages(code, count=64, seed=0):
    return torch.randint(2, (count, code.k), generator=torch.Generator().manual_seed(seed))


@given(matrices)
def test_the_encoder_reaches_exactly_the_words_that_meet_all_checks(matrix):
    assume(matrix.any(1).all())
    n = matrix.shape[1]
    words = {w for w in itertools.product((0, 1), repeat=n) if not (matrix @ w % 2).any()}
    assume(len(words) > 1)
    code = code_from(matrix)
    bits = torch.tensor(list(itertools.product((0, 1), repeat=code.k)))
    encoded = code.encode(bits)
    assert {tuple(w) for w in encoded.tolist()} == words
    assert torch.equal(code.message(encoded).long(), bits)
    assert satisfied(code, encoded).all()


def test_a_single_flip_breaks_a_check():
    code = code_from(HAMMING)
    words = code.encode(messages(code))
    for bit in range(7):
        flipped = words.clone()
        flipped[:, bit] ^= 1
        assert not satisfied(code, flipped).any()


@pytest.mark.parametrize("n, d_v, d_c", [(204, 3, 6), (1002, 3, 6), (1000, 3, 4), (600, 4, 8)])
def test_a_regular_code_has_its_degrees_and_no_cycles_of_length_four(n, d_v, d_c):
    matrix = regular_code(n, d_v, d_c, seed=0).parity_check.long()
    assert (matrix.sum(0) == d_v).all() and (matrix.sum(1) == d_c).all()
    shared = matrix @ matrix.T
    assert shared.fill_diagonal_(0).max() == 1


def test_a_code_too_short_to_avoid_cycles_is_still_regular():
    matrix = regular_code(12, 3, 6, seed=0).parity_check.long()
    assert (matrix.sum(0) == 3).all() and (matrix.sum(1) == 6).all()


def test_the_seed_fixes_the_code():
    one, same, other = (regular_code(204, 3, 6, seed) for seed in (1, 1, 2))
    assert torch.equal(one.parity_check, same.parity_check)
    assert not torch.equal(one.parity_check, other.parity_check)


def test_the_rate_is_that_of_the_rank():
    # d_v even: the rows of the matrix sum to zero, so at least one check is spare.
    code = regular_code(600, 4, 8, seed=0)
    rank = 600 - code.k
    assert rank < 300 and code.k >= 301
    words = code.encode(messages(code))
    assert satisfied(code, words).all() and words.dtype == torch.uint8


@pytest.mark.parametrize(
    "matrix, message",
    [
        ([[1, 1, 0], [0, 0, 0]], "row 1 .* is empty"),
        ([[1, 2, 0]], "0 and 1, not 2"),
        ([1, 0, 1], r"not the shape \(3,\)"),
        (np.zeros((0, 4)), r"not the shape \(0, 4\)"),
        (np.eye(3), "rank 3: no message bit is left"),
    ],
)
def test_a_matrix_that_is_none_is_refused(matrix, message):
    with pytest.raises(ValueError, match=message):
        code_from(np.array(matrix))


@pytest.mark.parametrize(
    "n, d_v, d_c, message",
    [
        (100, 3, 7, "not 100·3 with d_c = 7"),
        (0, 3, 6, "not 0·3"),
        (4, 3, 6, "n = 4"),
        (12, 6, 6, "d_v = 6, d_c = 6"),
    ],
)
def test_impossible_degrees_are_refused(n, d_v, d_c, message):
    with pytest.raises(ValueError, match=message):
        regular_code(n, d_v, d_c, seed=0)


def test_messages_of_the_wrong_shape_or_range_are_refused():
    code = code_from(HAMMING)
    with pytest.raises(ValueError, match=r"\(B, 4\), not \(2, 5\)"):
        code.encode(torch.zeros(2, 5))
    with pytest.raises(ValueError, match="0 or 1, not 3"):
        code.encode(torch.tensor([[0, 1, 3, 0]]))
