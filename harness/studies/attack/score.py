"""What the attack study measures: errors within a ball beside certificates, rates of attacks outside it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from torch import Tensor

import harness
from harness.studies.attack.measures_norm import Asked, norm_bounded
from harness.studies.attack.measures_unrestricted import Judging, unrestricted
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
    harness.Metric("tries", "1", "none", "size", 0.0, "images that an unrestricted attack tried to make"),
    harness.Metric(
        "fooled", "%", "higher", "quality", 1.0, "of tries: the target errs, or says what is wanted"
    ),
    harness.Metric(
        "accepted", "%", "higher", "quality", 1.0, "of tries: the auxiliary classifier reads the source"
    ),
    harness.Metric("raw_rate", "%", "higher", "quality", 1.0, "of tries: fooled and accepted"),
    harness.Metric(
        "joint_rate", "%", "higher", "quality", 1.0, "of tries: and the automatic oracle reads the source"
    ),
    harness.Metric(
        "conditional_rate", "%", "higher", "quality", 1.0, "joint of raw: what the source reports, by people"
    ),
    harness.Metric("joint_low", "%", "higher", "quality", 1.0, "Wilson's 95 % interval of joint_rate"),
    harness.Metric("joint_high", "%", "higher", "quality", 1.0, "its upper end"),
    harness.Metric(
        "conditional_low", "%", "higher", "quality", 1.0, "Wilson's 95 % interval of conditional_rate"
    ),
    harness.Metric("conditional_high", "%", "higher", "quality", 1.0, "its upper end"),
    harness.Metric(
        "joint_at_4", "%", "higher", "quality", 1.0, "joint rate at four votes of the oracle's five"
    ),
    harness.Metric(
        "joint_at_5", "%", "higher", "quality", 1.0, "joint rate at five votes of the oracle's five"
    ),
    harness.Metric(
        "conditional_at_4", "%", "higher", "quality", 1.0, "conditional rate at four votes of five"
    ),
    harness.Metric(
        "conditional_at_5", "%", "higher", "quality", 1.0, "conditional rate at five votes of five"
    ),
    harness.Metric("abstained", "%", "lower", "quality", 1.0, "of raw: the oracle says none of these"),
    harness.Metric("raw_0", "%", "higher", "quality", 1.0, "raw rate of source digit 0"),
    harness.Metric("raw_1", "%", "higher", "quality", 1.0, "raw rate of source digit 1"),
    harness.Metric("raw_2", "%", "higher", "quality", 1.0, "raw rate of source digit 2"),
    harness.Metric("raw_3", "%", "higher", "quality", 1.0, "raw rate of source digit 3"),
    harness.Metric("raw_4", "%", "higher", "quality", 1.0, "raw rate of source digit 4"),
    harness.Metric("raw_5", "%", "higher", "quality", 1.0, "raw rate of source digit 5"),
    harness.Metric("raw_6", "%", "higher", "quality", 1.0, "raw rate of source digit 6"),
    harness.Metric("raw_7", "%", "higher", "quality", 1.0, "raw rate of source digit 7"),
    harness.Metric("raw_8", "%", "higher", "quality", 1.0, "raw rate of source digit 8"),
    harness.Metric("raw_9", "%", "higher", "quality", 1.0, "raw rate of source digit 9"),
    harness.Metric("raw_mean", "%", "higher", "quality", 1.0, "raw rate, the plain mean of the ten digits"),
    harness.Metric("joint_0", "%", "higher", "quality", 1.0, "joint rate of source digit 0"),
    harness.Metric("joint_1", "%", "higher", "quality", 1.0, "joint rate of source digit 1"),
    harness.Metric("joint_2", "%", "higher", "quality", 1.0, "joint rate of source digit 2"),
    harness.Metric("joint_3", "%", "higher", "quality", 1.0, "joint rate of source digit 3"),
    harness.Metric("joint_4", "%", "higher", "quality", 1.0, "joint rate of source digit 4"),
    harness.Metric("joint_5", "%", "higher", "quality", 1.0, "joint rate of source digit 5"),
    harness.Metric("joint_6", "%", "higher", "quality", 1.0, "joint rate of source digit 6"),
    harness.Metric("joint_7", "%", "higher", "quality", 1.0, "joint rate of source digit 7"),
    harness.Metric("joint_8", "%", "higher", "quality", 1.0, "joint rate of source digit 8"),
    harness.Metric("joint_9", "%", "higher", "quality", 1.0, "joint rate of source digit 9"),
    harness.Metric(
        "joint_mean", "%", "higher", "quality", 1.0, "joint rate, the plain mean of the ten digits"
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
    harness.Metric(
        "conditional_mean",
        "%",
        "higher",
        "quality",
        1.0,
        "conditional rate, the plain mean of the ten digits",
    ),
    harness.Metric(
        "linf_to_test",
        "1",
        "none",
        "quality",
        0.01,
        "smallest max-norm distance of a success to a test image",
    ),
    harness.Metric("linf_to_train", "1", "none", "quality", 0.01, "the same to a training image"),
    harness.Metric("cpu_seconds_per_100", "s", "lower", "speed", 0.0, "of the attack, for 100 tries"),
    harness.Metric(
        "cpu_seconds_per_success", "s", "lower", "speed", 0.0, "of the attack, for one joint success"
    ),
    harness.Metric("transfer_plain", "%", "higher", "quality", 1.0, "of joint successes: plain errs too"),
    harness.Metric("transfer_pgd", "%", "higher", "quality", 1.0, "of joint successes: pgd errs too"),
    harness.Metric("transfer_ibp", "%", "higher", "quality", 1.0, "of joint successes: ibp errs too"),
    harness.Metric(
        "transfer_wong_kolter", "%", "higher", "quality", 1.0, "of joint successes: wong_kolter errs too"
    ),
    harness.Metric(
        "transfer_raghunathan", "%", "higher", "quality", 1.0, "of joint successes: raghunathan errs too"
    ),
    harness.Metric(
        "plain_worst_judge",
        "%",
        "higher",
        "quality",
        1.0,
        "plain samples that the worst judge reads as their class",
    ),
    harness.Metric("plain_mean_judge", "%", "higher", "quality", 1.0, "the mean over the five judges"),
    harness.Metric(
        "plain_oracle", "%", "higher", "quality", 1.0, "plain samples that the oracle reads as their class"
    ),
    harness.Metric(
        "plain_accepted", "%", "higher", "quality", 1.0, "plain samples that the auxiliary classifier accepts"
    ),
    harness.Metric(
        "plain_abstained", "%", "lower", "quality", 1.0, "plain samples on which the oracle abstains"
    ),
    harness.Metric("oracle_error", "%", "lower", "quality", 0.1, "real test images that the oracle misreads"),
    harness.Metric(
        "oracle_abstention", "%", "lower", "quality", 0.1, "real test images on which it abstains"
    ),
    harness.Metric(
        "oracle_held_abstention",
        "%",
        "lower",
        "quality",
        0.1,
        "held-out training images, by which it is calibrated",
    ),
    harness.Metric(
        "oracle_worst_judge_error", "%", "lower", "quality", 0.1, "test error of the worst of its five judges"
    ),
    harness.Metric(
        "oracle_takes_garbage",
        "%",
        "lower",
        "quality",
        1.0,
        "non-digits of kinds it was trained to refuse that it takes",
    ),
    harness.Metric(
        "oracle_takes_new_garbage", "%", "lower", "quality", 1.0, "non-digits of other kinds that it takes"
    ),
    harness.Metric(
        "oracle_on_broken",
        "%",
        "higher",
        "quality",
        1.0,
        "test images broken within eps that it still reads rightly",
    ),
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
    judge_effort: Annotated[float, "(0, inf)"] = 1.0,
    transfer_epochs: Annotated[int, "[0, inf)"] = 2,
    transfer_images: Annotated[int, "[0, inf)"] = 20000,
    transfer_steps: Annotated[int, "[1, inf)"] = 5,
) -> dict[str, Any]:
    """Errors in percent of the test images beside their certificates, or the rates of an unrestricted attack.

    Certificates are assets. `relaxation` is the dearest linear one, which comes after the cheaper ones:
    "linear" optimises slopes for `linear_steps`, "branched" looks at up to `branches` parts of a ball.
    `semidefinite` bounds networks of one hidden layer, by pairs of classes, or also about each image that
    pairs leave open. An attack that beats a certificate, or leaves the ball, fails.

    Images outside a ball are judged by an automatic oracle, five classifiers trained for `judge_effort` (at 1
    each errs on less than 1 % of MNIST), which is checked on test images broken within eps, too. Successes
    are shown to the published networks, and to networks trained for `transfer_epochs` (0: none) on the first
    `transfer_images` images.
    """
    arrays = {name: value.to(run.device) for name, value in arrays.items()}
    if "adversarial" in arrays:
        asked = Asked(relaxation, linear_steps, branches, semidefinite)
        return norm_bounded(problem, arrays, run, asked)
    judging = Judging(judge_effort, transfer_epochs, transfer_images, transfer_steps)
    return unrestricted(problem, arrays, run, judging)
