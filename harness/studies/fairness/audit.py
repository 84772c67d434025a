"""Auditors: classifiers that no encoder was trained against, and what they recover of u from z.

They learn from codes of the training rows, and are tuned a little on a tenth of these rows that is held back.
One half of the test rows calibrates their scores and says which auditor is best, which is scored on the other
half; then the halves change places. So no row has a part in what is said of it:

    E ln p(u | scores of z) − ln p(u)  ≤  I(z; u)        but for the chance of the sample

The encoder is no secret: auditors may draw several codes of a person, and `posterior` knows every posterior.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from harness.studies.fairness.information import Codes
from harness.studies.fairness.networks import Adam, Networks

LEARNERS = ("logistic", "boosted", "forest", "network")
"""Linear; boosted trees; a forest; a wide network of two hidden layers."""
AUDITORS = (*LEARNERS, "posterior")
"""The last is Bayes' rule on the training rows' posteriors q(z | x, u), where the code has a density."""

HELD_BACK = 0.1
LEAVES, TREE_ROWS = (31, 127), (5, 20)
"""Settings that are tried: leaves of a boosted tree, rows in a leaf of a forest's tree."""
TREES, ROWS_OF_A_TREE = 30, 6000
HIDDEN, BATCH, RATE, LOOKS = 128, 256, 5e-3, 10
FAINT = 1e-4
"""The least chance that a score says: a leaf without rows of a group is no proof."""


class Finding(NamedTuple):
    """What is recovered from each test row, in nats (N,) float64, and whether its group is told rightly (N,).

    A row is given to the group whose probability grew most.
    """

    gains: Tensor
    right: Tensor

    def balanced(self, u: Tensor) -> float:
        """The share told rightly, averaged over the groups u (N,)."""
        return float(torch.stack([self.right[u == group].double().mean() for group in u.unique()]).mean())


def audit(
    train: Codes,
    test: Codes,
    log_shares: Tensor,
    densities: Tensor | None,
    draws: int,
    steps: int,
    generator: torch.Generator,
) -> dict[str, Finding]:
    """Findings on the test rows by auditor, and that of the best as "audit".

    `log_shares` (K,) is ln p(u); `densities` (N, K) are ln q̂(z | u) of the test codes by training posteriors.
    Trees learn from `draws` codes of training rows, networks for `steps` updates of 256 codes. Shuffle u to
    see what chance alone recovers. Raises ValueError where a group has fewer than four test rows.
    """
    counts = test.u.bincount(minlength=len(log_shares))
    if int(counts.min()) < 4:
        raise ValueError(f"an audit needs four test rows of each group; there are {counts.tolist()}")
    scores = {name: score.double() for name, score in _learnt(train, test, draws, steps, generator).items()}
    if densities is not None:
        scores["posterior"] = densities.double() + log_shares
    return _judged(scores, test.u, log_shares.double(), generator)


def _learnt(
    train: Codes, test: Codes, draws: int, steps: int, generator: torch.Generator
) -> dict[str, Tensor]:
    """ln p(u | z) of the test codes (N, K) by each of `LEARNERS`."""
    centre, width = train.z.mean(0), train.z.std(0).clamp(min=1e-6)
    train = Codes((train.mean - centre) / width, train.scale / width, (train.z - centre) / width, train.u)
    z = ((test.z - centre) / width).numpy()
    order = torch.randperm(len(train.u), generator=generator)
    held = max(1, int(HELD_BACK * len(order)))
    back, own = train.take(order[:held]), train.take(order[held:])
    drawn = own.draw(draws if own.scale.any() else min(draws, len(own.u)), generator)
    best: dict[str, tuple[float, Any]] = {}
    for name, model in _models(drawn, back, int(torch.randint(2**31, (), generator=generator))):
        told = torch.as_tensor(model.predict_proba(back.z.numpy()).clip(FAINT)).log()
        loss = float(F.nll_loss(told, back.u))
        if name not in best or loss < best[name][0]:
            best[name] = loss, model
    found = {
        name: torch.as_tensor(model.predict_proba(z).clip(FAINT)).log() for name, (_, model) in best.items()
    }
    return found | {"network": _network(own, back, torch.as_tensor(z), steps, generator)}


def _models(drawn: Codes, back: Codes, seed: int) -> Iterator[tuple[str, Any]]:
    """Fitted classifiers of scikit-learn, by the name of the auditor that each is a setting of."""
    from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
    from sklearn.linear_model import LogisticRegression

    z, u = drawn.z.numpy(), drawn.u.numpy()
    yield "logistic", LogisticRegression().fit(z, u)
    for leaves in LEAVES:
        boosted = HistGradientBoostingClassifier(
            max_iter=300, max_leaf_nodes=leaves, early_stopping=True, n_iter_no_change=10, random_state=seed
        )
        yield "boosted", boosted.fit(z, u, X_val=back.z.numpy(), y_val=back.u.numpy())
    for rows in TREE_ROWS:
        share = min(ROWS_OF_A_TREE, len(z))
        forest = RandomForestClassifier(TREES, min_samples_leaf=rows, max_samples=share, random_state=seed)
        yield "forest", forest.fit(z, u)


def _network(own: Codes, back: Codes, z: Tensor, steps: int, generator: torch.Generator) -> Tensor:
    """ln p(u | z) (N, K) by a network that meets fresh codes at each update; its best look is kept."""
    groups = int(own.u.max()) + 1
    network = Networks.drawn(1, [z.shape[1], HIDDEN, HIDDEN, groups], generator, own.z)
    adam, best, kept = Adam([network], beta1=0.9), float("inf"), network.flat.clone()
    for step in range(1, steps + 1):
        part = own.take(torch.randint(len(own.u), (BATCH,), generator=generator)).draw(BATCH, generator)
        loss = F.cross_entropy(network(part.z)[0], part.u)
        adam.step(torch.autograd.grad(loss, network.parameters), RATE * (1 - (step - 1) / steps))
        if step % max(1, steps // LOOKS) == 0:
            with torch.no_grad():
                found = float(F.cross_entropy(network(back.z)[0], back.u))
            if found < best:
                best, kept = found, network.flat.clone()
    network.flat.copy_(kept)
    with torch.no_grad():
        return network(z)[0].log_softmax(-1)


def _judged(
    scores: dict[str, Tensor], u: Tensor, log_shares: Tensor, generator: torch.Generator
) -> dict[str, Finding]:
    """Each auditor's finding, and that of the one which is best on the half that calibrated it."""
    half = _halves(u, generator)
    names = [*scores, "audit"]
    found = {name: Finding(torch.zeros(len(u)).double(), torch.zeros(len(u)).bool()) for name in names}
    for side in (half, ~half):
        best = -float("inf")
        for name, score in scores.items():
            gains = _calibrated(score, u, ~side) - log_shares
            true = gains.gather(1, u.unsqueeze(1)).squeeze(1)
            right = gains.argmax(1) == u
            found[name].gains[side], found[name].right[side] = true[side], right[side]
            if (elsewhere := float(true[~side].mean())) > best:
                best = elsewhere
                found["audit"].gains[side], found["audit"].right[side] = true[side], right[side]
    return found


def _halves(u: Tensor, generator: torch.Generator) -> Tensor:
    """Half of the rows (N,) bool, with half of each group."""
    half = torch.zeros(len(u), dtype=torch.bool)
    for group in u.unique():
        rows = (u == group).nonzero().squeeze(1)
        half[rows[torch.randperm(len(rows), generator=generator)[: len(rows) // 2]]] = True
    return half


def _calibrated(score: Tensor, u: Tensor, rows: Tensor) -> Tensor:
    """ln p(u | score) (N, K) by a logistic map that is fitted to some of the rows."""
    from sklearn.linear_model import LogisticRegression

    score = score - score.mean(1, keepdim=True)
    known = (score / score[rows].std().clamp(min=1e-9)).numpy()
    model = LogisticRegression().fit(known[rows], u[rows])
    return torch.as_tensor(model.predict_log_proba(known))
