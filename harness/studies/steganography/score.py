"""What the steganography study measures of a pair of generators: honesty, hidden bits, what destroys them."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

import harness
from harness.studies.steganography import bits, claims, figures, measures, residue
from harness.studies.steganography.assets import blind_probe, honest_inverse
from harness.studies.steganography.networks import translate
from harness.studies.steganography.task import Problem

METRICS = (
    harness.Metric("e_0", "1", "none", "quality", 0.005, "E(0) = mean |G(F(x)) − x|, pixels in [−1, 1]"),
    harness.Metric("honest", "1", "none", "quality", 0.002, "the same of the best guess from the true y"),
    harness.Metric("honest_gap", "1", "lower", "quality", 0.005, "honest − E(0): what no clean y tells"),
    harness.Metric("e_true", "1", "none", "quality", 0.005, "mean |G(true y) − x|"),
    harness.Metric("translation_l1", "1", "lower", "quality", 0.005, "|F(x) − y| at the best global shift"),
    harness.Metric("bits_free", "bits/image", "none", "quality", 0.0, "coins in cells without ink"),
    harness.Metric("bits_g_0", "bits/image", "lower", "quality", 0.5, "of these, read by G; a lower bound"),
    harness.Metric("bits_g_all", "bits/image", "lower", "quality", 0.5, "read by G, of all 64"),
    harness.Metric("bits_g_true", "bits/image", "none", "quality", 0.5, "'read' by G off the true y: 0"),
    harness.Metric("bits_g_rounded", "bits/image", "lower", "quality", 0.5, "read by G after 8-bit rounding"),
    harness.Metric("bits_g_noise_002", "bits/image", "lower", "quality", 0.5, "after noise of σ .02"),
    harness.Metric("bits_g_noise_005", "bits/image", "lower", "quality", 0.5, "after noise of σ .05"),
    harness.Metric("bits_g_noise_01", "bits/image", "lower", "quality", 0.5, "after noise of σ .1"),
    harness.Metric("bits_g_jpeg_90", "bits/image", "lower", "quality", 0.5, "after JPEG of quality 90"),
    harness.Metric("bits_g_jpeg_75", "bits/image", "lower", "quality", 0.5, "after JPEG of quality 75"),
    harness.Metric("bits_g_jpeg_50", "bits/image", "lower", "quality", 0.5, "after JPEG of quality 50"),
    harness.Metric(
        "bits_probe_0", "bits/image", "lower", "quality", 0.5, "free coins read by fitted readers"
    ),
    harness.Metric("bits_probe_all", "bits/image", "lower", "quality", 0.5, "the same of all 64"),
    harness.Metric("bits_probe_true", "bits/image", "none", "quality", 0.5, "'read' off the true y: 0"),
    harness.Metric("bits_probe_noise_005", "bits/image", "lower", "quality", 0.5, "after noise of σ .05"),
    harness.Metric("bits_probe_noise_01", "bits/image", "lower", "quality", 0.5, "after noise of σ .1"),
    harness.Metric("bits_probe_jpeg_75", "bits/image", "lower", "quality", 0.5, "after JPEG of quality 75"),
    harness.Metric("noise_ratio", "1", "lower", "quality", 0.05, "E(σ = .05) / E(0)"),
    harness.Metric("noise_area", "1", "lower", "quality", 0.001, "∫ E(σ) − E(0) for σ from 0 to .2"),
    harness.Metric(
        "gap_lost_noise_001", "1", "none", "quality", 0.02, "share of honest_gap that σ .01 takes"
    ),
    harness.Metric("gap_lost_noise_002", "1", "none", "quality", 0.02, "that noise of σ .02 takes"),
    harness.Metric("gap_lost_noise_005", "1", "none", "quality", 0.02, "that noise of σ .05 takes"),
    harness.Metric("gap_lost_rounded", "1", "none", "quality", 0.02, "that 8-bit rounding takes"),
    harness.Metric("gap_lost_jpeg_90", "1", "none", "quality", 0.02, "that JPEG of quality 90 takes"),
    harness.Metric("gap_lost_jpeg_75", "1", "none", "quality", 0.02, "that JPEG of quality 75 takes"),
    harness.Metric("e_noise_0002", "1", "none", "quality", 0.005, "E(σ), σ .002"),
    harness.Metric("e_noise_0005", "1", "none", "quality", 0.005, "E(σ), σ .005"),
    harness.Metric("e_noise_001", "1", "none", "quality", 0.005, "E(σ), σ .01"),
    harness.Metric("e_noise_002", "1", "none", "quality", 0.005, "E(σ), σ .02"),
    harness.Metric("e_noise_005", "1", "none", "quality", 0.005, "E(σ), σ .05"),
    harness.Metric("e_noise_01", "1", "none", "quality", 0.005, "E(σ), σ .1"),
    harness.Metric("e_noise_02", "1", "none", "quality", 0.005, "E(σ), σ .2"),
    harness.Metric("e_rounded", "1", "none", "quality", 0.005, "E after 8-bit rounding"),
    harness.Metric("e_jpeg_100", "1", "none", "quality", 0.005, "E after JPEG of quality 100"),
    harness.Metric("e_jpeg_95", "1", "none", "quality", 0.005, "E after JPEG of quality 95"),
    harness.Metric("e_jpeg_90", "1", "none", "quality", 0.005, "E after JPEG of quality 90"),
    harness.Metric("e_jpeg_75", "1", "none", "quality", 0.005, "E after JPEG of quality 75"),
    harness.Metric("e_jpeg_50", "1", "none", "quality", 0.005, "E after JPEG of quality 50"),
    harness.Metric("e_jpeg_25", "1", "none", "quality", 0.005, "E after JPEG of quality 25"),
    harness.Metric("e_ring_1", "1", "none", "quality", 0.005, "E, noise of rms .02 below 1/16 cycle/pixel"),
    harness.Metric("e_ring_2", "1", "none", "quality", 0.005, "E, noise of rms .02 from 1/16 to 1/8"),
    harness.Metric("e_ring_3", "1", "none", "quality", 0.005, "E, noise of rms .02 from 1/8 to 1/4"),
    harness.Metric("e_ring_4", "1", "none", "quality", 0.005, "E, noise of rms .02 from 1/4 to 3/8"),
    harness.Metric("e_ring_5", "1", "none", "quality", 0.005, "E, noise of rms .02 from 3/8 to 1/2"),
    harness.Metric("e_ring_6", "1", "none", "quality", 0.005, "E, noise of rms .02 above 1/2, oblique"),
    harness.Metric("e_without_ring_1", "1", "none", "quality", 0.005, "E, F(x) − y removed below 1/16"),
    harness.Metric("e_without_ring_2", "1", "none", "quality", 0.005, "E, F(x) − y removed from 1/16 to 1/8"),
    harness.Metric("e_without_ring_3", "1", "none", "quality", 0.005, "E, F(x) − y removed from 1/8 to 1/4"),
    harness.Metric("e_without_ring_4", "1", "none", "quality", 0.005, "E, F(x) − y removed from 1/4 to 3/8"),
    harness.Metric("e_without_ring_5", "1", "none", "quality", 0.005, "E, F(x) − y removed from 3/8 to 1/2"),
    harness.Metric("e_without_ring_6", "1", "none", "quality", 0.005, "E, F(x) − y removed above 1/2"),
    harness.Metric("e_blur_03", "1", "none", "quality", 0.005, "E after a blur of σ .3 pixels"),
    harness.Metric("e_blur_05", "1", "none", "quality", 0.005, "E after a blur of σ .5 pixels"),
    harness.Metric("e_blur_1", "1", "none", "quality", 0.005, "E after a blur of σ 1 pixel"),
    harness.Metric("e_blur_2", "1", "none", "quality", 0.005, "E after a blur of σ 2 pixels"),
    harness.Metric("locality", "1", "none", "quality", 0.02, "share of a block's damage that lies near it"),
    harness.Metric("locality_chance", "1", "none", "quality", 0.0, "that region's share of the image"),
    harness.Metric("residual_rms", "1", "lower", "quality", 0.002, "deviation of F(x) − y where y is flat"),
    harness.Metric("residual_ring_1", "1", "none", "quality", 0.02, "share of its energy below 1/16"),
    harness.Metric("residual_ring_2", "1", "none", "quality", 0.02, "share from 1/16 to 1/8 cycle/pixel"),
    harness.Metric("residual_ring_3", "1", "none", "quality", 0.02, "share from 1/8 to 1/4"),
    harness.Metric("residual_ring_4", "1", "none", "quality", 0.02, "share from 1/4 to 3/8"),
    harness.Metric("residual_ring_5", "1", "none", "quality", 0.02, "share from 3/8 to 1/2"),
    harness.Metric("residual_ring_6", "1", "none", "quality", 0.02, "share above 1/2"),
    harness.Metric("attack_before", "1", "none", "quality", 0.005, "mean |G(y0) − x|, y0 of another image"),
    harness.Metric("attack_free", "1", "none", "quality", 0.005, "|G(y*) − x|, y* found freely"),
    harness.Metric("attack_cap8", "1", "none", "quality", 0.005, "|G(y*) − x|, y* within 8/255 of y0"),
    harness.Metric("attack_cap4", "1", "none", "quality", 0.005, "|G(y*) − x|, y* within 4/255 of y0"),
    harness.Metric("attack_cap2", "1", "none", "quality", 0.005, "|G(y*) − x|, y* within 2/255 of y0"),
    harness.Metric("attack_cap4_noise", "1", "none", "quality", 0.005, "after noise of σ .02 on y*, cap 4"),
    harness.Metric("attack_cap4_jpeg", "1", "none", "quality", 0.005, "after JPEG 75 of y*, cap 4"),
    harness.Metric("attack_free_change", "1", "none", "quality", 0.002, "mean |y* − y0|, found freely"),
    harness.Metric("attack_free_way", "1", "none", "quality", 0.02, "share gone from attack_before to E(0)"),
    harness.Metric("attack_cap8_way", "1", "none", "quality", 0.02, "the same within 8/255"),
    harness.Metric("attack_cap4_way", "1", "none", "quality", 0.02, "the same within 4/255"),
    harness.Metric("attack_cap2_way", "1", "none", "quality", 0.02, "the same within 2/255"),
    harness.Metric("attack_cap4_noise_way", "1", "none", "quality", 0.02, "what noise of σ .02 leaves of it"),
    harness.Metric("attack_cap4_jpeg_way", "1", "none", "quality", 0.02, "what JPEG 75 leaves of it"),
    harness.Metric("attack_free_bits", "bits/image", "none", "quality", 0.5, "x's coins that G reads off y*"),
    harness.Metric("attack_cap8_bits", "bits/image", "none", "quality", 0.5, "the same within 8/255"),
    harness.Metric("attack_cap4_bits", "bits/image", "none", "quality", 0.5, "the same within 4/255"),
    harness.Metric("attack_cap2_bits", "bits/image", "none", "quality", 0.5, "the same within 2/255"),
    harness.Metric("attack_cap4_noise_bits", "bits/image", "none", "quality", 0.5, "after noise of σ .02"),
    harness.Metric("attack_cap4_jpeg_bits", "bits/image", "none", "quality", 0.5, "after JPEG 75"),
    harness.Metric("claim_1", "1", "none", "quality", 0.0, "1: E(0) is far below the honest error"),
    harness.Metric("claim_2", "1", "none", "quality", 0.0, "1: E rises several-fold by σ .02 or JPEG 75"),
    harness.Metric("claim_3", "1", "none", "quality", 0.0, "1: the highest ring hurts more than the lowest"),
    harness.Metric("claim_4", "1", "none", "quality", 0.0, "1: the attack arrives within 4/255"),
    harness.Metric("claim_5", "1", "none", "quality", 0.0, "1: flat under noise, E(0) large"),
    harness.Metric(
        "train_images_per_second", "images/s", "higher", "speed", 0.0, "rich images, all networks"
    ),
    harness.Metric("train_seconds", "s", "lower", "speed", 0.0, "all networks, a decoder's too"),
    harness.Metric("translate_images_per_second", "images/s", "higher", "speed", 0.0, "F, batches of 64"),
)


@harness.score
def score(
    problem: Problem,
    arrays: dict[str, Tensor],
    run: harness.Run,
    *,
    probe_steps: Annotated[int, "[1, inf)"] = 300,
    attack_pairs: Annotated[int, "[1, inf)"] = 64,
    attack_steps: Annotated[int, "[1, inf)"] = 100,
) -> measures.Found:
    """Errors, bits and curves on test pairs; readers of `probe_steps` batches; `attack_pairs` images hidden.

    Writes pictures (`translations.png`, `attack.png`), the curves and their points into the folder.
    """
    test = problem.test
    given = {"seed": run.seed, "dataset": problem.settings["dataset"]}
    given["others"] = {name: value for name, value in problem.settings.items() if name != "dataset"}
    found: measures.Found = {}
    if test.bits is not None and test.ink is not None:
        blind = run.asset(blind_probe, **given, probe_steps=probe_steps)["wrong"]
        kind = bits.kinds(test.ink.cpu())
        found["bits_probe_true"] = bits.hidden_bits(torch.as_tensor(blind) > 0.5, kind, 0)
    if test.median is not None:
        honest = (test.median - test.x).abs().mean((1, 2, 3)).cpu()
    else:
        honest = torch.as_tensor(run.asset(honest_inverse, **given)["errors"])
    f, g = problem.unpack(arrays)
    y = translate(f, test.x)
    clean = residue.aligned(y, test.y)
    with run.phase("curves"):
        points = measures.curve(g, y, clean, test, run.generator("corruption"))
    found |= measures.errors_of(points, honest) | measures.bits_of(points, test)
    found |= measures.translation(y, clean)
    found["locality"], found["locality_chance"] = residue.locality(g, y, run.generator("block"))
    with run.phase("probes"):
        found |= measures.probed(problem, f, y, probe_steps)
    e0 = float(points["0"].errors.mean())
    goal = e0 if measures.hides(e0, float(honest.mean())) else None
    with run.phase("attack"):
        hiding, hidden = measures.attacked(g, test, goal, attack_pairs, attack_steps, run)
    found |= hiding
    found["translate_images_per_second"] = measures.speed(f, test.x, run.device)
    figures.draw(run, f, g, test, points, float(honest.mean()), hidden)
    plain = {name: each.value if isinstance(each, harness.Estimate) else each for name, each in found.items()}
    return found | claims.verdicts(plain)
