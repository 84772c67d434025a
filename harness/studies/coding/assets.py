"""Rate and distortion of codecs, and LDPC codes that fit a noise: measured once, used by many cells."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

import harness
from harness.kit.ldpc.code import FrameErrors, frame_errors
from harness.kit.ldpc.matched import LEAST_MESSAGE, MatchedCode, matched_code
from harness.studies.coding import codecs, pixel_model
from harness.studies.coding import distortion as measure
from harness.studies.coding.images import load
from harness.studies.coding.noisy_codes import BinaryChannel

CHARGED: tuple[codecs.Charged, ...] = ("file", "stripped", "scan")
ERRORS, WORDS, AT_ONCE = 50, 4096, 256
FAILING = 0.01
"""Share of blocks that a real code may lose."""


@harness.asset
def operating_points(
    run: harness.Run, *, dataset: harness.DataSet, binary: bool, codec: str, images: int
) -> dict[str, Tensor]:
    """What `codec` makes of the first `images` test images at each of its qualities.

    `bits` (3, Q, N), by what is charged (see `CHARGED`; "stripped" is "file" where there are no tables);
    `l1` and `l2` (Q, N); `blank_l1` and `blank_l2` (N,) of the mean image, which a lost file is replaced by.
    """
    sent = load(run, dataset, binary, images)
    coder, pictures = codecs.find(codec), sent.pictures()
    bits, l1, l2 = [], [], []
    for quality in coder.qualities:
        files = [codecs.encode(coder, picture, quality) for picture in pictures]
        bits.append([[_bits(coder, file, charged) for file in files] for charged in CHARGED])
        decoded = np.stack([codecs.decode(coder, file, sent.shape) for file in files])
        found = measure.of_means(sent.x_test, _rows(decoded), binary)
        l1.append(found.l1)
        l2.append(found.l2)
    blank = measure.of_means(sent.x_test, sent.x_train.mean(0).expand_as(sent.x_test), binary)
    return {
        "bits": torch.tensor(bits, dtype=torch.float32).transpose(0, 1),
        "l1": torch.stack(l1),
        "l2": torch.stack(l2),
        "blank_l1": blank.l1,
        "blank_l2": blank.l2,
    }


@harness.asset
def pixel_weights(run: harness.Run, *, dataset: harness.DataSet) -> dict[str, Tensor]:
    """The `PixelModel` of the binary training images; the same for all seeds."""
    images = load(run, dataset, True, 1)
    generator = torch.Generator().manual_seed(0)
    return pixel_model.fit(images.x_train.cpu(), images.x_valid.cpu(), generator)


@harness.asset
def lossless_points(run: harness.Run, *, dataset: harness.DataSet, images: int) -> dict[str, Tensor]:
    """What the pixel model makes of the first `images` test images, binary: as `operating_points`, with one
    quality. Every file is decoded again, behind the others in one stream. Raises ValueError if one differs.
    """
    model = pixel_model.PixelModel.restore(run.asset(pixel_weights, dataset=dataset))
    sent = load(run, dataset, True, images)
    pixels = sent.x_test.cpu().numpy().astype(np.uint8)
    files = model.encode(pixels)
    if not np.array_equal(model.decode_all("".join(files), len(files)), pixels):
        raise ValueError(f"the pixel model of {dataset} does not return what was sent")
    blank = measure.of_means(sent.x_test, sent.x_train.mean(0).expand_as(sent.x_test), True)
    return {
        "bits": torch.tensor([len(file) for file in files], dtype=torch.float32).expand(len(CHARGED), 1, -1),
        "l1": torch.zeros(1, len(files)),
        "l2": torch.zeros(1, len(files)),
        "blank_l1": blank.l1,
        "blank_l2": blank.l2,
    }


def _bits(coder: codecs.Codec, file: bytes, charged: codecs.Charged) -> int:
    if charged == "stripped" and coder.name != "jpeg":
        charged = "file"
    return codecs.charged_bits(coder, file, charged)


def _rows(decoded: np.ndarray) -> Tensor:
    return torch.from_numpy(decoded.reshape(len(decoded), -1)).float() / 255


@harness.asset
def fitting_code(run: harness.Run, *, n: int, channel: str, eps: float) -> dict[str, Tensor]:
    """The most message bits `k` that a matched code of n channel bits carries with fewer than 1 % of blocks
    wrong, and the `errors` among `words` blocks that say so. Without noise all n, and no code; 0 where even
    six bits are too many.

    Tried are 98 %, 96 %, … of what any code of that length could carry (normal approximation). Simulated
    until 50 blocks are wrong or 4,096 are sent; a block is wrong unless all its bits are right.
    """
    link = BinaryChannel(channel, eps)  # type: ignore[arg-type]
    most = link.message_bits(n, FAILING)
    if not eps:
        return _fitting(n, 0, 1)
    for share in range(98, 0, -2):
        k = min(int(most * share / 100), 5 * n // 6)
        if k < LEAST_MESSAGE:
            break
        found = _failures(matched_code(n, k), link)
        if found.rate < FAILING:
            return _fitting(k, found.errors, found.words)
    return _fitting(0, 0, 1)


def _failures(code: MatchedCode, link: BinaryChannel) -> FrameErrors:
    noise = torch.Generator().manual_seed(0)
    return frame_errors(
        code,
        lambda words: link.llr(link.send(words, noise)),
        lambda llr: code.encode(code.decode(llr)),
        noise,
        ERRORS,
        WORDS,
        AT_ONCE,
    )


def _fitting(k: int, errors: int, words: int) -> dict[str, Tensor]:
    return {"k": torch.tensor(k), "errors": torch.tensor(errors), "words": torch.tensor(words)}
