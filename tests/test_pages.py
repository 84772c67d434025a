"""The main tables of the studies' pages print what is frozen: each mean, and each half-width behind it."""

from __future__ import annotations

import functools
import json
import operator
import re
import statistics
from pathlib import Path

import pytest

from harness import sketch
from harness.frozen import thaw
from harness.stats import Interval, t_interval

ROOT = Path(__file__).resolve().parent.parent


def page(study: str) -> str:
    """A study's page in plain numbers: no bold, ASCII minus signs, no commas in thousands."""
    text = (ROOT / "docs" / "studies" / f"{study}.md").read_text()
    return re.sub(r"(?<=\d),(?=\d{3})", "", text.replace("−", "-").replace("**", ""))


def rows(study: str, header: str) -> list[list[str]]:
    """The cells of the table whose header starts so; an empty first cell stands for the one above it."""
    _, table = page(study).split(f"\n| {header}")
    found: list[list[str]] = []
    for line in table.partition("\n\n")[0].splitlines()[2:]:
        first, *others = (cell.strip(" `") for cell in line.strip("|").split("|"))
        found.append([first or found[-1][0], *others])
    return found


@functools.cache
def thawed(suite: str) -> list[tuple[str, dict[str, object], list[float]]]:
    """Metric, settings and the values in the order of the seeds, of all that is frozen."""
    found = thaw(ROOT / "results" / "frozen" / f"{suite}.json").values
    return [
        (metric, json.loads(settings), [value for _, value in sorted(by_seed.items())])
        for (_, settings, metric), by_seed in found.items()
    ]


def frozen(suite: str, metric: str, **settings: object) -> list[float]:
    """The values, by seed, of the one setting that is frozen with these."""
    (found,) = [
        by_seed
        for name, known, by_seed in thawed(suite)
        if name == metric and settings.items() <= known.items()
    ]
    return found


def check(printed: str, values: list[float]) -> None:
    """The first number of `printed` is the mean, rounded as it is; one behind ± is the half-width.

    `a, b, c` are the values themselves.
    """
    if re.match(r"[-.\d]+, [-.\d]+, ", printed):
        pairs = list(zip(printed.split(", "), values, strict=True))
    else:
        found = re.match(r"(-?[\d.]+)(?: ± ([\d.]+))?", printed)
        assert found, printed
        pairs = [(found[1], statistics.fmean(values))]
        if found[2]:
            pairs.append((found[2], t_interval(values).half_width))
    for text, value in pairs:
        assert float(text) == float(f"{value:.{len(text.partition('.')[2])}f}"), f"{printed}: frozen {value}"


@pytest.mark.parametrize("row", rows("likelihood", "method | MNIST, `mlp`"), ids=operator.itemgetter(0))
def test_likelihood_after_800_updates(row):
    method, *printed = row
    for dataset, cell in zip(("mnist", "omniglot_rebuilt", "fashion_mnist"), printed, strict=True):
        bound, _, gap = cell.partition(" (")
        check(bound, frozen("full", "ais", method=method, dataset=dataset))
        check(gap, frozen("full", "ais_gap", method=method, dataset=dataset))


@pytest.mark.parametrize("row", rows("likelihood", "| `ais` | gap |"), ids=operator.itemgetter(0))
def test_likelihood_after_4000_updates(row):
    method, bound, gap, *_ = row
    check(bound, frozen("likelihood", "ais", method=method, updates=4000))
    check(gap, frozen("likelihood", "ais_gap", method=method, updates=4000))


@pytest.mark.parametrize("row", rows("likelihood", "| 20000 updates: `ais` |"), ids=operator.itemgetter(0))
def test_likelihood_after_20000_updates(row):
    method, bound, gap, _, _, tight = row
    longest = {"method": method, "updates": 20000}
    check(bound, frozen("likelihood", "ais", **longest, test_images=1000))
    check(gap, frozen("likelihood", "ais_gap", **longest, test_images=1000))
    if tight:
        bound, _, gap = tight.partition(" (")
        check(bound, frozen("likelihood", "ais", **longest, test_images=500))
        check(gap, frozen("likelihood", "ais_gap", **longest, test_images=500))


def lead(rival: str, suite: str, **settings: object) -> Interval:
    """Of BSVI over a rival by `ais`, paired by seed and by image."""
    found = thaw(ROOT / "results" / "frozen" / f"{suite}.json")
    sides = []
    for method in ("bsvi", rival):
        wanted = settings | {"method": method}
        (place,) = (
            each
            for each in found.values
            if each[2] == "ais" and wanted.items() <= json.loads(each[1]).items()
        )
        sides.append((found.values[place], found.sketches[place]))
    (ours, mine), (theirs, other) = sides
    seeds = sorted(ours.keys() & theirs.keys())
    doubt = sketch.shared([sketch.less(mine[seed], other[seed]) for seed in seeds])
    return t_interval([ours[seed] - theirs[seed] for seed in seeds], shared=doubt)


@pytest.mark.parametrize(
    ("row", "settings"),
    [
        *((row, {"updates": 4000}) for row in rows("likelihood", "| `ais` | gap |")),
        *(
            (row[:5], {"updates": 20000, "test_images": 1000})
            for row in rows("likelihood", "| 20000 updates: ")
        ),
    ],
    ids=str,
)
def test_what_bsvi_leads_by_is_paired(row, settings):
    if row[0] != "bsvi":
        printed = [float(number) for number in re.findall(r"-?[\d.]+", row[-1])]
        found = lead(row[0], "likelihood", **settings)
        around = [] if found.half_width is None else [found.half_width, -found.half_width]
        assert printed == [round(found.mean - each, 2) for each in [0.0, *around]]


CLASSIFIERS = ("knn", "decision_tree", "random_forest", "mlp", "adaboost", "naive_bayes", "qda", "svm")


def test_classifiers_of_codes():
    agreeing = 0
    for eps, noise, *printed in rows("coding", "eps | pixel noise | 5 neighbours"):
        for classifier, cell in zip(CLASSIFIERS, printed, strict=True):
            values = frozen("coding_long", classifier, eps=float(eps), pixel_noise=float(noise))
            check(cell, values)
            agreeing += abs(statistics.fmean(values) - float(cell.partition("(")[2].strip(")"))) <= 0.02
    assert agreeing == 15
    assert re.findall(r"(\w+) of 48 agree", page("coding")) == ["Fifteen"]


BOUNDS = {
    "C1 < 10, C2, EO, EOpp < .1": "c1 < 10, c2 < 0.1, eo < 0.1, eopp < 0.1",
    "C1 < 10, C2, EO, EOpp < .02": "c1 < 10, c2 < 0.02, eo < 0.02, eopp < 0.02",
    "C1 < 10, C2 < .1": "c1 < 10, c2 < 0.1",
}


@pytest.mark.parametrize("row", rows("fairness", "Adult: bounds | method |"), ids=operator.itemgetter(0))
def test_fairness_of_adult(row):
    bounds, method, *printed = row
    name = {"L-MIFR": "lmifr"}.get(method) or method.partition("`")[0]
    metrics = ("gradient_steps", "mi_xz_u", "c1", "c2", "audit", "violation")
    for metric, cell in zip(metrics, printed, strict=True):
        check(cell, frozen("full", metric, method=name, dataset="adult", constraints=BOUNDS[bounds]))


STEGANOGRAPHY = {
    "cyclegan": {"cycle_x": 10.0, "steps": 800},
    "cyclegan`, cycle of x weighs 2": {"method": "cyclegan", "cycle_x": 2.0},
    "cyclegan_rounded`, 16 levels": {"method": "cyclegan_rounded", "levels": 16},
    "cyclegan_rounded`, 4 levels": {"method": "cyclegan_rounded", "levels": 4},
}


@pytest.mark.parametrize("row", rows("steganography", "| E(0), honest .365"), ids=operator.itemgetter(0))
def test_which_method_hides_least(row):
    method, *printed = row
    settings = {"method": method, "domain": "mosaic"} | STEGANOGRAPHY.get(method, {})
    metrics = ("e_0", "translation_l1", "noise_ratio", "bits_g_0", "bits_probe_0", "bits_probe_all")
    metrics += ("bits_probe_noise_01", "bits_probe_jpeg_75", "residual_rms")
    for metric, cell in zip(metrics, printed, strict=True):
        check(cell, frozen("steganography", metric, **settings))


IN_THE_BALL = {
    "clean error": ("clean_error", "pgd"),
    "Square, 300 queries": ("attack_error", "square"),
    "foolbox's PGD": ("attack_error", "foolbox_pgd"),
    "PGD, cross-entropy, 100 steps": ("attack_error", "pgd"),
    "Auto-PGD, both losses, 50 steps, one start each": ("attack_error", "apgd"),
    "margin PGD, 40 steps, 5 starts": ("attack_error", "pgd_margin"),
    "broken by branch and bound": ("broken_error", "pgd"),
    "proven at most": ("certified_best", "pgd"),
    "by linear relaxations": ("certified_linear", "pgd"),
    "by the semidefinite dual about each image": ("certified_images", "pgd"),
}


@pytest.mark.parametrize("row", rows("attack", "| `wong_kolter` | published |"), ids=operator.itemgetter(0))
def test_attacks_within_the_ball(row):
    what, ours, _, other, _ = row
    for target, cell in (("wong_kolter", ours), ("raghunathan", other)):
        own, others = ("dual", "interval") if target == "wong_kolter" else ("pairs", "dual")
        metric, method = IN_THE_BALL.get(what) or (f"certified_{own if 'own' in what else others}", "pgd")
        if cell:
            where = {"target": target, "method": method, "dataset": "mnist", "eps": 0.1, "test_images": 0}
            check(cell, frozen("attack", metric, **where))


FLOW = {"method": "generative_attack", "generator": "latent_flow", "l1_weight": 1.0, "l2_weight": 1.0}
GAN = {"method": "generative_attack", "generator": "acwgan", "steps": 100}
BEYOND = {
    "search, flow, 100 steps": FLOW | {"steps": 100},
    "search, flow, 11 steps": FLOW | {"steps": 11},
    "guidance, 32 steps": {"method": "guided_attack", "steps": 32},
    "guidance, 288 steps": {"method": "guided_attack", "steps": 288},
    "search, `acwgan": GAN | {"auxiliary": "separate"},
    "the same, its critic's head as auxiliary": GAN | {"auxiliary": "critic"},
}


@pytest.mark.parametrize(
    "row",
    [row for row in rows("attack", "target | attack | raw |") if row[1] in BEYOND],
    ids=operator.itemgetter(0),
)
def test_attacks_outside_any_ball(row):
    target, attack, *printed = row
    metrics = ("raw_rate", "joint_rate", "conditional_rate", "conditional_at_4", "conditional_at_5")
    for metric, cell in zip(metrics, printed, strict=False):
        check(cell, frozen("attack", metric, target=target, starts=50, **BEYOND[attack]))
