"""Search the inputs of a conditional generator for images that fool a classifier and keep their class."""

from __future__ import annotations

from typing import Annotated, Literal

from torch import Tensor

import harness
from harness.studies.attack import Problem
from harness.studies.attack.search import Search, search
from harness.studies.attack.tries import attempt


@harness.method(task="attack", cite="Song, Shu, Kushman, Ermon, NeurIPS 2018, arXiv 1805.07894")
def generative_attack(
    problem: Problem,
    run: harness.Run,
    *,
    generator: Literal["latent_flow", "acwgan", "acwgan_paper"] = "acwgan",
    updates: Annotated[int, "[1, inf)"] = 1500,
    auxiliary: Literal["separate", "critic"] = "separate",
    auxiliary_updates: Annotated[int, "[1, inf)"] = 900,
    starts: Annotated[int, "[1, inf)"] = 20,
    targeted: bool = False,
    steps: Annotated[int, "[0, inf)"] = 100,
    step: Annotated[float, "(0, inf)"] = 0.1,
    l1_weight: Annotated[float, "[0, inf)"] = 1.0,
    l2_weight: Annotated[float, "[0, inf)"] = 1.0,
    slack: Annotated[float, "[0, inf)"] = 0.1,
    l1_form: Literal["paper", "released"] = "paper",
    rule: Literal["adam", "source"] = "adam",
    noise: Annotated[float, "[0, 1]"] = 0.0,
) -> dict[str, Tensor]:
    """Minimise L0 + λ1 L1 + λ2 L2 over z from `starts` random ones for each digit, all at once (section 3).

    L0: the target's cross-entropy to a wrong class; L1: how far z went beyond `slack`; L2: the auxiliary
    classifier's cross-entropy to the source class. Only the last iterate counts. `steps` 0 is no search, the
    rate at which plain samples fool. The released code: l1_weight 100, l2_weight 100, l1_form released, rule
    source, step 1, steps 1000, auxiliary critic; with noise 0.1 for the noise-augmented attack.
    """
    how = Search(steps, step, l1_weight, l2_weight, slack, l1_form, rule, noise)
    return attempt(
        problem,
        run,
        lambda tools, *tries: search(
            tools.generator, problem.network, tools.auxiliary, *tries[:3], how, *tries[3:]
        ),
        starts=starts,
        targeted=targeted,
        kind=generator,
        steps=updates,
        which=auxiliary,
        checks=auxiliary_updates,
    )
