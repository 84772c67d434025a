"""The stacked trainer: gradients against autograd and torch.distributions, stacks against single runs."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import Bernoulli, Categorical, Normal, kl_divergence

from harness.studies.fairness.autoencoder import Bits, FairAutoencoder, Numbers, draw
from harness.studies.fairness.networks import NARROW, Adam, Networks
from harness.studies.fairness.people import Batch, Notion, Rows, minibatches
from harness.studies.fairness.training import Budget, DualAscent, Fixed, train

LATENT, HIDDEN = 3, 5


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def people(n: int = 60, groups: int = 2, dtype: torch.dtype = torch.float64) -> Rows:
    draw = seeded(0)
    x = (torch.rand(n, 7, generator=draw) < 0.4).to(dtype)
    u = torch.nn.functional.one_hot(torch.arange(n) % groups, groups).to(dtype)
    y = (torch.rand(n, generator=draw) < 0.4).to(dtype)
    return Rows(x, u, y)


def autoencoder(rows: Rows, runs: int, likelihood=None) -> FairAutoencoder:
    return FairAutoencoder.drawn(rows, runs, LATENT, HIDDEN, likelihood or Bits(), seeded(1))


def whole(rows: Rows, notion: Notion) -> Batch:
    return next(notion.batches(rows, len(rows.y)))


def naive(model, rows, notion, multipliers, noise, released):
    """Loss of the model and of the adversaries, and the constraints, of run 0, written as the paper does."""
    q = Normal(*_moments(model, rows))
    z = q.loc + q.scale * noise
    logits = model.decode(z, rows)[0]
    loss = -Bernoulli(logits=logits).log_prob(rows.x).sum(1).mean()
    rate = kl_divergence(q, Normal(0.0, 1.0)).sum(-1).mean()
    true, u = [], rows.u.argmax(1)
    for index in range(3):
        known = Categorical(logits=model.adversaries(z.expand(3, -1, -1))[index]).log_prob(u)
        true.append(known)
    inside = [torch.ones_like(rows.y) > 0, rows.y == 0, rows.y == 1]
    leaks = []
    for known, rows_in, log_shares in zip(true, inside, notion.log_shares, strict=True):
        leaks.append((known - log_shares[u])[rows_in].mean())
    constraints = torch.stack([rate, leaks[0], (leaks[1] + leaks[2]) / 2, leaks[2]])
    learn = [
        known.mean() if released else known[rows_in].mean()
        for known, rows_in in zip(true, inside, strict=True)
    ]
    return loss + (multipliers * constraints).sum(), -sum(learn), constraints


def _moments(model, rows):
    mean, log_scale = model.encoder(torch.cat([rows.x, rows.bits], 1)).chunk(2, -1)
    return mean, log_scale.exp()


@pytest.mark.parametrize("released", [False, True])
@pytest.mark.parametrize("groups", [2, 3])
def test_a_step_has_the_gradients_of_the_papers_losses(released, groups):
    rows = people(groups=groups)
    notion = Notion.of(rows, released)
    model = autoencoder(rows, 1)
    multipliers = torch.tensor([[0.3, 0.7, 1.1, 0.2]], dtype=torch.float64)
    noise = torch.randn(len(rows.y), LATENT, generator=seeded(2), dtype=torch.float64)
    step = model.step(whole(rows, notion), multipliers, noise)
    ours = [*model.encoder.parameters, *model.decoder.parameters]
    loss, adversary_loss, constraints = naive(model, rows, notion, multipliers, noise, released)
    expected = torch.autograd.grad(loss, ours, retain_graph=True)
    opposed = torch.autograd.grad(adversary_loss, model.adversaries.parameters)
    torch.testing.assert_close(step.constraints[0], constraints, rtol=1e-10, atol=1e-12)
    for found, truth in zip([*step.model, *step.adversaries], [*expected, *opposed], strict=True):
        torch.testing.assert_close(found, truth, rtol=1e-9, atol=1e-12)
    alone = model.adversary_step(whole(rows, notion), noise)
    for found, truth in zip(alone, opposed, strict=True):
        torch.testing.assert_close(found, truth, rtol=1e-9, atol=1e-12)


def test_real_numbers_have_the_gradient_of_their_normal():
    x = torch.randn(6, 4, generator=seeded(0), dtype=torch.float64)
    outputs = torch.randn(6, 4, generator=seeded(1), dtype=torch.float64, requires_grad=True)
    value, slope = Numbers(0.3).value_and_slope(x, outputs)
    truth = Normal(outputs, math.sqrt(0.3)).log_prob(x).sum(1)
    torch.testing.assert_close(slope, torch.autograd.grad(truth.sum(), outputs)[0])
    torch.testing.assert_close(value - value[0], truth - truth[0])


@pytest.mark.parametrize("width", [2, NARROW - 1, NARROW + 3])
def test_dense_layers_have_right_derivatives_whichever_way_round(width):
    networks = Networks.drawn(2, [width, 4, width], seeded(0), torch.zeros((), dtype=torch.float64))
    x = torch.randn(2, 5, width, generator=seeded(1), dtype=torch.float64, requires_grad=True)

    def out(x, *parameters):
        networks.parameters = list(parameters)
        return networks(x)

    assert torch.autograd.gradcheck(out, (x, *networks.parameters))
    by_hand = torch.nn.functional.softplus(x @ networks.parameters[0] + networks.parameters[1])
    torch.testing.assert_close(networks(x), by_hand @ networks.parameters[2] + networks.parameters[3])


def test_adam_is_the_optimiser_of_torch():
    networks = Networks.drawn(3, [4, 2], seeded(0), torch.zeros(()))
    theirs = [parameter.detach().clone().requires_grad_() for parameter in networks.parameters]
    ours, torchs = Adam([networks], beta1=0.5), torch.optim.Adam(theirs, lr=0.02, betas=(0.5, 0.999))
    for seed in range(5):
        gradients = [torch.randn(p.shape, generator=seeded(seed)) for p in theirs]
        for parameter, gradient in zip(theirs, gradients, strict=True):
            parameter.grad = gradient
        torchs.step()
        ours.step(gradients, 0.02)
    for found, truth in zip(networks.parameters, theirs, strict=True):
        torch.testing.assert_close(found, truth)


MULTIPLIERS = torch.tensor([[1.0, 0.1, 0.0, 0.0], [0.1, 2.0, 0.5, 0.0], [0.5, 0.0, 0.0, 3.0]])


def trained(rows: Rows, multipliers, steps: int = 30):
    model = autoencoder(rows, len(multipliers.values))
    budget = Budget(steps, 16, 2, 0.01, 0.3)
    notion = Notion.of(rows, released=False)
    trace = train(model, rows, notion, multipliers, budget, seeded(3), seeded(4), lambda step: None)
    return model, trace


def test_a_stack_gives_what_its_runs_give_alone():
    rows = people()
    values = MULTIPLIERS.double()
    stacked, trace = trained(rows, Fixed(values))
    for run in range(len(values)):
        alone, own = trained(rows, Fixed(values[run : run + 1]))
        for name in ("encoder", "decoder", "adversaries"):
            together = getattr(stacked.select(run), name).flat
            torch.testing.assert_close(together, getattr(alone, name).flat, rtol=1e-8, atol=1e-10)
        torch.testing.assert_close(trace.constraints[:, run], own.constraints[:, 0], rtol=1e-8, atol=1e-10)


def test_stacks_of_floats_agree_within_rounding():
    rows = people(dtype=torch.float32)
    stacked, _ = trained(rows, Fixed(MULTIPLIERS))
    alone, _ = trained(rows, Fixed(MULTIPLIERS[1:2]))
    torch.testing.assert_close(stacked.select(1).encoder.flat, alone.encoder.flat, rtol=1e-3, atol=1e-4)


def test_training_again_gives_the_same_bits():
    rows = people(dtype=torch.float32)
    first, second = trained(rows, Fixed(MULTIPLIERS))[0], trained(rows, Fixed(MULTIPLIERS))[0]
    assert torch.equal(first.encoder.flat, second.encoder.flat)
    assert torch.equal(first.adversaries.flat, second.adversaries.flat)


def test_stored_models_come_back():
    rows = people()
    model, _ = trained(rows, Fixed(MULTIPLIERS.double()), steps=3)
    again = FairAutoencoder.restore(model.state(), Bits())
    assert torch.equal(
        again.judge(rows, Notion.of(rows, False), seeded(0))[0],
        model.judge(rows, Notion.of(rows, False), seeded(0))[0],
    )


def test_a_table_is_judged_as_one_batch(monkeypatch):
    rows = people(50)
    notion = Notion.of(rows, released=False)
    model = autoencoder(rows, 2)
    draws = seeded(5)
    noise = torch.cat([draw(part, LATENT, draws) for part in rows.split(20)])
    step = model.step(whole(rows, notion), torch.zeros(2, 4, dtype=torch.float64), noise)
    monkeypatch.setattr("harness.studies.fairness.autoencoder.CHUNK", 20)
    constraints, reconstruction = model.judge(rows, notion, seeded(5))
    torch.testing.assert_close(constraints, step.constraints)
    torch.testing.assert_close(reconstruction, step.reconstruction)


finite = st.floats(-5, 15, allow_nan=False)


@settings(max_examples=60, deadline=None)
@given(st.lists(finite, min_size=4, max_size=4), st.lists(st.floats(0.01, 10), min_size=4, max_size=4))
def test_a_multiplier_rises_exactly_when_its_constraint_is_violated(constraints, bounds):
    ascent = DualAscent(torch.tensor(bounds, dtype=torch.float64), 1, 1.0, 1e-3)
    found = torch.tensor([constraints], dtype=torch.float64)
    ascent.follow(found, 1.0)
    moved = (ascent.values - 1.0).sign()
    assert torch.equal(moved, (found - torch.tensor(bounds, dtype=torch.float64)).sign())


def test_multipliers_stay_in_their_range_and_only_where_there_is_a_bound():
    ascent = DualAscent(torch.tensor([1.0, math.inf, 1.0, math.inf]), 2, 1.0, 10.0)
    for _ in range(40):
        ascent.follow(torch.tensor([[5.0, 5.0, -5.0, 5.0], [-5.0, 5.0, 5.0, 5.0]]), 1.0)
    assert ascent.values.tolist() == [
        [100.0, 0.0, pytest.approx(0.01), 0.0],
        [pytest.approx(0.01), 0.0, 100.0, 0.0],
    ]


def test_the_first_step_of_ascent_is_that_of_tensorflow():
    ascent = DualAscent(torch.tensor([1.0, math.inf, math.inf, math.inf], dtype=torch.float64), 1, 1.0, 1e-4)
    ascent.follow(torch.tensor([[4.0, 0.0, 0.0, 0.0]], dtype=torch.float64), 1.0)
    assert float(ascent.values[0, 0]) == pytest.approx(1 + 1e-4 * 3 / math.sqrt(0.9 + 0.1 * 9), rel=1e-9)


def test_cooling_ends_at_a_crawl_and_begins_late():
    budget = Budget(100, 1, 1, 0.1, 0.25)
    assert [budget.pace(step) for step in (1, 75, 76, 100)] == pytest.approx([1, 1, 1, 0.04])
    assert Budget(100, 1, 1, 0.1, 0.0).pace(100) == 1


@pytest.mark.parametrize("released", [False, True])
def test_adversaries_of_a_slice_see_it_alone_unless_released(released):
    rows = people()
    batch = whole(rows, Notion.of(rows, released))
    outside = batch.shares[1][rows.y == 1]
    assert (outside.sum() > 0) == released
    assert batch.slices[1][rows.y == 1].sum() == 0
    torch.testing.assert_close(batch.slices.sum(1), torch.ones(3, dtype=torch.float64))


def test_priors_are_conditional_unless_released():
    rows = Rows(
        torch.zeros(8, 1), torch.eye(2)[[0, 0, 0, 1, 0, 1, 1, 1]], torch.tensor([0.0] * 4 + [1.0] * 4)
    )
    paper, released = Notion.of(rows, False), Notion.of(rows, True)
    torch.testing.assert_close(paper.log_shares.exp(), torch.tensor([[0.5, 0.5], [0.75, 0.25], [0.25, 0.75]]))
    torch.testing.assert_close(released.log_shares.exp(), torch.full((3, 2), 0.5))
    assert paper.entropy() == pytest.approx(math.log(2))


def test_a_group_without_rows_of_a_label_is_named():
    rows = Rows(torch.zeros(3, 1), torch.eye(2)[[0, 1, 0]], torch.tensor([0.0, 0.0, 1.0]))
    with pytest.raises(ValueError, match=r"none of u = 1 with y = 1$"):
        Notion.of(rows, released=False)


def test_minibatches_pass_through_all_rows():
    rows = Rows(
        torch.arange(12.0).unsqueeze(1),
        torch.eye(2)[torch.arange(12) % 2],
        (torch.arange(12) % 3 == 0).float(),
    )
    batches = minibatches(rows, Notion.of(rows, False), 5, seeded(0))
    passes = [torch.cat([next(batches).rows.x for _ in range(2)]).flatten().tolist() for _ in range(2)]
    assert all(len(set(seen)) == 10 for seen in passes) and passes[0] != passes[1]
    with pytest.raises(ValueError, match="batch: 13 is not between 1 and 12"):
        next(minibatches(rows, Notion.of(rows, False), 13, seeded(0)))


def test_divergence_is_told(monkeypatch):
    rows = people(dtype=torch.float32)
    with pytest.raises(FloatingPointError, match="try a smaller learning_rate"):
        trained(rows, Fixed(torch.full((1, 4), math.nan)))
