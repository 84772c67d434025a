"""The fully connected variational autoencoder of the IWAE paper (Burda et al., ICLR 2016, 1509.00519)."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from harness.kit.latent import Gaussian
from harness.kit.likelihoods import Bernoulli, DiscretisedLogistic
from harness.studies.likelihood.tape import LayerTape


class Autoencoder(nn.Module):
    """x -> tanh layers -> q(z; λ), and z -> the same layers reversed -> p(x|z).

    `mean` (D,) is the mean image: the decoder starts there. x is (B, D), z is (..., B, latent).
    Weights are drawn from torch's global generator.
    """

    def __init__(
        self, mean: Tensor, hidden: list[int], latent: int, likelihood: Bernoulli | DiscretisedLogistic
    ) -> None:
        super().__init__()
        pixels = len(mean)
        self.likelihood = likelihood
        self.encoder = stack([pixels, *hidden, 2 * latent])
        self.decoder = stack([latent, *reversed(hidden), pixels])
        with torch.no_grad():
            self._layers(self.decoder)[-1].bias.copy_(likelihood.start(mean))

    @staticmethod
    def _layers(network: nn.Sequential) -> list[nn.Linear]:
        return [layer for layer in network if isinstance(layer, nn.Linear)]

    def encode(self, x: Tensor) -> Gaussian:
        """q(z; λ_0) for each datum."""
        return Gaussian(self.encoder(self.likelihood.centre(x)))

    def log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        """ln p(x|z) in nats, shape z.shape[:-1]; autograd can differentiate it in z and all parameters."""
        return self.likelihood.log_prob(x, self.decoder(z))

    def tape(self, x: Tensor, keep: int, *, graphs: bool = True) -> LayerTape:
        """The same likelihood with gradients by hand, several times as fast; see `tape`. It has no graphs."""
        return LayerTape(self._layers(self.decoder), self.likelihood, x, keep)


def stack(sizes: list[int]) -> nn.Sequential:
    """Linear layers of these sizes with tanh between them; Glorot weights, zero biases."""
    layers: list[nn.Module] = []
    for below, above in pairwise(sizes):
        layer = nn.Linear(below, above)
        nn.init.xavier_uniform_(layer.weight)
        nn.init.zeros_(layer.bias)
        layers += [layer, nn.Tanh()]
    return nn.Sequential(*layers[:-1])
