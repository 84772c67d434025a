"""What the coding study measures of a scheme: distortion, size, speed, what else codes are good for."""

from __future__ import annotations

from typing import Annotated

from torch import Tensor

import harness
from harness.studies.coding import features, measures, rivals
from harness.studies.coding.noisy_codes import BinaryChannel
from harness.studies.coding.task import Problem

METRICS = (
    harness.Metric("l1", "1", "lower", "quality", 0.002, "per pixel; of hard decisions where data is binary"),
    harness.Metric("l2", "1", "lower", "quality", 0.002, "squared error per pixel, pixels in [0, 1]"),
    harness.Metric("cross_entropy", "nats/pixel", "lower", "quality", 0.005, "binary data only"),
    harness.Metric("psnr", "dB", "higher", "quality", 0.2, "mean over images, each cut at 100"),
    harness.Metric("l1_floor", "1", "none", "quality", 0.0, "l1 of the best constant image"),
    harness.Metric("l2_floor", "1", "none", "quality", 0.0, "l2 of the best constant image"),
    harness.Metric("cross_entropy_floor", "nats/pixel", "none", "quality", 0.0, "of the best constant image"),
    harness.Metric("psnr_floor", "dB", "none", "quality", 0.0, "psnr of the mean image"),
    harness.Metric("bits", "bits/image", "lower", "size", 0.0, "channel bits per image"),
    harness.Metric("frame_error_rate", "1", "lower", "quality", 0.01, "blocks that a channel code got wrong"),
    harness.Metric("images_lost", "1", "lower", "quality", 0.01, "images replaced by the mean image"),
    harness.Metric("encode_images_per_second", "images/s", "higher", "speed", 0.0, "batches of 256"),
    harness.Metric("decode_images_per_second", "images/s", "higher", "speed", 0.0, "batches of 256"),
    harness.Metric(
        "information_margin",
        "nats/pixel",
        "none",
        "quality",
        0.0,
        "cross-entropy + bits that can get through − entropy of the data; below 0 is impossible",
    ),
    harness.Metric("jpeg_file_bits", "bits/image", "none", "size", 0.0, "JPEG + ideal code at this l1 or l2"),
    harness.Metric("jpeg_stripped_bits", "bits/image", "none", "size", 0.0, "the same without JPEG's tables"),
    harness.Metric("jpeg_scan_bits", "bits/image", "none", "size", 0.0, "the same, coded image alone"),
    harness.Metric(
        "webp_scan_bits", "bits/image", "none", "size", 0.0, "WebP + ideal code, coded image alone"
    ),
    harness.Metric(
        "jpeg2000_scan_bits", "bits/image", "none", "size", 0.0, "JPEG 2000 + ideal code, likewise"
    ),
    harness.Metric("avif_scan_bits", "bits/image", "none", "size", 0.0, "AVIF + ideal code, likewise"),
    harness.Metric("context_bits", "bits/image", "none", "size", 0.0, "lossless pixel model + ideal code"),
    harness.Metric("best_bits", "bits/image", "none", "size", 0.0, "the least of these: to be beaten"),
    harness.Metric("jpeg_ldpc_bits", "bits/image", "none", "size", 0.0, "JPEG (scan) + LDPC, n = 1000"),
    harness.Metric("best_ldpc_bits", "bits/image", "none", "size", 0.0, "best source code + LDPC, n = 1000"),
    harness.Metric("ldpc_rate", "1", "none", "size", 0.0, "of that code: the most that fails in under 1 %"),
    harness.Metric(
        "best_finite_bits", "bits/image", "none", "size", 0.0, "best source code + best code of that length"
    ),
    harness.Metric("knn", "1", "higher", "quality", 0.01, "accuracy of 5 nearest neighbours on the codes"),
    harness.Metric("decision_tree", "1", "higher", "quality", 0.01, "accuracy on the codes"),
    harness.Metric("random_forest", "1", "higher", "quality", 0.01, "accuracy on the codes"),
    harness.Metric("mlp", "1", "higher", "quality", 0.01, "accuracy on the codes"),
    harness.Metric("adaboost", "1", "higher", "quality", 0.01, "accuracy on the codes"),
    harness.Metric("naive_bayes", "1", "higher", "quality", 0.01, "accuracy on the codes"),
    harness.Metric("qda", "1", "higher", "quality", 0.01, "accuracy on the codes"),
    harness.Metric("svm", "1", "higher", "quality", 0.01, "accuracy of a linear one on the codes"),
)


@harness.score
def score(
    problem: Problem,
    arrays: dict[str, Tensor],
    run: harness.Run,
    *,
    test_eps: Annotated[float | None, "[0, 0.5]"] = None,
    draws: Annotated[int, "[10, inf)"] = 10,
    separate: bool = False,
    classify: bool = False,
    pixel_noise: Annotated[float, "[0, inf)"] = 0.0,
    train_images: Annotated[int, "[100, inf)"] = 3000,
    chain_steps: Annotated[int, "[0, inf)"] = 0,
) -> dict[str, float | harness.Estimate]:
    """Distortion, size and speed; on request what else a code is good for.

    `test_eps` is the channel's noise in the test, where that differs from training. `separate` asks how many
    bits codecs with a channel code need for the same distortion of pictures. `classify` fits eight
    classifiers to the codes of `train_images` images, with Gaussian noise of deviation `pixel_noise`.
    `chain_steps` draws pictures of Markov chains of that length and of bits flipped one by one.
    """
    channel = BinaryChannel(problem.channel.kind, problem.channel.eps if test_eps is None else test_eps)
    gathered = None
    if separate and len(problem.images.shape) > 1:  # data that is no pictures has no codecs
        gathered = rivals.gather(problem.images, channel, run)
    found = measures.distortions(problem, arrays, channel, run, draws)
    if gathered:
        found |= measures.separate_bits(problem, channel, run, found, gathered)
    if classify:
        found |= features.accuracies(problem.images, arrays, channel, run, pixel_noise, train_images)
    if chain_steps:
        features.pictures(problem.images, arrays, channel, run, chain_steps)
    return found
