"""The diagonal normal posterior q(z; λ), its weight against the prior N(0, I), and derivatives by hand.

Throughout, a weight is ln w = ln p(x|z) + β (ln p(z) − ln q(z; λ)) with z = mean + scale · noise; β = 1
is the evidence bound and β < 1 its warm-up. Since p(z) and q are known, the only thing that a decoder
has to supply is the slope d ln p(x|z) / dz.
"""

from __future__ import annotations

import torch
from torch import Tensor


class Gaussian:
    """q(z; λ) for a batch; `parameters` is λ = (mean, log scale) side by side, shape (B, 2d).

    Arguments `z`, `noise` and `slope` have shape (B, d), or (k, B, d) for k draws per datum; `beta` is a
    tensor without dimensions.
    """

    def __init__(self, parameters: Tensor) -> None:
        self.parameters = parameters
        self.mean, self.log_scale = parameters.chunk(2, dim=-1)
        self.scale = self.log_scale.exp()

    def detach(self) -> Gaussian:
        """The same distribution, cut off from what computed it (the stop-gradient)."""
        return Gaussian(self.parameters.detach())

    def noise(self, generator: torch.Generator, *draws: int) -> Tensor:
        """Standard normal numbers, shape (*draws, B, d)."""
        mean = self.mean
        return torch.randn((*draws, *mean.shape), generator=generator, device=mean.device, dtype=mean.dtype)

    def sample(self, noise: Tensor) -> Tensor:
        """z by reparameterisation."""
        return torch.addcmul(self.mean, self.scale, noise)

    def log_ratio(self, z: Tensor, noise: Tensor) -> Tensor:
        """ln p(z) − ln q(z), summed over the latent dimensions: (B,) or (k, B). The 2π cancel."""
        return 0.5 * (noise.square() - z.square()).sum(-1) + self.log_scale.sum(-1)

    def kl(self) -> Tensor:
        """KL(q || prior) in nats, exact, per datum (B,)."""
        return (0.5 * (self.mean.square() + self.scale.square() - 1) - self.log_scale).sum(-1)

    def total_derivative(self, slope: Tensor, z: Tensor, beta: Tensor) -> Tensor:
        """d ln w / dλ through z and through q's own parameters: (..., B, 2d)."""
        along_z = torch.addcmul(slope, z, beta, value=-1)
        return torch.cat([along_z, torch.addcmul(beta, along_z, z - self.mean)], dim=-1)

    def path_derivative(self, slope: Tensor, z: Tensor, noise: Tensor, beta: Tensor) -> Tensor:
        """d ln w / dλ through z alone: the score of q left out (Roeder et al., NeurIPS 2017, 1703.09194)."""
        along_z = slope - beta * z + beta * noise / self.scale
        return torch.cat([along_z, along_z * (z - self.mean)], dim=-1)

    def backward(self, ascent: Tensor) -> None:
        """Send an ascent direction on λ (B, 2d) into the encoder's `.grad`, averaged over the batch."""
        torch.autograd.backward(self.parameters, -ascent / len(ascent))
