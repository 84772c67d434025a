"""Layered belief propagation on the CPU, compiled: one word per lane of a 512-bit register.

Words are decoded side by side, 64 in 8-bit numbers, 32 in 16-bit ones or 16 in float32; the lane comes last
in every array. One sweep visits the checks in turn and updates the totals of their bits at once (the layered
schedule: about half the iterations of flooding). A word leaves after the sweep that meets all its checks and
the next one takes its lane, so no word waits for the slowest and none depends on its neighbours.

Arrays of the kernels, for `lanes` words and E edges sorted by check (unsigned, which spares numba's test for
negative indices):
    first   (checks + 1,) where the edges of each check begin; bits (E,) the bit of each edge
    total   (n, lanes) LLR plus all answers, per bit
    answer  (E, lanes) what each check last told each of its bits; kept: mask of the lanes where that counts
    degree  the most edges a check has
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit, types
from numba.extending import overload

from harness.kit.ldpc.lanes import (
    REGISTER,
    below,
    choose,
    equal,
    fill,
    larger,
    load,
    smaller,
    store,
    times_256ths,
)

Array = np.ndarray
CLIP = 20.0  # sum-product: a check hears no more: it would change no answer


@njit
def size(x: Any) -> Any:
    """|x| per lane."""
    return larger(x, fill(x, 0) - x)


def min_sum_sweep(
    first: Array, bits: Array, kept: Any, top: float, total: Array, answer: Array, degree: int
) -> None:
    """All checks in turn by the min-sum rule scaled by 205/256 = 0.8, in whole numbers.

    Each bit is told the product of the other bits' signs and the least of their sizes and `top`.
    """
    zero = fill(load(total, 0), 0)
    most, scale = fill(zero, top), fill(zero, 205)
    heard = np.empty((degree, total.shape[1]), total.dtype)
    for check in range(len(first) - 1):
        least, second, sign = most, most, zero
        start, stop = first[check], first[check + 1]
        for edge in range(start, stop):
            x = load(total, bits[edge]) - choose(kept, load(answer, edge), zero)
            store(heard, edge - start, x)
            second = smaller(second, larger(least, size(x)))
            least = smaller(least, size(x))
            sign = sign ^ x
        usual, to_least = times_256ths(least, scale), times_256ths(second, scale)
        for edge in range(start, stop):
            x = load(heard, edge - start)
            told = choose(equal(size(x), least), to_least, usual)
            told = choose(below(sign ^ x, zero), zero - told, told)
            store(answer, edge, told)
            store(total, bits[edge], x + told)


@njit
def log_one_plus_exp(x: Any) -> Any:
    """ln(1 + e^−x) for x >= 0, as ln 2 / p(x)^8 with a fitted polynomial p: within 3e-6 everywhere."""
    x = smaller(x, fill(x, 20.0))
    p = fill(x, 2.6057668e-07)
    p = p * x - fill(x, 7.5982753e-06)
    p = p * x + fill(x, 8.3969913e-05)
    p = p * x - fill(x, 3.8577986e-04)
    p = p * x + fill(x, 4.8791011e-04)
    p = p * x + fill(x, 1.4024340e-02)
    p = p * x + fill(x, 9.0167940e-02)
    p = p * x + fill(x, 1.0)
    p = p * p
    p = p * p
    return fill(x, 0.6931472) / (p * p)


@njit
def box_plus(a: Any, b: Any) -> Any:
    """The LLR of two bits' sum: 2 atanh(tanh(a/2) tanh(b/2)) = ln cosh((a + b)/2) − ln cosh((a − b)/2)."""
    s, d = size(a + b), size(a - b)
    return fill(a, 0.5) * (s - d) + (log_one_plus_exp(s) - log_one_plus_exp(d))


def sum_product_sweep(
    first: Array, bits: Array, kept: Any, top: float, total: Array, answer: Array, degree: int
) -> None:
    """All checks in turn by the sum-product rule, in float32: each bit is told the box-plus of the others.

    What a check hears is cut at ±top, but not what goes back into the totals: cut totals forget answers
    that later sweeps still subtract.
    """
    zero = fill(load(total, 0), 0)
    most = fill(zero, top)
    heard = np.empty((degree, total.shape[1]), total.dtype)
    earlier = np.empty_like(heard)
    for check in range(len(first) - 1):
        start, stop = first[check], first[check + 1]
        others = most
        for edge in range(start, stop):
            x = load(total, bits[edge]) - choose(kept, load(answer, edge), zero)
            store(heard, edge - start, x)
            store(earlier, edge - start, others)
            x = larger(smaller(x, most), zero - most)
            others = box_plus(others, x) if edge > start else x
        others = most
        for back in range(1, stop - start + 1):
            edge = stop - back
            x, told = load(heard, edge - start), load(earlier, edge - start)
            if back > 1:
                told = box_plus(told, others) if edge > start else others
            store(answer, edge, told)
            store(total, bits[edge], x + told)
            x = larger(smaller(x, most), zero - most)
            others = box_plus(others, x) if back > 1 else x


def sweep(first: Array, bits: Array, kept: Any, top: float, total: Array, answer: Array, degree: int) -> None:
    """All checks in turn, by the rule that belongs to the type of the numbers."""


@overload(sweep)
def offer_sweep(
    first: Array, bits: Array, kept: Any, top: float, total: Array, answer: Array, degree: int
) -> Callable:
    return sum_product_sweep if isinstance(total.dtype, types.Float) else min_sum_sweep


@njit
def violated(first: Array, bits: Array, total: Array) -> Any:
    """The mask of the lanes whose hard decisions break a check."""
    zero = fill(load(total, 0), 0)
    broken = np.uint64(0)
    for check in range(len(first) - 1):
        odd = np.uint64(0)
        for edge in range(first[check], first[check + 1]):
            odd ^= below(load(total, bits[edge]), zero)
        broken |= odd
    return broken


@njit
def exchange(turns: Array, numbers: Array, total: Array, hard: Array) -> None:
    """For each turn (lane, old, new): write the hard decisions of the word `old`, load `new`; −1 is none."""
    for start in range(0, len(total), 64):  # as many bits as stay in the first-level cache, lane by lane
        stop = min(start + 64, len(total))
        for turn in turns:
            lane, old, new = turn[0], turn[1], turn[2]
            column = total[start:stop, lane]
            if old >= 0:
                decided = hard[old, start:stop]
                for bit in range(len(column)):
                    decided[bit] = column[bit] < 0
            if new >= 0:
                fresh = numbers[new, start:stop]
                for bit in range(len(column)):
                    column[bit] = fresh[bit]


@njit(cache=True, nogil=True)
def decode_words(
    first: Array,
    bits: Array,
    numbers: Array,
    top: float,
    iterations: int,
    hard: Array,
    success: Array,
    used: Array,
) -> None:
    """Decode the words `numbers` (B, n) into hard (B, n), success (B,) and used (B,) iterations."""
    words, n = numbers.shape
    lanes = REGISTER // (8 * numbers.itemsize)
    total = np.zeros((n, lanes), numbers.dtype)
    answer = np.zeros((len(bits), lanes), numbers.dtype)
    word, age = np.full(lanes, -1), np.zeros(lanes, np.int64)
    turns = np.zeros((lanes, 3), np.int64)
    degree = int(np.diff(first).max())
    broken, waiting, busy = np.uint64(0), 0, 0
    while True:
        free, kept = 0, ~np.uint64(0)
        for lane in range(lanes):
            bit = np.uint64(1) << np.uint64(lane)
            old, new, met = word[lane], -1, not broken & bit
            if old >= 0:
                if not met and age[lane] < iterations:
                    continue
                success[old], used[old] = met, age[lane]
                busy -= 1
            if waiting < words:
                new = waiting
                waiting += 1
                busy += 1
            word[lane], age[lane] = new, 0
            kept &= ~bit
            turns[free] = lane, old, new
            free += 1
        exchange(turns[:free], numbers, total, hard)
        if not busy:
            break
        sweep(first, bits, kept, top, total, answer, degree)
        broken = violated(first, bits, total)
        age += 1


@njit(cache=True, nogil=True, fastmath=True)
def quantise(llr: Array, unit: Any, loudest: Any, numbers: Array) -> None:
    """Whole numbers in ±loudest, in the steps that give each word of llr (B, n) the mean size `unit`."""
    words, n = llr.shape
    for word in range(words):
        sizes = np.float32(0)
        for bit in range(n):
            sizes += abs(llr[word, bit])
        scale = unit * np.float32(n) / max(sizes, np.float32(1e-20))
        for bit in range(n):
            step = min(max(llr[word, bit] * scale, -loudest), loudest)
            numbers[word, bit] = np.int16(np.rint(step))


def whole_numbers(llr: Array, degree: int) -> tuple[Array, float]:
    """The LLRs in 8 bits (16 where bits are in many checks), and the largest size that a check may hear.

    A total is an LLR and at most `degree` answers: with these bounds it cannot leave its type's range. Each
    word has its own unit; the min-sum rule does not depend on it but for rounding.
    """
    kind = np.int8 if degree <= 4 else np.int16
    loudest = np.iinfo(kind).max // (degree + 1)
    numbers = np.empty(llr.shape, kind)
    quantise(llr, np.float32(0.4 * loudest), np.float32(loudest), numbers)
    return numbers, 1.25 * loudest


def decode(edges: Array, llr: Array, iterations: int, algorithm: str) -> tuple[Array, Array, Array]:
    """Hard decisions (B, n) uint8, success (B,) bool and iterations (B,) int32, at least 1.

    edges: (2, E), pairs of check and bit sorted by check. llr: (B, n) float32, finite.
    """
    words, n = llr.shape
    bits = edges[1].astype(np.uint64)
    first = np.concatenate([[0], np.bincount(edges[0]).cumsum()]).astype(np.uint64)
    hard, success = np.empty((words, n), np.uint8), np.empty(words, np.bool_)
    used = np.empty(words, np.int32)
    if algorithm == "min_sum":
        numbers, top = whole_numbers(llr, int(np.bincount(edges[1]).max()))
    else:
        numbers, top = np.ascontiguousarray(llr), CLIP
    decode_words(first, bits, numbers, top, iterations, hard, success, used)
    return hard, success, used
