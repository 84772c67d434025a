"""Sketches of examples: what they estimate, that they subtract, and what intervals with them cover."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness import Estimate, frozen, rows, sketch, stats
from harness.row import Row
from harness.views import claims
from harness.views.claims_file import Claim

IMAGES, SEEDS = 200, 3


def test_its_length_is_the_standard_error_and_that_of_a_difference_the_paired_one():
    generator = np.random.default_rng(0)
    alone, paired = [], []
    for _ in range(400):
        common = generator.normal(0, 5, IMAGES)
        a, b = common + generator.normal(0, 1, IMAGES), common + generator.normal(0, 1, IMAGES)
        for made, values, told in (
            (alone, a, sketch.of(a)),
            (paired, a - b, sketch.less(sketch.of(a), sketch.of(b))),
        ):
            made.append(math.hypot(*told) ** 2 / (values.var(ddof=1) / IMAGES))
    # One ratio of squares has a relative error of √(2/32) = .25, the mean of 400 one of .0125.
    for made in (alone, paired):
        assert np.mean(made) == pytest.approx(1, abs=0.05)
        assert np.std(made) == pytest.approx(0.25, abs=0.05)


@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=40), st.floats(-10, 10), st.floats(0.1, 10))
def test_it_forgets_the_mean_and_scales_with_the_values(values, shift, scale):
    first, second = sketch.of(np.array(values)), sketch.of(shift + scale * np.array(values))
    largest = max(map(abs, values)) * scale + abs(shift)
    assert second == pytest.approx([scale * each for each in first], rel=1e-3, abs=1e-9 * (1 + largest))


@pytest.mark.parametrize("values", [[], [1.0], [1.0, math.nan], [math.inf, 0.0]])
def test_there_is_none_of_a_single_value_or_of_what_is_not_finite(values):
    assert sketch.of(np.array(values)) == ()


def test_what_only_one_seed_has_is_not_shared():
    generator = np.random.default_rng(1)
    image = generator.normal(0, 3, IMAGES)
    exact = image.std(ddof=1) / math.sqrt(IMAGES)
    same = [sketch.of(image + generator.normal(0, 1, IMAGES)) for _ in range(SEEDS)]
    assert sketch.shared(same) == pytest.approx(exact, rel=0.3)
    apart = [
        sketch.shared([sketch.of(generator.normal(0, 3, IMAGES)) for _ in range(SEEDS)]) for _ in range(200)
    ]
    assert np.mean(np.square(apart)) < 0.1 * exact**2
    assert sketch.shared([same[0]]) == 0 == sketch.shared([*same, ()])


@pytest.mark.parametrize(("of_seeds", "of_images"), [(0.1, 4.0), (0.3, 4.0), (1.0, 1.0), (0.3, 0.0)])
def test_an_interval_over_seeds_and_examples_covers_what_it_says(of_seeds, of_images):
    """Where examples matter, one over seeds alone is far from its level: by how much is checked as well."""
    generator = np.random.default_rng(2)
    hits, alone, trials = 0, 0, 1500
    for _ in range(trials):
        image = generator.normal(0, of_images, IMAGES)
        each = [image + generator.normal(0, of_seeds) + generator.normal(0, 1, IMAGES) for _ in range(SEEDS)]
        means, shared = [float(values.mean()) for values in each], sketch.shared(list(map(sketch.of, each)))
        for interval in (both := stats.t_interval(means, shared=shared), stats.t_interval(means)):
            assert interval.low is not None and interval.high is not None
            inside = interval.low <= 0 <= interval.high
            hits, alone = (hits + inside, alone) if interval is both else (hits, alone + inside)
    assert hits / trials >= 0.93
    assert hits / trials <= 0.99
    if of_images > 30 * of_seeds:
        assert alone / trials < 0.8


def test_a_paired_test_of_what_only_the_examples_make_differ_keeps_its_level():
    generator = np.random.default_rng(3)
    alarms, trials = 0, 1500
    for _ in range(trials):
        image = generator.normal(0, 2, IMAGES)  # by how much the two differ on each image
        each = [image + generator.normal(0, 0.5, IMAGES) for _ in range(SEEDS)]
        shared = sketch.shared(list(map(sketch.of, each)))
        alarms += stats.paired_test([float(v.mean()) for v in each], [0.0] * SEEDS, shared=shared) <= 0.05
    assert 0.02 <= alarms / trials <= 0.08


def made(method: str, image: torch.Tensor, mean: float) -> list[Row]:
    known = {"dataset": None, "method": method, "settings": {"method": method}}
    noise = torch.Generator().manual_seed(len(method))
    found = []
    for seed in range(SEEDS):
        told = Estimate.of(mean + image + 0.01 * torch.randn(IMAGES, generator=noise))
        found.append(
            Row("s", "t", seed=seed, metric="score", value=told.value, n=told.n, sketch=told.sketch, **known)
        )
    return found


def test_a_claim_that_other_examples_could_turn_is_not_settled_by_seeds():
    """a beats b at every seed by .1, and on half of the images only; without sketches that would do."""
    image = torch.randn(IMAGES, generator=torch.Generator().manual_seed(0))
    image -= image.mean()
    asked = Claim(
        id="c",
        says="s",
        place="p",
        task="t",
        holds="score > other.score",
        of={"method": "a"},
        against={"method": "bb"},
    )
    both = made("a", 2 * image, 0.1) + made("bb", 0 * image, 0.0)
    (told,) = claims.judge(both, [asked])
    assert (told.verdict, told.settles, told.decisive.examples) == (
        "inconclusive",
        "more test examples",
        True,
    )
    (blind,) = claims.judge([row._replace(sketch=()) for row in both], [asked])
    assert blind.verdict == "holds" and not blind.decisive.examples
    (paired,) = claims.judge(made("a", 2 * image, 0.1) + made("bb", 2 * image, 0.0), [asked])
    assert paired.verdict == "holds" and paired.decisive.examples, "the images are common to both"


def test_frozen_values_keep_their_sketches(tmp_path):
    image = torch.randn(IMAGES, generator=torch.Generator().manual_seed(0))
    before = [row._replace(direction="higher") for row in made("a", image, 0.0)]
    path = tmp_path / "s.json"
    frozen.freeze(frozen.gather(before, tmp_path), path)
    after = [row for row in rows.frozen([path]) if row.origin == "measured"]
    assert [row.sketch for row in after] == [row.sketch for row in before] and after[0].sketch
    assert "sketch" not in rows.frame(after)
