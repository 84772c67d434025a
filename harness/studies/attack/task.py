"""Attack a classifier whose robustness to small perturbations is certified, or was trained for.

Which attack gets images past it that an independent judge still reads as the class they were made from?
Inside a ball of the maximum norm certificates bound every attack; images from a generative model are in no
ball (Song, Shu, Kushman and Ermon, NeurIPS 2018, 1805.07894).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from torch import Tensor, nn

import harness
from harness.studies.attack import assets, images


@dataclass(frozen=True)
class Problem:
    """A classifier, and the images that it was made for, on the run's device.

    `x_test` (N, 1, H, W) float32 in [0, 1] with classes `y_test` (N,) int64 are what attacks within the ball
    of radius `eps` in the maximum norm start from; `x_train`, `y_train` likewise, the training split.
    `network` takes images (N, 1, H, W) and returns logits (N, 10); it is in eval mode and its parameters need
    no gradients. `identity` are the parameters by which an asset finds the same network and images.

    A method returns one of two things:

    * norm-bounded: `adversarial` (N, 1, H, W) float32, for each test image the best attacked one, within
      `eps` of it in each pixel and in [0, 1], to the last bit;
    * unrestricted: `images` (T, 1, H, W) in [0, 1], one for each try, `source` (T,) int64, the class that it
      was made to show, `accepted` (T,), whether the auxiliary classifier reads it so, and perhaps `wanted`
      (T,), the class that the target should say, or −1 for any wrong one.
    """

    run: harness.Run
    dataset: str
    eps: float
    x_test: Tensor
    y_test: Tensor
    x_train: Tensor
    y_train: Tensor
    network: nn.Module
    target: str
    identity: dict[str, Any]


@harness.task
def attack(
    run: harness.Run,
    *,
    dataset: harness.DataSet,
    target: Literal["plain", "pgd", "ibp", "wong_kolter", "raghunathan"],
    weights: harness.DataSet | None = None,
    eps: Annotated[float, "[0, 1]"] = 0.1,
    test_images: Annotated[int, "[0, inf)"] = 0,
    network_epochs: Annotated[int, "[1, inf)"] = 2,
    network_images: Annotated[int, "[0, inf)"] = 0,
    network_eps: Annotated[float, "[0, 1]"] = 0.1,
    network_steps: Annotated[int, "[1, inf)"] = 7,
) -> Problem:
    """`target` on `test_images` evenly spread test images of `dataset`; 0 are all.

    "wong_kolter" and "raghunathan" are the published networks (`weights: certified_mnist`). "plain", "pgd"
    and "ibp" are trained here: `network_epochs` over the first `network_images` training images (0: all), the
    two last at radius `network_eps`, adversarial training with `network_steps` gradient steps for each image.
    """
    data = images.load(run, dataset, test_images).to(run.device)
    training: dict[str, Any] = {}
    if target in assets.TRAINED:
        training = {
            "seed": run.seed,
            "epochs": network_epochs,
            "train_images": network_images,
            "eps": network_eps if target != "plain" else 0.0,
            "attack_steps": network_steps if target == "pgd" else 0,
        }
    named: dict[str, Any] = {"target": target, "dataset": dataset, "weights": weights, "training": training}
    return Problem(
        run=run,
        dataset=dataset,
        eps=eps,
        x_test=data.x_test,
        y_test=data.y_test,
        x_train=data.x_train,
        y_train=data.y_train,
        network=assets.target(run, **named).to(run.device),
        target=target,
        identity=named | {"test_images": test_images},
    )
