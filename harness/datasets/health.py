"""Heritage Health: patients of a health insurer, third year; is the Charlson index of comorbidity above 0?

The file is the table `health.csv` that the authors of L-MIFR (Song et al. 2019) made of the competition's
claims; it may not be handed on, so only you can supply it. Bits are "above the median", those that are set
in more than 5 % of the rows are kept, and 80 % of the rows are for training. Their shuffle has no seed; ours
is fixed.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.data.sources import File

if TYPE_CHECKING:
    import numpy
    import pandas

LICENCE = "rules of the Heritage Health Prize: for the competition's participants, not to be passed on"
FILES = (File("health/health.csv", None, None, ()),)
_AGES = tuple(f"age_{decade}5" for decade in range(9))
_RARE = 0.05
_TRAINING_SHARE = 0.8


def load(files: dict[str, Path]) -> dict[str, numpy.ndarray]:
    """`x_*` uint8 (N, D) of bits named by `columns`; `y_*` uint8 (N,), 1 where the Charlson index is above 0.

    `sensitive` names the attributes to hide: nine bands of age and the sex, 18 groups.
    """
    import numpy
    import pandas

    table = pandas.read_csv(files["health/health.csv"])
    known = (table["YEAR_t"] == "Y3") & (table["sexMISS"] == 0) & (table["age_MISS"] == 0)
    columns, bits, ill = _bits(table[known])
    order = numpy.random.RandomState(0).permutation(len(bits))
    train, test = numpy.split(order, [int(_TRAINING_SHARE * len(order))])
    return {
        "x_train": bits[train],
        "y_train": ill[train],
        "x_test": bits[test],
        "y_test": ill[test],
        "columns": numpy.array(columns),
        "sensitive": numpy.array(["age", "sex"]),
    }


def _bits(table: pandas.DataFrame) -> tuple[list[str], numpy.ndarray, numpy.ndarray]:
    """(names of the bits, the bits (N, D), labels (N,)) of the rows that are kept."""
    import numpy

    ill = (table["CharlsonIndexI_max"] > 0).to_numpy(numpy.uint8)
    hidden = {f"age={name[4:]}": table[name] for name in _AGES} | {"sex=MALE": table["sexMALE"]}
    away = [name for name in map(str, table) if name.startswith("CharlsonIndexI_")]
    away += [*_AGES, "sexMALE", "sexFEMALE", "DaysInHospital", "MemberID_t", "YEAR_t", "trainset"]
    rest = table.drop(columns=away)
    above = rest > rest.median()
    frequent = above.loc[:, above.mean() > _RARE]
    columns = [*frequent.columns, *hidden]
    bits = numpy.stack([frequent[name] for name in frequent] + list(hidden.values()), axis=1)
    return columns, bits.astype(numpy.uint8), ill
