"""What the attack tests share: methods by name, problems around any network, and small networks."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from harness.context import Run
from harness.studies.attack import Problem, networks, task
from harness.studies.attack.generators import LatentFlow, settled

ROOT = Path(__file__).resolve().parent.parent
NORM_BOUNDED = ("pgd", "pgd_margin", "apgd", "square", "foolbox_pgd")
SHORT = {"dataset": "digits", "target": "plain", "network_epochs": 20}


def method(name: str) -> Any:
    """The function of a method, from its file."""
    path = next(path for room in ("methods", "baselines") if (path := ROOT / room / f"{name}.py").is_file())
    spec = importlib.util.spec_from_file_location(f"attack_test_{name}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, name)


def remembering(run: Run) -> Run:
    """Let `run` build each asset once, as the engine does."""
    made: dict[str, Any] = {}

    def get(wanted: Any) -> list[dict[str, Tensor]]:
        for builder, parameters in wanted:
            key = f"{builder.__name__} {sorted(parameters.items())}"
            if key not in made:
                made[key] = builder(run, **parameters)
        return [
            dict(made[f"{builder.__name__} {sorted(parameters.items())}"]) for builder, parameters in wanted
        ]

    run._assets = get
    return run


def problem(folder: Path, seed: int = 0, **more: Any) -> Problem:
    """A short problem on the digits, changed by `more`."""
    return task.attack(remembering(Run(seed=seed, folder=folder)), **(SHORT | more))


def around(network: nn.Module, x: Tensor, y: Tensor, eps: float, folder: Path) -> Problem:
    """A problem on any network and any images."""
    run = remembering(Run(seed=0, folder=folder))
    return Problem(run, "digits", eps, x, y, x, y, networks.frozen(network), "plain", {})


def errors(network: nn.Module, images: Tensor, y: Tensor) -> Tensor:
    """Which images (N,) are classified wrongly."""
    return networks.margins(networks.logits(network, images), y) <= 0


def drawn(network: nn.Sequential, seed: int, scale: float = 1.0) -> nn.Sequential:
    """`network` with normal weights and biases, by the seed alone."""
    stream = torch.Generator().manual_seed(seed)
    for parameter in network.parameters():
        parameter.data = torch.randn(parameter.shape, generator=stream) * scale
        if parameter.dim() > 1:
            parameter.data /= parameter[0].numel() ** 0.5
    return networks.frozen(network)


def small_conv(hidden: int = 4) -> nn.Sequential:
    """Wong and Kolter's kind of network for 8 × 8 images."""
    return nn.Sequential(
        nn.Conv2d(1, 2, 4, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(2, 3, 4, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(12, hidden),
        nn.ReLU(),
        nn.Linear(hidden, 10),
    )


def dense(network: nn.Sequential, shape: tuple[int, ...]) -> nn.Sequential:
    """The same function with each convolution written out as a linear layer."""
    layers: list[nn.Module] = [nn.Flatten()]
    for layer in network:
        if isinstance(layer, nn.Conv2d):
            unit = torch.eye(torch.Size(shape).numel()).reshape(-1, *shape)
            bias = layer(torch.zeros(1, *shape))
            matrix = (layer(unit) - bias).flatten(1)
            made = nn.Linear(*matrix.shape)
            made.weight.data, made.bias.data = matrix.T.contiguous(), bias.flatten()
            layers.append(made)
            shape = tuple(bias.shape[1:])
        elif not isinstance(layer, nn.Flatten):
            layers.append(layer)
    return networks.frozen(nn.Sequential(*layers))


def seeded(seed: int) -> torch.Generator:
    """A stream of its own."""
    return torch.Generator().manual_seed(seed)


def untrained_flow() -> LatentFlow:
    """First weights, of 8 × 8 images."""
    torch.manual_seed(0)
    flow = settled(LatentFlow(8, 6, 16))
    flow.spread.fill_(8.0)  # untrained weights are small: let its images differ
    return flow


def classifier(seed: int) -> nn.Sequential:
    """First weights of a small network, of 8 × 8 images."""
    torch.manual_seed(seed)
    return settled(nn.Sequential(nn.Flatten(), nn.Linear(64, 24), nn.ReLU(), nn.Linear(24, 10)))
