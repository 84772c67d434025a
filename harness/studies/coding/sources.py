"""Source codes for test images, and how a sender spends bits: a quality, or nothing, for each image."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from torch import Tensor

import harness
from harness.studies.coding import codecs, separate
from harness.studies.coding.assets import CHARGED, lossless_points, operating_points, pixel_weights
from harness.studies.coding.images import Images
from harness.studies.coding.pixel_model import PixelModel

Name = Literal["jpeg", "webp", "webp_lossless", "jpeg2000", "avif", "lossless_context"]
"""Image codecs, and the pixel model with its arithmetic code."""


@dataclass(frozen=True)
class Source:
    """What a source code makes of N test images at each of its Q qualities.

    bits (Q, N) of each file, intact (Q, N) its distortion, blank (N,) that of the mean image, which stands in
    for a file that is not there; fields: bits that say a file's length and quality, where one is sent.
    """

    bits: np.ndarray
    intact: np.ndarray
    blank: np.ndarray
    fields: float

    def curve(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean bits and mean distortion of the best choices per image, from all sent to none."""
        return separate.chosen(self.bits, self.intact, self.blank, self.fields)

    def within(self, room: float) -> np.ndarray:
        """The qualities (N,), −1 for no file, at which all files together take at most `room` bits."""
        return separate.pooled(self.bits, self.intact, self.blank, self.fields, room)


def compared(images: Images) -> str:
    """The distortion at which codes are compared: l1 where data is binary, l2 elsewhere."""
    return "l1" if images.binary else "l2"


def asked(images: Images, name: Name, count: int) -> tuple[Callable[..., Any], dict[str, Any]]:
    """The asset that holds what the code `name` makes of the first `count` test images.

    Raises `harness.Skip` for the pixel model of images that are not binary.
    """
    if name != "lossless_context":
        shared = {"dataset": images.dataset, "binary": images.binary}
        return operating_points, shared | {"codec": name, "images": count}
    if not images.binary:
        raise harness.Skip("the pixel model is one of binary pixels; 256 levels would need another model")
    return lossless_points, {"dataset": images.dataset, "images": count}


def source(asset: Mapping[str, Tensor], name: Name, charged: codecs.Charged, measured: str) -> Source:
    """The source in an asset of `asked`; `measured` is l1 or l2.

    Files of the pixel model end where the image does and have one quality: they need no fields.
    """
    bits = asset["bits"][CHARGED.index(charged)].numpy().astype(np.float64)
    intact, blank = (asset[each].numpy().astype(np.float64) for each in (measured, f"blank_{measured}"))
    return Source(bits, intact, blank, 0 if name == "lossless_context" else separate.fields(bits))


def files(
    images: Images, run: harness.Run, name: Name, charged: codecs.Charged, qualities: np.ndarray
) -> tuple[list[str], np.ndarray]:
    """The test images' files at the `qualities` (N,), −1 for none, and what they hold, uint8 (N, D).

    Of each file the bits, as a string, that are charged; a blank one, and zeros, where nothing is sent. Times
    the phases "encoding" and "decoding" of `run`.
    """
    chosen = np.flatnonzero(qualities >= 0)
    if name == "lossless_context":
        made, decoded = _by_pixel_model(images, run, chosen)
    else:
        made, decoded = _by_codec(images, run, name, charged, chosen, qualities[chosen])
    sent, intact = [""] * len(qualities), np.zeros((len(qualities), images.pixels), np.uint8)
    for index, file, image in zip(chosen, made, decoded, strict=True):
        sent[index], intact[index] = file, image.reshape(-1)
    return sent, intact


Made = tuple[list[str], Sequence[np.ndarray] | np.ndarray]


def _by_pixel_model(images: Images, run: harness.Run, chosen: np.ndarray) -> Made:
    model = PixelModel.restore(run.asset(pixel_weights, dataset=images.dataset))
    with run.phase("encoding"):
        made = model.encode(images.x_test[chosen].cpu().numpy().astype(np.uint8))
    with run.phase("decoding"):
        decoded = model.decode_all("".join(made), len(made))
    return made, 255 * decoded


def _by_codec(
    images: Images,
    run: harness.Run,
    name: str,
    charged: codecs.Charged,
    chosen: np.ndarray,
    qualities: np.ndarray,
) -> Made:
    coder, pictures = codecs.find(name), images.pictures()[chosen]
    with run.phase("encoding"):
        made = [
            codecs.encode(coder, picture, coder.qualities[quality])
            for picture, quality in zip(pictures, qualities, strict=True)
        ]
    with run.phase("decoding"):
        decoded = [codecs.decode(coder, file, images.shape) for file in made]
    return [codecs.charged_part(coder, file, charged) for file in made], decoded
