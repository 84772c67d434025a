"""What the coding task measures of a finished scheme."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

import harness
from harness.kit.clocks import median_seconds
from harness.studies.coding import distortion as measure
from harness.studies.coding import rivals, schemes, sources
from harness.studies.coding.noisy_codes import BinaryChannel

if TYPE_CHECKING:
    from harness.studies.coding.images import Images
    from harness.studies.coding.task import Problem

BATCH = 256
DOUBT = 4.0
"""Standard errors by which a cross-entropy may break the information floor before it is called wrong."""

Scores = dict[str, float | harness.Estimate]


class Wrong(Exception):
    """A result that cannot be: more information out of a channel than goes through it."""


def distortions(
    problem: Problem, arrays: Mapping[str, Tensor], channel: BinaryChannel, run: harness.Run, draws: int
) -> Scores:
    """All that every cell reports, under `channel`, averaged over `draws` of its noise."""
    images = problem.images
    floors = _scores(measure.floor(images.x_train, images.x_test, images.binary).named(), "_floor")
    if "intact" in arrays:
        if channel != problem.channel:
            raise ValueError(
                f"files are sent by a code made for eps {problem.channel.eps}, not {channel.eps}"
            )
        return of_files(images, arrays) | floors | {"bits": float(problem.bits)}
    scheme = schemes.restore({name: value.to(run.device) for name, value in arrays.items()}, channel)
    found = floors | of_scheme(images, scheme, channel, run.stream("test channel"), draws)
    found |= speeds(images, scheme, channel, run)
    if problem.entropy is not None:
        found["information_margin"] = _margin(problem, found, channel)
    return found


@torch.no_grad()
def of_scheme(
    images: Images, scheme: schemes.Scheme, channel: BinaryChannel, noise: torch.Generator, draws: int
) -> Scores:
    """Distortion of the test images, and blocks that came out wrong where a channel code protects them."""
    x, wrong = images.x_test, 0.0
    totals: dict[str, Tensor] = {}
    for _ in range(draws):
        words = scheme.encode(x, noise)
        corrected = scheme.correct(channel.send(words, noise))
        if isinstance(scheme, schemes.ProtectedCode):
            wrong += float((scheme.code.encode(corrected) != words).any(-1).float().mean()) / draws
        found = measure.of_logits(x, scheme.reconstruct(corrected), images.binary)
        totals = {name: totals.get(name, 0.0) + values / draws for name, values in found.named().items()}
    scores = _scores(totals)
    scores["bits"] = float(words.shape[-1])
    if isinstance(scheme, schemes.ProtectedCode):
        scores["frame_error_rate"] = harness.Estimate(
            wrong, (wrong * (1 - wrong) / (draws * len(x))) ** 0.5, len(x)
        )
    return scores


def of_files(images: Images, arrays: Mapping[str, Tensor]) -> Scores:
    """The expected distortion of files that arrive intact or not at all: each image's own mean, exactly."""
    x = images.x_test.cpu()
    intact = measure.of_means(x, arrays["intact"].float() / 255, images.binary)
    blank = measure.of_means(x, images.x_train.mean(0).cpu().expand_as(x), images.binary)
    lost = arrays["lost"].float()
    mixed = {name: value + lost * (blank.named()[name] - value) for name, value in intact.named().items()}
    return _scores(mixed) | {"images_lost": harness.Estimate.of(lost)}


def speeds(images: Images, scheme: schemes.Scheme, channel: BinaryChannel, run: harness.Run) -> Scores:
    """Images per second in batches of 256: encoding, and decoding from received symbols to pixels."""
    noise = run.stream("speed")
    x = images.x_test[torch.arange(BATCH) % len(images.x_test)]
    received = channel.send(scheme.encode(x, noise), noise)
    return {
        "encode_images_per_second": BATCH / median_seconds(lambda: scheme.encode(x, noise), run.device),
        "decode_images_per_second": BATCH
        / median_seconds(lambda: scheme.reconstruct(scheme.correct(received)), run.device),
    }


def separate_bits(
    problem: Problem,
    channel: BinaryChannel,
    run: harness.Run,
    found: Mapping[str, float | harness.Estimate],
    gathered: rivals.Rivals,
) -> Scores:
    """Bits that codecs with an ideal and with a real channel code need for the distortion in `found`.

    The cell's folder gets points and curve.
    """
    measured = sources.compared(problem.images)
    target, bits = found[measured], found["bits"]
    assert isinstance(target, harness.Estimate) and isinstance(bits, float)
    sent, blank = rivals.curves(gathered.sources, channel), float(gathered.sources["jpeg_scan"].blank.mean())
    rivals.save_points(run.folder / "separate.csv", sent, bits, target.value)
    rivals.draw(run.folder / "separate.png", sent, blank, (bits, target.value), measured)
    return {**rivals.ideal_bits(sent, target.value), **rivals.real_bits(gathered, target.value)}


def _margin(problem: Problem, found: Scores, channel: BinaryChannel) -> harness.Estimate:
    """Cross-entropy + m · C · ln 2 − H, per pixel, which no scheme can bring below 0. Raises `Wrong`.

    Decoding with cross-entropy H(X|Y) or more leaves I(X; Y) ≤ m · C bits of the data's entropy explained.
    """
    entropy, crossed = problem.entropy, found["cross_entropy"]
    assert entropy is not None and isinstance(crossed, harness.Estimate) and isinstance(found["bits"], float)
    through = found["bits"] * channel.capacity * math.log(2)
    margin = crossed.value + (through - entropy) / problem.images.pixels
    if margin < -DOUBT * crossed.error:
        raise Wrong(
            f"{-margin:.4f} nats a pixel below the information floor: more came out of the channel than "
            f"{found['bits']:.0f} bits at capacity {channel.capacity:.3f} let through"
        )
    return harness.Estimate(margin, crossed.error, crossed.n)


def _scores(by_image: Mapping[str, Tensor], suffix: str = "") -> Scores:
    return {f"{name}{suffix}": harness.Estimate.of(values) for name, values in by_image.items()}
