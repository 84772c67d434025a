"""Sample a latent flow bent by the gradients of target and auxiliary classifier: no search at all."""

from __future__ import annotations

from typing import Annotated

from torch import Tensor

import harness
from harness.studies.attack import Problem
from harness.studies.attack.guidance import Guidance, guided
from harness.studies.attack.tries import attempt


@harness.method(task="attack", cite="after AdvDiff: Dai, Liang, Xiao, ECCV 2024, arXiv 2307.12499")
def guided_attack(
    problem: Problem,
    run: harness.Run,
    *,
    updates: Annotated[int, "[1, inf)"] = 4000,
    auxiliary_updates: Annotated[int, "[1, inf)"] = 900,
    starts: Annotated[int, "[1, inf)"] = 20,
    targeted: bool = False,
    steps: Annotated[int, "[1, inf)"] = 32,
    strength: Annotated[float, "[0, inf)"] = 1.0,
    begin: Annotated[float, "[0, 1]"] = 0.2,
    l2_weight: Annotated[float, "[0, inf)"] = 1.0,
    draws: Annotated[int, "[1, inf)"] = 3,
) -> dict[str, Tensor]:
    """One pass of `steps` Euler steps for each of `starts` random z of each digit, all at once.

    From time `begin` on each step goes `strength` · √(1 − t) against the unit gradient of the target's loss
    and `l2_weight` times the auxiliary classifier's, both at where the flow would end. What fails is drawn
    anew, up to `draws` times. `strength` 0 is plain sampling.
    """
    how = Guidance(steps, strength, begin, l2_weight, draws)
    return attempt(
        problem,
        run,
        lambda tools, *tries: guided(
            tools.generator, problem.network, tools.auxiliary, *tries[:3], how, *tries[3:]
        ),
        starts=starts,
        targeted=targeted,
        kind="latent_flow",
        steps=updates,
        which="separate",
        checks=auxiliary_updates,
    )
