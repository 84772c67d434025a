"""What the likelihood tests share: the methods, a problem that trains nothing, and a model that is exact."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from harness.kit.latent import Gaussian
from harness.kit.likelihoods import Bernoulli, DiscretisedLogistic
from harness.studies.likelihood.autoencoder import Autoencoder
from harness.studies.likelihood.tape import AutogradTape

ROOT = Path(__file__).resolve().parent.parent
METHODS = ("vae", "iwae", "dreg", "vr_iwae", "svi", "bsvi", "bsvi_sir")


def method(name: str) -> Callable:
    """The function of the file `name`.py in methods/ or baselines/."""
    (path,) = [p for room in ("methods", "baselines") if (p := ROOT / room / f"{name}.py").exists()]
    spec = importlib.util.spec_from_file_location(f"case_{name}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, name)


class Caught:
    """A problem whose `train` keeps a method's update function instead of calling it: `update(x, beta)`."""

    def __init__(self, model: nn.Module, name: str, **parameters: float) -> None:
        self.network = model
        method(name)(self, self, **parameters)  # its own run context: all that is asked of one is `generator`

    def model(self) -> nn.Module:
        return self.network

    def generator(self, name: str) -> torch.Generator | None:
        on_meta = next(self.network.parameters()).is_meta  # there are no generators for that device
        return None if on_meta else noise(name)

    def train(self, model: nn.Module, update: Callable, learning_rate: float) -> dict[str, Tensor]:
        self.update = update
        return {}


def noise(name: str = "noise") -> torch.Generator:
    return torch.Generator().manual_seed(1000 + len(name))


def images(kind: str, number: int = 6, pixels: int = 12) -> Tensor:
    """Random data (number, pixels) in float64: bits, or 8-bit values with both ends among them."""
    generator = torch.Generator().manual_seed(3)
    if kind == "bits":
        return (torch.rand(number, pixels, generator=generator) < 0.4).double()
    return torch.randint(-60, 316, (number, pixels), generator=generator).clamp(0, 255).double()


def autoencoder(kind: str, pixels: int = 12) -> Autoencoder:
    """A small model in float64 for `images(kind)`."""
    torch.manual_seed(7)
    head = Bernoulli() if kind == "bits" else DiscretisedLogistic(pixels)
    mean = images(kind, 50, pixels).mean(0)
    return Autoencoder(mean.float(), [9, 8], 4, head).double()


class LinearGaussian(nn.Module):
    """z ~ N(0, I), x|z ~ N(W z, s² I): ln p(x) is known. The encoder is wrong on purpose.

    W's columns are orthogonal, so the true posterior is a diagonal normal. `encode` gives it with the mean
    shifted and the scales stretched: the bounds are not tight, yet the weights are bounded. All is float64.
    """

    def __init__(self, latent: int = 2, pixels: int = 3, s: float = 0.8) -> None:
        super().__init__()
        random = torch.randn(pixels, latent, generator=noise(), dtype=torch.float64)
        self.weight = nn.Parameter(torch.linalg.qr(random).Q * torch.linspace(1.2, 0.8, latent))
        self.s = s

    def data(self, number: int) -> Tensor:
        generator = torch.Generator().manual_seed(5)
        z = torch.randn(number, self.weight.shape[1], generator=generator, dtype=torch.float64)
        spread = torch.randn(number, len(self.weight), generator=generator, dtype=torch.float64)
        return (z @ self.weight.T + self.s * spread).detach()

    def evidence(self, x: Tensor) -> Tensor:
        """ln p(x), exact (N,)."""
        covariance = self.weight @ self.weight.T + self.s**2 * torch.eye(len(self.weight))
        zero = torch.zeros(len(self.weight), dtype=torch.float64)
        return torch.distributions.MultivariateNormal(zero, covariance.detach()).log_prob(x)

    def encode(self, x: Tensor) -> Gaussian:
        precision = torch.eye(self.weight.shape[1]) + self.weight.T @ self.weight / self.s**2
        mean = torch.linalg.solve(precision, self.weight.T @ x.T / self.s**2).T + 0.4
        log_scale = math.log(1.3) - 0.5 * precision.diagonal().log().expand_as(mean)
        return Gaussian(torch.cat([mean, log_scale], dim=-1))

    def log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        error = (x - z @ self.weight.T) / self.s
        return -0.5 * error.square().sum(-1) - x.shape[-1] * math.log(self.s * math.sqrt(2 * math.pi))

    def tape(self, x: Tensor, keep: int, *, graphs: bool = True) -> AutogradTape:
        return AutogradTape(self.log_likelihood, x, keep, graphs=graphs)
