"""A variational autoencoder whose decoder is a gated PixelCNN.

The architecture of Kim et al., "Semi-amortized variational autoencoders" (ICML 2018, 1802.02550), with the
gated masked convolutions of van den Oord et al. (NeurIPS 2016, 1606.05328): what the Omniglot numbers of
the BSVI paper imply.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness.kit.latent import Gaussian
from harness.kit.likelihoods import Bernoulli, Categorical
from harness.studies.likelihood.tape import AutogradTape

KERNELS = (9, 9, 9, 7, 7, 7, 5, 5, 5, 3, 3, 3)


class PixelCNN(nn.Module):
    """x (B, H · W) -> three residual blocks -> q(z; λ); z (..., B, latent), as feature planes, with the
    pixels above and to the left -> p(x|z).

    Weights are drawn from torch's global generator.
    """

    def __init__(
        self,
        height: int,
        width: int,
        likelihood: Bernoulli | Categorical,
        *,
        latent: int = 32,
        planes: int = 4,
        kernels: Sequence[int] = KERNELS,
        channels: int = 32,
        encoder_channels: int = 64,
    ) -> None:
        super().__init__()
        self.size = (height, width)
        self.likelihood = likelihood
        code = encoder_channels * (height // 8) * (width // 8)
        self.encoder = nn.Sequential(
            nn.Unflatten(1, (1, height, width)),
            *(layer for n in range(3) for layer in down(encoder_channels if n else 1, encoder_channels)),
            nn.Flatten(),
            nn.Linear(code, 2 * latent),
        )
        self.planes = nn.Linear(latent, planes * height * width)
        self.first = GatedConvolution(1 + planes, channels, kernels[0], sees_itself=False)
        self.rest = nn.ModuleList(GatedConvolution(channels, channels, size) for size in kernels[1:])
        self.outputs = nn.Conv2d(channels, likelihood.channels, kernel_size=1)
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                nn.init.kaiming_normal_(layer.weight)

    def encode(self, x: Tensor) -> Gaussian:
        """q(z; λ_0) for each datum."""
        return Gaussian(self.encoder(self.likelihood.centre(x)))

    def decode(self, x: Tensor, z: Tensor) -> Tensor:
        """Outputs (N, channels, H, W) for x (N, H · W) and z (N, latent).

        Those of a pixel depend on z and on the pixels before it, row by row, alone.
        """
        image = self.likelihood.centre(x).view(-1, 1, *self.size)
        above = left = torch.cat([image, self.planes(z).view(len(z), -1, *self.size)], dim=1)
        for layer in (self.first, *self.rest):
            above, left = layer(above, left)
        return self.outputs(left)

    def log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        """ln p(x|z) in nats, shape z.shape[:-1]."""
        images = x.expand(*z.shape[:-1], x.shape[-1]).flatten(0, -2)
        outputs = self.decode(images, z.flatten(0, -2))
        return self.likelihood.log_prob(images, outputs.flatten(2).squeeze(1)).view(z.shape[:-1])

    def tape(self, x: Tensor, keep: int, *, graphs: bool = True) -> AutogradTape:
        """Values and slopes of the likelihood; see `harness.studies.likelihood.tape`."""
        return AutogradTape(self.log_likelihood, x, keep, graphs=graphs)


class GatedConvolution(nn.Module):
    """One layer of two stacks: `above` sees the rows above a pixel, `left` also its row up to the pixel.

    The first layer must not see the pixel itself; later ones may, since by then it holds only the past.
    """

    def __init__(self, inputs: int, channels: int, size: int, *, sees_itself: bool = True) -> None:
        super().__init__()
        self.reach, self.sees_itself = size // 2, sees_itself
        self.vertical = nn.Conv2d(inputs, 2 * channels, (self.reach + 1, size))
        self.horizontal = nn.Conv2d(inputs, 2 * channels, (1, self.reach + 1))
        self.down = nn.Conv2d(2 * channels, 2 * channels, kernel_size=1)
        self.mix = nn.Conv2d(channels, channels, kernel_size=1)

    def forward(self, above: Tensor, left: Tensor) -> tuple[Tensor, Tensor]:
        reach, height, width = self.reach, *above.shape[-2:]
        rows = self.vertical(F.pad(above, (reach, reach, reach + 1, 0)))[:, :, :height]
        itself = int(self.sees_itself)
        columns = self.horizontal(F.pad(left, (reach + 1 - itself, 0)))[..., :width]
        mixed = self.mix(gate(columns + self.down(rows)))
        if self.sees_itself:
            mixed = mixed + left
        return gate(rows), mixed


def gate(x: Tensor) -> Tensor:
    """tanh of the first half of the channels times the sigmoid of the second."""
    value, door = x.chunk(2, dim=1)
    return torch.tanh(value) * torch.sigmoid(door)


class Residual(nn.Module):
    """x + two 3x3 convolutions of it, with batch normalisation."""

    def __init__(self, inputs: int, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, channels, kernel_size=3, padding=1),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, kernel_size=3, padding=1),
            nn.BatchNorm2d(channels),
        )
        self.skip = nn.Identity() if inputs == channels else nn.Conv2d(inputs, channels, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.skip(x) + self.body(x))


def down(inputs: int, channels: int) -> list[nn.Module]:
    """A residual block and a convolution that halves the image."""
    return [Residual(inputs, channels), nn.Conv2d(channels, channels, kernel_size=2, stride=2)]
