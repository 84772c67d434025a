"""Learn codes z of people that say much of their features x and little of their group u, for any later use.

Maximise I(x; z | u) under bounds on C1 ≥ I(z; u), on an adversary's estimate C2 of I(z; u), or on its
estimates within the rows of a label y (Song et al., AISTATS 2019, 1812.04218). All methods share data,
networks, first weights, order of the rows, noise and budget; auditors that none of them has met judge the
codes.
"""

from __future__ import annotations

import re
import time
from typing import Any, Literal

import numpy
import torch
import torch.nn.functional as F
from torch import Tensor

import harness
from harness import data
from harness.errors import UserError, did_you_mean
from harness.kit import fair_constraints
from harness.kit.fair_autoencoder import Bits, FairAutoencoder, Likelihood, Numbers
from harness.kit.fair_rows import Notion, Rows
from harness.kit.fair_training import Budget, Fixed, Multipliers, Trace, train
from harness.run import Run

METRICS = (
    harness.Metric("mi_xz_u_kde", "nats", "higher", "quality", 0.2, "I(x; z | u) by kernels, as the paper"),
    harness.Metric("mi_xz_u_neural", "nats", "higher", "quality", 0.2, "I(x; z | u) by a network"),
    harness.Metric("c1", "nats", "lower", "quality", 0.1, "E KL(q(z|x,u) || N(0,I)) over test rows"),
    harness.Metric("c2", "nats", "lower", "quality", 0.02, "E ln p_ψ(u|z) − ln p(u), the method's adversary"),
    harness.Metric("i_dp", "nats", "lower", "quality", 0.02, "demographic parity: c2, by the paper's table"),
    harness.Metric("i_eo", "nats", "lower", "quality", 0.02, "the same within y, mean of both labels"),
    harness.Metric("i_eopp", "nats", "lower", "quality", 0.02, "the same within y = 1"),
    harness.Metric("audit_worst", "nats", "lower", "quality", 0.02, "the most any auditor recovers of u"),
    harness.Metric("audit_logistic", "nats", "lower", "quality", 0.02, "recovered by logistic regression"),
    harness.Metric("audit_net1", "nats", "lower", "quality", 0.02, "by a network of one hidden layer"),
    harness.Metric("audit_net2", "nats", "lower", "quality", 0.02, "by a network of two hidden layers"),
    harness.Metric("audit_forest", "nats", "lower", "quality", 0.02, "by a random forest"),
    harness.Metric("audit_boosted", "nats", "lower", "quality", 0.02, "by boosted trees"),
    harness.Metric("audit_svm", "nats", "lower", "quality", 0.02, "by a radial support vector machine"),
    harness.Metric("audit_chance", "nats", "none", "quality", 0.02, "the worst auditor on shuffled groups"),
    harness.Metric("audit_excess", "nats", "lower", "quality", 0.02, "audit_worst − c2"),
    harness.Metric("balanced_worst", "1", "lower", "quality", 0.02, "the highest balanced accuracy in u"),
    harness.Metric("balanced_logistic", "1", "lower", "quality", 0.02, "of logistic regression"),
    harness.Metric("balanced_net1", "1", "lower", "quality", 0.02, "of a network of one hidden layer"),
    harness.Metric("balanced_net2", "1", "lower", "quality", 0.02, "of a network of two hidden layers"),
    harness.Metric("balanced_forest", "1", "lower", "quality", 0.02, "of a random forest"),
    harness.Metric("balanced_boosted", "1", "lower", "quality", 0.02, "of boosted trees"),
    harness.Metric("balanced_svm", "1", "lower", "quality", 0.02, "of a radial support vector machine"),
    harness.Metric("balanced_chance", "1", "none", "quality", 0.02, "the highest on shuffled groups"),
    harness.Metric("accuracy_logistic", "1", "higher", "quality", 0.01, "of predicting y from z"),
    harness.Metric("accuracy_boosted", "1", "higher", "quality", 0.01, "of predicting y from z"),
    harness.Metric("parity_logistic", "1", "lower", "quality", 0.02, "gap in P(ŷ = 1)"),
    harness.Metric("parity_boosted", "1", "lower", "quality", 0.02, "gap in P(ŷ = 1)"),
    harness.Metric("odds_logistic", "1", "lower", "quality", 0.02, "gap in P(ŷ = 1 | y), both y added"),
    harness.Metric("odds_boosted", "1", "lower", "quality", 0.02, "gap in P(ŷ = 1 | y), both y added"),
    harness.Metric("opportunity_logistic", "1", "lower", "quality", 0.02, "gap in P(ŷ = 1 | y = 1)"),
    harness.Metric("opportunity_boosted", "1", "lower", "quality", 0.02, "gap in P(ŷ = 1 | y = 1)"),
    harness.Metric("area_logistic", "1", "higher", "quality", 0.01, "mean accuracy at parity gaps to 0.2"),
    harness.Metric("area_boosted", "1", "higher", "quality", 0.01, "mean accuracy at parity gaps to 0.2"),
    harness.Metric("violation", "nats", "lower", "quality", 0.02, "largest C − ε over training rows"),
    harness.Metric("feasible", "1", "higher", "quality", 0.0, "1 where violation is at most 0.02, else 0"),
    harness.Metric("invariants_violated", "1", "lower", "quality", 0.0, "of three; the log names them"),
    harness.Metric("runs", "1", "lower", "size", 0.0, "representations trained to get this one"),
    harness.Metric(
        "gradient_steps", "1", "lower", "size", 0.0, "updates of models and of adversaries, all runs"
    ),
    harness.Metric("train_seconds", "s", "lower", "speed", 0.0, "all runs together"),
)

VARIANCE = 0.1
"""Of the decoder's normal where features are real numbers."""


class Problem:
    """People of a training and a test set, the bounds, and the training that the methods share.

    `train` and `test` are `Rows` on the run's device; `epsilon` (4,) are the bounds on c1, c2, eo and eopp,
    infinite where there is none. `released` follows the authors' code where it differs from the paper.
    """

    def __init__(self, run: Run, settings: dict[str, Any]) -> None:
        self.run, self.settings = run, settings
        self.released = settings["behaviour"] == "released"
        self.epsilon = fair_constraints.parse(settings["constraints"]).to(run.device)
        self.budget = Budget(*(settings[name] for name in Budget._fields))
        self.train, self.test, self.likelihood = _rows(settings["dataset"], settings["sensitive"], run.device)
        if self.released and settings["dataset"] == "german":
            self.test = self.train  # the released loader takes the same 900 rows twice
        self.notion = Notion.of(self.train, self.released)
        self.runs, self.seconds = 0, 0.0

    def generator(self, name: str) -> torch.Generator:
        """Random numbers on the run's device: the same for all methods that ask for `name` at a seed."""
        return torch.Generator(self.run.device).manual_seed(self.run.stream(name).initial_seed())

    def fit(self, multipliers: Multipliers) -> tuple[FairAutoencoder, Trace]:
        """A stack of autoencoders trained under `multipliers`, one for each row of their values."""
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
                self.budget,
                self.run.stream("order"),
                self.generator("noise"),
                lambda step: self.run.progress(step, self.budget.steps, runs=runs),
            )
        self.spend(runs, time.perf_counter() - started)
        return model, trace

    def fit_fixed(self, *rows: list[float]) -> tuple[FairAutoencoder, Trace]:
        """`fit` with multipliers (λ_c1, λ_c2, λ_eo, λ_eopp) that stay; each of `rows` is a run.

        The released code leaves the two last terms out of the loss where multipliers are fixed.
        """
        values = torch.tensor(rows, dtype=torch.float32, device=self.run.device)
        if (values < 0).any():
            raise UserError(f"multipliers must not be negative: {rows}")
        if self.released:
            values[:, 2:] = 0
        return self.fit(Fixed(values))

    def fit_shared(self, rows: list[list[float]]) -> dict[str, Tensor]:
        """What `stack` makes of these multipliers, trained once for all cells that ask for it."""
        others = {
            name: value for name, value in self.settings.items() if name not in ("dataset", "constraints")
        }
        dataset = self.settings["dataset"]
        made = self.run.asset(stack, seed=self.run.seed, dataset=dataset, multipliers=rows, others=others)
        self.spend(len(rows), float(made["seconds"]))
        return made

    def spend(self, runs: int, seconds: float) -> None:
        """Measure what has been spent on training so far, `runs` and `seconds` more than before."""
        self.runs, self.seconds = self.runs + runs, self.seconds + seconds
        self.run.measure("runs", self.runs)
        self.run.measure("gradient_steps", self.runs * self.budget.steps * (1 + self.budget.adversary_steps))
        self.run.measure("train_seconds", self.seconds)

    def judge(self, model: FairAutoencoder) -> tuple[Tensor, Tensor]:
        """C (R, 4) and mean ln p(x | z, u) (R,) of a stack over the training rows."""
        return model.judge(self.train, self.notion, self.generator("judge"))

    def arrays(self, model: FairAutoencoder) -> dict[str, Tensor]:
        """What `score` needs of one trained autoencoder (R = 1): its codes, and its adversaries' guesses."""
        constraints, _ = self.judge(model)
        made = {"constraints": constraints[0]}
        with torch.no_grad():
            for part, rows in (("train", self.train), ("test", self.test)):
                q = model.encode(rows)
                z = q.sample(q.noise(self.generator(f"codes {part}")))
                made |= {f"mean_{part}": q.mean[0], f"scale_{part}": q.scale[0], f"z_{part}": z[0]}
            made["guesses"] = model.guess(z.unsqueeze(1).expand(-1, 3, -1, -1))[0]
        return {name: array.float().cpu().contiguous() for name, array in made.items()}


@harness.task
def fairness(
    run: Run,
    *,
    dataset: str,
    sensitive: str | None = None,
    constraints: str = "c1 < 10, c2 < 0.1",
    behaviour: Literal["paper", "released"] = "paper",
    latent: int = 10,
    hidden: int = 50,
    steps: int = 94_200,
    batch: int = 64,
    adversary_steps: int = 10,
    learning_rate: float = 1e-3,
    cooling: float = 0.0,
) -> Problem:
    """The people of `dataset`, `sensitive` attributes hidden ("age+sex"; None: those the data set names).

    The defaults are the paper's protocol on Adult: 2,000 epochs in which every tenth minibatch updates the
    model.
    """
    settings = {name: value for name, value in locals().items() if name != "run"}
    for name in ("latent", "hidden", "steps", "batch", "adversary_steps"):
        if settings[name] < 1:
            raise UserError(f"{name}: {settings[name]} must be at least 1")
    if not 0 <= cooling <= 1:
        raise UserError(f"cooling: {cooling} is not a share of the steps, from 0 to 1")
    return Problem(run, settings)


@harness.asset
def stack(
    run: Run, *, seed: int, dataset: str, multipliers: list[list[float]], others: dict[str, Any]
) -> dict[str, Tensor]:
    """Autoencoders trained at once under fixed multipliers, with C and mean ln p(x | z, u) of training rows.

    `others` are the settings of the task but for the data set and the constraints.
    """
    problem = Problem(run, others | {"dataset": dataset, "constraints": ""})
    model, _ = problem.fit_fixed(*multipliers)
    constraints, reconstruction = problem.judge(model)
    judged = {"constraints": constraints, "reconstruction": reconstruction}
    return model.state() | judged | {"seconds": torch.tensor(problem.seconds)}


def _rows(dataset: str, sensitive: str | None, device: str) -> tuple[Rows, Rows, Likelihood]:
    """The training and the test set, and what models their features."""
    arrays = data.load(dataset)
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
            torch.as_tensor(arrays[f"x_{part}"][:, shown], dtype=torch.float32, device=device),
            F.one_hot(torch.as_tensor(found), count).to(device, torch.float32),
            torch.as_tensor(arrays[f"y_{part}"], dtype=torch.float32, device=device),
        )
        for part, found in zip(("train", "test"), groups, strict=True)
    )
    return train, test, likelihood


def _groups(x: numpy.ndarray, attributes: list[str], names: list[str]) -> numpy.ndarray:
    """The group of each row (N,) int64: every combination of the attributes' values is one."""
    group = numpy.zeros(len(x), numpy.int64)
    for name in names:
        columns = x[:, [attribute == name for attribute in attributes]]
        one = columns.shape[1] == 1
        values = columns[:, 0].astype(numpy.int64) if one else columns.argmax(1)
        group = group * (2 if one else columns.shape[1]) + values
    return group


@harness.score
def score(
    problem: Problem,
    arrays: dict[str, Tensor],
    run: Run,
    *,
    audit_rows: int = 3000,
    audit_folds: int = 3,
    audit_steps: int = 800,
    density_rows: int = 5000,
    density_steps: int = 600,
) -> dict[str, float | harness.Estimate]:
    """Information, leaks, what auditors recover, and what predictors of y do with the codes.

    Auditors see `audit_rows` codes of training and test rows together, and their networks learn for
    `audit_steps`. I(x; z | u) is a mean over `density_rows` test rows; the network's density learns for
    `density_steps`.
    """
    from harness.tasks import _fairness_figures as figures
    from harness.tasks import _fairness_score as measures

    train, test = (Rows(*(part.cpu() for part in rows)) for rows in (problem.train, problem.test))
    stream = run.stream
    found, curves = measures.downstream(arrays["z_train"], arrays["z_test"], train, test)
    z, u = arrays["z_train"], train.u.argmax(1)
    if problem.test is not problem.train:  # nobody is to be in two folds
        z, u = torch.cat([z, arrays["z_test"]]), torch.cat([u, test.u.argmax(1)])
    found |= measures.audits(z, u, audit_rows, audit_folds, audit_steps, stream("audit"))
    if "mean_train" in arrays:
        codes = measures.codes(arrays, "train", train), measures.codes(arrays, "test", test)
        found |= measures.information(*codes, density_rows, density_steps, stream("density"))
    if "guesses" in arrays:
        found |= measures.leaks(arrays["guesses"], test, problem.notion)
        found |= measures.kept(arrays["constraints"], problem.epsilon)
    sure = measures.estimates(found)
    if "c2" in sure:
        found["audit_excess"] = measures.excess(sure["audit_worst"], sure["c2"])
    told = measures.broken(sure, problem.notion.entropy())
    for line in told:
        run.log(f"invariant violated: {line}")
    figures.draw(run.folder / "tradeoff.png", curves, arrays)
    return found | {"invariants_violated": float(len(told))}
