"""Generators and auxiliary classifiers: trained once on the training split, used by many attacks."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

import harness
from harness import data
from harness.errors import UserError
from harness.studies.attack import adversarial, auxiliary, generators, images

Kind = Literal["latent_flow", "acwgan", "acwgan_paper"]


@harness.asset
def conditional_generator(
    run: harness.Run, *, dataset: harness.DataSet, kind: str, seed: int, steps: int
) -> dict[str, Tensor]:
    """The `state_dict` of a generator of `kind` after `steps` updates on the training split alone.

    "latent_flow": all updates, autoencoder and flow; "acwgan" and "acwgan_paper": the generator's.
    """
    split = images.load(run, dataset).to(run.device)
    x, y = split.x_train, split.y_train
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        if kind == "latent_flow":
            model: nn.Module = generators.train_flow(x, y, steps, run.progress)
        else:
            levels = data.describe(dataset).levels or 256
            model = adversarial.train_pair(kind, x, y, steps, levels, run.progress)
    return {name: value.cpu() for name, value in model.state_dict().items()}


@harness.asset
def auxiliary_classifier(
    run: harness.Run, *, dataset: harness.DataSet, seed: int, steps: int
) -> dict[str, Tensor]:
    """The `state_dict` of the attacks' own classifier after `steps` updates on the training split."""
    split = images.load(run, dataset).to(run.device)
    with torch.random.fork_rng():
        torch.manual_seed(seed + 7919)  # another order of the data than anything else at this seed
        network = auxiliary.train_auxiliary(split.x_train, split.y_train, steps, run.progress)
    return {name: value.cpu() for name, value in network.state_dict().items()}


class Tools(NamedTuple):
    """What an attack needs beside its target, on its device: a generator, the size of its z, a classifier."""

    generator: Any
    latent: int
    auxiliary: nn.Module


def tools(
    run: harness.Run,
    problem: Any,
    *,
    kind: Kind,
    seed: int,
    steps: int,
    which: Literal["separate", "critic"],
    checks: int,
) -> Tools:
    """The generator of `kind` after `steps` updates; as auxiliary a classifier apart, or the critic's head.

    `checks` are the updates of the separate classifier. `seed` fixes both, so that the seeds of a suite may
    share them. Raises `UserError` for the critic's head of a flow.
    """
    dataset, side = problem.dataset, problem.x_test.shape[-1]
    if which == "critic" and kind == "latent_flow":
        raise UserError("auxiliary: a latent flow has no critic; take 'separate', or a generator 'acwgan'")
    shared = {"dataset": dataset, "seed": seed}
    wanted: list[Any] = [(conditional_generator, shared | {"kind": kind, "steps": steps})]
    if which == "separate":
        wanted.append((auxiliary_classifier, shared | {"steps": checks}))
    trained, *checker = run.assets(wanted)
    if kind == "latent_flow":
        generator: Any = generators.LatentFlow.restore(trained)
    else:
        generator = adversarial.AdversarialPair.restore(kind, side, trained)
    generator.to(run.device)
    if which == "critic":
        return Tools(generator, generator.latent, adversarial.CriticClasses(generator.critic))
    return Tools(generator, generator.latent, auxiliary.restore(checker[0]).to(run.device))
