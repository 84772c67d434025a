"""What the fairness study measures of codes: information, leaks, and what auditors make of them."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

import harness
from harness.studies.fairness import ceiling, figures, measures
from harness.studies.fairness.autoencoder import Bits
from harness.studies.fairness.people import Rows
from harness.studies.fairness.task import Problem

METRICS = (
    harness.Metric(
        "mi_xz_u", "nats", "higher", "quality", 0.2, "I(x; z | u), the tightest of three estimates"
    ),
    harness.Metric("mi_xz_u_kde", "nats", "higher", "quality", 0.2, "I(x; z | u) by kernels, as the paper"),
    harness.Metric("mi_xz_u_neural", "nats", "higher", "quality", 0.2, "I(x; z | u) by a network"),
    harness.Metric("mi_xz_u_mixture", "nats", "higher", "quality", 0.2, "by the training rows' posteriors"),
    harness.Metric(
        "ceiling", "nats", "none", "quality", 0.02, "H(x | u) at most, by trees: no I is above it"
    ),
    harness.Metric("c1", "nats", "lower", "quality", 0.1, "E KL(q(z|x,u) || N(0,I)) over test rows"),
    harness.Metric("c2", "nats", "none", "quality", 0.02, "E ln p_ψ(u|z) − ln p(u), the method's adversary"),
    harness.Metric("i_dp", "nats", "none", "quality", 0.02, "demographic parity: c2, by the paper's table"),
    harness.Metric("i_eo", "nats", "none", "quality", 0.02, "the same within y, mean of both labels"),
    harness.Metric("i_eopp", "nats", "none", "quality", 0.02, "the same within y = 1"),
    harness.Metric("audit", "nats", "lower", "quality", 0.02, "what the best auditor recovers of u"),
    harness.Metric("audit_logistic", "nats", "lower", "quality", 0.02, "recovered by logistic regression"),
    harness.Metric("audit_boosted", "nats", "lower", "quality", 0.02, "by boosted trees"),
    harness.Metric("audit_forest", "nats", "lower", "quality", 0.02, "by a random forest"),
    harness.Metric("audit_network", "nats", "lower", "quality", 0.02, "by a wide network"),
    harness.Metric("audit_posterior", "nats", "lower", "quality", 0.02, "by Bayes' rule on posteriors"),
    harness.Metric("audit_null", "nats", "none", "quality", 0.02, "by the best auditor of shuffled groups"),
    harness.Metric("audit_excess", "nats", "lower", "quality", 0.02, "audit − c2, row by row"),
    harness.Metric("balanced", "1", "lower", "quality", 0.02, "the best auditor's balanced accuracy in u"),
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
    harness.Metric("violation", "1", "lower", "quality", 0.2, "largest C / ε − 1 over training rows"),
    harness.Metric("violation_audit", "1", "lower", "quality", 0.2, "audit / ε − 1, ε the bound on c2"),
    harness.Metric("feasible", "1", "higher", "quality", 0.0, "1 where neither violation is above 0.05"),
    harness.Metric("invariants_violated", "1", "lower", "quality", 0.0, "of six; the log names them"),
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
    test_rows: Annotated[int, "[8, inf)"] = 20_000,
    audit_draws: Annotated[int, "[20, inf)"] = 120_000,
    audit_steps: Annotated[int, "[1, inf)"] = 3000,
    density_steps: Annotated[int, "[1, inf)"] = 600,
) -> dict[str, float | harness.Estimate]:
    """Information, leaks, what auditors recover, and what predictors of y do with the codes.

    Information and audits are means over the first `test_rows` test rows. Trees learn from `audit_draws`
    codes of training rows, an auditor's network for `audit_steps` updates, and the network's density for
    `density_steps`.
    """
    train, test = (Rows(*(part.cpu() for part in rows)) for rows in (problem.train, problem.test))
    found, curves = measures.downstream(arrays["z_train"], arrays["z_test"], train, test)
    seen, held = torch.arange(len(train.y)), torch.arange(len(test.y))
    if problem.test is problem.train:  # nobody is to be learnt from and then told
        seen, held = seen[::2], held[1::2]
    held = held[:test_rows]
    codes = (
        measures.codes(arrays, "train", train).take(seen),
        measures.codes(arrays, "test", test).take(held),
    )
    shuffled = codes[0].u[torch.randperm(len(seen), generator=run.stream("shuffle"))]
    shares = problem.notion.log_shares[0].cpu()
    rows: measures.ByRow = {}
    density = None
    if "mean_train" in arrays:
        density = measures.densities(*codes, shuffled, len(shares))
        rows |= measures.information(*codes, density[0], density_steps, run.stream("density"))
    if isinstance(problem.likelihood, Bits):
        rows["ceiling"] = ceiling.surprise(train.take(seen), test.take(held), problem.attributes)
    audited, by_row = measures.audits(
        *codes, shares, density, shuffled, audit_draws, audit_steps, run.stream("audit")
    )
    rows |= by_row
    found |= {name: harness.Estimate.of(values) for name, values in rows.items()} | audited
    if "guesses" in arrays:
        leaks, by_row = measures.leaks(arrays["guesses"], test, problem.notion)
        found |= leaks | {"audit_excess": harness.Estimate.of(rows["audit"] - by_row["c2"][held])}
        found |= measures.kept(arrays["constraints"], float(rows["audit"].mean()), problem.epsilon)
        rows |= by_row
    told = measures.broken(rows)
    for line in told:
        run.log(f"invariant violated: {line}")
    figures.draw(run.folder / "tradeoff.png", curves, arrays)
    return found | {"invariants_violated": float(len(told))}
