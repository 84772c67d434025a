"""StegoGAN: what Y cannot show is masked out of F and handed to G openly (Wu et al., CVPR 2024)."""

from __future__ import annotations

import time
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor

import harness
from harness.studies.steganography import Problem
from harness.studies.steganography.networks import Masked, split
from harness.studies.steganography.training import Critics, batches

EPSILON = 1e-10
"""Keeps the square root's gradient finite where the mask is 0."""


@harness.method(
    task="steganography",
    cite="Wu, Chen, Mermet, Hurni, Schindler, Gonthier, Landrieu. StegoGAN: leveraging steganography for "
    "non-bijective image-to-image translation. CVPR 2024, 2403.20142",
)
def stegogan(
    problem: Problem,
    run: harness.Run,
    *,
    sparsity: Annotated[float, "[0, inf)"] = 0.3,
    consistency: Annotated[float, "[0, inf)"] = 1.0,
    noise: Annotated[float, "[0, inf)"] = 0.01,
    cycle: Annotated[float, "[0, inf)"] = 10.0,
) -> dict[str, Tensor]:
    """CycleGAN with an open channel: F's features z are parted by a mask M(z) in (0, 1).

    F(x) is made of (1 − M) z alone, to which the cycle adds N(0, `noise`²); M z is added to G's features when
    it reconstructs x, and when it translates another y. Beside critics and cycles the loss has `sparsity` ·
    mean √M and `consistency` times what G, without M z, loses where M is low. The score hands G nothing but
    F(x). Ours: features are those after the first residual block; there is no identity loss.
    """
    f, g = problem.generators()
    critics = Critics(problem, guess=False)
    (f_in, f_out), (g_in, g_out) = split(f), split(g)
    mask = Masked(problem.architecture.features).to(run.device)
    optimiser, schedule = problem.budget.adam([f, g, mask])
    random = run.generator("noise")
    started = time.perf_counter()
    rows_x = batches(len(problem.train.x), problem.budget, run.stream("batches x"))
    rows_y = batches(len(problem.others), problem.budget, run.stream("batches y"))
    for step, (of_x, of_y) in enumerate(zip(rows_x, rows_y, strict=True), 1):
        x, y = problem.train.x[of_x], problem.others[of_y]
        z, g_of_y = f_in(x), g_in(y)
        hidden = mask.share(z)
        fake_y, fake_x = f_out((1 - hidden) * z), g_out(g_of_y + (hidden * z).detach())
        disturbed = fake_y + noise * torch.randn(fake_y.shape, generator=random, device=fake_y.device)
        back_x = g_out(g_in(disturbed) + hidden * z)
        back_z = f_in(fake_x)
        again = mask.share(back_z)
        back_y = f_out((1 - again) * back_z)
        loss = cycle * ((back_x - x).abs().mean() + (back_y - y).abs().mean())
        loss = loss + critics.fooled(fake_x, fake_y)
        loss = loss + sparsity * sum((each + EPSILON).sqrt().mean() for each in (hidden, again))
        for without, wanted, masked in ((g(fake_y), x, hidden), (g_out(g_of_y), fake_x, again)):
            open_to_both = 1 - F.interpolate(masked.mean(1, keepdim=True), size=x.shape[2:], mode="bilinear")
            loss = loss + consistency * (open_to_both * (without - wanted)).abs().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        critics.learn(x, fake_x, back_x, y, fake_y, back_y)
        run.progress(step, problem.budget.steps, loss=loss.detach(), hidden=hidden.mean().detach())
    arrays = problem.pack(f, g, started, problem.budget.steps * problem.budget.batch)
    return arrays | {f"mask.{name}": value.detach().cpu() for name, value in mask.state_dict().items()}
