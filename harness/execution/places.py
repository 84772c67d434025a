"""What jobs occupy while they run: processor places, and GPUs or shares of one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping


class Places:
    """`cpus` places and GPUs by their names. A job that wants more than there is gets all of it."""

    def __init__(self, cpus: int, gpus: Iterable[str] = ()) -> None:
        self.cpus = self._all_cpus = float(cpus)
        self.gpus = dict.fromkeys(gpus, 1.0)

    def take(self, limits: Mapping[str, float]) -> list[str] | None:
        """Occupy what a job of these limits wants: the GPUs that it may see, None if too little is free.

        Less than one GPU is a share of a single one, of the fullest that has room: others stay whole.
        """
        share, count = self._gpus(limits)
        room = sorted((free, name) for name, free in self.gpus.items() if free >= share - 1e-9)
        if self.cpus < self._cpus(limits) or len(room) < count:
            return None
        taken = [name for _, name in room[:count]]
        self.cpus -= self._cpus(limits)
        for name in taken:
            self.gpus[name] -= share
        return taken

    def give(self, limits: Mapping[str, float], taken: Iterable[str]) -> None:
        """Give back what `take` has given."""
        self.cpus += self._cpus(limits)
        for name in taken:
            self.gpus[name] += self._gpus(limits)[0]

    def _cpus(self, limits: Mapping[str, float]) -> float:
        return min(limits["cpus"], self._all_cpus)

    def _gpus(self, limits: Mapping[str, float]) -> tuple[float, int]:
        """How much of a GPU a job wants, and of how many."""
        wanted = min(limits["gpus"], len(self.gpus))
        return min(wanted, 1.0), math.ceil(wanted)
