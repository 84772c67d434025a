"""What the fairness study measures of codes: information, leaks, and what auditors make of them."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

import harness
from harness.studies.fairness import figures, measures
from harness.studies.fairness.people import Rows
from harness.studies.fairness.task import Problem

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


@harness.score
def score(
    problem: Problem,
    arrays: dict[str, Tensor],
    run: harness.Run,
    *,
    audit_rows: Annotated[int, "[10, inf)"] = 3000,
    audit_folds: Annotated[int, "[2, inf)"] = 3,
    audit_steps: Annotated[int, "[1, inf)"] = 800,
    density_rows: Annotated[int, "[2, inf)"] = 5000,
    density_steps: Annotated[int, "[1, inf)"] = 600,
) -> dict[str, float | harness.Estimate]:
    """Information, leaks, what auditors recover, and what predictors of y do with the codes.

    Auditors see `audit_rows` codes of training and test rows together, and their networks learn for
    `audit_steps`. I(x; z | u) is a mean over `density_rows` test rows; the network's density learns for
    `density_steps`.
    """
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
