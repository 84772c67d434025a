"""Attacks within the ball: exact balls, closed forms, masked gradients, and what the score refuses."""

from __future__ import annotations

import importlib.util
import warnings
from fractions import Fraction

import pytest
import torch
from attack_cases import NORM_BOUNDED, around, errors, method, problem
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import harness
from harness.studies.attack import measures_norm, norm_attacks, score
from harness.studies.attack.norm_attacks import Ball

pytestmark = pytest.mark.filterwarnings("ignore:Please import:DeprecationWarning")


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    return problem(tmp_path_factory.mktemp("short"))


def run(name, prepared, **parameters):
    if name == "foolbox_pgd" and importlib.util.find_spec("foolbox") is None:
        pytest.skip("foolbox is not installed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # foolbox's, on import
        return method(name)(prepared, prepared.run, **parameters)["adversarial"]


LESS = {"pgd_margin": {"steps": 20, "restarts": 2}, "apgd": {"steps": 20}, "square": {"queries": 150}}


@settings(max_examples=300, deadline=None)
@given(st.floats(0, 1, width=32), st.floats(0, 1))
def test_the_ball_is_exact(x, eps):
    image = torch.tensor([x], dtype=torch.float32)
    ball = Ball.around(image, eps)
    low, high = (Fraction(float(end[0])) for end in (ball.lower, ball.upper))
    assert max(Fraction(x) - Fraction(eps), 0) <= low <= Fraction(x) <= high
    assert high <= min(Fraction(x) + Fraction(eps), 1)
    below, above = (ball.lower.nextafter(torch.tensor(-9.0)), ball.upper.nextafter(torch.tensor(9.0)))
    gap = Fraction(1, 2**50)  # what the sum of x and eps in double precision may be off by
    assert Fraction(float(below[0])) < max(Fraction(x) - Fraction(eps), 0) + gap
    assert Fraction(float(above[0])) > min(Fraction(x) + Fraction(eps), 1) - gap


@pytest.mark.parametrize("name", NORM_BOUNDED)
def test_nothing_changes_at_eps_0(tmp_path, short, name):
    x, y = short.x_test[:60], short.y_test[:60]
    still = around(short.network, x, y, 0.0, tmp_path)
    assert torch.equal(run(name, still), x)


@pytest.mark.parametrize("name", NORM_BOUNDED)
def test_attacks_stay_in_the_ball_and_are_repeatable(tmp_path, short, name):
    near = around(short.network, short.x_test, short.y_test, 0.07, tmp_path)
    found = run(name, near, **LESS.get(name, {}))
    for before, after in zip(short.x_test.flatten()[:5000], found.flatten()[:5000], strict=True):
        assert abs(Fraction(float(before)) - Fraction(float(after))) <= Fraction(0.07)
    measures_norm.check_ball(near, found)
    assert torch.equal(found, run(name, near, **LESS.get(name, {})))
    wrong = errors(short.network, short.x_test, short.y_test)
    fooled = errors(short.network, found, short.y_test)
    assert not (wrong & ~fooled).any() and fooled.sum() > wrong.sum() + 20


def closed_form(layer: nn.Linear, x: Tensor, y: Tensor, eps: float) -> Tensor:
    """The smallest margin of a linear classifier in the ball: pixel by pixel, for each rival."""
    ball = Ball.around(x, eps)
    low, high = ball.lower.flatten(1).double(), ball.upper.flatten(1).double()
    weight, bias = layer.weight.double(), layer.bias.double()
    rows = weight[y][:, None] - weight
    worst = torch.where(rows > 0, low[:, None], high[:, None])
    found = (rows * worst).sum(2) + bias[y][:, None] - bias
    return found.scatter(1, y[:, None], torch.inf).amin(1)


@pytest.mark.parametrize("name", ["pgd", "pgd_margin", "apgd", "square"])
def test_a_linear_model_is_attacked_to_its_closed_form(tmp_path, short, name):
    layer = nn.Linear(64, 10)  # two classes: with more rivals the margin has local optima
    layer.weight.data = torch.randn(10, 64, generator=torch.Generator().manual_seed(0))
    layer.weight.data[2:], layer.bias.data = 0.0, torch.tensor([0.0, 0.0] + [-1000.0] * 8)
    network = nn.Sequential(nn.Flatten(), layer)
    x = short.x_test[:120]
    y = network(x).argmax(1)
    found = run(name, around(network, x, y, 0.15, tmp_path))
    margins, truth = norm_attacks.margins(network(found), y).double(), closed_form(layer, x, y, 0.15)
    assert 0.1 < (truth <= 0).double().mean() < 0.9
    if name == "square":
        assert ((margins <= 0) != (truth <= 0)).double().mean() < 0.02
    else:
        assert ((margins <= 1e-5) == (truth <= 1e-5)).all()
        left = truth > 1e-4
        torch.testing.assert_close(margins[left], truth[left], atol=1e-4, rtol=0)


class Steps(nn.Module):
    """Rounds its input to 17 values, so that gradients are 0 everywhere."""

    def forward(self, x: Tensor) -> Tensor:
        return (x * 16).round() / 16


def test_a_quantised_input_does_not_look_robust(tmp_path, short):
    masked = nn.Sequential(Steps(), *short.network)
    x, y = short.x_test[:120], short.y_test[:120]
    prepared = around(masked, x, y, 0.1, tmp_path)
    shares = {name: errors(masked, run(name, prepared), y).double().mean() for name in ("pgd", "square")}
    clean = errors(masked, x, y).double().mean()
    assert shares["pgd"] == clean  # nothing to follow
    assert shares["square"] > clean + 0.2


def test_cross_entropy_saturates_where_the_margin_does_not(tmp_path, short):
    loud = nn.Sequential(*short.network[:-1], nn.Linear(100, 10))
    loud[-1].weight.data, loud[-1].bias.data = 300 * short.network[-1].weight, 300 * short.network[-1].bias
    prepared = around(loud, short.x_test, short.y_test, 0.05, tmp_path)
    shares = [
        errors(loud, run(name, prepared), short.y_test).double().mean() for name in ("pgd", "pgd_margin")
    ]
    assert shares[1] > shares[0] + 0.03


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda x: x.nextafter(torch.tensor(2.0)), "images lie outside the ball of radius 0.1"),
        (lambda x: x + torch.nan, "images lie outside the ball"),
        (lambda x: x[:-1], "there must be one float32 image for each test image"),
        (lambda x: x.double(), "there must be one float32 image for each test image"),
    ],
)
def test_the_score_refuses_images_outside_the_ball(short, change, complaint):
    edge = Ball.around(short.x_test, 0.1).upper
    measures_norm.check_ball(short, edge)
    with pytest.raises(ValueError, match=complaint):
        measures_norm.check_ball(short, change(edge))


def test_an_attack_that_beats_a_certificate_fails_the_cell(short):
    none = torch.zeros(4, dtype=torch.bool)
    first = torch.tensor([True, False, False, False])
    measures_norm.check_order(first, first, none, {"dual": ~first, "linear": ~first})
    with pytest.raises(ValueError, match="'dual' claims image 0, which is classified wrongly under attack"):
        measures_norm.check_order(none, first, none, {"dual": first})
    with pytest.raises(ValueError, match=r"'images' claims image 0, which .* by branch and bound"):
        measures_norm.check_order(none, none, first, {"images": first})
    with pytest.raises(ValueError, match="image 0 is classified wrongly, and rightly after the attack"):
        measures_norm.check_order(first, none, none, {})
    with pytest.raises(ValueError, match="'linear' lacks an image that 'dual' proves"):
        measures_norm.check_order(none, none, none, {"dual": first, "linear": none})


def test_at_eps_0_every_certificate_is_the_clean_error(tmp_path, short):
    still = problem(tmp_path, eps=0.0)
    asked = measures_norm.Asked("branched", 5, 10, "images")
    found = measures_norm.norm_bounded(still, {"adversarial": still.x_test}, still.run, asked)
    assert {estimate.value for name, estimate in found.items() if name.endswith("error")} == {
        found["clean_error"].value
    }
    certified = [estimate.value for name, estimate in found.items() if name.startswith("certified")]
    assert certified == [found["clean_error"].value] * 7 and found["open_images"].value == 0
    assert found["clean_error"].n == 360 and 0 < found["clean_error"].error < 2


@pytest.mark.parametrize("target", ["plain", "pgd", "ibp"])
def test_the_order_of_errors_holds_on_every_target(tmp_path, target):
    prepared = problem(tmp_path, target=target, test_images=60, network_epochs=40)
    found = score.score(
        prepared,
        {"adversarial": run("pgd_margin", prepared)},
        prepared.run,
        relaxation="branched",
        branches=64,
        semidefinite="images",
    )
    declared = [metric.name for metric in score.METRICS]
    assert found.keys() == set(declared[: declared.index("tries")])
    value = {name: estimate.value for name, estimate in found.items()}
    assert value["clean_error"] <= value["attack_error"] <= value["broken_error"] <= value["certified_best"]
    assert value["certified_branched"] <= value["certified_linear"] <= value["certified_dual"]
    assert value["certified_images"] <= value["certified_pairs"]
    assert value["open_images"] == pytest.approx(value["certified_best"] - value["broken_error"])
    assert (tmp_path / "changed.png").is_file()
    if target == "ibp":
        assert value["certified_interval"] < 50
    else:
        assert value["certified_interval"] > 60


def test_foolbox_and_torchattacks_agree_with_ours(tmp_path, short):
    torchattacks = pytest.importorskip("torchattacks", reason="pip install --no-deps torchattacks==3.5.1")
    x, y, network = short.x_test, short.y_test, short.network
    near = around(network, x, y, 0.1, tmp_path)
    torch.manual_seed(0)
    theirs = {
        "pgd": torchattacks.PGD(network, eps=0.1, alpha=0.01, steps=100, random_start=False),
        "apgd": torchattacks.APGD(network, eps=0.1, steps=100, n_restarts=1, loss="dlr"),
    }
    ours = {name: errors(network, run(name, near), y) for name in theirs}
    for name, attack in theirs.items():
        fooled = errors(network, attack(x, y), y)
        assert abs(int(fooled.sum()) - int(ours[name].sum())) <= 8, name
        assert (fooled != ours[name]).sum() <= 12, name
    # Its squares never touch the last row and column, which are an eighth of these images: ours break more.
    weaker = errors(network, torchattacks.Square(network, eps=0.1, n_queries=1000)(x, y), y)
    ours["square"] = errors(network, run("square", near), y)
    assert (weaker & ~ours["square"]).sum() <= 4 and ours["square"].sum() <= ours["apgd"].sum() + 2
    if importlib.util.find_spec("foolbox"):
        assert (errors(network, run("foolbox_pgd", near), y) != ours["pgd"]).sum() <= 12


def test_a_missing_package_skips_its_cell(short, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(harness.Skip, match="foolbox is not installed"):
        method("foolbox_pgd")(short, short.run)
