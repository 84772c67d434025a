"""Code that mixes devices fails here, without a GPU: updates and scores run on another device's fake tensors.

PyTorch's fake tensors have shapes and devices and no values; a number that is read from one is a stand-in.
The other device is `meta`, for on it a build without CUDA records graphs and takes gradients, which on
`cuda` it cannot; what meets a tensor of the CPU fails as it would there. An index and a single number may lie
on the CPU.

Covered is every method of the four studies that train on the run's device, as the registry lists them, and
what their scores do there. Not covered: the attack study but for its generators, which alone leave the CPU;
peers and codecs, which are NumPy; what scores do on the CPU by design (auditors, classifiers, figures) or
cannot do without values (of steganography's its readers and masks over pixels);
mixed precision and the waiting for a GPU's clock, which ask for `cuda` by name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from method_files import load
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.overrides import TorchFunctionMode

from harness import registry
from harness.context import Run
from harness.studies.attack import adversarial, generators
from harness.studies.coding import score as coding_score
from harness.studies.coding import task as coding
from harness.studies.fairness import constraints
from harness.studies.fairness import task as fairness
from harness.studies.likelihood import annealing, evidence
from harness.studies.likelihood import score as likelihood_score
from harness.studies.likelihood import task as likelihood
from harness.studies.steganography import attack as hiding
from harness.studies.steganography import measures as steganography_measures
from harness.studies.steganography import task as steganography

DEVICE = "meta"
BOUNDS = "c1 < 1, c2 < 0.1, eo < 0.1, eopp < 0.1"
SMALL: dict[str, dict[str, Any]] = {
    "likelihood": {"dataset": "digits", "preset": "digits", "updates": 2, "batch": 10},
    "coding": {"dataset": "random_bits", "bits": 24},
    "fairness": {"dataset": "synthetic_gaussian", "constraints": BOUNDS, "steps": 8, "adversary_steps": 2},
    "steganography": {"dataset": "digits", "images": 48, "test_images": 24, "width": 8, "blocks": 1}
    | {"steps": 2, "batch": 4},
}
PROBLEMS = {
    "likelihood": likelihood.likelihood,
    "coding": coding.coding,
    "fairness": fairness.fairness,
    "steganography": steganography.steganography,
}
FEW = {"steps": 2, "decoder_steps": 2, "k": 8}
"""What makes a method short, where it has such a parameter; in coding k is what an LDPC code takes in."""
ELSEWHERE = {
    "codec_ideal": "NumPy",
    "codec_ldpc": "NumPy",
    "uncoded": "with the scores, for its number of bits",
    "mifr_greedy": "asks for the values of its bounds; its runs are those of mifr_grid",
}


class StandIns(TorchFunctionMode):
    """Values that fake tensors lack: 1 for a number, zeros for an array, a draw that stays what it was."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function in (Tensor.__float__, Tensor.item):
            return 1.0
        if function in (Tensor.__int__, Tensor.__index__):
            return 1
        if function is Tensor.__bool__:
            return True
        if function in (Tensor.numpy, Tensor.tolist):
            if args[0].device.type != "cpu":
                raise TypeError(f"{function.__name__} of a tensor on {args[0].device}")
            made = np.zeros(args[0].shape, str(args[0].dtype).removeprefix("torch."))
            return made if function is Tensor.numpy else made.tolist()
        if function is Tensor.exponential_:
            return args[0]
        return function(*args, **(kwargs or {}))


def moved(module: nn.Module, device: str) -> nn.Module:
    """`module.to(device)`, which cannot swap the data of fake parameters."""
    for part in module.modules():
        for name, value in part._parameters.items():
            if value is not None:
                part._parameters[name] = nn.Parameter(value.detach().to(device), value.requires_grad)
        for name, value in part._buffers.items():
            if value is not None:
                part._buffers[name] = value.to(device)
    return module


def unfused(adam: type[torch.optim.Optimizer]) -> Callable[..., torch.optim.Optimizer]:
    """The fused step has its list of devices, on which `meta` is not."""
    return lambda *given, fused=None, **rest: adam(*given, **rest)


@pytest.fixture
def run(tmp_path, monkeypatch) -> Iterator[Run]:
    """A run on a device that is not there, entered."""
    bounds = constraints.parse(BOUNDS)
    monkeypatch.setattr(constraints, "parse", lambda _: bounds)
    monkeypatch.setattr(nn.Module, "to", moved)
    for name in ("Adam", "AdamW"):
        monkeypatch.setattr(torch.optim, name, unfused(getattr(torch.optim, name)))
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    made = Run(seed=0, folder=tmp_path, device=DEVICE)
    monkeypatch.setattr(made, "generator", made.stream)
    monkeypatch.setattr(made, "_assets", lambda wanted: [stored(made, *each) for each in wanted])
    with FakeTensorMode(allow_non_fake_inputs=True), StandIns():
        yield made


def stored(run: Run, builder: Callable[..., Any], parameters: dict[str, Any]) -> dict[str, Tensor]:
    """An asset as it comes from the store: on the CPU."""
    return {name: array.cpu() for name, array in builder(run, **parameters).items()}


def listed() -> list[Any]:
    """Every method of the studies that train on the device."""
    found = registry.scan().methods.values()
    return [
        pytest.param(each, id=f"{each.task}-{each.name}")
        for each in found
        if each.task in PROBLEMS and each.name not in ELSEWHERE
    ]


@pytest.mark.parametrize(
    "mix",
    [
        lambda here, there: here + there,
        lambda here, there: here @ there,
        lambda here, there: torch.where(here > 0, there, there),
        lambda here, there: torch.cat([here, there]),
        lambda here, there: nn.Linear(2, 2)(there),
        lambda here, there: there.gather(0, torch.zeros(2, 2, dtype=torch.long)),
        lambda here, there: there.index_copy(0, torch.arange(2), here),
        lambda here, there: there.numpy(),
    ],
)
def test_the_instrument_sees_two_devices(run, mix):
    with pytest.raises((RuntimeError, TypeError)):
        mix(torch.zeros(2, 2), torch.zeros(2, 2, device=DEVICE))


@pytest.mark.parametrize("method", listed())
def test_every_method_trains_on_a_gpu(run, method):
    problem = PROBLEMS[method.task](run, **SMALL[method.task])
    short = {name: FEW[name] for name in FEW.keys() & method.parameters.keys() if method.task != "likelihood"}
    arrays = getattr(load(method.path.parent.name, method.name), method.name)(problem, run, **short)
    assert arrays


@pytest.mark.parametrize("channel", ["bsc", "bec"])
@pytest.mark.parametrize("method", ["necst", "straight_through", "iabf"])
def test_coding_trains_through_each_channel(run, method, channel):
    problem = coding.coding(run, **SMALL["coding"], channel=channel)
    getattr(load("methods", method), method)(problem, run, steps=2)


def test_likelihoods_are_scored_on_a_gpu(run, monkeypatch):
    refined = evidence.refined_weights
    monkeypatch.setattr(
        evidence, "refined_weights", lambda model, x, k, *rest, **how: refined(model, x, 5, *rest, **how)
    )
    monkeypatch.setattr(annealing, "FITTING", 3)
    problem = likelihood.likelihood(run, **SMALL["likelihood"])
    few = {"test_images": 6, "subset": 3, "ais_temperatures": 3, "ais_chains": 2, "sandwich_images": 4}
    assert {"ais", "ais_gap", "iw500"} <= set(
        likelihood_score.score(problem, problem.model().state_dict(), run, **few)
    )


@pytest.mark.parametrize(("room", "name"), [("methods", "necst"), ("baselines", "uncoded")])
def test_codes_are_scored_on_a_gpu(run, room, name):
    problem = coding.coding(run, dataset="random_bits", bits=50)
    arrays = getattr(load(room, name), name)(problem, run, **({"steps": 1} if name == "necst" else {}))
    found = coding_score.score(problem, arrays, run)
    assert {"l1", "l2", "psnr", "cross_entropy", "decode_images_per_second"} <= set(found)


@pytest.mark.parametrize("kind", ["latent_flow", "acwgan", "acwgan_paper"])
def test_generators_of_the_attack_study_train_on_a_gpu(run, kind):
    x, y = torch.rand(300, 1, 8, 8, device=DEVICE), (torch.arange(300) % 10).to(DEVICE)
    if kind == "latent_flow":
        model: nn.Module = generators.train_flow(x, y, 4, run.progress)
    else:
        model = adversarial.train_pair(kind, x, y, 2, 17, run.progress)
    assert all(value.device.type == DEVICE for value in model.state_dict().values())


def test_translations_are_scored_on_a_gpu(run):
    """Its curves, bits and attack; readers and masks over pixels ask for values."""
    problem = steganography.steganography(run, **SMALL["steganography"])
    f, g = problem.generators()
    test = problem.test
    y = steganography_measures.translate(f, test.x)
    points = steganography_measures.curve(g, y, test.y, test, run.generator("corruption"))
    found = steganography_measures.errors_of(points, (test.median - test.x).abs().mean((1, 2, 3)).cpu())
    found |= steganography_measures.bits_of(points, test)
    assert {"e_0", "e_jpeg_75", "bits_g_0"} <= set(found)
    assert hiding.hide(g, test.x, y, 2, 4).device.type == DEVICE
