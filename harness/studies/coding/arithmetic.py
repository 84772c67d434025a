"""Arithmetic coding of binary symbols, in whole numbers of any length: exact, so there is nothing to carry.

Files are free of prefixes: a reader who knows the probabilities finds where one ends and the next begins.
Rissanen, Generalized Kraft inequality and arithmetic coding, IBM J. Res. Dev. 20 (1976).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

PRECISION = 16
"""Probabilities are whole numbers of 2^-16, from 1 to 2^16 − 1: nothing is impossible."""

WHOLE = 1 << PRECISION


def encode(symbols: Sequence[int], ones: Sequence[int]) -> str:
    """The file, a string of 0 and 1, of `symbols` (0 or 1), each of which is 1 with `ones` / 2^16.

    It is longer than −log2 of the symbols' joint probability by fewer than 2 bits. Raises ValueError for a
    probability that is out of range.
    """
    low, width = 0, 1  # the interval of all that begins with these symbols, in units of 2^-depth
    for symbol, one in zip(symbols, ones, strict=True):
        _check(one)
        low <<= PRECISION
        if symbol:
            width *= one
        else:
            low += width * one
            width *= WHOLE - one
    depth = PRECISION * len(symbols)
    free = width.bit_length() - 1  # the largest block of 2^free in place that may lie within the interval
    if (-(-low >> free) + 1) << free > low + width:
        free -= 1
    length = depth - free
    return f"{-(-low >> free):0{length}b}" if length else ""


def decode(file: str, count: int, one: Callable[[list[int]], int]) -> tuple[list[int], int]:
    """The first `count` symbols in `file`, and how many of its bits they took; others may follow.

    `one` is told the symbols so far and returns the next one's probability of being 1, in units of 2^-16.
    Raises ValueError for a probability that is out of range and for a file that breaks off.
    """
    symbols: list[int] = []
    ones: list[int] = []
    rest, width = 0, 1  # where the file points, from the interval's low end, in units of 2^-depth
    for place in range(0, PRECISION * count, PRECISION):
        rest = (rest << PRECISION) | int(file[place : place + PRECISION].ljust(PRECISION, "0"), 2)
        ones.append(one(symbols))
        _check(ones[-1])
        split = width * ones[-1]
        symbols.append(int(rest < split))
        if symbols[-1]:
            width = split
        else:
            rest -= split
            width = (width << PRECISION) - split
    used = len(encode(symbols, ones))
    if used > len(file):
        raise ValueError(f"the file breaks off: {count} symbols take {used} bits, and it has {len(file)}")
    return symbols, used


def _check(one: int) -> None:
    if not 0 < one < WHOLE:
        raise ValueError(f"the probability of a 1 is a whole number from 1 to {WHOLE - 1}, not {one}")
