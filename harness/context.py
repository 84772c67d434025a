"""The run context: what a method, a task, a score and an asset builder are given beside their problem."""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.authoring import Estimate

if TYPE_CHECKING:
    import numpy
    import torch

Wanted = tuple[Callable[..., Any], dict[str, Any]]
"""An asset: its builder, marked `@harness.asset`, and what that is called with."""


class Run:
    """Seed, random streams, device, data, assets, folder, timers, log and progress of one piece of work.

    `folder` is a `Path`; what is written there (pictures, curves) is kept and shown with every cell that
    uses the work. `seconds` and `measurements` collect what `phase` and `measure` were told.
    """

    def __init__(
        self,
        *,
        seed: int,
        folder: Path,
        device: str = "cpu",
        read: Callable[[str], dict[str, numpy.ndarray]] | None = None,
        assets: Callable[[list[Wanted]], list[dict[str, torch.Tensor]]] | None = None,
        progress_file: Path | None = None,
    ) -> None:
        self.seed = seed
        self.folder = folder
        self.device = device
        self.seconds: dict[str, float] = {}
        self.measurements: dict[str, float | Estimate] = {}
        self._read = read
        self._assets = assets
        self._progress_file = progress_file
        self._last_progress = 0.0

    def stream(self, name: str) -> torch.Generator:
        """A fresh CPU generator fixed by the seed and `name` alone, whatever else has drawn numbers.

        Methods that ask for the same name at the same seed see the same numbers, so comparisons are paired.
        """
        import torch

        return torch.Generator().manual_seed(self._number(name))

    def generator(self, name: str) -> torch.Generator:
        """As `stream`, for drawing on the run's device."""
        import torch

        return torch.Generator(self.device).manual_seed(self._number(name))

    def _number(self, name: str) -> int:
        digest = hashlib.sha256(f"{self.seed}:{name}".encode()).digest()
        return int.from_bytes(digest[:8], "little") >> 1

    def data(self, name: str) -> dict[str, numpy.ndarray]:
        """The arrays of a data set that a parameter of type `harness.DataSet` names.

        Raises `UserError` for any other: what is read must be part of the key.
        """
        if self._read is None:
            from harness import data

            return data.load(name)
        return self._read(name)

    def asset(self, builder: Callable[..., Any], **parameters: Any) -> dict[str, torch.Tensor]:
        """What `builder` (marked `@harness.asset`) makes of `parameters`, built once for all cells.

        Where it is not there yet, the work stops here and is started again when it is: ask early.
        """
        return self.assets([(builder, parameters)])[0]

    def assets(self, wanted: list[Wanted]) -> list[dict[str, torch.Tensor]]:
        """Several assets, each a builder and its parameters: what is missing is built side by side."""
        if self._assets is None:
            return [builder(self, **parameters) for builder, parameters in wanted]
        return self._assets(wanted)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Add the wall-clock seconds of the block to `seconds[name]`; GPU work inside is waited for."""
        start = time.perf_counter()
        try:
            yield
        finally:
            if self.device.startswith("cuda"):
                import torch

                torch.cuda.synchronize()
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start

    def measure(self, name: str, value: float | Estimate) -> None:
        """Record a metric that only training can know, such as its speed."""
        self.measurements[name] = value if isinstance(value, Estimate) else float(value)

    def log(self, message: str) -> None:
        """Write a line to the log, which `harness show` prints."""
        print(message, file=sys.stderr, flush=True)

    def progress(self, step: int, steps: int, **values: float) -> None:
        """Tell the live view where the work stands; cheap enough for every step.

        At most four times a second a value is read, so a tensor may be passed without waiting for its device.
        """
        now = time.monotonic()
        if self._progress_file is None or (now - self._last_progress < 0.25 and step < steps):
            return
        self._last_progress = now
        beside = self._progress_file.with_suffix(".new")
        shown = {name: float(value) for name, value in values.items()}
        beside.write_text(json.dumps(shown | {"step": step, "steps": steps}))
        beside.replace(self._progress_file)
