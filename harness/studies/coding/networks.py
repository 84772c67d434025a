"""The fully connected encoder and decoder that every learned code here shares.

Encoder pixels → 500 → m logits, decoder m → 500 → 500 → pixels, leaky rectifiers; the encoder's last layer
and the whole decoder have no biases (released code of Choi et al., ICML 2019, 1811.07557).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

HIDDEN = 500
SLOPE = 0.2


class CodeNetworks(nn.Module):
    """Images (B, D) to logits of m code bits, and received symbols (..., m) to what they say of the image.

    Binary pixels: `decode` gives logits. Others: `decode` gives logits of the means, since σ keeps them
    in [0, 1]. Weights are drawn from `generator` (Glorot, uniform).
    """

    def __init__(self, pixels: int, bits: int, generator: torch.Generator, hidden: int = HIDDEN) -> None:
        super().__init__()
        leak = nn.LeakyReLU(SLOPE)
        self.encoder = nn.Sequential(nn.Linear(pixels, hidden), leak, nn.Linear(hidden, bits, bias=False))
        self.decoder = nn.Sequential(
            nn.Linear(bits, hidden, bias=False),
            leak,
            nn.Linear(hidden, hidden, bias=False),
            leak,
            nn.Linear(hidden, pixels, bias=False),
        )
        for layer in [*self.encoder, *self.decoder]:
            if isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight, generator=generator)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)

    @classmethod
    def restore(cls, arrays: Mapping[str, Tensor]) -> CodeNetworks:
        """The networks whose `state_dict` was stored among `arrays`, on their device."""
        hidden, pixels = arrays["encoder.0.weight"].shape
        networks = cls(pixels, len(arrays["encoder.2.weight"]), torch.Generator(), hidden)
        networks.load_state_dict({name: arrays[name] for name in networks.state_dict()})
        return networks.to(arrays["encoder.0.weight"].device)

    def logits(self, x: Tensor) -> Tensor:
        """Logits (B, m) of the code bits of images (B, D) in [0, 1]."""
        return self.encoder(x)

    def decode(self, y: Tensor) -> Tensor:
        """Logits (..., D) for received symbols (..., m)."""
        return self.decoder(y)


def log_likelihood(x: Tensor, logits: Tensor, binary: bool) -> Tensor:
    """ln p(x | y) per image, (..., B): Bernoulli pixels, or −‖x − σ(logits)‖² (a Gaussian of variance ½)."""
    if binary:
        return torch.linalg.vecdot(x, logits) - F.softplus(logits).sum(-1)
    return -(x - torch.sigmoid(logits)).square().sum(-1)
