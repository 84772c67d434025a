"""The oracle, the rates, and what unrestricted attacks hand to the score."""

from __future__ import annotations

import csv
import dataclasses
import itertools
import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from attack_cases import method, problem, remembering, seeded
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from harness.context import Run
from harness.errors import UserError
from harness.studies.attack import (
    auxiliary,
    generator_assets,
    images,
    judges,
    oracle,
    oracle_assets,
    rates,
)
from harness.studies.attack import measures_unrestricted as measures
from harness.studies.attack.broken import broken
from harness.studies.attack.generator_assets import auxiliary_classifier, conditional_generator
from harness.studies.attack.generators import settled
from harness.studies.attack.oracle_assets import held_out
from harness.studies.attack.score import score
from harness.studies.attack.search import UNTARGETED

TINY = {"updates": 40, "auxiliary_updates": 20, "starts": 2}


# --- the oracle


def test_majorities_of_all_votes_of_five_judges():
    """Every way in which five judges can say a, b, c or nothing, at three, four and five votes."""
    said = (0, 4, 9, oracle.ABSTAINS)
    every = torch.tensor(list(itertools.product(said, repeat=5))).T
    for needed in oracle.VOTES:
        found = oracle.majority(every, needed).tolist()
        for votes, answer in zip(every.T.tolist(), found, strict=True):
            reached = [digit for digit in said[:3] if votes.count(digit) >= needed]
            assert answer == (reached[0] if reached else oracle.ABSTAINS)
    for needed in (2, 0, 6):
        with pytest.raises(ValueError, match="are no majority"):
            oracle.majority(every, needed)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.5, 0.99), st.sampled_from([0.005, 0.02, 0.1]))
def test_thresholds_keep_to_the_abstention_that_is_asked(seed, skill, limit):
    """On the images that they are set on at most the limit; on others of the same kind nearly so."""
    stream = seeded(seed)
    n = 3000
    hard = torch.rand(n, generator=stream)
    sure = (skill + (1 - skill) * torch.rand(5, n, generator=stream) - 0.5 * hard**4).clamp(0.01, 1)
    digit = torch.zeros(5, n, dtype=torch.int64)
    half = n // 2
    thresholds = oracle.calibrate(sure[:, :half], digit[:, :half], limit)

    def abstention(part):
        votes = oracle.voted(sure[:, part], digit[:, part], thresholds)
        return float((oracle.majority(votes, 3) == oracle.ABSTAINS).double().mean())

    here, elsewhere = abstention(slice(0, half)), abstention(slice(half, n))
    assert here <= limit
    assert here >= limit - 20 / half  # and not far below: it refuses as much as it may
    assert elsewhere <= limit + 5 * math.sqrt(limit / half) + 2 / half


def test_thresholds_refuse_nothing_where_judges_disagree_too_much():
    sure, digit = torch.full((5, 100), 0.9), torch.arange(5)[:, None].expand(5, 100)
    assert oracle.calibrate(sure, digit).tolist() == [0.0] * 5


def test_none_of_these_takes_its_share_of_the_confidence():
    logits = torch.full((2, 11), -20.0)
    logits[0, 3] = 5.0
    logits[1, 3], logits[1, judges.NONE] = 5.0, 6.0
    sure, digit = oracle.confidence(nn.Identity(), logits)
    assert digit.tolist() == [3, 3]
    assert sure.tolist() == pytest.approx([1.0, 1 / (1 + math.e)], abs=1e-4)


def test_judges_differ_in_build_distortion_and_order_and_share_none_with_the_auxiliary():
    shapes = [
        [tuple(value.shape) for value in judges.build(name, 28).state_dict().values()]
        for name in judges.ARCHITECTURES
    ]
    shapes.append([tuple(value.shape) for value in auxiliary.build(28).state_dict().values()])
    assert len({str(shape) for shape in shapes}) == 6
    assert judges.DISTORTIONS.keys() == judges.EPOCHS.keys() == set(judges.ARCHITECTURES)
    for side in (8, 28):
        for name in judges.ARCHITECTURES:
            assert settled(judges.build(name, side))(torch.rand(3, 1, side, side)).shape == (3, 11)
    with pytest.raises(ValueError, match="no judge 'forest'"):
        judges.build("forest", 28)


def test_oriented_filters_see_edges_and_not_brightness():
    edges = judges.Oriented(28)
    flat = edges(torch.full((1, 1, 28, 28), 0.7)).view(32, 7, 7)[:, 2:5, 2:5]
    assert flat.abs().max() < 1e-4
    bar = torch.zeros(1, 1, 28, 28)
    bar[..., 12:16, :] = 1
    assert edges(bar).max() > 0.5


def test_garbage_is_in_range_and_never_a_blend_of_one_digit():
    x = torch.rand(400, 1, 8, 8, generator=seeded(0))
    y = torch.arange(400) % 10
    torch.manual_seed(0)
    for makers in (judges.KNOWN, judges.UNKNOWN):
        for name, maker in makers.items():
            made = judges.garbage(x, y, {name: maker})
            assert 0 < len(made) <= 400 and made.shape[1:] == x.shape[1:]
            assert made.min() >= 0 and made.max() <= 1
    same = judges.garbage(x, torch.zeros(400, dtype=torch.int64), {"halves": judges.KNOWN["halves"]})
    assert len(same) == 0
    ones = judges.garbage(x, torch.ones(400, dtype=torch.int64), {"turned": judges.KNOWN["turned"]})
    assert len(ones) == 0  # a turned 1 may be a digit


def test_a_turned_image_is_a_turned_image():
    x = torch.rand(6, 1, 8, 8)
    torch.manual_seed(0)
    torch.testing.assert_close(judges.affine(x, 0, 0, 0, 0), x, atol=1e-5, rtol=0)
    assert judges.affine(x, 0.2, 0.1, 0.1, 0.1).shape == x.shape


def test_calibration_images_are_not_trained_on(monkeypatch):
    assert int(held_out(60_000).sum()) == 5000 and int(held_out(1437).sum()) == 288
    seen = []

    def watching(architecture, x, y, effort, told):
        seen.append(x)
        return settled(judges.build(architecture, 8))

    monkeypatch.setattr(oracle_assets, "train_judge", watching)
    run = Run(seed=0, folder=Path())
    oracle_assets.judge(run, dataset="digits", architecture="lenet", seed=0, effort=1.0)
    train = images.load(run, "digits").x_train
    assert torch.equal(seen[0], train[~held_out(len(train))])


@pytest.mark.parametrize(
    "make",
    [
        lambda run: conditional_generator(run, dataset="digits", kind="latent_flow", seed=0, steps=4),
        lambda run: conditional_generator(run, dataset="digits", kind="acwgan", seed=0, steps=2),
        lambda run: auxiliary_classifier(run, dataset="digits", seed=0, steps=3),
        lambda run: oracle_assets.judge(run, dataset="digits", architecture="dense", seed=0, effort=0.05),
    ],
)
def test_nothing_that_is_trained_sees_the_test_images(monkeypatch, make):
    """With every test image turned to noise, what is trained comes out the same to the last bit."""
    run = Run(seed=0, folder=Path())
    before = make(run)
    whole = images.load(run, "digits")
    noise = torch.rand(whole.x_test.shape)
    monkeypatch.setattr(
        images, "load", lambda *_: dataclasses.replace(whole, x_test=noise, y_test=1 - whole.y_test)
    )
    after = make(run)
    assert all(torch.equal(before[name], after[name]) for name in before.keys() | after.keys())


def test_no_two_of_what_is_trained_see_the_images_in_one_order(monkeypatch):
    """At one seed, the first rows that each draws differ: judges, auxiliary classifier and generators."""
    first = []

    def peek(*_, **__):
        first.append(tuple(torch.randint(1000, (8,)).tolist()))
        raise StopIteration

    monkeypatch.setattr(oracle_assets, "train_judge", peek)
    monkeypatch.setattr(generator_assets.auxiliary, "train_auxiliary", peek)
    monkeypatch.setattr(generator_assets.generators, "train_flow", peek)
    run, shared = Run(seed=0, folder=Path()), {"dataset": "digits", "seed": 0}
    for name in judges.ARCHITECTURES:
        with pytest.raises(StopIteration):
            oracle_assets.judge(run, **shared, architecture=name, effort=1.0)
    for builder, more in (
        (auxiliary_classifier, {"steps": 1}),
        (conditional_generator, {"steps": 1, "kind": "latent_flow"}),
    ):
        with pytest.raises(StopIteration):
            builder(run, **shared, **more)
    assert len(set(first)) == len(judges.ARCHITECTURES) + 2


# --- rates


def test_binomial_intervals_equal_the_library():
    from scipy.stats import binomtest

    for count, n in ((0, 10), (3, 10), (10, 10), (57, 200)):
        low, high = rates.wilson(count, n)
        theirs = binomtest(count, n).proportion_ci(0.95, "wilson")
        assert (low, high) == pytest.approx((theirs.low, theirs.high), abs=1e-7)
        share = rates.percent(torch.arange(n) < count)
        assert (share.value, share.n) == (pytest.approx(100 * count / n), n) and share.error > 0
        theirs = binomtest(count, n).proportion_ci(0.682689492, "wilson")
        assert 2 * share.error / 100 == pytest.approx(theirs.high - theirs.low, abs=1e-6)


def test_the_nearest_image_is_the_nearest_on_hand_made_data():
    images = torch.tensor([[[0.0, 0.5]], [[1.0, 1.0]]])
    others = torch.tensor([[[0.25, 0.5]], [[0.0, 0.0]], [[0.5, 1.0]]])
    for at_once in (1, 2, 2000):
        assert rates.nearest(images, others, at_once).tolist() == [0.25, 0.5]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6))
def test_rates_are_nested_and_add_up(seed):
    stream = seeded(seed)
    source = torch.arange(60) % 10
    votes = torch.randint(-1, 10, (5, 60), generator=stream)
    votes = torch.where(torch.rand(5, 60, generator=stream) < 0.7, source, votes)
    seen = {needed: oracle.majority(votes, needed) for needed in oracle.VOTES}
    stages = measures.Stages(
        source,
        torch.rand(60, generator=stream) < 0.8,
        torch.rand(60, generator=stream) < 0.9,
        seen,
    )
    found = measures.rates(stages) | measures.by_digit(stages)
    value = {name: each if isinstance(each, float) else each.value for name, each in found.items()}
    assert value["joint_at_5"] <= value["joint_at_4"] <= value["joint_rate"]
    for name in ("joint", "conditional"):
        assert 0 <= value[f"{name}_low"] <= value[f"{name}_rate"] <= value[f"{name}_high"] <= 100
    assert value["joint_rate"] <= value["raw_rate"] <= min(value["fooled"], value["accepted"])
    assert value["joint_rate"] == pytest.approx(value["raw_rate"] * value["conditional_rate"] / 100)
    for kind in ("raw", "joint"):
        assert value[f"{kind}_mean"] == pytest.approx(value[f"{kind}_rate"])  # as many tries of each digit
    for digit in range(10):
        mine = source == digit
        assert found[f"joint_{digit}"].value == pytest.approx(
            100 * float(stages.joint()[mine].float().mean())
        )


def test_without_raw_successes_there_is_no_conditional_rate():
    nothing = torch.zeros(10, dtype=torch.bool)
    stages = measures.Stages(torch.arange(10), nothing, ~nothing, {n: torch.arange(10) for n in oracle.VOTES})
    found = measures.rates(stages) | measures.by_digit(stages)
    assert not any(name.startswith("conditional") for name in found) and "abstained" not in found
    assert found["raw_rate"].value == 0 and found["raw_rate"].error > 0


# --- methods and the whole score


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    """A short search and a short guided attack on the digits, scored; assets are made once."""
    made = {}
    shared = None
    for name, more in (
        ("base", {"steps": 0, "generator": "latent_flow"}),
        ("search", {"steps": 5, "generator": "latent_flow"}),
        ("guided", {"draws": 1, "steps": 6}),
    ):
        folder = tmp_path_factory.mktemp(name)
        run = remembering(Run(seed=0, folder=folder))
        shared = run._assets = shared or run._assets
        case = problem(folder)
        object.__setattr__(case, "run", run)
        file = "guided_attack" if name == "guided" else "generative_attack"
        arrays = method(file)(case, run, **(TINY | more))
        found = score(case, arrays, run, judge_effort=0.05, transfer_epochs=2)
        made[name] = (case, arrays, found, folder)
    return made


def test_methods_return_what_the_contract_says(scored):
    for case, arrays, _, _ in scored.values():
        assert arrays["images"].shape == (20, 1, 8, 8)
        assert arrays["images"].min() >= 0 and arrays["images"].max() <= 1
        assert arrays["source"].tolist() == list(range(10)) * 2
        assert arrays["accepted"].dtype == torch.uint8 and arrays["wanted"].eq(UNTARGETED).all()
        assert arrays["plain"].shape == (1000, 1, 8, 8) and float(arrays["cpu_seconds"]) > 0
        assert case.x_test.shape[1:] == (1, 8, 8)


def test_every_metric_of_the_score_is_declared_and_finite(scored):
    from harness.studies.attack.score import METRICS

    declared = {metric.name for metric in METRICS}
    for _, _, found, _ in scored.values():
        assert found.keys() <= declared
        assert {"tries", "raw_rate", "joint_rate", "oracle_error", "plain_oracle"} <= found.keys()
        for value in found.values():
            assert math.isfinite(value if isinstance(value, float) else value.value)


def test_without_search_it_is_the_rate_of_plain_samples(scored):
    """The images are those that the generator makes of the starts, and the score counts nothing else."""
    case, arrays, found, _ = scored["base"]
    said = case.network(arrays["images"]).argmax(1)
    raw = (said != arrays["source"]) & arrays["accepted"].bool()
    assert found["raw_rate"].value == pytest.approx(100 * float(raw.double().mean()))
    assert torch.equal(arrays["images"], arrays["clean"])


def test_a_cell_keeps_counts_sheets_and_what_people_may_judge(scored):
    for _, arrays, found, folder in scored.values():
        lines = list(csv.DictReader((folder / "digits.csv").open()))
        assert [line["digit"] for line in lines] == [*map(str, range(10)), "all"]
        assert int(lines[-1]["tries"]) == 20
        assert int(lines[-1]["raw"]) == round(found["raw_rate"].value * 20 / 100)
        assert (folder / "plain.png").stat().st_size > 500
        with np.load(folder / "judged.npz", allow_pickle=False) as kept:
            kinds = Counter(kept["kind"].tolist())
            assert kinds["attack"] == int(lines[-1]["raw"]) and kinds["real"] == kinds["plain"] == 100
            assert kept["images"].dtype == np.uint8 and kept["images"].shape[1:] == (8, 8)
        assert len(arrays["images"]) == 20


def test_the_same_seed_gives_the_same_images(tmp_path, scored):
    run = scored["search"][0].run
    again = method("generative_attack")(
        scored["search"][0], run, **(TINY | {"steps": 5, "generator": "latent_flow"})
    )
    assert torch.equal(again["images"], scored["search"][1]["images"])


def test_a_flow_has_no_critic_and_images_stay_in_range(tmp_path):
    case = problem(tmp_path)
    with pytest.raises(UserError, match="a latent flow has no critic"):
        method("generative_attack")(case, case.run, generator="latent_flow", auxiliary="critic")
    arrays = {
        "images": torch.full((2, 1, 8, 8), 1.5),
        "source": torch.tensor([0, 1]),
        "accepted": torch.ones(2, dtype=torch.uint8),
    }
    with pytest.raises(ValueError, match=r"images are 1\.5 to 1\.5; they must be within \[0, 1\]"):
        measures._check(arrays)
    with pytest.raises(ValueError, match="one row for each try"):
        measures._check(arrays | {"source": torch.tensor([0])})


def test_the_critics_head_can_be_the_auxiliary(tmp_path):
    case = problem(tmp_path)
    arrays = method("generative_attack")(
        case, case.run, generator="acwgan", auxiliary="critic", updates=2, starts=1, steps=2
    )
    assert arrays["images"].shape == (10, 1, 8, 8)


def test_broken_images_are_broken_and_at_eps_zero_there_are_none(tmp_path):
    case = problem(tmp_path)
    for eps in (0.0, 0.2):
        found = broken(case.run, **case.identity, eps=eps)
        assert (case.network(found["images"]).argmax(1) != found["source"]).all()
        assert (len(found["source"]) > 20) == (eps > 0)
