"""The targets: published networks from their weights, and networks trained here, each once for all cells."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

import harness
from harness.errors import UserError
from harness.studies.attack import images, networks
from harness.studies.attack.training import Budget, train

TRAINED = ("plain", "pgd", "ibp")


def target(
    run: harness.Run, *, target: str, dataset: str, weights: str | None, training: dict[str, Any]
) -> nn.Sequential:
    """The network that `target` names, ready for use, on the CPU, where certificates ask about it.

    `training` is what `trained` takes beside the data set.
    Raises `UserError` where weights are needed and not named, or named and not needed.
    """
    if target in TRAINED:
        if weights is not None:
            raise UserError(f"weights: {target!r} is trained here and takes none; leave it out")
        state = run.asset(trained, dataset=dataset, target=target, **training)
        network = networks.for_images(tuple(state.pop("shape").tolist()))
        network.load_state_dict(state)
        return networks.frozen(network)
    if weights is None:
        raise UserError(f"weights: {target!r} is not trained here: say weights: certified_mnist")
    return networks.frozen(networks.certified(target, dataset, run.data(weights)))


@harness.asset
def trained(
    run: harness.Run,
    *,
    dataset: harness.DataSet,
    target: str,
    seed: int,
    epochs: int,
    train_images: int,
    eps: float,
    attack_steps: int,
) -> dict[str, Tensor]:
    """A network trained on `dataset`: its parameters by name, and the `shape` (3,) of its images.

    `target` "plain" is trained on images as they are, "pgd" on the worst that `attack_steps` steps find
    within `eps`, "ibp" on interval bounds at `eps`. `train_images` 0 means all.
    """
    data = images.load(run, dataset).to(run.device)
    count = train_images or len(data.x_train)
    network = networks.for_images(data.shape)
    budget = Budget(epochs, eps, attack_steps)
    stream = torch.Generator().manual_seed(seed)
    train(network, data.x_train[:count], data.y_train[:count], target, budget, stream, run.progress)
    return {name: value.cpu() for name, value in network.state_dict().items()} | {
        "shape": torch.tensor(data.shape)
    }
