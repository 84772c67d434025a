"""Kernels of the engine: the command line in this process, and `--help` in one of its own."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas  # noqa: F401
import torch  # noqa: F401

Work = Callable[[], object]
CELLS = """
seeds: {seeds}
cells: [{{task: coding, dataset: random_bits, bits: 50, test_images: 16, methods: {methods}}}]
"""


def help_text(folder: Path) -> Work:
    command = [sys.executable, "-P", "-m", "harness", "--help"]
    return lambda: subprocess.run(command, stdout=subprocess.DEVNULL, check=True)


def _saying(folder: Path, seeds: int, methods: str, *arguments: str) -> Work:
    """A verb on a suite, in `folder`."""
    from harness.cli import main

    (folder / "suite.yaml").write_text(CELLS.format(seeds=list(range(seeds)), methods=methods))

    def say() -> None:
        before = Path.cwd()
        os.chdir(folder)
        try:
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                main(list(arguments), standalone_mode=False)
        except SystemExit as end:
            if end.code:
                raise RuntimeError(f"harness {' '.join(arguments)} ended with {end.code}") from end
        finally:
            os.chdir(before)

    return say


def plan(folder: Path) -> Work:
    return _saying(folder, 100, "[necst: {steps: [1, 2, 3, 4]}]", "plan", "suite.yaml")


def cell(folder: Path) -> Work:
    return _saying(folder, 1, "[uncoded]", "run", "suite.yaml", "--executor", "inline", "--force")


def rows(folder: Path) -> Work:
    _saying(folder, 1, "[uncoded]", "run", "suite.yaml", "--executor", "inline")()
    return _saying(folder, 1, "[uncoded]", "rows", "suite.yaml")


def table(folder: Path) -> Work:
    _saying(folder, 1, "[uncoded]", "run", "suite.yaml", "--executor", "inline")()
    return _saying(folder, 1, "[uncoded]", "table", "necst-distortion")
