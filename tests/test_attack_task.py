"""The attack task as suites see it: targets, weights, images, and what is refused."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from attack_cases import errors, method, problem

from harness import data
from harness.context import Run
from harness.datasets import certified_mnist
from harness.errors import UserError
from harness.studies.attack import images, networks, task
from harness.studies.attack.certificates import assets
from harness.studies.attack.certificates.interval import interval_margins
from harness.studies.attack.norm_attacks import Ball


def drawn_weights() -> dict[str, np.ndarray]:
    """Arrays of the shapes that data set `certified_mnist` has."""
    stream = np.random.default_rng(0)
    arrays = {}
    for name in ("wong_kolter_mnist", "wong_kolter_fashion_mnist"):
        for key, empty in networks.convolutional().state_dict().items():
            arrays[f"{name}/{key}"] = stream.normal(size=tuple(empty.shape)).astype(np.float32)
    for key, shape in (("W1", (784, 500)), ("B1", (500,)), ("W2", (500, 10)), ("B2", (10,))):
        arrays[f"raghunathan_mnist/{key}"] = stream.normal(size=shape).astype(np.float32)
    return arrays


def test_targets_are_trained_by_their_seed_and_are_what_they_say(tmp_path):
    prepared = {
        target: problem(tmp_path, target=target, network_epochs=30) for target in ("plain", "pgd", "ibp")
    }
    again = problem(tmp_path, target="ibp", network_epochs=30)
    other = problem(tmp_path, seed=1, target="ibp", network_epochs=30)
    x, y = again.x_test, again.y_test
    out = {name: networks.logits(one.network, x) for name, one in prepared.items()}
    assert torch.equal(out["ibp"], networks.logits(again.network, x))
    assert not torch.equal(out["ibp"], networks.logits(other.network, x))
    assert all((found.argmax(1) != y).double().mean() < 0.06 for found in out.values())
    attacked = {
        name: errors(one.network, method("pgd_margin")(one, one.run)["adversarial"], y).double().mean()
        for name, one in prepared.items()
    }
    assert attacked["plain"] > attacked["pgd"] + 0.15 and attacked["plain"] > attacked["ibp"] + 0.15
    ball = Ball.around(x, 0.1)
    proven = {
        name: (interval_margins(one.network, ball.lower, ball.upper, y).scatter(1, y[:, None], 9).amin(1) > 0)
        for name, one in prepared.items()
    }
    assert proven["ibp"].double().mean() > 0.4 > proven["plain"].double().mean()


def test_the_problem_keeps_its_promises(tmp_path):
    prepared = problem(tmp_path, test_images=50)
    assert prepared.x_test.shape == (50, 1, 8, 8) and prepared.x_test.dtype == torch.float32
    assert prepared.y_test.dtype == prepared.y_train.dtype == torch.int64
    assert prepared.x_train.min() >= 0 and prepared.x_train.max() == 1
    assert not prepared.network.training
    assert not any(parameter.requires_grad for parameter in prepared.network.parameters())
    rows = torch.arange(50) * 360 // 50  # evenly spread, not the first
    every = images.load(prepared.run, "digits")
    assert torch.equal(prepared.x_test, every.x_test[rows])
    assert torch.equal(prepared.y_test, every.y_test[rows])


def test_weights_become_the_networks_that_they_belong_to():
    arrays = drawn_weights()
    x = torch.rand(3, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    w1, b1, w2, b2 = (
        torch.from_numpy(arrays[f"raghunathan_mnist/{name}"]) for name in ("W1", "B1", "W2", "B2")
    )
    found = networks.certified("raghunathan", "mnist", arrays)(x)
    torch.testing.assert_close(found, (x.flatten(1) @ w1 + b1).relu() @ w2 + b2, atol=0.01, rtol=1e-4)
    for dataset in ("mnist", "fashion_mnist"):
        network = networks.certified("wong_kolter", dataset, arrays)
        assert sum(parameter.numel() for parameter in network.parameters()) == 166_406
        assert np.array_equal(network[5].weight.detach(), arrays[f"wong_kolter_{dataset}/5.weight"])


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (
            {"W1": np.zeros((500, 784), np.float32)},
            r"'W1' is \(500, 784\) .* needs float numbers of shape \(784",
        ),
        ({"W1": np.zeros((784, 500), np.int64)}, r"'W1' is \(784, 500\) torch.int64"),
        ({"B1": np.full(500, np.nan, np.float32)}, "'B1' has numbers that are not finite"),
        ({"B2": None}, r"there is no array 'B2' of shape \(10,\)"),
    ],
)
def test_weights_of_another_shape_are_refused(change, complaint):
    arrays = drawn_weights()
    for name, array in change.items():
        arrays[f"raghunathan_mnist/{name}"] = array
    arrays = {name: array for name, array in arrays.items() if array is not None}
    with pytest.raises(UserError, match=complaint):
        networks.certified("raghunathan", "mnist", arrays)


class Bomb:
    """Says so if it is ever unpickled."""

    def __reduce__(self):
        return print, ("unpickled",)


@pytest.mark.parametrize("kind", ["pickle", "object array", "torch"])
def test_a_pickle_where_tensors_belong_is_never_loaded(tmp_path, capsys, kind):
    paths = {}
    for name in certified_mnist.NETWORKS.values():
        paths[name] = tmp_path / name.replace("/", "_")
        if kind == "pickle":
            paths[name].write_bytes(pickle.dumps(Bomb()))
        elif kind == "torch":
            torch.save({"0.weight": Bomb()}, paths[name])
        else:
            with paths[name].open("wb") as file:
                np.savez(file, **{"0.weight": np.array([Bomb()], dtype=object)})
    with pytest.raises(UserError, match=r"pickled objects, as in a \.pth file, are never loaded"):
        certified_mnist.load(paths)
    assert "unpickled" not in capsys.readouterr().out


def test_arrays_of_the_data_set_are_named_by_network(tmp_path):
    arrays, paths = drawn_weights(), {}
    for network, name in certified_mnist.NETWORKS.items():
        paths[name] = tmp_path / f"{network}.npz"
        own = {key.split("/")[1]: array for key, array in arrays.items() if key.startswith(network + "/")}
        np.savez(paths[name], **own)
    found = certified_mnist.load(paths)
    assert found.keys() == arrays.keys()
    assert all(np.array_equal(found[name], array) for name, array in arrays.items())


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        (
            {"target": "wong_kolter"},
            "weights: 'wong_kolter' is not trained here: say weights: certified_mnist",
        ),
        ({"weights": "certified_mnist"}, "weights: 'plain' is trained here and takes none"),
        ({"dataset": "random_bits"}, "'random_bits' has no images with classes"),
        ({"dataset": "german"}, "'german' has no images with classes"),
    ],
)
def test_wrong_settings_are_told(tmp_path, monkeypatch, settings, complaint):
    if settings.get("dataset") == "german":
        monkeypatch.setattr(data, "load", lambda name: {"y_train": np.zeros(2)})
    with pytest.raises(UserError, match=complaint):
        problem(tmp_path, **settings)


def test_a_published_network_goes_with_its_data_set_only(tmp_path, monkeypatch):
    real = data.load
    monkeypatch.setattr(
        data, "load", lambda name: drawn_weights() if name == "certified_mnist" else real(name)
    )
    with pytest.raises(UserError, match="no weights of 'raghunathan' for 'digits'"):
        problem(tmp_path, target="raghunathan", weights="certified_mnist")


@pytest.mark.parametrize(
    ("x", "y", "complaint"),
    [
        (np.full((4, 8, 8), 17, np.uint8), np.zeros(4), "pixels of 'digits' are 0 to 16, but some are 17"),
        (np.full((4, 8, 8), -1, np.int64), np.zeros(4), "pixels of 'digits' are 0 to 16, but some are -1"),
        (np.zeros((4, 8, 8, 3), np.uint8), np.zeros(4), "this study takes gray images"),
        (np.zeros((4, 8, 8), np.uint8), np.full(4, 10), "has classes 10 to 10, not 0 to 9"),
    ],
)
def test_images_outside_their_range_are_refused(tmp_path, monkeypatch, x, y, complaint):
    monkeypatch.setattr(data, "load", lambda name: {"x_train": x, "x_test": x, "y_train": y, "y_test": y})
    with pytest.raises(UserError, match=complaint):
        images.load(Run(seed=0, folder=tmp_path), "digits")


def here(*names: str) -> bool:
    return all(data.locate(name).problem is None for name in names)


real = pytest.mark.skipif(
    not here("certified_mnist", "mnist"), reason="certified_mnist or mnist is not here: see harness data"
)


@real
def test_the_published_networks_err_as_often_as_their_papers_say(tmp_path):
    for target, wrong in (("wong_kolter", 180), ("raghunathan", 418)):
        run = Run(seed=0, folder=tmp_path)
        prepared = task.attack(run, dataset="mnist", target=target, weights="certified_mnist")
        assert int(errors(prepared.network, prepared.x_test, prepared.y_test).sum()) == wrong


@real
@pytest.mark.slow
def test_the_published_certificates_are_reproduced_over_all_test_images(tmp_path):
    """582 by Wong and Kolter's dual (3 minutes), 3,477 by Raghunathan et al.'s (half a minute)."""
    for target, builder, more, left in (
        ("raghunathan", assets.semidefinite, {"local": False}, 3477),
        ("wong_kolter", assets.dual, {}, 582),
    ):
        named = {"dataset": "mnist", "weights": "certified_mnist", "target": target, "training": {}}
        made = builder(Run(seed=0, folder=tmp_path), **named, test_images=0, eps=0.1, **more)
        assert 10_000 - int(made["certified"].sum()) == left
