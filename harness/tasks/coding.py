"""Images through a noisy binary channel: m bits each, and how far the received image is from the sent one.

A method returns one of three things; the score does the rest, with fresh noise:

* the weights of `harness.kit.code_networks.CodeNetworks` (and, as `ldpc`, an LDPC code's (n, d_v, d_c, seed)
  that protects its bits);
* `prior` (D,), the pixels' means: the pixels themselves are the code bits;
* files: `intact` uint8 (N, D), the test images as a codec returns them, and `lost` (N,), the share of channel
  uses in which each was lost; a lost image is replaced by the mean image of the training data.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor

import harness
from harness.kit.noisy_codes import BinaryChannel
from harness.tasks._coding_images import Images, load

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
    harness.Metric("jpeg_ldpc_bits", "bits/image", "none", "size", 0.0, "JPEG (scan) + LDPC, n = 1000"),
    harness.Metric("best_ldpc_bits", "bits/image", "none", "size", 0.0, "best codec (scan) + LDPC, n = 1000"),
    harness.Metric("knn", "1", "higher", "quality", 0.01, "accuracy of 5 nearest neighbours on the codes"),
    harness.Metric("decision_tree", "1", "higher", "quality", 0.01, "accuracy on the codes"),
    harness.Metric("random_forest", "1", "higher", "quality", 0.01, "accuracy on the codes"),
    harness.Metric("mlp", "1", "higher", "quality", 0.01, "accuracy on the codes"),
    harness.Metric("adaboost", "1", "higher", "quality", 0.01, "accuracy on the codes"),
    harness.Metric("naive_bayes", "1", "higher", "quality", 0.01, "accuracy on the codes"),
    harness.Metric("qda", "1", "higher", "quality", 0.01, "accuracy on the codes"),
    harness.Metric("svm", "1", "higher", "quality", 0.01, "accuracy of a linear one on the codes"),
)


@dataclass(frozen=True)
class Problem:
    """Images, and a channel that may be used `bits` times for each.

    `entropy` is that of the data, in nats per image, where it is known.
    """

    images: Images
    bits: int
    channel: BinaryChannel
    entropy: float | None


@harness.task
def coding(
    run: Any,
    *,
    dataset: str,
    binary: bool = True,
    bits: int = 100,
    channel: Literal["bsc", "bec"] = "bsc",
    eps: float = 0.1,
    test_images: int = 2000,
) -> Problem:
    """Training images of `dataset`, `test_images` test images, and a channel used `bits` times for each.

    Binary images: MNIST is sampled once (pixels are probabilities), all others are rounded. Raises ValueError
    for noise outside [0, 0.5], a code without bits, and images of the wrong range or shape.
    """
    if bits < 1:
        raise ValueError(f"bits is {bits}: a code needs at least one bit")
    link = BinaryChannel(channel, eps)
    images = load(dataset, binary, test_images, run.device)
    entropy = images.shape[0] * math.log(2) if dataset == "random_bits" else None
    return Problem(images, bits, link, entropy)


@harness.score
def score(
    problem: Problem,
    arrays: dict[str, Tensor],
    run: Any,
    *,
    test_eps: float | None = None,
    draws: int = 10,
    separate: bool = False,
    classify: bool = False,
    pixel_noise: float = 0.0,
    chain_steps: int = 0,
) -> dict[str, float | harness.Estimate]:
    """Distortion, size and speed; on request what else a code is good for.

    `test_eps` is the channel's noise in the test, where that differs from training. `separate` asks how many
    bits codecs with a channel code need for the same distortion of pictures. `classify` fits eight
    classifiers to the codes, of images with Gaussian noise of standard deviation `pixel_noise`. `chain_steps`
    draws pictures of Markov chains of that length and of bits flipped one by one.
    """
    from harness.tasks import _coding_codes as codes
    from harness.tasks import _coding_score as measures

    channel = BinaryChannel(problem.channel.kind, problem.channel.eps if test_eps is None else test_eps)
    found = measures.distortions(problem, arrays, channel, run, draws)
    if separate:
        found |= measures.separate_bits(problem, channel, run, found)
    if classify:
        found |= codes.accuracies(problem.images, arrays, channel, run, pixel_noise)
    if chain_steps:
        codes.pictures(problem.images, arrays, channel, run, chain_steps)
    return found
