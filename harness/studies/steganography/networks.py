"""Generators F: X → Y and G: Y → X, critics of patches, and how a pair of generators is kept as arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from harness.errors import UserError

STANDARD_DEVIATION = 0.02
"""Of all first weights; first biases are 0."""


class Residual(nn.Module):
    """x + conv(relu(conv(x))), each convolution followed by instance normalisation."""

    def __init__(self, channels: int, padding: Literal["zeros", "reflect"]) -> None:
        super().__init__()
        layers = [nn.Conv2d(channels, channels, 3, padding=1, padding_mode=padding) for _ in range(2)]
        self.body = nn.Sequential(layers[0], norm(channels), nn.ReLU(True), layers[1], norm(channels))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class Rounded(nn.Module):
    """Pixels in [−1, 1] rounded to `levels` values; the gradient passes as if nothing had been rounded."""

    def __init__(self, levels: int) -> None:
        super().__init__()
        self.scale = (levels - 1) / 2

    def forward(self, y: Tensor) -> Tensor:
        rounded = ((y.detach() + 1) * self.scale).round() / self.scale - 1
        return y + (rounded - y.detach())


class Masked(nn.Module):
    """(1 − M) z of features z (N, C, h, w), the mask M = σ(1 × 1 convolution of z) (Wu et al., CVPR 2024)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.of = nn.Conv2d(channels, channels, 1)
        for value in self.of.parameters():
            nn.init.zeros_(value)

    def share(self, z: Tensor) -> Tensor:
        """M(z), the share of each feature that a translation goes without."""
        return torch.sigmoid(self.of(z))

    def forward(self, z: Tensor) -> Tensor:
        return (1 - self.share(z)) * z


@dataclass(frozen=True)
class Architecture:
    """How generators and critics are built.

    `small`: all work is done at half the resolution, in `width` channels and `blocks` residual blocks.
    `published`: CycleGAN's (Zhu et al., ICCV 2017): two halvings to 4 · `width` channels, nine blocks, and
    critics of 70 × 70 patches.
    """

    kind: Literal["small", "published"] = "small"
    width: int = 32
    blocks: int = 3

    @property
    def features(self) -> int:
        """Channels of the residual blocks."""
        return self.width if self.kind == "small" else 4 * self.width

    def generator(self, channels: int, made: int, random: torch.Generator | None = None) -> nn.Sequential:
        """A network (N, channels, H, W) → (N, made, H, W) in (−1, 1)."""
        build = _small_generator if self.kind == "small" else _published_generator
        return drawn(nn.Sequential(*build(channels, made, self.width, self.blocks), nn.Tanh()), random)

    def critic(self, channels: int, random: torch.Generator) -> nn.Sequential:
        """A network (N, channels, H, W) → (N, 1, h, w): how real each patch looks."""
        build = _small_critic if self.kind == "small" else _published_critic
        return drawn(nn.Sequential(*build(channels, self.width)), random)


def split(generator: nn.Sequential) -> tuple[nn.Sequential, nn.Sequential]:
    """A generator as two, the first up to its first residual block. Raises `UserError` if it has none."""
    blocks = [place for place, layer in enumerate(generator) if isinstance(layer, Residual)]
    if not blocks:
        raise UserError("blocks: at least 1 is needed, after which features are masked")
    layers, cut = list(generator), blocks[0] + 1
    return nn.Sequential(*layers[:cut]), nn.Sequential(*layers[cut:])


def drawn(network: nn.Sequential, random: torch.Generator | None) -> nn.Sequential:
    """`network` with first weights from N(0, 0.02²), on the CPU."""
    for layer in network.modules():
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)) and random is not None:
            nn.init.normal_(layer.weight, 0.0, STANDARD_DEVIATION, generator=random)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return network


def norm(channels: int) -> nn.Module:
    """Instance normalisation; as a group norm it is faster on a CPU."""
    return nn.GroupNorm(channels, channels, affine=False)


def _small_generator(channels: int, made: int, width: int, blocks: int) -> list[nn.Module]:
    stem = [nn.PixelUnshuffle(2), nn.Conv2d(4 * channels, width, 3, padding=1), norm(width), nn.ReLU(True)]
    body = [Residual(width, "zeros") for _ in range(blocks)]
    return [*stem, *body, nn.Conv2d(width, 4 * made, 3, padding=1), nn.PixelShuffle(2)]


def _small_critic(channels: int, width: int) -> list[nn.Module]:
    layers: list[nn.Module] = [nn.Conv2d(channels, width, 4, 2, 1), nn.LeakyReLU(0.2, True)]
    layers += [nn.Conv2d(width, 2 * width, 4, 2, 1), norm(2 * width), nn.LeakyReLU(0.2, True)]
    layers += [nn.Conv2d(2 * width, 4 * width, 3, 1, 1), norm(4 * width), nn.LeakyReLU(0.2, True)]
    return [*layers, nn.Conv2d(4 * width, 1, 3, 1, 1)]


def _published_generator(channels: int, made: int, width: int, blocks: int) -> list[nn.Module]:
    layers: list[nn.Module] = [
        nn.ReflectionPad2d(3),
        nn.Conv2d(channels, width, 7),
        norm(width),
        nn.ReLU(True),
    ]
    for wide in (width, 2 * width):
        layers += [nn.Conv2d(wide, 2 * wide, 3, 2, 1), norm(2 * wide), nn.ReLU(True)]
    layers += [Residual(4 * width, "reflect") for _ in range(blocks)]
    for wide in (2 * width, width):
        layers += [nn.ConvTranspose2d(2 * wide, wide, 3, 2, 1, 1), norm(wide), nn.ReLU(True)]
    return [*layers, nn.ReflectionPad2d(3), nn.Conv2d(width, made, 7)]


def _published_critic(channels: int, width: int) -> list[nn.Module]:
    layers: list[nn.Module] = [nn.Conv2d(channels, width, 4, 2, 1), nn.LeakyReLU(0.2, True)]
    for into, out, stride in ((1, 2, 2), (2, 4, 2), (4, 8, 1)):
        layers += [
            nn.Conv2d(into * width, out * width, 4, stride, 1),
            norm(out * width),
            nn.LeakyReLU(0.2, True),
        ]
    return [*layers, nn.Conv2d(8 * width, 1, 4, 1, 1)]


# --- generators as arrays


def packed(f: nn.Module, g: nn.Module) -> dict[str, Tensor]:
    """The weights of F and G by name, what a method returns."""
    sides = (("F", f), ("G", g))
    return {
        f"{side}.{name}": value.detach().cpu().clone()
        for side, net in sides
        for name, value in net.state_dict().items()
    }


def unpacked(arrays: dict[str, Tensor], side: Literal["F", "G"], generator: nn.Sequential) -> nn.Module:
    """F or G of a method's arrays, ready for use: no gradient reaches its weights.

    `generator` has the architecture; where there is "F.matrix" (C_out, C_in) instead of weights, every pixel
    is multiplied by it. With "levels", F's pixels are rounded to so many values; with "mask.…", its features
    are `Masked`.
    """
    network: nn.Module = generator
    if (matrix := arrays.get(f"{side}.matrix")) is not None:
        network = nn.Conv2d(matrix.shape[1], matrix.shape[0], 1, bias=False)
        network.weight.data = matrix[:, :, None, None].float()
    else:
        generator.load_state_dict(_named(arrays, f"{side}."))
    if side == "F" and (mask := _named(arrays, "mask.")):
        masked = Masked(len(mask["of.bias"]))
        masked.load_state_dict(mask)
        before, after = split(generator)
        network = nn.Sequential(before, masked, after)
    if side == "F" and "levels" in arrays:
        network = nn.Sequential(network, Rounded(int(arrays["levels"])))
    return network.eval().requires_grad_(False)


def _named(arrays: dict[str, Tensor], start: str) -> dict[str, Tensor]:
    return {name.removeprefix(start): value for name, value in arrays.items() if name.startswith(start)}


@torch.no_grad()
def translate(network: nn.Module, images: Tensor, batch: int = 64) -> Tensor:
    """`network` of all images, `batch` at a time, in float32."""
    return torch.cat([network(part).float() for part in images.split(batch)])


def with_channels(images: Tensor, channels: int) -> Tensor:
    """Colour as its mean, gray as three equal channels, anything else as it is."""
    if images.shape[1] == channels:
        return images
    return images.mean(1, keepdim=True).expand(-1, channels, -1, -1)
