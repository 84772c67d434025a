"""Auditors: classifiers that no encoder was trained against, and what they recover of u from z.

Each is cross-validated. Its held-out scores become probabilities by a logistic map that is fitted to the
scores of the other folds, so that a forest, a margin and a network are judged alike, in nats:

    H(u) + E ln p(u | scores)  ≤  I(z; u)       but for the chance of the sample

and as balanced accuracy: the share recognised, averaged over groups, when each row is given to the group
whose probability grew most.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy
import torch
import torch.nn.functional as F
from torch import Tensor

from harness.studies.fairness.networks import Adam, Networks

AUDITORS = ("logistic", "net1", "net2", "forest", "boosted", "svm")
"""Linear; networks of one and two hidden layers; a forest; boosted trees; a radial support vector machine."""
HIDDEN, BATCH, RATE = 64, 128, 2e-2

DOUBT = 1e-3
"""The share of the prior in what an auditor says: a mistake it was sure of costs ln 1000, not infinity."""


class Finding(NamedTuple):
    """What an auditor recovers: nats, their standard error over rows, and balanced accuracy."""

    nats: float
    error: float
    balanced: float


def audit(z: Tensor, u: Tensor, folds: int, steps: int, generator: torch.Generator) -> dict[str, Finding]:
    """Findings by auditor about codes z (N, d) and groups u (N,) int64 of 0 … K − 1.

    The networks learn for `steps` updates of 128 rows. Shuffle u to see what chance alone recovers. Raises
    ValueError where a group has fewer than two rows per fold.
    """
    counts = u.bincount()
    if int(counts.min()) < 2 * folds:
        raise ValueError(f"{folds} folds need {2 * folds} rows of each group; there are {counts.tolist()}")
    z = ((z - z.mean(0)) / z.std(0).clamp(min=1e-6)).float()
    fold = _stratified(u, folds, generator)
    return {
        name: _judge(_held_out(name, z, u, fold, steps, generator), u.numpy(), fold.numpy())
        for name in AUDITORS
    }


def _stratified(u: Tensor, folds: int, generator: torch.Generator) -> Tensor:
    """A fold (N,) for each row, so that each has its share of every group."""
    fold = torch.empty_like(u)
    for group in u.unique():
        rows = (u == group).nonzero().squeeze(1)
        fold[rows[torch.randperm(len(rows), generator=generator)]] = torch.arange(len(rows)) % folds
    return fold


def _held_out(
    name: str, z: Tensor, u: Tensor, fold: Tensor, steps: int, generator: torch.Generator
) -> numpy.ndarray:
    """An auditor's scores (N, K) of rows it has not seen."""
    if name in ("net1", "net2"):
        return _networks([HIDDEN] * int(name[-1]), z, u, fold, steps, generator).numpy()
    scores = numpy.zeros((len(u), int(u.max()) + 1))
    seed = int(torch.randint(2**31, (), generator=generator))
    for held in fold.unique():
        test = (fold == held).numpy()
        model = _classifier(name, seed).fit(z[~test].numpy(), u[~test].numpy())
        scores[test] = _scores(model, z[test].numpy())
    return scores


def _classifier(name: str, seed: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.svm import SVC

    if name == "logistic":
        return LogisticRegression()
    if name == "forest":
        return RandomForestClassifier(50, min_samples_leaf=10, random_state=seed)
    if name == "boosted":
        return HistGradientBoostingClassifier(max_iter=60, max_leaf_nodes=8, random_state=seed)
    return SVC(decision_function_shape="ovr", random_state=seed)


def _scores(model: Any, z: numpy.ndarray) -> numpy.ndarray:
    """Log-probabilities, or margins, of every group."""
    if hasattr(model, "predict_proba"):
        return numpy.log(model.predict_proba(z).clip(1e-4))
    margins = model.decision_function(z)
    return margins if margins.ndim == 2 else numpy.stack([-margins, margins], axis=1)


def _networks(
    hidden: list[int], z: Tensor, u: Tensor, fold: Tensor, steps: int, generator: torch.Generator
) -> Tensor:
    """Held-out log-probabilities (N, K) of one network per fold, all trained at once."""
    groups, folds = int(u.max()) + 1, int(fold.max()) + 1
    networks = Networks.drawn(folds, [z.shape[1], *hidden, groups], generator, z)
    adam = Adam([networks], beta1=0.9)
    seen = [(fold != held).nonzero().squeeze(1) for held in range(folds)]
    for step in range(steps):
        index = torch.stack([rows[torch.randint(len(rows), (BATCH,), generator=generator)] for rows in seen])
        loss = F.cross_entropy(networks(z[index]).flatten(0, 1), u[index].flatten()) * folds
        adam.step(torch.autograd.grad(loss, networks.parameters), RATE * (1 - step / steps))
    with torch.no_grad():
        return networks(z).log_softmax(-1)[fold, torch.arange(len(u))]


def _judge(scores: numpy.ndarray, u: numpy.ndarray, fold: numpy.ndarray) -> Finding:
    """Nats and balanced accuracy of held-out scores (N, K)."""
    from sklearn.linear_model import LogisticRegression

    spread = scores.std(0).clip(1e-9)
    scores = (scores - scores.mean(0)) / spread
    known = numpy.empty_like(scores)
    for held in numpy.unique(fold):
        test = fold == held
        known[test] = LogisticRegression().fit(scores[~test], u[~test]).predict_proba(scores[test])
    gains = numpy.log((1 - DOUBT) * known * len(u) / numpy.bincount(u) + DOUBT)
    right = gains.argmax(1) == u
    balanced = numpy.mean([right[u == group].mean() for group in numpy.unique(u)])
    true = gains[numpy.arange(len(u)), u]
    return Finding(float(true.mean()), float(true.std() / len(u) ** 0.5), float(balanced))
