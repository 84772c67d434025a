"""What the attack study measures: errors within a ball beside certificates, rates of attacks outside it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from torch import Tensor

import harness
from harness.studies.attack.measures_norm import Asked, norm_bounded
from harness.studies.attack.task import Problem

METRICS = (
    harness.Metric("clean_error", "%", "lower", "quality", 0.2, "test images classified wrongly as they are"),
    harness.Metric("attack_error", "%", "higher", "quality", 0.2, "wrongly as they are or after the attack"),
    harness.Metric("robust_accuracy", "%", "lower", "quality", 0.2, "100 − attack_error"),
    harness.Metric(
        "broken_error", "%", "higher", "quality", 0.2, "wrongly by this attack or branch and bound"
    ),
    harness.Metric("certified_interval", "%", "lower", "quality", 0.2, "not proven by interval bounds"),
    harness.Metric("certified_dual", "%", "lower", "quality", 0.2, "not proven by Wong and Kolter's dual"),
    harness.Metric("certified_linear", "%", "lower", "quality", 0.2, "nor by clipped boxes and free slopes"),
    harness.Metric("certified_branched", "%", "lower", "quality", 0.2, "nor by branch and bound"),
    harness.Metric("certified_pairs", "%", "lower", "quality", 0.2, "not proven by the semidefinite dual"),
    harness.Metric("certified_images", "%", "lower", "quality", 0.2, "nor by the same about each image"),
    harness.Metric(
        "certified_best", "%", "lower", "quality", 0.2, "not proven by any: no attack can do more"
    ),
    harness.Metric("open_images", "%", "lower", "quality", 0.2, "neither broken nor proven"),
    harness.Metric("tries", "1", "none", "size", 0.0, "images that the unrestricted attack tried to make"),
    harness.Metric(
        "accepted", "%", "higher", "quality", 1.0, "of tries: read as their source by the auxiliary"
    ),
    harness.Metric("raw_rate", "%", "higher", "quality", 1.0, "of tries: fool the target and are accepted"),
    harness.Metric("joint_rate", "%", "higher", "quality", 1.0, "of tries: and the oracle reads the source"),
    harness.Metric(
        "conditional_rate", "%", "higher", "quality", 1.0, "joint of raw: what the source reports"
    ),
    harness.Metric("conditional_0", "%", "higher", "quality", 1.0, "conditional rate of source digit 0"),
    harness.Metric("conditional_1", "%", "higher", "quality", 1.0, "conditional rate of source digit 1"),
    harness.Metric("conditional_2", "%", "higher", "quality", 1.0, "conditional rate of source digit 2"),
    harness.Metric("conditional_3", "%", "higher", "quality", 1.0, "conditional rate of source digit 3"),
    harness.Metric("conditional_4", "%", "higher", "quality", 1.0, "conditional rate of source digit 4"),
    harness.Metric("conditional_5", "%", "higher", "quality", 1.0, "conditional rate of source digit 5"),
    harness.Metric("conditional_6", "%", "higher", "quality", 1.0, "conditional rate of source digit 6"),
    harness.Metric("conditional_7", "%", "higher", "quality", 1.0, "conditional rate of source digit 7"),
    harness.Metric("conditional_8", "%", "higher", "quality", 1.0, "conditional rate of source digit 8"),
    harness.Metric("conditional_9", "%", "higher", "quality", 1.0, "conditional rate of source digit 9"),
    harness.Metric("conditional_mean", "%", "higher", "quality", 1.0, "the plain mean of the ten"),
    harness.Metric("judged_at_3", "%", "higher", "quality", 1.0, "joint rate at three votes of five"),
    harness.Metric("judged_at_4", "%", "higher", "quality", 1.0, "joint rate at four votes"),
    harness.Metric("judged_at_5", "%", "higher", "quality", 1.0, "joint rate at five votes"),
    harness.Metric("abstained", "%", "lower", "quality", 1.0, "of raw: the oracle says none of these"),
    harness.Metric(
        "linf_to_test", "1", "none", "quality", 0.01, "smallest max-norm distance to a test image"
    ),
    harness.Metric("linf_to_train", "1", "none", "quality", 0.01, "smallest one to a training image"),
    harness.Metric("cpu_seconds_per_success", "s", "lower", "speed", 0.0, "search seconds per joint success"),
    harness.Metric("transfer_plain", "%", "higher", "quality", 1.0, "of joint successes: fool it too"),
    harness.Metric("transfer_pgd", "%", "higher", "quality", 1.0, "of joint successes: fool it too"),
    harness.Metric("transfer_ibp", "%", "higher", "quality", 1.0, "of joint successes: fool it too"),
    harness.Metric("transfer_wong_kolter", "%", "higher", "quality", 1.0, "of joint successes: fool it too"),
    harness.Metric("transfer_raghunathan", "%", "higher", "quality", 1.0, "of joint successes: fool it too"),
)


@harness.score
def score(
    problem: Problem,
    arrays: dict[str, Tensor],
    run: harness.Run,
    *,
    relaxation: Literal["interval", "dual", "linear", "branched"] = "linear",
    linear_steps: Annotated[int, "[0, inf)"] = 20,
    branches: Annotated[int, "[1, inf)"] = 1000,
    semidefinite: Literal["none", "pairs", "images"] = "none",
) -> dict[str, Any]:
    """Errors in percent of the test images beside their certificates, or the rates of an unrestricted attack.

    Certificates are assets. `relaxation` is the dearest linear one, which comes after the cheaper ones:
    "linear" optimises slopes for `linear_steps`, "branched" looks at up to `branches` parts of a ball.
    `semidefinite` bounds networks of one hidden layer, by pairs of classes, or also about each image that
    pairs leave open. An attack that beats a certificate, or leaves the ball, fails.
    """
    if "adversarial" in arrays:
        asked = Asked(relaxation, linear_steps, branches, semidefinite)
        return norm_bounded(problem, arrays, run, asked)
    from harness.studies.attack.measures_unrestricted import unrestricted

    return unrestricted(problem, arrays, run)
