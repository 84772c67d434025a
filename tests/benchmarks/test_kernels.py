"""The kernels that `harness bench` times, alone: each works, and takes so long on this machine."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
import torch

from harness import bench

ROOT = Path(__file__).resolve().parent.parent.parent
NAMES = bench.kernels_of(ROOT)


def kernel(name: str, folder: Path):
    file, function = name.split("/")
    return getattr(importlib.import_module(f"kernels.{file}"), function)(folder)


def test_they_run_in_one_thread_as_in_a_worker():
    assert torch.get_num_threads() == 1


@pytest.mark.parametrize("name", NAMES)
def test_a_kernel_works(name, tmp_path):
    kernel(name, tmp_path)()


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_speed(name, tmp_path, benchmark):
    benchmark(kernel(name, tmp_path))
