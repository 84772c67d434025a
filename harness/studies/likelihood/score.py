"""What the likelihood study measures of a trained model: bounds on ln p(x), and what its latents do."""

from __future__ import annotations

import math
from typing import Annotated

from torch import Tensor

import harness
from harness.kit.log_space import log_mean_exp
from harness.studies.likelihood import annealing, evidence
from harness.studies.likelihood.simulation import simulate
from harness.studies.likelihood.task import Problem

METRICS = (
    harness.Metric(
        "ais",
        unit="nats",
        direction="higher",
        kind="quality",
        tolerance=0.3,
        meaning="bound on ln p(x) by annealed importance sampling, mean over test images",
    ),
    harness.Metric(
        "ais_gap",
        unit="nats",
        direction="lower",
        kind="quality",
        tolerance=0.3,
        meaning="upper less lower annealed bound on `sandwich_images` that the model made",
    ),
    harness.Metric(
        "iw500",
        unit="nats",
        direction="higher",
        kind="quality",
        tolerance=0.3,
        meaning="bound on ln p(x) from 500 draws of the encoder's posterior, mean over test images",
    ),
    harness.Metric(
        "bsvi500",
        unit="nats",
        direction="higher",
        kind="quality",
        tolerance=0.3,
        meaning="bound on ln p(x) from all 500 weights along 499 refinement steps",
    ),
    harness.Metric(
        "svi500",
        unit="nats",
        direction="higher",
        kind="quality",
        tolerance=0.5,
        meaning="bound on ln p(x) from the single weight drawn after 499 refinement steps",
    ),
    harness.Metric(
        "iw5000",
        unit="nats",
        direction="higher",
        kind="quality",
        tolerance=0.3,
        meaning="as iw500, from 5000 draws, on the first `subset` of the test images",
    ),
    harness.Metric(
        "kl",
        unit="nats",
        direction="none",
        kind="quality",
        tolerance=0.5,
        meaning="KL from the encoder's posterior to the prior, exact",
    ),
    harness.Metric(
        "reconstruction",
        unit="nats",
        direction="none",
        kind="quality",
        tolerance=0.5,
        meaning="mean ln p(x|z) under the encoder's posterior; less kl it is the evidence bound",
    ),
    harness.Metric(
        "active_units",
        unit="dimensions",
        direction="none",
        kind="quality",
        tolerance=2.0,
        meaning="latent dimensions whose posterior mean has a variance above 0.01 over the test images",
    ),
    harness.Metric(
        "bits_per_dim",
        unit="bits",
        direction="lower",
        kind="quality",
        tolerance=0.002,
        meaning="the tightest of the cell's bounds as a code length per pixel",
    ),
    harness.Metric(
        "update_seconds",
        unit="s",
        direction="lower",
        kind="speed",
        meaning="time of one update, the drawing of its batch included; median over blocks of 50",
    ),
    harness.Metric(
        "images_per_second",
        unit="1/s",
        direction="higher",
        kind="speed",
        meaning="images trained on per second of training",
    ),
)


@harness.score
def score(
    problem: Problem,
    arrays: dict[str, Tensor],
    run: harness.Run,
    *,
    test_images: Annotated[int, "[1, inf)"] = 1000,
    subset: Annotated[int, "[1, inf)"] = 100,
    score_step: Annotated[float, "(0, inf)"] = 0.01,
    score_clip: Annotated[float, "(0, inf)"] = 5.0,
    ais_chains: Annotated[int, "[1, inf)"] = 5,
    ais_temperatures: Annotated[int, "[0, inf)"] = 200,
    sandwich_images: Annotated[int, "[1, inf)"] = 40,
) -> dict[str, float | harness.Estimate]:
    """Bounds on the log-likelihood of the first `test_images` test images, in a fixed random order.

    Refinement for `bsvi500` and `svi500` takes steps of size `score_step` along derivatives of length at
    most `score_clip`. The model itself makes the `sandwich_images` of `ais_gap`. With 0 `ais_temperatures`
    nothing is annealed.
    """
    model = problem.model().eval().requires_grad_(False)
    model.load_state_dict(arrays)
    x = problem.x_test[:test_images]
    generator = run.generator("score")
    drawn = evidence.importance_weights(model, x, 500, generator)
    refined = evidence.refined_weights(model, x, 500, generator, step=score_step, clip=score_clip)
    many = evidence.importance_weights(model, x[:subset], 5000, generator)
    kl, active = evidence.posterior_summary(model, x)
    bounds = {
        "iw500": log_mean_exp(drawn),
        "bsvi500": log_mean_exp(refined),
        "svi500": refined[-1],
        "iw5000": log_mean_exp(many),
    }
    per_image = {"kl": kl, "reconstruction": drawn.mean(0) + kl}
    if ais_temperatures:
        chance = run.generator("annealing")
        bounds["ais"] = annealing.below(model, x, ais_temperatures, ais_chains, chance)
        z = model.encode(x[:1]).noise(chance, sandwich_images).squeeze(1)
        sandwich = annealing.sandwich(
            model, simulate(model, z, chance), z, ais_temperatures, ais_chains, chance
        )
        per_image["ais_gap"] = sandwich.above - sandwich.below
    per_image["bits_per_dim"] = tightest(bounds) / (-x.shape[1] * math.log(2))
    made = {name: harness.Estimate.of(values.double()) for name, values in (bounds | per_image).items()}
    return made | {"active_units": float(active)}


def tightest(bounds: dict[str, Tensor]) -> Tensor:
    """The bound (N,) with the highest mean over the images, the first ones, that all have."""
    shared = min(map(len, bounds.values()))
    return max(bounds.values(), key=lambda values: float(values[:shared].mean()))
