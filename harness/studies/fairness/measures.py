"""The measures of `fairness`, from stored codes; what a method's arrays do not allow is left out.

Codes `z_*` are always there. Without a density (`mean_*`, `scale_*`) there is no I(x; z | u) and no C1;
without adversaries (`guesses`) there is no C2. Rows are on the CPU here.
"""

from __future__ import annotations

import math

import numpy
import torch
from torch import Tensor

import harness
from harness.studies.fairness import gaps as fair_gaps
from harness.studies.fairness.audit import AUDITORS, Finding, audit
from harness.studies.fairness.constraints import TOLERANCE, violation
from harness.studies.fairness.information import Codes, kernel_information, neural_information
from harness.studies.fairness.people import Notion, Rows, membership

Found = dict[str, float | harness.Estimate]

SIGNIFICANT = 3.0
"""Standard errors beyond which an invariant counts as violated, but not before `TOLERANCE` nats: the part
of an estimate's error that no standard error shows, such as the misfit of a density."""


def codes(arrays: dict[str, Tensor], part: str, rows: Rows) -> Codes:
    """The codes of a part of the data."""
    mean, scale, z = (arrays[f"{name}_{part}"] for name in ("mean", "scale", "z"))
    return Codes(mean, scale, z, rows.u.argmax(1))


def information(train: Codes, test: Codes, rows: int, steps: int, generator: torch.Generator) -> Found:
    """I(x; z | u) by both estimators on the first `rows` test rows, and C1 on all."""
    some = Codes(*(part[:rows] for part in test))
    return {
        "mi_xz_u_kde": harness.Estimate.of(kernel_information(train, some).double()),
        "mi_xz_u_neural": harness.Estimate.of(neural_information(train, some, steps, generator).double()),
        "c1": harness.Estimate.of(test.rate().double()),
    }


def leaks(guesses: Tensor, rows: Rows, notion: Notion) -> Found:
    """What the method's own adversaries admit on test rows, given their ln p_ψ(u | z) (3, N, K)."""
    gains = ((guesses - notion.log_shares.cpu().unsqueeze(1)) * rows.u).sum(-1)
    slices = membership(rows.y).bool()
    parity, negative, positive = (
        harness.Estimate.of(gain[rows].double()) for gain, rows in zip(gains, slices, strict=True)
    )
    odds = harness.Estimate(
        (negative.value + positive.value) / 2, (negative.error**2 + positive.error**2) ** 0.5 / 2, parity.n
    )
    return {"c2": parity, "i_dp": parity, "i_eo": odds, "i_eopp": positive}


def kept(constraints: Tensor, epsilon: Tensor) -> Found:
    """Whether the bounds hold over the training rows."""
    if not epsilon.isfinite().any():
        return {}
    excess = float(violation(constraints, epsilon.cpu()))
    return {"violation": excess, "feasible": float(excess <= TOLERANCE)}


def audits(z: Tensor, u: Tensor, rows: int, folds: int, steps: int, generator: torch.Generator) -> Found:
    """What every auditor recovers from `rows` of the codes, and from the same with shuffled groups."""
    chosen = torch.randperm(len(z), generator=generator)[:rows]
    z, u = z[chosen], u[chosen]
    true = audit(z, u, folds, steps, generator)
    chance = audit(z, u[torch.randperm(len(u), generator=generator)], folds, steps, generator)
    worst = max(true.values())
    found: Found = {f"audit_{name}": _nats(true[name], len(u)) for name in AUDITORS}
    found |= {f"balanced_{name}": true[name].balanced for name in AUDITORS}
    return found | {
        "audit_worst": _nats(worst, len(u)),
        "audit_chance": _nats(max(chance.values()), len(u)),
        "balanced_worst": max(finding.balanced for finding in true.values()),
        "balanced_chance": max(finding.balanced for finding in chance.values()),
    }


def estimates(found: Found) -> dict[str, harness.Estimate]:
    """Those of the measures that have a standard error."""
    return {name: value for name, value in found.items() if isinstance(value, harness.Estimate)}


def excess(recovered: harness.Estimate, admitted: harness.Estimate) -> harness.Estimate:
    """What an auditor recovers beyond what the method's adversary admits, on samples of their own."""
    error = math.hypot(recovered.error, admitted.error)
    return harness.Estimate(recovered.value - admitted.value, error, recovered.n)


def _nats(finding: Finding, n: int) -> harness.Estimate:
    return harness.Estimate(finding.nats, finding.error, n)


def downstream(
    z_train: Tensor, z_test: Tensor, train: Rows, test: Rows
) -> tuple[Found, dict[str, tuple[numpy.ndarray, numpy.ndarray]]]:
    """Accuracy and gaps of predicting y from z, and by classifier the curve of accuracy against parity."""
    y, u = test.y.numpy(), test.u.argmax(1).numpy()
    found: Found = {}
    curves = {}
    for name in fair_gaps.CLASSIFIERS:
        chance = fair_gaps.predict(name, z_train.numpy(), train.y.numpy(), z_test.numpy())
        predicted = chance > 0.5
        curves[name] = fair_gaps.frontier(chance, y, u)
        found[f"accuracy_{name}"] = harness.Estimate.of(torch.as_tensor(predicted == y).double())
        found[f"area_{name}"] = fair_gaps.area(*curves[name])
        for notion, gap in fair_gaps.gaps(predicted, y, u)._asdict().items():
            found[f"{notion}_{name}"] = gap
    return found, curves


def broken(found: dict[str, harness.Estimate], entropy: float) -> list[str]:
    """The invariants that do not hold, in words.

    C1 ≥ I(x; z | u), held against the network's estimate (that of the kernels is known to be biased upwards);
    I(u; z) ≤ H(u), for the adversary and the worst auditor; no auditor above C1.
    """
    bounds = [(name, "H(u)", harness.Estimate(entropy, 0.0, 0)) for name in ("audit_worst", "c2")]
    if "c1" in found:
        bounds += [(name, "c1", found["c1"]) for name in ("audit_worst", "mi_xz_u_neural")]
    told = []
    for name, limit, bound in bounds:
        if name in found:
            error = math.hypot(found[name].error, bound.error)
            if found[name].value - bound.value > max(TOLERANCE, SIGNIFICANT * error):
                told.append(f"{name} = {found[name].value:.3f} is above {limit} = {bound.value:.3f} nats")
    return told
