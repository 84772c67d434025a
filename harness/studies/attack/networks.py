"""The classifiers under attack: published certified ones, from their weights, and small ones.

All are `nn.Sequential` of convolutions, linear layers, ReLUs and one flattening, so that each certificate can
walk through them; they take images (N, 1, H, W) in [0, 1] and return logits (N, 10).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from harness.errors import UserError

CLASSES = 10

CERTIFIED = {
    ("wong_kolter", "mnist"): "wong_kolter_mnist",
    ("wong_kolter", "fashion_mnist"): "wong_kolter_fashion_mnist",
    ("raghunathan", "mnist"): "raghunathan_mnist",
}
"""The name in data set `certified_mnist` of each target and the data set that it classifies."""


def convolutional() -> nn.Sequential:
    """Wong and Kolter's MNIST network (2018): 28 × 28, two strided convolutions, 166,406 parameters."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 4, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 4, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(32 * 7 * 7, 100),
        nn.ReLU(),
        nn.Linear(100, CLASSES),
    )


def two_layer(pixels: int, hidden: int) -> nn.Sequential:
    """One hidden layer of ReLUs; Raghunathan et al. (2018) have 784–500–10."""
    return nn.Sequential(nn.Flatten(), nn.Linear(pixels, hidden), nn.ReLU(), nn.Linear(hidden, CLASSES))


def for_images(shape: tuple[int, ...]) -> nn.Sequential:
    """What is trained here for images (1, H, W): Wong and Kolter's at 28 × 28, else 100 hidden units."""
    return convolutional() if shape == (1, 28, 28) else two_layer(math.prod(shape), 100)


def certified(target: str, dataset: str, arrays: Mapping[str, object]) -> nn.Sequential:
    """A published network from the arrays of data set `certified_mnist`.

    Raises `UserError` where there is none for `dataset`, or arrays are missing, or of another shape or type.
    """
    if (target, dataset) not in CERTIFIED:
        known = ", ".join(f"{name} on {data}" for name, data in CERTIFIED)
        raise UserError(f"target: there are no weights of {target!r} for {dataset!r} (there are: {known})")
    prefix = CERTIFIED[target, dataset] + "/"
    own = {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
    if target == "raghunathan":
        names = {"1.weight": "W1", "1.bias": "B1", "3.weight": "W2", "3.bias": "B2"}
        return filled(two_layer(784, 500), own, names, transposed=True)
    network = convolutional()
    return filled(network, own, {name: name for name in network.state_dict()})


def filled(
    network: nn.Sequential,
    arrays: Mapping[str, object],
    names: Mapping[str, str],
    *,
    transposed: bool = False,
) -> nn.Sequential:
    """`network` with the arrays that `names` gives its parameters; `transposed` matrices are (in, out)."""
    state = {}
    for parameter, empty in network.state_dict().items():
        name = names[parameter]
        shape = tuple(reversed(empty.shape)) if transposed else tuple(empty.shape)
        if name not in arrays:
            raise UserError(
                f"weights: there is no array {name!r} of shape {shape} (there are: {sorted(arrays)})"
            )
        array = torch.as_tensor(arrays[name])
        if tuple(array.shape) != shape or not array.is_floating_point():
            found = f"{tuple(array.shape)} {array.dtype}"
            raise UserError(f"weights: {name!r} is {found}; the network needs float numbers of shape {shape}")
        if not array.isfinite().all():
            raise UserError(f"weights: {name!r} has numbers that are not finite")
        state[parameter] = (array.permute(*reversed(range(array.dim()))) if transposed else array).float()
    network.load_state_dict(state)
    return network


def frozen(network: nn.Sequential) -> nn.Sequential:
    """`network` for use, not for training: eval mode, no gradients of parameters."""
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    return network.eval()


def logits(network: nn.Module, x: Tensor, batch: int = 500) -> Tensor:
    """Logits (N, 10) of images, computed in batches and without gradients."""
    with torch.no_grad():
        return torch.cat([network(part) for part in x.split(batch)])


def margins(logits: Tensor, y: Tensor) -> Tensor:
    """The class's logit less the largest other one (N,); a classifier errs where it is not above 0.

    A tie counts as an error: then no certificate can hold, and `argmax` decides by the order of the classes.
    """
    own = logits.gather(1, y[:, None])[:, 0]
    return own - logits.scatter(1, y[:, None], -math.inf).amax(1)
