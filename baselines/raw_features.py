"""The features themselves: what there is to leak."""

from torch import Tensor

import harness
from harness.studies.fairness import Problem


@harness.method(task="fairness", cite="a control of this study")
def raw_features(problem: Problem, run: harness.Run) -> dict[str, Tensor]:
    """z = x. Nothing is learnt or hidden; auditors show how much x alone tells of u."""
    problem.spend(0, 0.0)
    return {"z_train": problem.train.x.cpu(), "z_test": problem.test.x.cpu()}
