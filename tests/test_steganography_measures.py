"""The measures on pairs of generators that hide known bits, or nothing: every figure is known beforehand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import harness
from harness import data
from harness.studies.steganography import (
    attack,
    bits,
    claims,
    corruption,
    domains,
    figures,
    measures,
    probes,
    residue,
)

UNIT = 1 / 127.5
"""One of 256 gray levels, in [−1, 1]."""


def stream(name: str) -> torch.Generator:
    return torch.Generator().manual_seed(len(name))


@pytest.fixture(scope="module")
def drawn() -> domains.Domains:
    random = torch.Generator().manual_seed(5)
    return domains.draw(data.load("digits"), "mosaic", 32, (300, 120), random)


@pytest.fixture(scope="module")
def pairs(drawn) -> domains.Pairs:
    return drawn.test


def coins(pairs: domains.Pairs) -> torch.Tensor:
    """−1 or 1 for each pixel (N, 1, H, W)."""
    cells = 2.0 * pairs.bits.float() - 1
    return cells.repeat_interleave(4, 1).repeat_interleave(4, 2)[:, None]


def hide(pairs: domains.Pairs, size: float) -> torch.Tensor:
    """The true partners on the 8-bit grid, each pixel moved by ± `size` by its cell's coin."""
    return corruption.rounded(pairs.y).clamp(-0.9, 0.8) + size * coins(pairs)


class Reader(nn.Module):
    """Ink as y shows it; the ground's light by the sign of what lies off the grid of step `grid`."""

    def __init__(self, grid: float) -> None:
        super().__init__()
        self.grid = grid

    def forward(self, y: torch.Tensor) -> torch.Tensor:
        ink = (y > 0).float()
        off = (y + 1) / self.grid
        sign = torch.sign(off - off.round())
        ground = -domains.LIGHT + domains.CONTRAST * sign
        return ((1 - ink) * ground + ink * domains.LIGHT).expand(-1, 3, -1, -1)


class Honest(nn.Module):
    """The median of x given a clean y, whatever else is in y."""

    def forward(self, y: torch.Tensor) -> torch.Tensor:
        ink = ((y + 0.9) / 1.8).clamp(0, 1)
        return ((2 * ink - 1) * domains.LIGHT).expand(-1, 3, -1, -1)


# --- a hand-made pair that hides known bits


def test_bits_in_the_lowest_bits_are_all_read_until_they_are_rounded_away(pairs):
    """A quarter of a gray level: everything at 0 noise, nothing after 8 bits or noise of two levels."""
    g, y = Reader(UNIT), hide(pairs, UNIT / 4)
    clean = corruption.rounded(pairs.y)
    points = measures.curve(g, y, clean, pairs, torch.Generator().manual_seed(0))
    free = (bits.kinds(pairs.ink) == 0).float().sum((1, 2)).mean()
    assert points["0"].free.value == pytest.approx(float(free)) and points["0"].free.n == 120
    for name in ("rounded", "jpeg_75", "jpeg_25", "noise_002", "noise_02"):
        assert points[name].free.value < 0.05, name
    found = measures.errors_of(points, honest := (pairs.median - pairs.x).abs().mean((1, 2, 3)))
    assert found["e_0"].value < 0.15 < found["honest"].value == pytest.approx(float(honest.mean()))
    assert found["honest_gap"].value == pytest.approx(found["honest"].value - found["e_0"].value)
    assert found["gap_lost_rounded"] > 0.9 and found["noise_ratio"] > 2
    told = measures.bits_of(points, pairs)
    assert told["bits_free"].value == pytest.approx(float(free))
    assert told["bits_g_rounded"].value < 0.05 and told["bits_g_all"].value > told["bits_g_0"].value


def test_bits_in_higher_bits_survive_rounding_but_not_noise(pairs):
    """Two of every eight gray levels: whole levels survive rounding, and die with noise of eight."""
    g = Reader(8 * UNIT)
    y = ((pairs.y + 1) / (8 * UNIT)).round() * 8 * UNIT - 1 + 2 * UNIT * coins(pairs)
    read = {
        name: measures.point(g, corrupted, pairs).free.value
        for name, corrupted in {
            "none": y,
            "rounded": corruption.rounded(y),
            "little": corruption.noisy(y, 0.25 * UNIT, stream("a")),
            "much": corruption.noisy(y, 16 * UNIT, stream("a")),
        }.items()
    }
    assert read["none"] == read["rounded"] == pytest.approx(read["little"], abs=0.01)
    assert read["none"] > 30 and read["much"] < 0.05


@pytest.mark.parametrize("errors", [0.0, 0.1, 0.3, 0.5])
def test_readings_wrong_at_a_known_rate_tell_n_times_one_minus_the_entropy(errors):
    wrong = torch.rand(4000, 8, 8, generator=torch.Generator().manual_seed(1)) < errors
    kind = torch.zeros(4000, 8, 8, dtype=torch.long)
    found = bits.hidden_bits(wrong, kind)
    entropy = 0.0 if errors == 0 else -errors * math.log2(errors) - (1 - errors) * math.log2(1 - errors)
    assert found.value == pytest.approx(64 * (1 - entropy), abs=max(4 * found.error, 0.01))
    # The standard error is the spread of 40 independent hundreds, over the root of 40.
    parts = [bits.hidden_bits(part, kind[:100]).value for part in wrong.split(100)]
    if 0 < errors < 0.5:
        assert found.error == pytest.approx(np.std(parts) / math.sqrt(40), rel=0.4)


def test_kinds_of_cells_are_pooled_apart():
    """Half of the cells without error, half by chance: 32 bits, not 64 (1 − H₂(1/4)) = 12."""
    kind = torch.zeros(500, 8, 8, dtype=torch.long)
    kind[:, 4:] = 3
    wrong = torch.zeros(500, 8, 8, dtype=torch.bool)
    wrong[:, 4:] = torch.rand(500, 4, 8, generator=stream("k")) < 0.5
    assert bits.hidden_bits(wrong, kind).value == pytest.approx(32, abs=0.1)
    assert bits.hidden_bits(wrong, kind, 0).value == 32
    assert bits.hidden_bits(~wrong, kind, 0).value == 0  # worse than chance: nothing, not 32


def test_kinds_follow_the_ink():
    ink = torch.zeros(1, 1, 32, 32)
    ink[..., :4, :4] = 1
    ink[..., :4, 4:6] = 0.4
    ink[..., 31, 31] = 0.01
    found = bits.kinds(ink)[0]
    assert found[0, 0] == 4 and found[0, 1] == 1 and found[7, 7] == 0 and found.sum() == 5


# --- an honest pair


def test_an_honest_pair_has_no_gap_no_bits_and_a_flat_curve(pairs):
    points = measures.curve(Honest(), pairs.y, pairs.y, pairs, torch.Generator().manual_seed(0))
    honest = (pairs.median - pairs.x).abs().mean((1, 2, 3))
    found = measures.errors_of(points, honest)
    gap = found["honest_gap"]
    assert abs(gap.value) <= 3 * gap.error + 1e-6
    assert not [name for name in found if name.startswith("gap_lost")]
    assert found["noise_ratio"] == pytest.approx(1, abs=0.02)
    told = measures.bits_of(points, pairs)
    for name, each in told.items():
        if name != "bits_free":
            assert each.value <= max(3 * each.error, 0.05), name


def test_an_honest_pair_meets_no_claim_of_hiding_whatever_the_noise(pairs):
    honest = (pairs.median - pairs.x).abs().mean((1, 2, 3))
    for seed in range(4):
        points = measures.curve(Honest(), pairs.y, pairs.y, pairs, torch.Generator().manual_seed(seed))
        found = {
            name: float(getattr(each, "value", each))
            for name, each in measures.errors_of(points, honest).items()
        }
        agrees = {name for name, each in claims.verdicts(found).items() if each}
        assert agrees == {"claim_5"}  # which honesty meets, too: flat, and at the honest error


def test_readers_find_what_is_hidden_and_nothing_where_nothing_is(drawn):
    """Most free coins at an amplitude far below sight, also under noise; none off the true partners."""
    train, test = drawn.train, drawn.test
    kind = bits.kinds(test.ink)
    free = float((kind == 0).float().sum((1, 2)).mean())

    def found(size: float) -> dict[str, float]:
        materials = [probes.Material(each.y + size * coins(each), each.bits) for each in (train, test)]
        corruptions = {"none": lambda y: y, "noise": lambda y: corruption.noisy(y, 0.02, stream("probe"))}
        read = probes.best_readings(*materials, corruptions, 60, stream)
        return {name: bits.hidden_bits(wrong, kind, 0).value for name, wrong in read.items()}

    hidden, clean = found(0.02), found(0.0)
    assert 0.8 * free < hidden["none"] <= free and 0.5 * free < hidden["noise"] < 0.98 * free
    assert clean["none"] < 0.3 and clean["noise"] < 0.3


@pytest.mark.parametrize("swapped", ["train", "test"])
def test_coins_of_other_images_are_not_read_however_much_is_hidden(drawn, swapped):
    """The shuffled control: readers fitted to, or asked for, the coins of the next image find none; nor G."""
    train, test = drawn.train, drawn.test
    materials = [
        probes.Material(each.y + 0.02 * coins(each), each.bits.roll(1, 0) if name == swapped else each.bits)
        for name, each in (("train", train), ("test", test))
    ]
    kind = bits.kinds(test.ink)
    wrong = probes.best_readings(*materials, {"none": lambda y: y}, 60, stream)["none"]
    assert bits.hidden_bits(wrong, kind, 0).value < 0.3
    by_g = bits.read(Reader(UNIT)(hide(test, UNIT / 4)), test.ink)
    assert bits.hidden_bits(by_g != test.bits, kind, 0).value > 30
    assert bits.hidden_bits(by_g != test.bits.roll(1, 0), kind, 0).value < 0.3


# --- corruptions


@settings(max_examples=25, deadline=None)
@given(sigma=st.floats(0.001, 0.5), seed=st.integers(0, 99))
def test_noise_has_its_variance_and_no_mean(sigma, seed):
    added = corruption.noisy(torch.zeros(8, 1, 64, 64), sigma, torch.Generator().manual_seed(seed))
    assert float(added.std()) == pytest.approx(sigma, rel=0.03)
    assert abs(float(added.mean())) < 5 * sigma / math.sqrt(added.numel())


@pytest.mark.parametrize(("low", "high"), corruption.RINGS)
def test_ring_noise_has_the_power_and_the_band_it_claims(low, high):
    added = corruption.ring_noise(torch.zeros(5, 3, 32, 32), low, high, 0.02, stream("ring"))
    torch.testing.assert_close(added.square().mean((1, 2, 3)), torch.full((5,), 0.02**2))
    power = torch.fft.fft2(added).abs().square()
    f = corruption.frequency(32, 32)
    inside = (f >= low) & (f < high)
    assert power[..., ~inside].sum() < 1e-8 * power.sum() and (power[..., inside].mean((0, 1)) > 0).all()


def test_rings_are_a_partition_of_every_image():
    f = corruption.frequency(32, 32)
    covered = sum(((f >= low) & (f < high)).int() for low, high in corruption.RINGS)
    assert (covered == 1).all()
    y = torch.randn(3, 1, 32, 32, generator=stream("y"))
    torch.testing.assert_close(sum(corruption.band(y, *ring) for ring in corruption.RINGS), y)
    assert sum(residue.shares(y)) == pytest.approx(1)


def test_a_wave_is_in_the_ring_of_its_frequency():
    at = torch.arange(32.0)
    wave = torch.cos(2 * math.pi * at * 5 / 32).expand(1, 1, 32, 32)  # 5/32 is between 1/8 and 1/4
    shares = residue.shares(wave)
    assert shares[2] == pytest.approx(1) and sum(shares) == pytest.approx(1)


def test_jpeg_goes_through_bytes():
    """Constant gray survives; noise does not, and less so the lower the quality; what comes out is 8-bit."""
    flat = corruption.rounded(torch.full((2, 1, 16, 16), 0.3))
    assert (corruption.jpeg(flat, 50) - flat).abs().max() <= 2.01 * UNIT
    noise = torch.rand(4, 3, 32, 32, generator=stream("jpeg")) * 2 - 1
    changes = [float((corruption.jpeg(noise, q) - noise).abs().mean()) for q in corruption.QUALITIES]
    assert changes == sorted(changes) and changes[0] < 0.05 < 0.2 < changes[-1]
    levels = (corruption.jpeg(noise, 75) + 1) * 127.5
    torch.testing.assert_close(levels, levels.round(), atol=1e-3, rtol=0)
    import simplejpeg

    image = ((noise[0] + 1) * 127.5).round().byte().permute(1, 2, 0).contiguous().numpy()
    through = simplejpeg.decode_jpeg(simplejpeg.encode_jpeg(image, 75, "RGB", "444"), "RGB")
    shown = torch.as_tensor(through).permute(2, 0, 1) / 127.5 - 1
    torch.testing.assert_close(corruption.jpeg(noise, 75)[0], shown)


@settings(max_examples=30, deadline=None)
@given(value=st.floats(-1, 1))
def test_rounding_moves_by_half_a_level_at_most_and_only_once(value):
    y = torch.full((1, 1, 8, 8), value)
    once = corruption.rounded(y)
    assert (once - y).abs().max() <= UNIT / 2 + 1e-6
    torch.testing.assert_close(corruption.rounded(once), once)


def test_blur_keeps_the_mean_and_spreads_by_its_deviation():
    point = torch.zeros(1, 2, 33, 33)
    point[..., 16, 16] = 1
    spread = corruption.blurred(point, 2.0)
    at = torch.arange(33.0) - 16
    torch.testing.assert_close(spread.sum((2, 3)), torch.ones(1, 2))
    variance = (spread[0, 0].sum(0) * at.square()).sum()
    assert float(variance) == pytest.approx(4, rel=0.05)
    torch.testing.assert_close(corruption.blurred(torch.ones(1, 1, 8, 8), 1.0), torch.ones(1, 1, 8, 8))


def test_removing_a_band_of_the_residual_puts_the_clean_one_there(pairs):
    y = hide(pairs, 0.01)
    made = dict(corruption.all_of(y, pairs.y, stream("all")))
    bands = [made[f"without_ring_{number}"] - y for number in range(1, 7)]
    torch.testing.assert_close(y + sum(bands), pairs.y, atol=1e-5, rtol=0)


# --- residue and locality


def test_a_global_shift_is_forgiven():
    y = torch.rand(3, 1, 16, 16, generator=stream("shift"))
    torch.testing.assert_close(residue.aligned(y.roll((1, -1), (2, 3)), y), y.roll((1, -1), (2, 3)))
    assert (residue.aligned(y.roll((2, 0), (2, 3)), y) - y.roll((2, 0), (2, 3))).abs().mean() > 0.1


def test_amplitude_is_that_of_what_was_added_to_flat_paper(pairs):
    residual = 0.03 * coins(pairs)
    where = residue.flat(pairs.y)
    assert 0.2 < float(where.mean()) < 0.9 and where[pairs.ink > 0.1].max() == 0
    assert residue.amplitude(residual, where) == pytest.approx(0.03, rel=0.01)
    assert residue.amplitude(residual + 0.5, where) == pytest.approx(0.03, rel=0.01)
    assert residue.amplitude(residual, torch.zeros_like(where)) is None


def test_locality_of_a_pointwise_and_of_a_global_map():
    y = torch.zeros(2, 1, 32, 32)
    share, chance = residue.locality(nn.Identity(), y, stream("local"))
    assert share == 1 and chance == 0.25

    class Mean(nn.Module):
        def forward(self, y):
            return y.mean((2, 3), keepdim=True).expand_as(y)

    share, chance = residue.locality(Mean(), y, stream("local"))
    assert share == pytest.approx(chance)


# --- the attack


class Bright(nn.Module):
    """x is y, brighter around 0 by a factor of 20: a small change of y is a large one of x."""

    def forward(self, y):
        return torch.tanh(20 * (y - 0.1)).expand(-1, 3, -1, -1)


@pytest.mark.parametrize("cap", [None, 8, 4, 2])
def test_the_attack_stays_under_its_cap_and_gets_as_far_as_it_lets(cap):
    start = torch.full((4, 1, 8, 8), 0.1)
    wanted = torch.where(torch.rand(4, 1, 8, 8, generator=stream("cap")) < 0.5, -0.9, 0.9)
    made = attack.hide(Bright(), wanted.expand(-1, 3, -1, -1), start, 200, cap)
    moved = (made - start).abs()
    limit = math.atanh(0.9) / 20 if cap is None else min(2 * cap / 255, math.atanh(0.9) / 20)
    assert moved.max() <= (limit if cap else 1.0) * 1.2 + 1e-6
    if cap:
        assert moved.max() <= 2 * cap / 255 + 1e-6
    torch.testing.assert_close(moved, torch.full_like(moved, limit), atol=0.006, rtol=0)


def test_the_attack_hides_bits_from_a_reader_of_low_bits_and_none_from_an_honest_one(pairs, tmp_path):
    run = harness.Run(seed=0, folder=tmp_path)
    found, hidden = measures.attacked(Honest(), pairs, None, 16, 20, run)
    assert found["attack_cap2_bits"].value < 1.5 and "attack_cap4_way" not in found
    assert (hidden.made[2] - hidden.start).abs().max() <= 4 / 255 + 1e-6
    assert not (hidden.start - pairs.y[:16]).abs().amax((1, 2, 3)).eq(0).any()  # never its own picture

    class Sharp(nn.Module):  # the ground's light is y's, enlarged: ± 4 levels of 255 reach both coins
        def forward(self, y):
            return (-domains.LIGHT + domains.CONTRAST * torch.tanh(60 * (y + 0.9))).expand(-1, 3, -1, -1)

    found, _ = measures.attacked(Sharp(), pairs, 0.1, 16, 60, run)
    assert found["attack_cap4_bits"].value > 20 and 0 < found["attack_cap2_way"] < found["attack_cap8_way"]


# --- claims and pictures


def test_each_claim_can_be_met_and_missed():
    agrees = {"e_0": 0.13, "honest": 0.366, "e_noise_002": 0.24, "e_jpeg_75": 0.33, "e_noise_005": 0.31}
    agrees |= {"e_ring_1": 0.14, "e_ring_6": 0.2, "attack_cap4_way": 0.87}
    assert claims.verdicts(agrees) == {"claim_1": 1, "claim_2": 1, "claim_3": 1, "claim_4": 1, "claim_5": 0}
    trained = agrees | {"e_0": 0.2, "e_noise_005": 0.22}
    assert claims.verdicts(trained)["claim_5"] == 1
    for change, number in (
        ({"e_0": 0.3}, 1),
        ({"e_jpeg_75": 0.2, "e_noise_002": 0.2}, 2),
        ({"e_ring_6": 0.145}, 3),
        ({"attack_cap4_way": 0.5}, 4),
    ):
        assert claims.verdicts(agrees | change)[f"claim_{number}"] == 0
    assert (
        claims.verdicts({name: value for name, value in agrees.items() if "way" not in name})["claim_4"] == 0
    )
    assert claims.verdicts(trained | {"e_0": 0.37, "e_noise_005": 0.37})["claim_5"] == 0  # above the floor


def test_local_equalisation_ranks_each_pixel_among_its_neighbours():
    y = torch.full((1, 1, 20, 20), -0.9)
    y[..., 10, 10] += 1e-3
    shown = figures.equalised(y)
    assert shown[0, 0, 10, 10] == pytest.approx(1 - 1 / 81, abs=1e-6) and shown[0, 0, 0, 0] == 0
    assert shown.min() > -0.03


def test_noise_area_is_the_integral(pairs):
    points = measures.curve(Honest(), pairs.y[:16], pairs.y[:16], pairs.first(16), stream("area"))
    flat = {name: each._replace(errors=torch.full((16,), 0.2)) for name, each in points.items()}
    rising = {
        f"noise_{corruption.digits(sigma)}": flat["0"]._replace(errors=torch.full((16,), 0.2 + sigma))
        for sigma in corruption.SIGMAS
    }
    honest = torch.full((16,), 0.3)
    assert measures.errors_of(flat, honest)["noise_area"] == pytest.approx(0)
    found = measures.errors_of(flat | rising, honest)
    assert found["noise_area"] == pytest.approx(0.2**2 / 2)
    assert found["gap_lost_noise_005"] == pytest.approx(0.5)
    assert F.l1_loss(torch.tensor(found["noise_ratio"]), torch.tensor(1.25)) < 1e-5
