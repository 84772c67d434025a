"""What every attack by a generator has in common: its starts, its clock, and what it hands to the score."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

import harness
from harness.studies.attack.generator_assets import Tools, tools
from harness.studies.attack.search import UNTARGETED, Found, accepts

CLASSES = 10
AT_ONCE = 200
"""Tries that move together: more would not fit a processor's cache, and cost more each."""

PLAIN = 100
"""Plain samples of each digit, by which the generator is audited."""

Attack = Callable[..., Found]
"""(tools, source, wanted, start, stream, told) to what was found for these tries."""


def attempt(
    problem: Any, run: harness.Run, attack: Attack, *, starts: int, targeted: bool, **wanted_tools: Any
) -> dict[str, Tensor]:
    """Run `attack` from `starts` random z for each digit; `targeted`, for each pair of digits that differ.

    `images` (T, 1, H, W), `clean` the same without added noise, `source`, `wanted`, `accepted` (T,), `plain`
    and `plain_source` of samples without attack, and `cpu_seconds` () of the attack alone,
    which are the host's, wherever it computes.
    """
    made: Tools = tools(run, problem, seed=run.seed, **wanted_tools)
    source, wanted = (digits.to(run.device) for digits in tries(starts, targeted))
    start = torch.randn(len(source), made.latent, generator=run.stream("starts")).to(run.device)
    stream, found = run.stream("attack"), []
    began = time.process_time()
    with run.phase("attack"):
        for rows in torch.arange(len(source)).split(AT_ONCE):
            found.append(attack(made, source[rows], wanted[rows], start[rows], stream))
            run.progress(int(rows[-1]) + 1, len(source))
    seconds = time.process_time() - began
    images, clean = (torch.cat([getattr(part, name) for part in found]) for name in ("images", "clean"))
    plain_source = torch.arange(CLASSES, device=run.device).repeat_interleave(PLAIN)
    plain = samples(made, plain_source, run.stream("plain samples"))
    return {
        "images": images,
        "clean": clean,
        "source": source,
        "wanted": wanted,
        "accepted": accepts(made.auxiliary, clean, source).to(torch.uint8),
        "plain": plain,
        "plain_accepted": accepts(made.auxiliary, plain, plain_source).to(torch.uint8),
        "plain_source": plain_source,
        "cpu_seconds": torch.tensor(seconds),
    }


def tries(starts: int, targeted: bool) -> tuple[Tensor, Tensor]:
    """Source and wanted digits (T,): all digits in turn, so that any run of tries has its share of each."""
    if not targeted:
        source = torch.arange(CLASSES).repeat(starts)
        return source, torch.full_like(source, UNTARGETED)
    pairs = torch.cartesian_prod(torch.arange(CLASSES), torch.arange(CLASSES))
    source, wanted = pairs[pairs[:, 0] != pairs[:, 1]].repeat(starts, 1).unbind(1)
    return source, wanted


@torch.no_grad()
def samples(made: Tools, y: Tensor, stream: torch.Generator) -> Tensor:
    """Plain samples (N, 1, H, W) of digits y (N,)."""
    z = torch.randn(len(y), made.latent, generator=stream).to(y.device)
    pairs = zip(z.split(AT_ONCE), y.split(AT_ONCE), strict=True)
    return torch.cat([made.generator(some, digits) for some, digits in pairs])
