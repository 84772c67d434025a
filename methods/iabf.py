"""IABF: NECST with an informative code and a decoder hardened against flips (Song et al., AAAI 2020)."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

import harness
from harness.studies.coding import Problem
from harness.studies.coding.networks import CodeNetworks, log_likelihood
from harness.studies.coding.noisy_codes import NoisyCode
from harness.studies.coding.training import train
from harness.studies.coding.vimco import surrogate


@harness.method(
    task="coding",
    cite="Song et al. Infomax neural joint source-channel coding via adversarial bit flip. AAAI 2020",
)
def iabf(
    problem: Problem,
    run: harness.Run,
    *,
    steps: Annotated[int, "[1, inf)"] = 1000,
    samples: Annotated[int, "[2, inf)"] = 5,
    flips: Annotated[int, "[0, inf)"] = 7,
    infomax: Annotated[float, "[0, inf)"] = 0.01,
    adversarial: Annotated[float, "[0, inf)"] = 0.1,
) -> dict[str, Tensor]:
    """NECST's bound, plus `infomax` · I(x; bits), less `adversarial` · (loss after the worst `flips` flips).

    The information is that of independent bits over the batch, Σ h(mean p) − mean h(p). The worst flips are
    the bits whose flip raises the loss most to first order; the decoder alone learns from them. Built from
    the paper's idea: the released code reuses one variable, so that its flips fall on noise. The weights are
    ours, since those of the paper could not be read.
    """
    images = problem.images
    networks = CodeNetworks(images.pixels, problem.bits, run.stream("weights")).to(run.device)
    noise = run.stream("channel")

    def loss(x: Tensor) -> Tensor:
        code = NoisyCode(networks.logits(x), problem.channel)
        y = code.sample(noise, samples)
        bound = surrogate(log_likelihood(x, networks.decode(y), images.binary), code.log_prob(y))
        attacked = -log_likelihood(x, networks.decode(worst(x, y[0])), images.binary)
        return -bound - infomax * information(code.logits) + adversarial * attacked

    def worst(x: Tensor, y: Tensor) -> Tensor:
        """The words y (B, m) with those bits flipped that hurt most."""
        y = y.clone().requires_grad_()
        (slope,) = torch.autograd.grad(-log_likelihood(x, networks.decode(y), images.binary).sum(), y)
        harm = (slope * (1 - 2 * y)).masked_fill(y > 1, -torch.inf).detach()
        chosen = torch.zeros_like(harm).scatter(1, harm.topk(min(flips, harm.shape[1])).indices, 1.0)
        return torch.where((chosen > 0) & (harm > 0), 1 - y, y).detach()

    return train(networks, loss, problem.channel, images, run, steps)


def information(logits: Tensor) -> Tensor:
    """The information in nats that independent bits carry about which row of the batch was sent, a scalar."""
    share = torch.sigmoid(logits)
    return (entropy(share.mean(0)) - entropy(share).mean(0)).sum()


def entropy(p: Tensor) -> Tensor:
    """The entropy in nats of a bit that is 1 with probability p; flat within 1e-6 of certainty."""
    p = p.clamp(1e-6, 1 - 1e-6)
    return torch.special.entr(p) + torch.special.entr(1 - p)
