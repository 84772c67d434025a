"""Images that a model makes itself: the only ones for which a draw from the true posterior is known."""

from __future__ import annotations

import torch
from torch import Tensor

from harness.kit.likelihoods import Bernoulli, Categorical, DiscretisedLogistic
from harness.studies.likelihood.autoencoder import Autoencoder
from harness.studies.likelihood.pixelcnn import PixelCNN


@torch.no_grad()
def simulate(model: Autoencoder | PixelCNN, z: Tensor, generator: torch.Generator) -> Tensor:
    """x ~ p(x|z), (N, D), for z (N, d). A PixelCNN is passed once for each pixel."""
    if isinstance(model, Autoencoder):
        return pixels(model.likelihood, model.decoder(z), generator)
    height, width = model.size
    x = z.new_zeros(len(z), height * width)
    for n in range(height * width):
        outputs = model.decode(x, z).flatten(2)[..., n : n + 1]
        x[:, n : n + 1] = pixels(model.likelihood, outputs.squeeze(1), generator)
    return x


def pixels(
    likelihood: Bernoulli | DiscretisedLogistic | Categorical, outputs: Tensor, generator: torch.Generator
) -> Tensor:
    """Values (N, D) of pixels with these outputs, (N, D) or, for a categorical, (N, 256, D).

    A logistic density summed over unit intervals is that of a rounded logistic number, cut off at the ends.
    """
    luck = torch.rand(outputs.shape, generator=generator, device=outputs.device, dtype=outputs.dtype)
    if isinstance(likelihood, Bernoulli):
        return (luck < outputs.sigmoid()).to(outputs.dtype)
    if isinstance(likelihood, DiscretisedLogistic):
        noise = luck.logit(eps=1e-7) / likelihood.inverse_scale()
        return (127.5 * (1 + outputs) + noise).round().clamp(0, likelihood.levels - 1)
    race = -luck.clamp(min=1e-12).log()  # as in `choose`: each level's exponential race, at its own rate
    return (outputs - race.log()).argmax(1).to(outputs.dtype)
