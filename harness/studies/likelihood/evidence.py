"""How large is ln p(x)? Lower bounds from many weights, by the two ways of drawing them.

Nothing here trains. Only the task's score imports this file, so that changing it retrains no model.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from harness.studies.likelihood.inference import Model, refine

# Images and samples decoded together: 500 rows stay near a CPU's cache and keep a GPU busy.
IMAGES, SAMPLES = 100, 5


@torch.no_grad()
def importance_weights(model: Model, x: Tensor, k: int, generator: torch.Generator) -> Tensor:
    """ln w of k independent draws from the encoder's posterior, (k, N) for x (N, D)."""
    columns = []
    for images in x.split(IMAGES):
        q = model.encode(images)
        rows = []
        for n in portions(k, SAMPLES):
            noise = q.noise(generator, n)
            z = q.sample(noise)
            rows.append(model.log_likelihood(images, z) + q.log_ratio(z, noise))
        columns.append(torch.cat(rows))
    return torch.cat(columns, dim=1)


@torch.no_grad()
def refined_weights(
    model: Model, x: Tensor, k: int, generator: torch.Generator, *, step: float, clip: float
) -> Tensor:
    """ln w_0 ... ln w_{k−1} along k − 1 refinement steps from the encoder's posterior, (k, N)."""
    columns = []
    for images in x.split(IMAGES):
        tape = model.tape(images, keep=1)
        path = refine(tape, model.encode(images), k, generator, step=step, clip=clip)
        columns.append(path.log_weights)
    return torch.cat(columns, dim=1)


@torch.no_grad()
def posterior_summary(model: Model, x: Tensor) -> tuple[Tensor, int]:
    """KL(q(z; λ_0) || prior) per datum (N,), and how many latent dimensions are active.

    A dimension is active when the posterior mean's variance over the data exceeds 0.01
    (Burda et al., ICLR 2016, section 5.2).
    """
    posteriors = [model.encode(images) for images in x.split(IMAGES)]
    means = torch.cat([q.mean for q in posteriors])
    return torch.cat([q.kl() for q in posteriors]), int((means.var(0) > 0.01).sum())


def portions(total: int, size: int) -> Iterator[int]:
    """`total` cut into pieces of `size` and a rest."""
    for start in range(0, total, size):
        yield min(size, total - start)
