"""Which devices jobs may compute on. Loads torch only where a GPU is asked for."""

from __future__ import annotations

import os

from harness.errors import UserError


def check(device: str, *, here: bool) -> None:
    """Raise `UserError` unless jobs can compute on `device`: cpu or cuda, and `here` cuda:N too."""
    if device == "cpu":
        return
    name, _, index = device.partition(":")
    if name != "cuda" or (index and not index.isdigit()):
        raise UserError(f"--device {device}: there is no such device; choose cpu, cuda or cuda:N")
    if not here and index:
        raise UserError(f"--device {device}: a cluster chooses the GPU of each job; say cuda")
    there = len(_visible()) if here else 1
    if int(index or 0) >= there:
        raise UserError(f"--device {device}: this machine has {there or 'no'} CUDA devices; choose cpu")


def gpus_of(device: str) -> list[str]:
    """The GPUs that jobs on this device share out, as CUDA names them: all for `cuda`, one for `cuda:1`."""
    if device == "cpu":
        return []
    index = device.partition(":")[2]
    return [_visible()[int(index)]] if index else _visible()


def _visible() -> list[str]:
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    return named.split(",")[:count] if named else [str(index) for index in range(count)]
