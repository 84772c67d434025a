"""Generators, search and guidance of the attack study, against closed forms and what must hold."""

from __future__ import annotations

import itertools
import math
from collections import Counter

import pytest
import torch
import torch.nn.functional as F
from attack_cases import classifier, seeded, untrained_flow
from torch import nn

from harness.studies.attack import (
    adversarial,
    auxiliary,
    generators,
)
from harness.studies.attack.generators import LatentFlow, integrate, one_hot, settled
from harness.studies.attack.guidance import Guidance, guided
from harness.studies.attack.search import UNTARGETED, Adam, Search, accepts, distance, fooling, fools, search
from harness.studies.attack.tries import tries


def how(**changed) -> Search:
    plain = {
        "steps": 10,
        "step": 0.05,
        "l1_weight": 1.0,
        "l2_weight": 1.0,
        "slack": 0.1,
        "form": "paper",
        "rule": "adam",
        "noise": 0.0,
    }
    return Search(**(plain | changed))


# --- generators


@pytest.mark.parametrize(("mean", "scale"), [(0.0, 1.0), (1.5, 0.5), (-2.0, 3.0)])
def test_a_flow_integrates_a_known_gaussian_map(mean, scale):
    """The rectified flow from N(0, 1) to N(m, s²) has a velocity in closed form; it takes z to m + s z."""

    def velocity(x, t, classes):
        variance = (1 - t) ** 2 + (scale * t) ** 2
        return mean + (scale**2 * t - (1 - t)) / variance * (x - t * mean)

    z = torch.randn(50, 3, generator=seeded(0), dtype=torch.float64)
    errors = []
    for steps in (8, 16, 32):
        end = integrate(velocity, z, torch.zeros(50, 10), steps)
        errors.append(float((end - (mean + scale * z)).abs().max()))
    assert errors[2] < 0.02
    if scale != 1:
        assert errors[0] / errors[2] > 12  # 16 were second order; symmetry gives the midpoint rule more
    else:
        assert errors[0] < 0.1


def test_a_flow_learns_a_known_gaussian():
    """Codes of class 0 are N(2, .25), of class 1 N(−2, 1): so are those that the trained velocity makes."""
    torch.manual_seed(0)
    y = torch.arange(4000) % 2
    codes = torch.where(y[:, None] == 0, 2 + 0.5 * torch.randn(4000, 2), -2 + torch.randn(4000, 2))
    network = generators.FlowNetwork(2, 48)
    generators._train_velocity(network, codes, y, 700, 128, lambda step: None)
    settled(network)
    for digit, mean, spread in ((0, 2.0, 0.5), (1, -2.0, 1.0)):
        classes = one_hot(torch.full((2000,), digit))
        made = integrate(network, torch.randn(2000, 2, generator=seeded(1)), classes, 8)
        assert made.mean(0).tolist() == pytest.approx([mean] * 2, abs=0.15)
        assert made.std(0).tolist() == pytest.approx([spread] * 2, rel=0.25)


@pytest.mark.parametrize("kind", ["acwgan", "acwgan_paper"])
@pytest.mark.parametrize("side", [8, 28])
def test_an_adversarial_pair_takes_classes_and_comes_back_from_its_arrays(kind, side):
    torch.manual_seed(0)
    pair = settled(adversarial.AdversarialPair(kind, side))
    z, y = torch.randn(10, pair.latent, generator=seeded(1)), torch.arange(10)
    images = pair(z, y)
    assert images.shape == (10, 1, side, side) and images.min() >= 0 and images.max() <= 1
    score_, classes = pair.critic(images)
    assert score_.shape == (10,) and classes.shape == (10, 10)
    again = adversarial.AdversarialPair.restore(kind, side, pair.state_dict())
    assert torch.equal(again(z, y), images)
    assert not torch.allclose(pair(z[:1], y[:1]), pair(z[:1], y[1:2]), atol=1e-6)


def test_the_paper_generator_has_the_sources_sizes():
    recipe = adversarial.RECIPES["acwgan_paper"]
    assert (recipe.latent, recipe.width, recipe.critic_steps, adversarial.BATCH) == (128, 32, 5, 64)
    assert (recipe.rate, recipe.beta2, adversarial.PENALTY) == (2e-4, 0.999, 10)


def test_the_penalty_holds_a_critics_slope_at_one():
    """For a linear critic x ↦ w · x the penalty is 10 (‖w‖ − 1)², whatever the images."""

    class Linear(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(torch.full((64,), 0.5))

        def forward(self, x):
            return x.flatten(1) @ self.w, torch.zeros(len(x), 10)

    pair = adversarial.AdversarialPair("acwgan", 8)
    pair.critic = Linear()
    real = torch.rand(6, 1, 8, 8)
    made_seed = 3
    torch.manual_seed(made_seed)
    loss = adversarial._critic_loss(pair, real, torch.arange(6))
    torch.manual_seed(made_seed)
    with torch.no_grad():
        made = pair.generator(torch.randn(6, pair.latent), torch.arange(6))
    gap = (made.sum((1, 2, 3)) - real.sum((1, 2, 3))).mean() * 0.5
    norm = 0.5 * math.sqrt(64)
    assert float(loss.detach()) == pytest.approx(float(gap) + math.log(10) + 10 * (norm - 1) ** 2, rel=1e-4)


def test_restored_flows_make_the_same_images():
    flow = untrained_flow()
    z, y = torch.randn(5, 6, generator=seeded(2)), torch.arange(5)
    assert torch.equal(LatentFlow.restore(flow.state_dict())(z, y), flow(z, y))
    network = settled(auxiliary.build(8))
    x = torch.rand(3, 1, 8, 8)
    assert torch.equal(auxiliary.restore(network.state_dict())(x), network(x))


def test_running_means_are_weighted_means():
    model = nn.Linear(1, 1, bias=False)
    averages = generators.Averages(model, 0.1)
    expected = float(model.weight.detach())
    for step, value in enumerate((1.0, 2.0, 3.0, -1.0)):
        nn.init.constant_(model.weight, value)
        averages.follow()
        expected += max(0.1, 1 / (step + 2)) * (value - expected)
    averages.settle()
    assert float(model.weight.detach()) == pytest.approx(expected)


# --- search


def test_fooling_is_the_smallest_cross_entropy_to_a_wrong_class():
    logits = torch.randn(30, 10, generator=seeded(0))
    source = torch.arange(30) % 10
    every = torch.stack(
        [F.cross_entropy(logits, torch.full((30,), c), reduction="none") for c in range(10)], 1
    )
    expected = every.scatter(1, source[:, None], math.inf).amin(1)
    untargeted = torch.full((30,), UNTARGETED)
    torch.testing.assert_close(fooling(logits, source, untargeted), expected)
    wanted = (source + 3) % 10
    torch.testing.assert_close(fooling(logits, source, wanted), every.gather(1, wanted[:, None])[:, 0])


def test_both_forms_of_l1_on_numbers_done_by_hand():
    start, z = torch.zeros(1, 4), torch.tensor([[0.05, -0.3, 1.0, 0.1]])
    assert float(distance(z, start, 0.1, "paper")) == pytest.approx((0.2 + 0.9) / 4)
    assert float(distance(z, start, 0.1, "released")) == pytest.approx((0.08 + 0.99) / 4)


@pytest.mark.parametrize("rule", ["adam", "source"])
@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_no_steps_return_the_start(rule, noise):
    flow, source = untrained_flow(), torch.arange(10)
    start = torch.randn(10, 6, generator=seeded(1))
    free = torch.full((10,), UNTARGETED)
    asked = how(steps=0, rule=rule, noise=noise)
    found = search(flow, classifier(0), classifier(1), source, free, start, asked, seeded(2))
    assert torch.equal(found.z, start)
    assert torch.equal(found.images, flow(start, source)) and torch.equal(found.clean, found.images)


class Disc:
    """A generator whose image is z itself."""

    def __call__(self, z, y):
        return z.view(-1, 1, 1, 2)


class Peak(nn.Module):
    """Says 1 within .2 of the point (1, 0), else 0; slopes lead to that point and through it."""

    def forward(self, x):
        apart = (x.flatten(1) - torch.tensor([1.0, 0.0])).norm(dim=1)
        return torch.stack(
            [torch.zeros_like(apart), 2 - 10 * apart, *[torch.full_like(apart, -50.0)] * 8], dim=1
        )


def test_the_last_iterate_counts_even_where_an_earlier_one_fooled():
    """With steps of .5 plain descent jumps over the spot: some iterates fool; the last is returned."""
    target, free = Peak(), torch.tensor([UNTARGETED])
    source, start = torch.zeros(1, dtype=torch.int64), torch.tensor([[0.0, 0.0]])
    fooled, last = [], []
    for steps in range(12):
        asked = how(steps=steps, step=0.5, l1_weight=0.0, l2_weight=0.0)
        found = search(Disc(), target, nn.Identity(), source, free, start, asked, seeded(0))
        fooled.append(bool(fools(target, found.images, source, free)))
        last.append(found.z)
    assert any(fooled) and not all(fooled[fooled.index(True) :])
    for earlier, later in itertools.pairwise(last):
        assert not torch.equal(earlier, later)


def test_each_try_moves_by_its_own_gradient():
    """What a try finds does not depend on its neighbours in the batch, but for the order of sums."""
    flow, target, helper = untrained_flow(), classifier(0), classifier(1)
    source, start = torch.arange(6), torch.randn(6, 6, generator=seeded(1))
    free = torch.full((6,), UNTARGETED)
    together = search(flow, target, helper, source, free, start, how(), seeded(2))
    for row in range(6):
        one = slice(row, row + 1)
        alone = search(flow, target, helper, source[one], free[one], start[one], how(), seeded(2))
        torch.testing.assert_close(alone.z, together.z[one], rtol=1e-3, atol=1e-4)


def test_a_search_lowers_what_it_minimises_and_weights_do_what_they_say():
    flow, target, helper = untrained_flow(), classifier(0), classifier(1)
    target[3].weight.mul_(5)
    source, start = torch.arange(10).repeat(4), torch.randn(40, 6, generator=seeded(3))
    free = torch.full((40,), UNTARGETED)

    def ends(**changed):
        return search(flow, target, helper, source, free, start, how(steps=60, **changed), seeded(4))

    def l0(images):
        return float(fooling(target(images), source, free).mean())

    before = flow(start, source)
    assert l0(ends(l2_weight=0.0).images) < l0(before) - 0.01
    near, far = ends(l1_weight=50.0), ends(l1_weight=0.0)
    assert distance(near.z, start, 0.1, "paper").mean() < distance(far.z, start, 0.1, "paper").mean()
    agreed = F.cross_entropy(helper(ends(l2_weight=20.0).images), source)
    assert agreed < F.cross_entropy(helper(ends(l2_weight=0.0).images), source)


def test_noise_stays_within_eps_and_the_auxiliary_sees_none():
    flow, seen = untrained_flow(), []

    class Watching(nn.Module):
        def forward(self, x):
            seen.append(x.detach())
            return x.flatten(1)[:, :10]

    source, start = torch.arange(4), torch.randn(4, 6, generator=seeded(1))
    free = torch.full((4,), UNTARGETED)
    found = search(flow, classifier(0), Watching(), source, free, start, how(noise=0.1, steps=8), seeded(2))
    apart = (found.images - found.clean).abs()
    assert 0.01 < float(apart.max()) <= 0.1 + 1e-6
    assert found.images.min() >= 0 and found.images.max() <= 1
    with torch.no_grad():
        assert torch.equal(seen[0], flow(start, source))


def test_a_targeted_search_is_judged_by_the_wanted_class():
    logits = torch.eye(10)[:4] * 5  # says 0, 1, 2, 3
    network = nn.Identity()
    source = torch.tensor([1, 1, 1, 1])
    wanted = torch.tensor([0, 0, UNTARGETED, 3])
    assert fools(network, logits, source, wanted).tolist() == [True, False, True, True]
    assert accepts(network, logits, source).tolist() == [False, True, False, False]


def test_adam_is_torchs_adam():
    z = torch.randn(4, 3, generator=seeded(0))
    parameter = nn.Parameter(z.clone())
    theirs, ours, here = torch.optim.Adam([parameter], 0.05, (0.9, 0.99)), Adam(z, 0.05), z
    for turn in range(6):
        slope = torch.randn(4, 3, generator=seeded(turn))
        parameter.grad = slope.clone()
        theirs.step()
        here = ours.moved(here, slope)
    torch.testing.assert_close(here, parameter.detach(), rtol=1e-5, atol=1e-6)


def test_tries_hold_every_digit_alike():
    source, wanted = tries(7, targeted=False)
    assert Counter(source.tolist()) == dict.fromkeys(range(10), 7) and set(wanted.tolist()) == {UNTARGETED}
    source, wanted = tries(2, targeted=True)
    pairs = Counter(zip(source.tolist(), wanted.tolist(), strict=True))
    assert len(pairs) == 90 and set(pairs.values()) == {2} and all(a != b for a, b in pairs)


# --- guidance


def test_guidance_without_strength_is_plain_sampling():
    flow, source = untrained_flow(), torch.arange(10)
    start = torch.randn(10, 6, generator=seeded(1))
    free = torch.full((10,), UNTARGETED)
    found = guided(
        flow, classifier(0), classifier(1), source, free, start, Guidance(12, 0.0, 0.0, 1.0, 1), seeded(0)
    )
    z = start
    for step in range(12):  # Euler's rule, written out
        z = z + flow.velocity(z, torch.tensor(step / 12), one_hot(source)) / 12
    assert torch.equal(found.images, flow.decode(z))
    late = Guidance(12, 5.0, 1.0, 1.0, 1)  # nor where it would begin at the end
    torch.testing.assert_close(
        guided(flow, classifier(0), classifier(1), source, free, start, late, seeded(0)).images, found.images
    )


def test_guidance_moves_towards_what_it_is_told():
    flow, target, helper = untrained_flow(), classifier(0), classifier(1)
    source, start = torch.arange(10).repeat(4), torch.randn(40, 6, generator=seeded(1))
    free = torch.full((40,), UNTARGETED)

    def l0(strength):
        found = guided(
            flow, target, helper, source, free, start, Guidance(16, strength, 0.2, 0.0, 1), seeded(0)
        )
        return float(fooling(target(found.images), source, free).mean())

    assert l0(1.0) < l0(0.3) < l0(0.0)


def test_only_failures_are_drawn_anew():
    flow, source = untrained_flow(), torch.arange(10)
    start = torch.randn(10, 6, generator=seeded(1))
    target, helper, free = classifier(0), classifier(1), torch.full((10,), UNTARGETED)

    def draws(count):
        return guided(flow, target, helper, source, free, start, Guidance(8, 1.0, 0.2, 1.0, count), seeded(5))

    one, three = draws(1), draws(3)
    good = fools(target, one.images, source, free) & accepts(helper, one.images, source)
    assert good.any() and not good.all()
    assert torch.equal(three.images[good], one.images[good]) and torch.equal(three.z[good], start[good])
    assert (three.z[~good] != start[~good]).all()
