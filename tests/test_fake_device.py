"""Code that mixes devices fails here, without a GPU: updates and scores run on another device's fake tensors.

PyTorch's fake tensors have shapes and devices and no values; a number that is read from one is a stand-in.
The other device is `meta`, for on it a build without CUDA records graphs and takes gradients, which on
`cuda` it cannot; what meets a tensor of the CPU fails as it would there. An index and a single number may lie
on the CPU.

Covered is every method of the registry that is not in `ELSEWHERE`, and what scores do on the device; a layer
of a network that computes on the CPU fails, too. Not covered: peers and codecs, which are NumPy; what scores
do on the CPU by design (auditors, classifiers, certificates, figures); decoders that ask for values; mixed
precision and the waiting for a GPU's clock, which ask for `cuda` by name.
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

import harness
from harness import registry
from harness.context import Run
from harness.studies.attack import measures_unrestricted, networks
from harness.studies.attack import score as attack_score
from harness.studies.attack import task as attack
from harness.studies.coding import features
from harness.studies.coding import score as coding_score
from harness.studies.coding import task as coding
from harness.studies.coding.decoding import task as decoding
from harness.studies.fairness import constraints
from harness.studies.fairness import task as fairness
from harness.studies.likelihood import annealing, evidence
from harness.studies.likelihood import score as likelihood_score
from harness.studies.likelihood import task as likelihood
from harness.studies.steganography import probes
from harness.studies.steganography import score as steganography_score
from harness.studies.steganography import task as steganography
from harness.studies.steganography.networks import packed

pytestmark = pytest.mark.filterwarnings("ignore:Please import:DeprecationWarning")  # foolbox's, on import

DEVICE = "meta"
BOUNDS = "c1 < 1, c2 < 0.1, eo < 0.1, eopp < 0.1"
SMALL: dict[str, dict[str, Any]] = {
    "likelihood": {"dataset": "digits", "preset": "digits", "updates": 2, "batch": 10},
    "coding": {"dataset": "random_bits", "bits": 24},
    "fairness": {"dataset": "synthetic_gaussian", "constraints": BOUNDS, "steps": 4, "adversary_steps": 2},
    "decoding": {"bits": 24, "device": DEVICE, "batch": 4},
    "attack": {"dataset": "digits", "target": "plain", "test_images": 20, "network_images": 100},
    "steganography": {"dataset": "digits", "images": 48, "test_images": 24, "width": 8, "blocks": 1}
    | {"steps": 2, "batch": 4},
}
PROBLEMS = {
    "likelihood": likelihood.likelihood,
    "coding": coding.coding,
    "fairness": fairness.fairness,
    "steganography": steganography.steganography,
    "decoding": decoding.decoding,
    "attack": attack.attack,
}
FEW = {"steps": 2, "decoder_steps": 2, "k": 8, "updates": 2, "auxiliary_updates": 2, "starts": 1}
FEW |= {"queries": 3, "restarts": 2}
"""What makes a method short, where it has such a parameter; in coding k is what an LDPC code takes in."""
ELSEWHERE = {
    ("coding", "codec_ideal"): "NumPy",
    ("coding", "codec_ldpc"): "NumPy",
    ("coding", "uncoded"): "with the scores, for its number of bits",
    ("decoding", "ldpc_decoder"): "asks the values of its code for its graph, and which words are done",
    ("decoding", "ldpc_package"): "NumPy",
    ("decoding", "pyldpc"): "NumPy",
    ("decoding", "sionna"): "a package that need not be there, and asks for values",
    ("decoding", "sionna_5g"): "the same",
}
"""Methods that do not run here, and why."""


class StandIns(TorchFunctionMode):
    """Values that fake tensors lack: 1 for a number, zeros for an array, a draw that stays what it was.

    A truth is `truth`; a mask lets all rows pass, and an index lies on the CPU or with its tensor, which fake
    tensors do not ask.
    """

    truth = True

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function in (Tensor.__int__, Tensor.__index__):
            return 1
        if function in (Tensor.__float__, Tensor.item):
            return 1.0 if function is Tensor.__float__ or args[0].is_floating_point() else 1
        if function is Tensor.__bool__:
            return self.truth
        if function in (Tensor.__getitem__, Tensor.__setitem__):
            args = (args[0], indices(*args[:2]), *args[2:])
        if function is Tensor.nonzero:
            return torch.zeros(args[0].numel(), args[0].dim(), dtype=torch.long, device=args[0].device)
        if function in (Tensor.numpy, Tensor.tolist):
            if args[0].device.type != "cpu":
                raise TypeError(f"{function.__name__} of a tensor on {args[0].device}")
            made = np.zeros(args[0].shape, str(args[0].dtype).removeprefix("torch."))
            return made if function is Tensor.numpy else made.tolist()
        if function is Tensor.exponential_:
            return args[0]
        return function(*args, **(kwargs or {}))


def indices(of: Tensor, index: Any) -> Any:
    """`index` of a tensor, where a mask is a row for each of its entries; raises where it lies elsewhere."""
    if isinstance(index, tuple):
        return tuple(indices(of, part) for part in index)
    if not isinstance(index, Tensor):
        return index
    if index.device.type not in ("cpu", of.device.type):
        raise RuntimeError(f"an index on {index.device} of a tensor on {of.device}")
    return index.long() if index.dtype is torch.bool else index


def moved(module: nn.Module, where: str | torch.dtype, **_: Any) -> nn.Module:
    """`module.to(where)`, which cannot swap the data of fake parameters."""
    for part in module.modules():
        for name, value in part._parameters.items():
            if value is not None:
                part._parameters[name] = nn.Parameter(value.detach().to(where), value.requires_grad)
        for name, value in part._buffers.items():
            if value is not None:
                part._buffers[name] = value.to(where)
    return module


LAYERS = {layer: layer.forward for layer in (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)}


def away(forward: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """A layer's `forward`, which fails on the CPU: a network that was left there mixes no devices."""

    def called(layer: nn.Module, x: Tensor, *rest: Any) -> Tensor:
        if x.device.type == "cpu":
            raise RuntimeError(f"{layer} computes on the CPU")
        return forward(layer, x, *rest)

    return called


def unfused(adam: type[torch.optim.Optimizer]) -> Callable[..., torch.optim.Optimizer]:
    """The fused step has its list of devices, on which `meta` is not."""
    return lambda *given, fused=None, **rest: adam(*given, **rest)


@pytest.fixture
def run(tmp_path, monkeypatch) -> Iterator[Run]:
    """A run on a device that is not there, entered."""
    bounds = constraints.parse(BOUNDS)
    monkeypatch.setattr(constraints, "parse", lambda _: bounds)
    monkeypatch.setattr(nn.Module, "to", moved)
    monkeypatch.setattr(nn.Module, "double", lambda module: moved(module, torch.float64))
    for layer, forward in LAYERS.items():
        monkeypatch.setattr(layer, "forward", away(forward))
    for name in ("Adam", "AdamW"):
        monkeypatch.setattr(torch.optim, name, unfused(getattr(torch.optim, name)))
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    monkeypatch.setattr(decoding, "SHORTEST", 0.0)
    made = Run(seed=0, folder=tmp_path, device=DEVICE)
    monkeypatch.setattr(made, "generator", made.stream)
    monkeypatch.setattr(networks, "for_images", lambda _: networks.two_layer(64, 100))
    store: dict[str, dict[str, Tensor]] = {}
    monkeypatch.setattr(made, "_assets", lambda wanted: [dict(stored(made, store, *each)) for each in wanted])
    with FakeTensorMode(allow_non_fake_inputs=True), StandIns():
        yield made


def stored(
    run: Run, store: dict[str, dict[str, Tensor]], builder: Callable[..., Any], parameters: dict[str, Any]
) -> dict[str, Tensor]:
    """An asset as it comes from the store: built once, and on the CPU."""
    key = f"{builder.__name__} {sorted(parameters.items())}"
    if key not in store:
        store[key] = {name: array.cpu() for name, array in builder(run, **parameters).items()}
    return store[key]


def listed() -> list[Any]:
    """Every method of the registry that does not run elsewhere."""
    found = registry.scan().methods
    return [pytest.param(each, id="-".join(name)) for name, each in found.items() if name not in ELSEWHERE]


def test_no_method_falls_through():
    """All others are in `listed`, and fail there where their task is not known."""
    assert ELSEWHERE.keys() <= registry.scan().methods.keys()
    assert {each.values[0].task for each in listed()} <= PROBLEMS.keys()


@pytest.mark.parametrize(
    "mix",
    [
        lambda here, there: here + there,
        lambda here, there: here @ there,
        lambda here, there: torch.where(here > 0, there, there),
        lambda here, there: torch.cat([here, there]),
        lambda here, there: nn.Linear(2, 2)(there),
        lambda here, there: nn.Linear(2, 2)(here),
        lambda here, there: there.gather(0, torch.zeros(2, 2, dtype=torch.long)),
        lambda here, there: there.index_copy(0, torch.arange(2), here),
        lambda here, there: there.numpy(),
        lambda here, there: here[there.long()],
        lambda here, there: here[there[:, 0] > 0],
        lambda here, there: there.index_put((torch.arange(2),), here),
    ],
)
def test_the_instrument_sees_two_devices(run, mix):
    with pytest.raises((RuntimeError, TypeError)):
        mix(torch.zeros(2, 2), torch.zeros(2, 2, device=DEVICE))


@pytest.mark.parametrize("method", listed())
def test_every_method_trains_on_a_gpu(run, method, monkeypatch):
    monkeypatch.setattr(StandIns, "truth", method.task != "decoding")  # no bit but 0 and 1, every group there
    problem = PROBLEMS[method.task](run, **SMALL[method.task])
    short = {name: FEW[name] for name in FEW.keys() & method.parameters.keys() if method.task != "likelihood"}
    try:
        assert getattr(load(method.path.parent.name, method.path.stem), method.name)(problem, run, **short)
    except harness.Skip as said:
        pytest.skip(str(said))


@pytest.mark.parametrize("channel", ["bsc", "bec"])
@pytest.mark.parametrize("method", ["necst", "straight_through", "iabf"])
def test_coding_trains_through_each_channel(run, method, channel):
    problem = coding.coding(run, **SMALL["coding"], channel=channel)
    getattr(load("methods", method), method)(problem, run, steps=2)


def test_codes_are_drawn_on_a_gpu(run):
    """Chains and flips; classifiers get their features as NumPy."""
    problem = coding.coding(run, dataset="digits", bits=24)
    arrays = load("methods", "necst").necst(problem, run, steps=1)
    features.pictures(problem.images, arrays, problem.channel, run, 2)
    assert (run.folder / "flips.png").is_file()


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


@pytest.mark.parametrize("target", ["plain", "pgd", "ibp"])
def test_targets_train_on_a_gpu(run, target):
    problem = attack.attack(run, **SMALL["attack"] | {"target": target, "network_steps": 2})
    assert all(value.device.type == DEVICE for value in problem.network.state_dict().values())


@pytest.mark.parametrize(
    "how",
    [
        {"generator": "latent_flow", "noise": 0.1, "targeted": True},
        {"generator": "acwgan_paper", "auxiliary": "critic", "rule": "source", "l1_form": "released"},
    ],
)
def test_generators_are_searched_on_a_gpu(run, how):
    problem = attack.attack(run, **SMALL["attack"])
    search = load("methods", "generative_attack").generative_attack
    assert search(problem, run, updates=1, auxiliary_updates=1, starts=1, steps=2, **how)["images"].is_meta


def test_attacks_in_a_ball_are_scored_on_a_gpu(run, monkeypatch):
    """Certificates lie on the CPU."""
    monkeypatch.setattr(StandIns, "truth", False)  # no image outside its ball
    problem = attack.attack(run, **SMALL["attack"])
    for layer, forward in LAYERS.items():
        monkeypatch.setattr(layer, "forward", forward)
    arrays = {"adversarial": problem.x_test.cpu()}
    found = attack_score.score(problem, arrays, run, linear_steps=1)
    assert {"attack_error", "certified_linear", "open_images"} <= set(found)


def test_attacks_outside_a_ball_are_scored_on_a_gpu(run, monkeypatch):
    """From judges to sheets."""
    monkeypatch.setattr(measures_unrestricted, "_check", lambda _: None)
    problem = attack.attack(run, **SMALL["attack"])
    digits, flags = torch.arange(20) % 10, torch.ones(20, dtype=torch.uint8)
    arrays = {"images": torch.rand(20, 1, 8, 8), "source": digits, "accepted": flags, "wanted": digits}
    arrays |= {"plain": torch.rand(20, 1, 8, 8), "plain_source": digits, "plain_accepted": flags}
    arrays |= {"cpu_seconds": torch.tensor(1.0)}
    few = {"judge_effort": 1e-6, "transfer_epochs": 1, "transfer_images": 100, "transfer_steps": 1}
    found = attack_score.score(problem, arrays, run, **few)
    assert {"joint_rate", "linf_to_train", "transfer_ibp", "plain_oracle", "oracle_on_broken"} <= set(found)


def test_translations_are_scored_on_a_gpu(run, monkeypatch):
    """Curves, bits, readers and the attack."""
    monkeypatch.setattr(probes.copy, "deepcopy", lambda probe: probe)  # nobody can copy fake parameters
    problem = steganography.steganography(run, **SMALL["steganography"])
    arrays = packed(*problem.generators())
    found = steganography_score.score(problem, arrays, run, probe_steps=2, attack_pairs=2, attack_steps=2)
    assert {"e_0", "e_jpeg_75", "bits_g_0", "bits_probe_0", "attack_cap4_bits"} <= set(found)
