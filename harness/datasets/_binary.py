"""Tables of bits from tables of categories and numbers, as the authors of L-MIFR make them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy
    import pandas


def binarise(train: pandas.DataFrame, *others: pandas.DataFrame) -> tuple[list[str], list[numpy.ndarray]]:
    """(names of the bits, the bits of each frame: uint8 (N, D)); values and medians are those of `train`.

    A number becomes one bit, "name>median"; a text of two values one bit, "name=second"; a text of more
    values one bit per value, "name=value", values in alphabetical order. Other values of `others` set no bit.
    """
    import numpy
    from pandas.api.types import is_numeric_dtype

    names: list[str] = []
    bits: list[list[numpy.ndarray]] = [[] for _ in (train, *others)]
    for column in train.columns:
        if is_numeric_dtype(train[column]):
            median = float(train[column].median())
            names.append(f"{column}>{median:g}")
            tests = [lambda values, median=median: values > median]
        else:
            found = sorted(train[column].unique())
            kept = found[1:] if len(found) == 2 else found
            names += [f"{column}={value}" for value in kept]
            tests = [lambda values, value=value: values == value for value in kept]
        for made, frame in zip(bits, (train, *others), strict=True):
            made += [test(frame[column]).to_numpy(numpy.uint8) for test in tests]
    return names, [numpy.stack(made, axis=1) for made in bits]
