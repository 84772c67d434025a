"""What a mean owes to the examples it was taken over, in a few numbers that can be subtracted.

A sketch of N values is `SIZE` sums of them, less their mean, each with signs of its own, scaled so that its
squared length is on average the squared standard error of the mean (Johnson and Lindenstrauss 1984). The
signs of an example depend on its place alone. So sketches of two cells that were scored on the same examples
subtract, and what is left is the sketch of the paired differences; the values themselves need not be kept.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Sketch = tuple[float, ...]

SIZE = 32
"""Numbers in a sketch: a standard error from it is off by about 1 / √(2 · 32), an eighth."""


def of(values: NDArray[np.float64]) -> Sketch:
    """The sketch of one number per example (N,); of fewer than two, or of any not finite, there is none."""
    import numpy as np

    n = len(values)
    if n < 2 or not np.isfinite(values).all():
        return ()
    bits = np.frombuffer(hashlib.shake_256(b"signs of examples").digest(SIZE // 8 * n), np.uint8)
    signs = 1.0 - 2.0 * np.unpackbits(bits).reshape(n, SIZE)
    sums = (values - values.mean()) @ signs / math.sqrt(SIZE * n * (n - 1))
    return tuple(float(f"{each:.4g}") for each in sums)


def shared(sketches: Sequence[Sketch]) -> float:
    """The standard error that the mean over seeds, a sketch each, owes to examples that all seeds have.

    Its square is the mean inner product of two seeds' sketches, so what an example does at one seed alone,
    as where each seed draws examples of its own, is not counted: the spread of the seeds has it. With the
    variance of the seeds' values over n it makes up the variance of their mean, examples included. 0 where
    a seed has no sketch, or there are not two.
    """
    n = len(sketches)
    if n < 2 or not all(sketches):
        return 0.0
    together = _squares(map(math.fsum, zip(*sketches, strict=True)))
    return math.sqrt(max(0.0, together - math.fsum(map(_squares, sketches))) / (n * (n - 1)))


def less(a: Sketch, b: Sketch) -> Sketch:
    """The sketch of paired differences, a − b; there is none where either lacks."""
    return tuple(x - y for x, y in zip(a, b, strict=True)) if a and b else ()


def _squares(values: Iterable[float]) -> float:
    return math.fsum(each * each for each in values)
