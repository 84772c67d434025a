"""What codes are good for beside transmission: features for classifiers, and pictures made by the decoder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

import harness
from harness.kit.pictures import save_grid
from harness.studies.coding import schemes
from harness.studies.coding.noisy_codes import BinaryChannel

if TYPE_CHECKING:
    from harness.studies.coding.images import Images

QDA_RIDGE = 1e-3
"""The one setting that is not a default: today's QDA refuses classes in which a feature never changes."""

CHAINS, KEPT = 10, 10
STEP_NOISE = 0.01


def accuracies(
    images: Images,
    arrays: Mapping[str, Tensor],
    channel: BinaryChannel,
    run: harness.Run,
    pixel_noise: float,
    train_images: int,
) -> dict[str, float | harness.Estimate]:
    """Test accuracy of eight scikit-learn classifiers on the codes, at default settings.

    The SVM is linear, with hinge loss, one class against one, as libsvm has it. liblinear solves it: 13 s
    with 58,000 codes, where libsvm takes minutes. Accuracies: .6015 and .602 with 6,000 codes, .658 and
    .6615 with 20,000.

    They learn from the first `train_images` training images and are judged on all test images of the problem.
    A code is a sample of the encoder without channel noise. With `pixel_noise` both training and test images
    get Gaussian noise of that standard deviation first. A classifier that cannot be fitted (QDA with more
    features than images of a class) is left out. Raises ValueError for images without labels.
    """
    if images.y_train is None or images.y_test is None:
        raise ValueError(f"{images.dataset} has no labels to classify: set classify: false")
    scheme = schemes.restore({name: value.to(run.device) for name, value in arrays.items()}, channel)
    noise = run.stream("pixel noise")
    train = _features(images.x_train[:train_images], scheme, noise, pixel_noise)
    test = _features(images.x_test, scheme, noise, pixel_noise)
    y_train, y_test = images.y_train[:train_images].numpy(), images.y_test.numpy()
    made: dict[str, float | harness.Estimate] = {}
    for name, classifier in _classifiers(run.seed).items():
        try:
            right = float((classifier.fit(train, y_train).predict(test) == y_test).mean())
        except np.linalg.LinAlgError as error:
            run.log(f"{name} cannot be fitted to {train.shape[1]} features of {len(train)} images: {error}")
            continue
        made[name] = harness.Estimate(right, (right * (1 - right) / len(y_test)) ** 0.5, len(y_test))
    return made


@torch.no_grad()
def _features(x: Tensor, scheme: schemes.Scheme, noise: torch.Generator, pixel_noise: float) -> np.ndarray:
    if pixel_noise:
        x = x + pixel_noise * torch.randn(x.shape, generator=noise).to(x.device)
    return scheme.encode(x, noise).cpu().numpy()


def _classifiers(seed: int) -> dict[str, Any]:
    from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis
    from sklearn.ensemble import AdaBoostClassifier, RandomForestClassifier
    from sklearn.multiclass import OneVsOneClassifier
    from sklearn.naive_bayes import GaussianNB
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.neural_network import MLPClassifier
    from sklearn.svm import LinearSVC
    from sklearn.tree import DecisionTreeClassifier

    return {
        "knn": KNeighborsClassifier(),
        "decision_tree": DecisionTreeClassifier(random_state=seed),
        "random_forest": RandomForestClassifier(random_state=seed),
        "mlp": MLPClassifier(random_state=seed),
        "adaboost": AdaBoostClassifier(random_state=seed),
        "naive_bayes": GaussianNB(),
        "qda": QuadraticDiscriminantAnalysis(reg_param=QDA_RIDGE),
        "svm": OneVsOneClassifier(LinearSVC(loss="hinge", random_state=seed)),
    }


def pictures(
    images: Images, arrays: Mapping[str, Tensor], channel: BinaryChannel, run: harness.Run, chain_steps: int
) -> None:
    """`received.png`, `chain.png` and `flips.png` in the cell's folder.

    Above: images sent (first row) and received. Chain: ten chains of x ← clip(reconstruct(received code of x)
    + N(0, 0.01²), 0, 1) from uniform noise, a row for each tenth of the way. Flips: from one image's code to
    another's, the bits that differ flipped one by one, without noise. Raises ValueError for data that is no
    pictures.
    """
    images.pictures()
    scheme = schemes.restore({name: value.to(run.device) for name, value in arrays.items()}, channel)
    noise = run.stream("pictures")
    sent = images.x_test[:CHAINS]
    received = _through(scheme, sent, channel, noise)
    _save(torch.stack([sent, received]), images, run.folder / "received.png")
    _save(chain(scheme, images, channel, noise, chain_steps), images, run.folder / "chain.png")
    _save(flips(scheme, images, noise), images, run.folder / "flips.png")


@torch.no_grad()
def _through(scheme: schemes.Scheme, x: Tensor, channel: BinaryChannel, noise: torch.Generator) -> Tensor:
    """The means that are received for the images x."""
    return scheme.reconstruct(scheme.correct(channel.send(scheme.encode(x, noise), noise))).sigmoid()


def chain(
    scheme: schemes.Scheme, images: Images, channel: BinaryChannel, noise: torch.Generator, steps: int
) -> Tensor:
    """Ten Markov chains (rows, 10, D); the first row is where they start."""
    x = torch.rand(CHAINS, images.pixels, generator=noise).to(images.x_test.device)
    kept = [x]
    for step in range(1, steps + 1):
        x = _through(scheme, x, channel, noise)
        x = (x + STEP_NOISE * torch.randn(x.shape, generator=noise).to(x.device)).clamp(0, 1)
        if step % max(steps // KEPT, 1) == 0:
            kept.append(x)
    return torch.stack(kept)


@torch.no_grad()
def flips(scheme: schemes.Scheme, images: Images, noise: torch.Generator) -> Tensor:
    """Means (5, 10, D) along five paths between the codes of two test images each, in ten even steps."""
    words = scheme.encode(images.x_test[:10], noise)
    rows = []
    for start, end in zip(words[0::2], words[1::2], strict=True):
        differing = (start != end).nonzero().flatten()
        path = []
        for step in range(10):
            word = start.clone()
            flipped = differing[: round(len(differing) * step / 9)]
            word[flipped] = end[flipped]
            path.append(word)
        rows.append(scheme.reconstruct(torch.stack(path)).sigmoid())
    return torch.stack(rows)


def _save(rows: Tensor, images: Images, path: Path) -> None:
    """Write pixels (R, C, D) as R rows of C pictures."""
    save_grid(rows.reshape(*rows.shape[:2], *images.shape), path)
