"""Learn codes z of people that say much of their features x and little of their group u, for any later use.

Maximise I(x; z | u) under bounds on C1 ≥ I(z; u), on an adversary's estimate C2 of I(z; u), or on its
estimates within the rows of a label y (Song et al., AISTATS 2019, 1812.04218). All methods share data,
networks, first weights, order of the rows, noise and budget; auditors that none of them has met judge the
codes.
"""

from __future__ import annotations

import re
import time
from typing import Annotated, Any, Literal

import numpy
import torch
import torch.nn.functional as F
from torch import Tensor

import harness
from harness.errors import UserError, did_you_mean
from harness.studies.fairness import constraints as fair_constraints
from harness.studies.fairness.autoencoder import Bits, FairAutoencoder, Likelihood, Numbers
from harness.studies.fairness.people import Notion, Rows
from harness.studies.fairness.training import Budget, Fixed, Multipliers, Trace, train

VARIANCE = 0.1
"""Of the decoder's normal where features are real numbers."""


class Problem:
    """People of a training and a test set, the bounds, and the training that the methods share.

    `train` and `test` are `Rows` on the run's device, and `attributes` says of which attribute each column of
    x is; `epsilon` (4,) are the bounds on c1, c2, eo and eopp, infinite where there is none. `released`
    follows the authors' code where it differs from the paper.
    """

    def __init__(self, run: harness.Run, settings: dict[str, Any]) -> None:
        self.run, self.settings = run, settings
        self.released = settings["behaviour"] == "released"
        self.epsilon = fair_constraints.parse(settings["constraints"]).to(run.device)
        self.budget = Budget(*(settings[name] for name in Budget._fields))
        self.train, self.test, self.likelihood, self.attributes = _rows(
            run, settings["dataset"], settings["sensitive"]
        )
        if self.released and settings["dataset"] == "german":
            self.test = self.train  # the released loader takes the same 900 rows twice
        self.notion = Notion.of(self.train, self.released)
        self.runs, self.updates, self.seconds = 0, 0, 0.0

    def fit(self, multipliers: Multipliers, steps: int | None = None) -> tuple[FairAutoencoder, Trace]:
        """A stack of autoencoders trained under `multipliers`, one for each row of their values.

        For `steps` updates each (None: those of the budget), over which the rates cool down all the same.
        """
        budget = self.budget._replace(steps=steps or self.budget.steps)
        runs, latent, hidden = len(multipliers.values), self.settings["latent"], self.settings["hidden"]
        model = FairAutoencoder.drawn(
            self.train, runs, latent, hidden, self.likelihood, self.run.stream("weights")
        )
        started = time.perf_counter()
        with self.run.phase("train"):
            trace = train(
                model,
                self.train,
                self.notion,
                multipliers,
                budget,
                self.run.stream("order"),
                self.run.generator("noise"),
                lambda step: self.run.progress(step, budget.steps, runs=runs),
            )
        self.spend(runs, time.perf_counter() - started, budget.steps)
        return model, trace

    def fit_fixed(self, *rows: list[float], steps: int | None = None) -> tuple[FairAutoencoder, Trace]:
        """`fit` with multipliers (λ_c1, λ_c2, λ_eo, λ_eopp) that stay; each of `rows` is a run.

        The released code leaves the two last terms out of the loss where multipliers are fixed.
        """
        if any(value < 0 for row in rows for value in row):
            raise UserError(f"multipliers must not be negative: {rows}")
        values = torch.tensor(rows, dtype=torch.float32, device=self.run.device)
        if self.released:
            values[:, 2:] = 0
        return self.fit(Fixed(values), steps)

    def fit_shared(self, rows: list[list[float]]) -> dict[str, Tensor]:
        """What `stack` makes of these multipliers, trained once for all cells that ask for it."""
        others = {
            name: value for name, value in self.settings.items() if name not in ("dataset", "constraints")
        }
        dataset = self.settings["dataset"]
        made = self.run.asset(stack, seed=self.run.seed, dataset=dataset, multipliers=rows, others=others)
        self.spend(len(rows), float(made["seconds"]))
        return made

    def spend(self, runs: int, seconds: float, steps: int | None = None) -> None:
        """Measure what training cost so far: `runs` of `steps` updates (None: the budget's) are added."""
        self.runs, self.seconds = self.runs + runs, self.seconds + seconds
        self.updates += runs * (steps or self.budget.steps)
        self.run.measure("runs", self.runs)
        self.run.measure("gradient_steps", self.updates * (1 + self.budget.adversary_steps))
        self.run.measure("train_seconds", self.seconds)

    def judge(self, model: FairAutoencoder) -> tuple[Tensor, Tensor]:
        """C (R, 4) and mean ln p(x | z, u) (R,) of a stack over the training rows."""
        return model.judge(self.train, self.notion, self.run.generator("judge"))

    def arrays(self, model: FairAutoencoder) -> dict[str, Tensor]:
        """What `score` needs of one trained autoencoder (R = 1): its codes, and its adversaries' guesses."""
        constraints, _ = self.judge(model)
        made = {"constraints": constraints[0]}
        with torch.no_grad():
            for part, rows in (("train", self.train), ("test", self.test)):
                q = model.encode(rows)
                z = q.sample(q.noise(self.run.generator(f"codes {part}")))
                made |= {f"mean_{part}": q.mean[0], f"scale_{part}": q.scale[0], f"z_{part}": z[0]}
            made["guesses"] = model.guess(z.unsqueeze(1).expand(-1, 3, -1, -1))[0]
        return {name: array.float().cpu().contiguous() for name, array in made.items()}


@harness.task
def fairness(
    run: harness.Run,
    *,
    dataset: harness.DataSet,
    sensitive: str | None = None,
    constraints: str = "c1 < 10, c2 < 0.1",
    behaviour: Literal["paper", "released"] = "paper",
    latent: Annotated[int, "[1, inf)"] = 10,
    hidden: Annotated[int, "[1, inf)"] = 50,
    steps: Annotated[int, "[1, inf)"] = 94_200,
    batch: Annotated[int, "[1, inf)"] = 64,
    adversary_steps: Annotated[int, "[1, inf)"] = 10,
    learning_rate: Annotated[float, "(0, inf)"] = 1e-3,
    cooling: Annotated[float, "[0, 1]"] = 0.0,
) -> Problem:
    """The people of `dataset`, `sensitive` attributes hidden ("age+sex"; None: those the data set names).

    The defaults are the paper's protocol on Adult: 2,000 epochs in which every tenth minibatch updates the
    model.
    """
    settings = {name: value for name, value in locals().items() if name != "run"}
    return Problem(run, settings)


@harness.asset
def stack(
    run: harness.Run,
    *,
    seed: int,
    dataset: harness.DataSet,
    multipliers: list[list[float]],
    others: dict[str, Any],
) -> dict[str, Tensor]:
    """Autoencoders trained at once under fixed multipliers, with C and mean ln p(x | z, u) of training rows.

    `others` are the settings of the task but for the data set and the constraints.
    """
    problem = Problem(run, others | {"dataset": dataset, "constraints": ""})
    model, _ = problem.fit_fixed(*multipliers)
    constraints, reconstruction = problem.judge(model)
    judged = {"constraints": constraints, "reconstruction": reconstruction}
    return model.state() | judged | {"seconds": torch.tensor(problem.seconds)}


def _rows(run: harness.Run, dataset: str, sensitive: str | None) -> tuple[Rows, Rows, Likelihood, list[str]]:
    """The training and the test set, what models their features, and the attribute of each feature."""
    arrays = run.data(dataset)
    if "sensitive" not in arrays:
        raise UserError(
            f"dataset: {dataset!r} does not say which attribute is sensitive; take another data set"
        )
    names = sensitive.split("+") if sensitive else arrays["sensitive"].tolist()
    attributes = [re.split("[=>]", column)[0] for column in arrays["columns"]]
    for name in names:
        if name not in attributes:
            hint = did_you_mean(name, sorted(set(attributes)))
            raise UserError(f"sensitive: {dataset!r} has no attribute {name!r}{hint}")
    likelihood = Bits() if arrays["x_train"].dtype.kind == "u" else Numbers(VARIANCE)
    groups = [_groups(arrays[f"x_{part}"], attributes, names) for part in ("train", "test")]
    if len(numpy.unique(groups[0])) == 1:
        raise UserError(
            f"sensitive: all training rows of {dataset!r} agree in {'+'.join(names)!r}: nothing to hide; "
            "name another attribute"
        )
    count = int(max(found.max() for found in groups)) + 1
    shown = [name not in names for name in attributes]
    train, test = (
        Rows(
            torch.as_tensor(arrays[f"x_{part}"][:, shown], dtype=torch.float32, device=run.device),
            F.one_hot(torch.as_tensor(found), count).to(run.device, torch.float32),
            torch.as_tensor(arrays[f"y_{part}"], dtype=torch.float32, device=run.device),
        )
        for part, found in zip(("train", "test"), groups, strict=True)
    )
    kept = [name for name, told in zip(attributes, shown, strict=True) if told]
    return train, test, likelihood, kept


def _groups(x: numpy.ndarray, attributes: list[str], names: list[str]) -> numpy.ndarray:
    """The group of each row (N,) int64: every combination of the attributes' values is one."""
    group = numpy.zeros(len(x), numpy.int64)
    for name in names:
        columns = x[:, [attribute == name for attribute in attributes]]
        one = columns.shape[1] == 1
        values = columns[:, 0].astype(numpy.int64) if one else columns.argmax(1)
        group = group * (2 if one else columns.shape[1]) + values
    return group
