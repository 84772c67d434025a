"""Which devices jobs may compute on. Loads torch only where a GPU is asked for."""

from __future__ import annotations

from harness.errors import UserError


def check(device: str) -> None:
    """Raise `UserError` unless jobs can compute on `device`: cpu, cuda or cuda:N."""
    if device == "cpu":
        return
    name, _, index = device.partition(":")
    if name != "cuda" or (index and not index.isdigit()):
        raise UserError(f"--device {device}: there is no such device; choose cpu, cuda or cuda:N")
    import torch

    there = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if int(index or 0) >= there:
        raise UserError(f"--device {device}: this machine has {there or 'no'} CUDA devices; choose cpu")


def gpus_of(device: str) -> int:
    """How many GPUs jobs on this device may share out: all for `cuda`, the one that `cuda:1` names."""
    if device == "cpu":
        return 0
    import torch

    return 1 if ":" in device else torch.cuda.device_count()
