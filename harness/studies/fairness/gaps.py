"""What a label predicted from z means for the groups: accuracy, gaps between groups, and their trade-off."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy

CLASSIFIERS = ("logistic", "boosted")
GAPS = 0.2
"""The widest gap of parity that the trade-off looks at: about what raw features lead to on Adult."""


class Gaps(NamedTuple):
    """Differences between the best and the worst off group.

    `parity`: of P(ŷ = 1). `opportunity`: of P(ŷ = 1 | y = 1). `odds`: that plus the same for y = 0, as in the
    released code (0 to 2; many others take the larger or the mean of the two).
    """

    parity: float
    odds: float
    opportunity: float


def gaps(predicted: numpy.ndarray, y: numpy.ndarray, u: numpy.ndarray) -> Gaps:
    """Gaps of predictions (N,) of 0 and 1, given labels (N,) and groups (N,).

    A group without rows of a label is left out of the gap that needs them; a gap of one group is 0.
    """
    positive = _spread(predicted[y == 1], u[y == 1])
    return Gaps(_spread(predicted, u), positive + _spread(predicted[y == 0], u[y == 0]), positive)


def _spread(predicted: numpy.ndarray, u: numpy.ndarray) -> float:
    rates = [predicted[u == group].mean() for group in numpy.unique(u)]
    return float(max(rates) - min(rates)) if rates else 0.0


class Told(NamedTuple):
    """What a classifier says of people, P(y = 1) (N,), beside their labels (N,) and groups (N,)."""

    chance: numpy.ndarray
    y: numpy.ndarray
    u: numpy.ndarray


def frontier(own: Told, others: Told) -> tuple[numpy.ndarray, numpy.ndarray]:
    """(gaps of parity δ, accuracy on `others`), of the threshold that is most accurate on `own` people.

    Among thresholds with a gap of at most δ on `own` people, that is: the others' labels choose nothing. The
    constant prediction of the larger class is one of them, so the curve starts at a gap of 0.
    """
    larger = own.y.mean() > 0.5
    points = [(0.0, (own.y == larger).mean(), (others.y == larger).mean())]
    for cut in numpy.unique(numpy.quantile(own.chance, numpy.linspace(0, 1, 200))):
        predicted, told = own.chance > cut, others.chance > cut
        points.append((_spread(predicted, own.u), (predicted == own.y).mean(), (told == others.y).mean()))
    gap, seen, reached = numpy.array(sorted(points)).T
    best = seen >= numpy.maximum.accumulate(seen)
    chosen = numpy.maximum.accumulate(numpy.where(best, numpy.arange(len(gap)), 0))
    return gap, reached[chosen]


def area(gap: numpy.ndarray, accuracy: numpy.ndarray, widest: float = GAPS) -> float:
    """Mean over 0 ≤ δ ≤ `widest` of the accuracy at δ on the curve of `frontier`."""
    edges = numpy.append(gap.clip(max=widest), widest)
    return float((numpy.diff(edges) * accuracy).sum() / widest)


def predict(
    name: str, train: numpy.ndarray, y: numpy.ndarray, test: numpy.ndarray
) -> tuple[numpy.ndarray, numpy.ndarray]:
    """P(y = 1) of training (N,) and test rows (M,), by a classifier fitted to standardised training codes."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression

    centre, width = train.mean(0), train.std(0).clip(1e-6)
    model: Any = LogisticRegression()
    if name == "boosted":
        model = HistGradientBoostingClassifier(max_iter=50, random_state=0)
    train, test = (train - centre) / width, (test - centre) / width
    model.fit(train, y)
    return model.predict_proba(train)[:, 1], model.predict_proba(test)[:, 1]
