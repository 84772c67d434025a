"""Code that mixes devices fails here, without a GPU: everything runs on fake tensors of a `cuda` device.

PyTorch's fake tensors have shapes and devices and no values. A number that is read from one is a stand-in.
A build without CUDA cannot record a graph on one either: the forward half of every update runs, gradients are
zeros, and optimisers have nothing to do.

Covered are training and score of coding, and training of steganography. Not covered: likelihood and fairness,
which take gradients by hand or by hooks on a recorded graph; attack; codecs, classifiers and figures, which
are NumPy on the CPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from method_files import load
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.overrides import TorchFunctionMode

from harness.context import Run
from harness.studies.coding import score as coding_score
from harness.studies.coding import task as coding
from harness.studies.steganography import task as steganography

CUDA = "cuda:0"


class StandIns(TorchFunctionMode):
    """Values that fake tensors lack: 1 for a number, zeros for an array."""

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
        if function is Tensor.backward:
            return None
        if function is torch.autograd.grad:
            inputs = args[1] if len(args) > 1 else kwargs["inputs"]
            inputs = [inputs] if isinstance(inputs, Tensor) else inputs
            return tuple(torch.zeros_like(each) for each in inputs)
        if function is Tensor.__getitem__:
            return part_of(*args)
        if function is Tensor.__setitem__:
            torch.ops.aten.copy_.default(part_of(args[0], args[1]), torch.as_tensor(args[2]))
            return None
        if function is Tensor.copy_:
            return torch.ops.aten.copy_.default(*args)
        return function(*args, **(kwargs or {}))


def part_of(x: Tensor, index: Any) -> Tensor:
    """`x[index]` step by step; the usual way asks for a driver. An index may lie on the CPU."""
    index = index if isinstance(index, tuple) else (index,)
    if not any(each is Ellipsis for each in index):
        index = (*index, Ellipsis)
    (middle,) = [place for place, each in enumerate(index) if each is Ellipsis]
    left = x.ndim - sum(each is not None and each is not Ellipsis for each in index)
    advanced: list[Tensor | None] = []
    for each in (*index[:middle], *[slice(None)] * left, *index[middle + 1 :]):
        at = len(advanced)
        if isinstance(each, int):
            x = torch.select(x, at, each)
            continue
        if each is None:
            x = torch.unsqueeze(x, at)
        elif isinstance(each, slice):
            x = torch.ops.aten.slice.Tensor(x, at, each.start, each.stop, each.step or 1)
        else:
            advanced.append(torch.as_tensor(each).to(x.device))
            continue
        advanced.append(None)
    return torch.ops.aten.index.Tensor(x, advanced) if any(i is not None for i in advanced) else x


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


@pytest.fixture
def run(tmp_path, monkeypatch) -> Iterator[Run]:
    """A run on a GPU that is not there, entered."""
    monkeypatch.setattr(nn.Module, "to", moved)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    made = Run(seed=0, folder=tmp_path, device=CUDA)
    monkeypatch.setattr(made, "generator", made.stream)
    monkeypatch.setattr(torch, "enable_grad", torch.no_grad)
    with torch.no_grad(), FakeTensorMode(allow_non_fake_inputs=True), StandIns():
        yield made


def all_on(arrays: dict[str, Any], device: str) -> bool:
    return all(value.device == torch.device(device) for name, value in arrays.items() if name != "ldpc")


def test_the_instrument_sees_two_devices(run):
    here, there = torch.zeros(2), torch.zeros(2, device=CUDA)
    with pytest.raises(RuntimeError, match="device"):
        torch.where(torch.eye(2, dtype=torch.bool), there, there)
    with pytest.raises(RuntimeError, match="device"):
        here + there
    with pytest.raises(TypeError, match="cuda"):
        there.numpy()


@pytest.mark.parametrize("channel", ["bsc", "bec"])
@pytest.mark.parametrize(
    ("room", "name", "parameters"),
    [
        ("methods", "necst", {}),
        ("methods", "necst", {"objective": "released"}),
        ("methods", "straight_through", {}),
        ("methods", "iabf", {}),
        ("baselines", "vae_ldpc", {"k": 8}),
        ("baselines", "uae_ldpc", {"k": 8}),
    ],
)
def test_coding_trains_on_a_gpu(run, room, name, parameters, channel):
    problem = coding.coding(run, dataset="random_bits", bits=24, channel=channel)
    arrays = getattr(load(room, name), name)(problem, run, steps=2, **parameters)
    assert all_on(arrays, CUDA)


@pytest.mark.parametrize(("room", "name"), [("methods", "necst"), ("baselines", "uncoded")])
def test_coding_scores_on_a_gpu(run, room, name):
    problem = coding.coding(run, dataset="random_bits", bits=50)
    arrays = getattr(load(room, name), name)(problem, run, **({"steps": 1} if name == "necst" else {}))
    found = coding_score.score(problem, arrays, run)
    assert {"l1", "l2", "psnr", "cross_entropy", "decode_images_per_second"} <= set(found)


@pytest.mark.parametrize(
    ("room", "name"),
    [
        ("methods", "cyclegan"),
        ("methods", "cyclegan_noise"),
        ("methods", "cyclegan_guess"),
        ("methods", "cyclegan_noise_guess"),
        ("methods", "cyclegan_rounded"),
        ("methods", "stegogan"),
        ("methods", "cut"),
        ("baselines", "gan_only"),
        ("baselines", "pix2pix"),
    ],
)
def test_steganography_trains_on_a_gpu(run, room, name):
    small = {"images": 48, "test_images": 24, "width": 8, "blocks": 1, "steps": 2, "batch": 4}
    problem = steganography.steganography(run, dataset="digits", **small)
    decoder = {"decoder_steps": 2} if name in ("cut", "gan_only") else {}
    getattr(load(room, name), name)(problem, run, **decoder)
