"""The steganography task from data to score, its training on small problems, and what its losses mean."""

from __future__ import annotations

import math

import pytest
import torch
from method_files import load
from PIL import Image

import harness
from harness.errors import UserError
from harness.studies.steganography import budget, networks, one_way, score, task, training

SMALL = {
    "dataset": "digits",
    "images": 48,
    "test_images": 24,
    "width": 8,
    "blocks": 1,
    "steps": 3,
    "batch": 4,
}
SCORE = {"probe_steps": 3, "attack_pairs": 4, "attack_steps": 3}
METRICS = {metric.name for metric in score.METRICS}
METHODS = [
    ("methods", "cyclegan", {"identity": 0.5}),
    ("methods", "cyclegan_noise", {}),
    ("methods", "cyclegan_guess", {}),
    ("methods", "cyclegan_noise_guess", {}),
    ("methods", "cyclegan_rounded", {}),
    ("methods", "stegogan", {}),
    ("methods", "cut", {"patches": 8, "decoder_steps": 2}),
    ("baselines", "gan_only", {"decoder_steps": 2}),
    ("baselines", "pix2pix", {}),
    ("baselines", "untrained", {}),
    ("baselines", "identity", {}),
]


def started(folder, seed: int = 0, **parameters) -> tuple[task.Problem, harness.Run]:
    run = harness.Run(seed=seed, folder=folder)
    return task.steganography(run, **(SMALL | parameters)), run


def fitted(problem: task.Problem, run: harness.Run, room: str, name: str, **parameters):
    return getattr(load(room, name), name)(problem, run, **parameters)


def plain(found) -> dict[str, float]:
    return {name: each.value if isinstance(each, harness.Estimate) else each for name, each in found.items()}


# --- the whole way


@pytest.mark.parametrize(("room", "name", "parameters"), METHODS, ids=[name for _, name, _ in METHODS])
def test_every_method_returns_what_the_score_reads(tmp_path, room, name, parameters):
    problem, run = started(tmp_path)
    arrays = fitted(problem, run, room, name, **parameters)
    f, g = problem.unpack(arrays)
    y = networks.translate(f, problem.test.x)
    assert y.shape == problem.test.y.shape and torch.isfinite(y).all()
    assert networks.translate(g, y).shape == problem.test.x.shape
    assert not any(weights.requires_grad for net in (f, g) for weights in net.parameters())
    trained = {"train_seconds", "train_images_per_second"}
    assert set(run.measurements) == (set() if name in ("untrained", "identity") else trained)
    again, _ = started(tmp_path)
    for key, value in fitted(again, again.run, room, name, **parameters).items():
        torch.testing.assert_close(value, arrays[key])


def test_the_score_measures_all_it_declares_and_draws(tmp_path):
    problem, run = started(tmp_path)
    identity = fitted(problem, run, "baselines", "identity")
    found = score.score(problem, identity, run, **SCORE)
    values = plain(found)
    trained = {"train_seconds", "train_images_per_second"}
    assert set(found) == METRICS - trained and all(math.isfinite(value) for value in values.values())
    assert found["e_0"].n == 24 and found["bits_free"].value > 20
    sizes = {path.name: Image.open(path).size for path in tmp_path.glob("*.png")}
    assert sizes["translations.png"] == (12 * 98, 9 * 98) and sizes["attack.png"] == (4 * 98, 6 * 98)
    assert "curves.png" in sizes
    lines = (tmp_path / "curves.csv").read_text().splitlines()
    assert lines[0] == "corruption,error,bits_g" and len(lines) == 2 + 1 + 7 + 1 + 6 + 12 + 4


def test_identity_leaks_everything_in_the_open(tmp_path):
    """All coins are read, by G and by readers, and the translation is far from its partner."""
    problem, run = started(tmp_path, images=120, test_images=60)
    found = score.score(problem, fitted(problem, run, "baselines", "identity"), run, **SCORE)
    values = plain(found)
    assert (
        values["bits_g_0"]
        == pytest.approx(values["bits_free"])
        == pytest.approx(values["bits_probe_0"], rel=0.02)
    )
    assert values["bits_g_jpeg_50"] > 0.9 * values["bits_free"]
    assert values["translation_l1"] > 0.3 and values["e_0"] < 0.1 and values["claim_1"] == 1
    assert values["bits_probe_true"] < 1 and values["noise_ratio"] < 1.5


def test_domains_without_coins_are_judged_by_regression(tmp_path):
    """On aerial-like tiles no bits are known: the honest error is that of a net fitted to true pairs."""
    arrays = {
        name: torch.randint(256, (count, 16, 16, 3), generator=torch.Generator().manual_seed(count))
        .byte()
        .numpy()
        for name, count in (("x_train", 8), ("x_test", 4))
    }
    arrays |= {name.replace("x", "y", 1): value // 2 for name, value in arrays.items()}
    run = harness.Run(seed=0, folder=tmp_path, read=lambda name: arrays)
    problem = task.steganography(run, **(SMALL | {"dataset": "made", "domain": "tiles", "size": 16}))
    found = score.score(problem, fitted(problem, run, "methods", "cyclegan"), run, **SCORE)
    assert not [name for name in found if "bits" in name]
    assert found["honest"].n == 24 and 0 < found["honest"].value < 1
    assert problem.channels == (3, 3) and set(found) <= METRICS


def test_seeds_draw_other_data_and_other_weights_and_methods_share_them(tmp_path):
    (one, _), (same, _), (other, _) = (started(tmp_path, seed) for seed in (0, 0, 1))
    assert torch.equal(one.train.x, same.train.x) and not torch.equal(one.train.x, other.train.x)
    weights = [problem.generators()[0][1].weight for problem in (one, same, other)]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])
    first, _ = started(tmp_path, steps=1000)
    assert torch.equal(first.train.x, one.train.x)


def test_sizes_that_no_network_fits_are_named(tmp_path):
    with pytest.raises(UserError, match="size: 36 must be a multiple of 8"):
        started(tmp_path, size=36)


# --- training


def test_regression_converges_to_the_closed_form_optimum(tmp_path):
    """Ĝ of the clean partner comes near the floor, and never below it but by chance."""
    problem, _ = started(tmp_path, images=400, test_images=200, width=16, learning_rate=5e-3, batch=8)
    _, g = problem.generators()
    test = problem.test

    def error() -> float:
        return float((networks.translate(g, test.y) - test.x).abs().mean())

    floor, before = float((test.median - test.x).abs().mean()), error()
    one_way.regress(problem, g, problem.train.y, problem.train.x, 150, "backward")
    assert before > floor + 0.1 and floor - 0.002 <= error() < floor + 0.02


def test_the_cycle_loss_is_what_brings_x_back(tmp_path):
    """The cycle alone brings G(F(x)) nearer to x; without its weight nothing does."""
    errors = {}
    for weight in (0.0, 10.0):
        problem, run = started(tmp_path, steps=40, width=16, learning_rate=2e-3, batch=8)
        made = fitted(problem, run, "methods", "cyclegan", cycle_x=weight, cycle_y=weight)
        f, g = problem.unpack(made)
        back = networks.translate(g, networks.translate(f, problem.test.x))
        errors[weight] = float((back - problem.test.x).abs().mean())
    assert errors[10.0] < 0.7 * errors[0.0]


@pytest.mark.parametrize("name", ["noise", "guess", "levels", "identity", "cycle_x"])
def test_every_weight_changes_what_is_learned(tmp_path, name):
    value = {"levels": 4, "cycle_x": 1.0}.get(name, 0.5)
    plainly, changed = (
        training.train_cycle(started(tmp_path)[0], weights)
        for weights in (training.Weights(), training.Weights(**{name: value}))
    )
    assert any(not torch.equal(plainly[key], changed[key]) for key in plainly)
    assert ("levels" in changed) == (name == "levels")


def test_rounded_translations_have_the_levels_and_pass_the_gradient():
    y = torch.linspace(-1, 1, 101).requires_grad_()
    made = networks.Rounded(5)(y)
    values = {round(value, 5) for value in made.tolist()}
    assert values == {-1.0, -0.5, 0.0, 0.5, 1.0}
    made.sum().backward()
    assert torch.equal(y.grad, torch.ones(101))


def test_a_mask_takes_from_features_what_it_says(tmp_path):
    """At 0 F is whole, at 1 nothing of x is left of it, and channels are masked one by one."""
    problem, _ = started(tmp_path)
    whole, _ = problem.generators()
    arrays = networks.packed(*problem.generators()) | {"mask.of.weight": torch.zeros(8, 8, 1, 1)}
    features = networks.split(whole)[0](problem.test.x)
    for bias, share in ((-40.0, 0.0), (40.0, 1.0)):
        f, _ = problem.unpack(arrays | {"mask.of.bias": torch.full((8,), bias)})
        expected = networks.split(whole)[1]((1 - share) * features)
        torch.testing.assert_close(f(problem.test.x), expected.detach())
    mask = networks.Masked(8)
    mask.of.bias.data[3] = 40.0
    assert torch.equal(mask(features)[:, 3], torch.zeros_like(features[:, 3]))
    torch.testing.assert_close(mask(features)[:, 4], features[:, 4] / 2)


def test_features_are_masked_behind_a_block(tmp_path):
    with pytest.raises(UserError, match="blocks"):
        fitted(*started(tmp_path, blocks=0), "methods", "stegogan")


@pytest.mark.parametrize("name", ["sparsity", "consistency", "noise", "cycle"])
def test_every_term_of_stegogan_changes_what_is_learned(tmp_path, name):
    plainly, changed = (
        fitted(*started(tmp_path), "methods", "stegogan", **given) for given in ({}, {name: 0.0})
    )
    assert any(not torch.equal(plainly[key], changed[key]) for key in plainly)


def test_a_pool_gives_the_new_until_it_is_full_and_then_half_old_ones():
    pool = training.Pool(torch.Generator().manual_seed(0), size=50)
    first = torch.arange(50.0).view(50, 1, 1, 1)
    assert torch.equal(pool(first), first)
    later = torch.arange(50.0, 2050.0).view(2000, 1, 1, 1)
    given = pool(later)
    old = float((given != later).float().mean())
    assert 0.45 < old < 0.55 and len(pool.images) == 50
    both = [*given.flatten().tolist(), *(float(image) for image in pool.images)]
    assert sorted(both) == [float(value) for value in range(2050)]  # nothing is given twice or lost


def test_the_rate_falls_to_zero_over_the_second_half():
    adam, falling = budget.Budget(10, 1, 0.5).adam([torch.nn.Linear(1, 1)])
    rates = []
    for _ in range(10):
        rates.append(adam.param_groups[0]["lr"])
        adam.step()
        falling.step()
    assert rates[:6] == [0.5] * 6 and rates[6:] == pytest.approx([0.4, 0.3, 0.2, 0.1])


def test_contrast_prefers_the_patch_at_its_place(tmp_path):
    """A picture against itself loses less than against its mirror image."""
    problem, _ = started(tmp_path, width=16)
    compare = one_way.PatchContrast(problem, 64, 0.07)
    f, _ = problem.generators()
    x = problem.train.x[:8]
    with torch.no_grad():
        own, mirrored = float(compare(f, x, x)), float(compare(f, x, x.flip(3)))
    assert own < mirrored and own < math.log(64)
    assert len(compare.layers) == len(compare.heads) == 2


def test_the_published_architecture_is_cyclegans():
    """11.4 million weights in a generator of nine blocks, 2.8 in a 70 × 70 critic (Zhu et al.'s code)."""
    published = networks.Architecture("published", 64, 9)
    random = torch.Generator().manual_seed(0)
    generator, critic = published.generator(3, 3, random), published.critic(3, random)
    count = [sum(weights.numel() for weights in net.parameters()) for net in (generator, critic)]
    assert count[0] == pytest.approx(11.38e6, rel=0.01) and count[1] == pytest.approx(2.76e6, rel=0.01)
    with torch.no_grad():
        assert generator(torch.zeros(1, 3, 64, 64)).shape == (1, 3, 64, 64)
    judged = critic(image := torch.zeros(1, 3, 256, 256, requires_grad=True))
    assert judged.shape == (1, 1, 30, 30)
    # One patch sees 70 pixels each way; instance norm would carry farther, so it is left out here.
    plain = torch.nn.Sequential(*(layer for layer in critic if not isinstance(layer, torch.nn.GroupNorm)))
    plain(image)[0, 0, 15, 15].backward()
    rows = image.grad.abs().sum((0, 1, 3)).nonzero()
    assert int(rows.max() - rows.min()) + 1 == 70
    small = networks.Architecture().generator(3, 1, random)
    assert small[1].weight.std().item() == pytest.approx(0.02, rel=0.05)
