"""The automatic oracle: a majority of five judges that may abstain. It is not people.

It stands where the source had five people choose a digit or "N/A", and can share blind spots with the target.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from harness.studies.attack.generators import CLASSES

ABSTAINS = -1
VOTES = (3, 4, 5)
"""Of five judges: how many must agree. Three is the majority."""

ABSTENTION = 0.005
"""What calibration aims at, of held-out training images at three votes; half of what is allowed on others."""


@dataclass(frozen=True)
class Oracle:
    """Judges, and the probability (J,) that each must give a digit to vote for it."""

    judges: list[nn.Module]
    thresholds: Tensor

    def votes(self, images: Tensor) -> Tensor:
        """The digit that each judge sees in images (N, 1, H, W), or −1: (J, N) int64."""
        sure, digit = zip(*(confidence(judge, images) for judge in self.judges), strict=True)
        return voted(torch.stack(sure), torch.stack(digit), self.thresholds)


def confidence(judge: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    """The probability (N,) of the likeliest digit, "none of these" taking its share, and that digit (N,)."""
    with torch.no_grad():
        chances = torch.cat([judge(part).softmax(1)[:, :CLASSES] for part in images.split(500)])
    best = chances.max(1)
    return best.values, best.indices


def voted(sure: Tensor, digit: Tensor, thresholds: Tensor) -> Tensor:
    """Digits (J, N) where the judge is as sure as its threshold, else −1."""
    return digit.masked_fill(sure < thresholds[:, None], ABSTAINS)


def majority(votes: Tensor, needed: int) -> Tensor:
    """The digit (N,) that at least `needed` of J judges vote for, −1 where there is none; needed > J / 2.

    Raises ValueError where two digits could have so many votes.
    """
    if not len(votes) / 2 < needed <= len(votes):
        raise ValueError(f"{needed} of {len(votes)} votes are no majority")
    counts = torch.stack([(votes == digit).sum(0) for digit in range(CLASSES)])
    most = counts.max(0)
    return most.indices.masked_fill(most.values < needed, ABSTAINS)


def calibrate(sure: Tensor, digit: Tensor, limit: float = ABSTENTION) -> Tensor:
    """Thresholds (J,) at which the majority abstains on at most the share `limit` of real digits (J, N).

    All judges refuse the same share of them, the largest that keeps the limit; no label is looked at. Where
    the limit cannot be kept because judges disagree, nobody refuses anything.
    """
    ranked = sure.sort(dim=1).values
    needed = len(sure) // 2 + 1

    def abstention(refused: int) -> float:
        votes = voted(sure, digit, ranked[:, refused])
        return float((majority(votes, needed) == ABSTAINS).double().mean())

    low, high = 0, ranked.shape[1] - 1  # abstention grows with what each refuses
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if abstention(middle) <= limit else (low, middle - 1)
    return ranked[:, low] if low else torch.zeros(len(sure))
