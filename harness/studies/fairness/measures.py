"""The measures of `fairness`, from stored codes; what a method's arrays do not allow is left out.

Codes `z_*` are always there. Without a density (`mean_*`, `scale_*`) there is no I(x; z | u) and no C1;
without adversaries (`guesses`) there is no C2. Rows are on the CPU here.

What is compared is compared row by row, on the same test rows: `ByRow` holds, by metric, the values (N,) that
the metric is the mean of.
"""

from __future__ import annotations

import numpy
import torch
import torch.nn.functional as F
from torch import Tensor

import harness
from harness.studies.fairness import gaps as fair_gaps
from harness.studies.fairness.audit import AUDITORS, audit
from harness.studies.fairness.constraints import CONSTRAINTS, TOLERANCE, violation
from harness.studies.fairness.information import (
    Codes,
    kernel_information,
    mixture_log_density,
    neural_information,
)
from harness.studies.fairness.people import Notion, Rows, membership

Found = dict[str, float | harness.Estimate]
ByRow = dict[str, Tensor]

ESTIMATES = ("mi_xz_u_kde", "mi_xz_u_neural", "mi_xz_u_mixture")
SIGNIFICANT, SLACK = 3.0, 0.02
"""Standard errors and nats beyond which an invariant counts as violated."""


def codes(arrays: dict[str, Tensor], part: str, rows: Rows) -> Codes:
    """The codes of a part of the data."""
    z = arrays[f"z_{part}"]
    mean, scale = arrays.get(f"mean_{part}", z), arrays.get(f"scale_{part}", torch.zeros_like(z))
    return Codes(mean, scale, z, rows.u.argmax(1))


def densities(train: Codes, test: Codes, shuffled: Tensor, groups: int) -> tuple[Tensor, Tensor]:
    """ln q̂(z | u) (N, K) of the test codes by training posteriors in the true and in shuffled groups."""
    parts = torch.cat([F.one_hot(u, groups) for u in (train.u, shuffled)], 1)
    true, false = mixture_log_density(train, test.z, parts.double()).chunk(2, 1)
    return true, false


def information(train: Codes, test: Codes, density: Tensor, steps: int, generator: torch.Generator) -> ByRow:
    """I(x; z | u) of test rows by three estimators and by the tightest of them, and C1.

    `density` (N, K) is ln q̂(z | u) of the test codes by training posteriors.
    """
    own = density.gather(1, test.u.unsqueeze(1)).squeeze(1)
    found = {
        "mi_xz_u_kde": kernel_information(train, test).double(),
        "mi_xz_u_neural": neural_information(train, test, steps, generator).double(),
        "mi_xz_u_mixture": test.log_density().double() - own,
    }
    tightest = min(ESTIMATES, key=lambda name: float(found[name].mean()))
    return found | {"mi_xz_u": found[tightest], "c1": test.rate().double()}


def leaks(guesses: Tensor, rows: Rows, notion: Notion) -> tuple[Found, ByRow]:
    """What the method's own adversaries admit on test rows, given their ln p_ψ(u | z) (3, N, K)."""
    gains = ((guesses - notion.log_shares.cpu().unsqueeze(1)) * rows.u).sum(-1).double()
    slices = membership(rows.y).bool()
    parity, negative, positive = (
        harness.Estimate.of(gain[rows]) for gain, rows in zip(gains, slices, strict=True)
    )
    odds = harness.Estimate(
        (negative.value + positive.value) / 2, (negative.error**2 + positive.error**2) ** 0.5 / 2, parity.n
    )
    by_row = {"c2": gains[0], "i_eopp": gains[2][slices[2]], "y = 0": gains[1][slices[1]]}
    return {"c2": parity, "i_dp": parity, "i_eo": odds, "i_eopp": positive}, by_row


def audits(
    train: Codes,
    test: Codes,
    log_shares: Tensor,
    density: tuple[Tensor, Tensor] | None,
    shuffled: Tensor,
    draws: int,
    steps: int,
    generator: torch.Generator,
) -> tuple[Found, ByRow]:
    """What auditors recover of the test rows' groups, and the best of them where groups are shuffled.

    `density` is `densities` of both; `shuffled` are other people's groups of the training rows.
    """
    found: Found = {}
    true, false = density or (None, None)
    told = audit(train, test, log_shares, true, draws, steps, generator)
    for name in (*AUDITORS, "audit"):
        if name in told:
            label = name if name == "audit" else f"audit_{name}"
            found[label] = harness.Estimate.of(told[name].gains)
    other = test.u[torch.randperm(len(test.u), generator=generator)]
    nothing = train._replace(u=shuffled), test._replace(u=other)
    null = audit(*nothing, log_shares, false, draws, steps, generator)["audit"]
    found |= {"audit_null": harness.Estimate.of(null.gains), "balanced": told["audit"].balanced(test.u)}
    return found, {"audit": told["audit"].gains}


def kept(constraints: Tensor | None, audited: float, epsilon: Tensor) -> Found:
    """Whether the bounds hold: by the method's word (4,) over training rows, and that on C2 by the audit."""
    bounds = epsilon.cpu()
    if constraints is None or not bounds.isfinite().any():
        return {}
    own = float(violation(constraints, bounds))
    seen = audited / float(bounds[CONSTRAINTS.index("c2")]) - 1
    return {
        "violation": own,
        "violation_audit": seen,
        "feasible": float(max(own, seen) <= TOLERANCE),
    }


def broken(rows: ByRow) -> list[str]:
    """The invariants that do not hold, in words: each row by row on the test rows, so by a paired error.

    * I(x; z | u) ≤ H(x | u): an estimate above the ceiling is wrong;
    * I(x; z | u) ≤ C1 and I(z; u) ≤ C1: the estimate, or what is said of the posterior, is wrong;
    * an adversary that does worse on test rows than the shares of the groups alone (it may have learnt its
      training rows by heart) says nothing of the leak.
    """
    told = []
    for name, limit in (("mi_xz_u", "ceiling"), ("mi_xz_u", "c1"), ("audit", "c1")):
        if name in rows and limit in rows and _positive(rows[name] - rows[limit]):
            told.append(f"{name} = {rows[name].mean():.3f} is above {limit} = {rows[limit].mean():.3f} nats")
    for name in ("c2", "i_eopp", "y = 0"):
        if name in rows and _positive(-rows[name]):
            told.append(f"{name} = {rows[name].mean():.3f} nats is below 0: worse than no adversary")
    return told


def _positive(differences: Tensor) -> bool:
    """Whether a mean over rows is above 0, beyond what chance and the estimates' misfit explain."""
    mean, error = float(differences.mean()), float(differences.std()) / len(differences) ** 0.5
    return mean > max(SLACK, SIGNIFICANT * error)


def downstream(
    z_train: Tensor, z_test: Tensor, train: Rows, test: Rows
) -> tuple[Found, dict[str, tuple[numpy.ndarray, numpy.ndarray]]]:
    """Accuracy and gaps of predicting y from z, and by classifier the curve of accuracy against parity."""
    found: Found = {}
    curves = {}
    people = [(rows.y.numpy(), rows.u.argmax(1).numpy()) for rows in (train, test)]
    for name in fair_gaps.CLASSIFIERS:
        chances = fair_gaps.predict(name, z_train.numpy(), people[0][0], z_test.numpy())
        own, others = (fair_gaps.Told(chance, *who) for chance, who in zip(chances, people, strict=True))
        predicted = others.chance > 0.5
        curves[name] = fair_gaps.frontier(own, others)
        found[f"accuracy_{name}"] = harness.Estimate.of(torch.as_tensor(predicted == others.y).double())
        found[f"area_{name}"] = fair_gaps.area(*curves[name])
        for notion, gap in fair_gaps.gaps(predicted, others.y, others.u)._asdict().items():
            found[f"{notion}_{name}"] = gap
    return found, curves
