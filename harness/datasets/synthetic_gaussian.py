"""Synthetic Gaussian: 20,000 + 5,000 rows of which every mutual information with a linear code is known.

Six numbers x and two groups u: x | u ~ N(±(1, 0, 0, 0, 0, 0), I), and y is a noisy sign of the second number,
independent of u. Drawn from a fixed seed; there is no file.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from harness.data.sources import File

if TYPE_CHECKING:
    import numpy

LICENCE = "none needed: drawn from a random number generator"
FILES: tuple[File, ...] = ()

SHARE = 0.4
"""P(u = 1)."""
SHIFT = 1.0
"""The mean of the first number is SHIFT in group 1 and −SHIFT in group 0."""
WIDTH = 6


def load(files: dict[str, Path]) -> dict[str, numpy.ndarray]:
    """`x_*` float32 (N, 7): six numbers and the group; `y_*` uint8 (N,); `sensitive` names the group."""
    import numpy

    generator = numpy.random.default_rng(0)
    arrays: dict[str, numpy.ndarray] = {}
    for part, rows in (("train", 20_000), ("test", 5_000)):
        group = generator.random(rows) < SHARE
        x = generator.standard_normal((rows, WIDTH))
        x[:, 0] += numpy.where(group, SHIFT, -SHIFT)
        chance = 1 / (1 + numpy.exp(-2 * x[:, 1]))
        arrays[f"x_{part}"] = numpy.column_stack([x, group]).astype(numpy.float32)
        arrays[f"y_{part}"] = (generator.random(rows) < chance).astype(numpy.uint8)
    names = [f"number{index}" for index in range(WIDTH)]
    return arrays | {"columns": numpy.array([*names, "group"]), "sensitive": numpy.array(["group"])}


def expressiveness(gain: numpy.ndarray, noise: float) -> float:
    """I(x; z | u) in nats of z = gain · x + noise · N(0, I), gain (d, 6): ½ ln det(I + gain gainᵀ/noise²)."""
    import numpy

    return 0.5 * float(numpy.linalg.slogdet(numpy.eye(len(gain)) + gain @ gain.T / noise**2)[1])


def leak(gain: numpy.ndarray, noise: float) -> float:
    """I(z; u) in nats for the same z, exact to 1e-9.

    Both groups share one covariance, so u depends on z through its projection on the discriminant alone:
    two unit normals, `distance` apart. What is left is an integral over one dimension. Since y tells nothing
    of the first number, I(z; u | y) is the same when no row of `gain` mixes the first two numbers.
    """
    import numpy
    from scipy.integrate import quad

    shift = 2 * SHIFT * gain[:, 0]
    spread = gain @ gain.T + noise**2 * numpy.eye(len(gain))
    distance = math.sqrt(float(shift @ numpy.linalg.solve(spread, shift)))

    def integrand(t: float, own: float, other: float) -> float:
        """Density of a unit normal times ln p(u | projection), `own` standing for the group it came from."""
        ratio = math.log(other / own) - distance * t - distance**2 / 2
        return -math.exp(-(t**2) / 2) / math.sqrt(2 * math.pi) * float(numpy.logaddexp(0, ratio))

    shares = (SHARE, 1 - SHARE)
    known = sum(
        own * quad(integrand, -12, 12, args=(own, 1 - own), epsabs=1e-11, limit=200)[0] for own in shares
    )
    return known - sum(share * math.log(share) for share in shares)
