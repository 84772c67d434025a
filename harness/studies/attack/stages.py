"""How far each try of an unrestricted attack got."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from harness.studies.attack.oracle import VOTES, Oracle, majority
from harness.studies.attack.search import UNTARGETED, fools


@dataclass(frozen=True)
class Stages:
    """How far each try (T,) got: `fooled` the target, `accepted` by the auxiliary classifier, and the
    digit that the oracle sees at three, four and five votes."""

    source: Tensor
    fooled: Tensor
    accepted: Tensor
    seen: dict[int, Tensor]

    @property
    def raw(self) -> Tensor:
        """Fooled and accepted: what the source's search returns."""
        return self.fooled & self.accepted

    def joint(self, votes: int = VOTES[0]) -> Tensor:
        """And read as its source by the oracle."""
        return self.raw & (self.seen[votes] == self.source)


def reached(network: nn.Module, arrays: dict[str, Tensor], oracle: Oracle) -> Stages:
    """The stages of all tries, by the target itself and the oracle; the oracle sees what the target sees."""
    source = arrays["source"]
    wanted = arrays.get("wanted", torch.full_like(source, UNTARGETED))
    votes = oracle.votes(arrays["images"])
    return Stages(
        source,
        fools(network, arrays["images"], source, wanted),
        arrays["accepted"].bool(),
        {needed: majority(votes, needed) for needed in VOTES},
    )
