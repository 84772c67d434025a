"""What `harness doctor` looks at: whether this machine can run what the suites ask for."""

from __future__ import annotations

import sys
from pathlib import Path

from harness import data, environment
from harness.errors import UserError
from harness.store import Store

PEERS = ("foolbox", "ldpc", "pyarrow", "pyldpc", "ray", "sionna-no-rt", "submitit")
"""Packages that some baselines and formats use; everything else works without them."""


def examine(results: Path) -> list[tuple[str, bool, str]]:
    """Checks as (name, whether it is well, what was found)."""
    import psutil
    import torch

    found = environment.describe() | environment.versions(PEERS)
    checks = [
        ("python", sys.version_info >= (3, 11), found.pop("python")),
        ("cores", True, f"{environment.cores()}, one worker each"),
        ("memory", True, f"{psutil.virtual_memory().total / 1e9:.0f} GB"),
    ]
    absent = dict.fromkeys(environment.LIBRARIES, "not installed")
    absent |= dict.fromkeys(PEERS, "not installed; what needs it is skipped")
    checks += [(name, name in found, told) for name, told in (absent | found).items()]
    cuda = torch.cuda.is_available()
    checks.append(("gpu", True, torch.cuda.get_device_name() if cuda else "none; cells compute on the CPU"))
    try:
        Store(results).check_writable()
        checks.append(("results", True, f"{results.resolve()} can be written"))
    except UserError as error:
        checks.append(("results", False, str(error)))
    for name in data.names():
        here_now = data.locate(name)
        state = "here" if here_now.problem is None else f"{here_now.problem}; {here_now.command}"
        checks.append((name, here_now.problem is None, state))
    return checks
