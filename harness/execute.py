"""Run the missing cells of a plan on this machine: one process per cell, as many at once as asked."""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.connection
import multiprocessing.forkserver
import multiprocessing.resource_tracker
import os
import shutil
import signal
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import msgspec
import psutil

from harness import environment, identity, keeper
from harness.errors import UserError
from harness.plan import Planned
from harness.registry import PACKAGE
from harness.store import Damaged, Record, Store, explain, write_file
from harness.worker import STORAGE_FAILED, Job

THREADS = 1
"""Per worker, whatever `--jobs` is: another number would change the order of sums, so the last bits."""

_PRELOAD = ["torch", "numpy.random", "safetensors.torch", "harness.keeper", "click"]
"""What every worker imports; click because multiprocessing reads the script that we were started by again."""

_SLOW = {
    "torch.optim": "torch._dynamo",
    "sklearn": "sklearn.ensemble",
    "matplotlib": "matplotlib.pyplot",
    "numba": "numba",
}
"""What takes a second to import, by the word that betrays its use; an optimiser imports `torch._dynamo`."""


class View(Protocol):
    """Who is told what happens."""

    def started(self, planned: Planned, scratch: Path) -> None: ...
    def finished(self, planned: Planned, record: Record) -> None: ...


@dataclass
class _Active:
    planned: Planned
    process: Any
    scratch: Path


def run(plan: Sequence[Planned], store: Store, *, jobs: int, device: str, view: View) -> dict[str, Record]:
    """Bring every miss of `plan` to a record, by our own work or that of another run on the same store.

    Raises `UserError` when the results folder cannot be written. On any exception, Ctrl-C included, the
    workers are ended and only finished cells remain.
    """
    misses = [planned for planned in plan if planned.status == "miss"]
    return _Local(store, jobs, device, view, [*_PRELOAD, *_slow_imports(misses)]).run(misses)


def _slow_imports(misses: Sequence[Planned]) -> list[str]:
    """Slow modules that the code behind these cells imports, if only within a function: to be loaded once."""
    files = {planned.method.path for planned in misses}
    for labels in {tuple(planned.inputs.score_code | planned.inputs.fit_code) for planned in misses}:
        files |= {PACKAGE.parent / label for label in labels if label.startswith("harness/")}
    code = b"\n".join(file.read_bytes() for file in files)
    return [module for word, module in _SLOW.items() if word.encode() in code]


class _Local:
    def __init__(self, store: Store, jobs: int, device: str, view: View, preload: list[str]) -> None:
        self.store = store
        self.jobs = jobs
        self.device = device
        self.view = view
        # Code is read after a process starts; clocks and file systems agree to a second.
        self.since = psutil.Process().create_time() - 1
        self.environment = _record_environment(store)
        self.active: dict[Any, _Active] = {}
        self.claims: dict[str, int] = {}
        self.records: dict[str, Record] = {}
        os.environ |= {"OMP_NUM_THREADS": str(THREADS), "MKL_NUM_THREADS": str(THREADS)}
        # A forked child cannot use a GPU that its parent has touched, so there every worker starts afresh.
        self.processes: Any = multiprocessing.get_context("forkserver" if device == "cpu" else "spawn")
        if device == "cpu":
            self.processes.set_forkserver_preload(preload)
            with _deaf_to_ctrl_c():
                multiprocessing.forkserver.ensure_running()

    def run(self, misses: Sequence[Planned]) -> dict[str, Record]:
        waiting = deque(misses)
        try:
            for fit in {planned.keys.fit for planned in misses if planned.forced}:
                self.store.discard(self.store.artifact(fit))
            while waiting or self.active:
                self._start_some(waiting)
                self._collect()
        except OSError as error:
            raise explain(error, self.store.root) from None
        finally:
            with _deaf_to_ctrl_c():  # asked once is enough
                self._stop_all()
        return self.records

    def _start_some(self, waiting: deque[Planned]) -> None:
        """Fill free places with cells that need nobody's result; the others go to the back of the queue."""
        for _ in range(len(waiting)):
            if len(self.active) >= self.jobs:
                return
            planned = waiting.popleft()
            claim = None if self._is_being_fitted(planned) else self.store.claim(planned.keys.key)
            if claim is None:
                waiting.append(planned)
                continue
            self.claims[planned.keys.key] = claim
            record = self._made_meanwhile(planned)
            if record:
                self._finish(planned, record)
            else:
                self._start(planned)

    def _is_being_fitted(self, planned: Planned) -> bool:
        """Whether a running cell trains what this one scores: started now, it would hold a place and wait."""
        fit = planned.keys.fit
        shared = any(active.planned.keys.fit == fit for active in self.active.values())
        return shared and not self.store.has_artifact(fit)

    def _made_meanwhile(self, planned: Planned) -> Record | None:
        """The record that has been published, by another run perhaps, since the plan was made."""
        with contextlib.suppress(Damaged):
            record = self.store.read(planned.keys.key)
            if record and record.finished != (planned.record.finished if planned.record else None):
                return record
        return None

    def _start(self, planned: Planned) -> None:
        scratch = self.store.scratch(planned.keys.key)
        (scratch / "files").mkdir()
        (scratch / "job.json").write_bytes(msgspec.json.encode(self._job(planned, scratch)))
        process = self.processes.Process(target=keeper.keep, args=(str(scratch / "job.json"),))
        with contextlib.nullcontext() if self.device == "cpu" else _deaf_to_ctrl_c():
            process.start()
        self.active[process.sentinel] = _Active(planned, process, scratch)
        self.view.started(planned, scratch)

    def _job(self, planned: Planned, scratch: Path) -> Job:
        cell, keys, inputs = planned.cell, planned.keys, planned.inputs
        record = Record(
            key=keys.key,
            address=keys.address,
            fit=keys.fit,
            task=cell.task,
            method=cell.method,
            seed=cell.seed,
            problem=cell.problem,
            score=cell.score,
            parameters=cell.parameters,
            fit_code=inputs.fit_code,
            score_code=inputs.score_code,
            data=inputs.data,
            status="crashed",
            environment=self.environment,
            device=self.device,
            limits={"seconds": cell.limits.seconds, "memory_gb": cell.limits.memory_gb},
        )
        return Job(
            record=record,
            results=str(self.store.root.resolve()),
            scratch=str(scratch.resolve()),
            task_path=str(planned.task.path),
            method_path=str(planned.method.path.resolve()),
            method_module=planned.method.module,
            method_defaults={
                parameter.name: parameter.default
                for parameter in planned.method.parameters.values()
                if not parameter.required
            },
            metrics=list(planned.task.metrics),
            score_function=planned.task.score_function,
            threads=THREADS,
            since=self.since,
        )

    def _collect(self) -> None:
        """Wait a moment for workers to end, and take in those that have."""
        if not self.active:
            time.sleep(0.1)
            return
        for sentinel in multiprocessing.connection.wait(list(self.active), timeout=0.25):
            active = self.active.pop(sentinel)
            active.process.join()
            self._finish(active.planned, self._result(active))

    def _result(self, active: _Active) -> Record:
        if active.process.exitcode == STORAGE_FAILED:
            self.store.check_writable()
            raise UserError(
                f"{self.store.root}: a cell could not be written, perhaps the disk is full; "
                "free some space and run again, finished cells are kept"
            )
        record = self._made_meanwhile(active.planned)
        if record:
            return record
        reason = f"the keeper of its process ended with status {active.process.exitcode}"
        lost = msgspec.structs.replace(
            self._job(active.planned, active.scratch).record, reason=reason, finished=time.time()
        )
        self.store.write(lost, beside=active.scratch / "files")
        shutil.rmtree(active.scratch, ignore_errors=True)
        return lost

    def _finish(self, planned: Planned, record: Record) -> None:
        self.records[record.key] = record
        self.view.finished(planned, record)
        self.store.release(self.claims.pop(record.key))

    def _stop_all(self) -> None:
        """End what still runs: keepers kill their trees on SIGTERM, and themselves go at SIGKILL."""
        for active in self.active.values():
            active.process.terminate()
        for active in self.active.values():
            active.process.join(1.0)
            active.process.kill()
        for scratch in self.store.tmp.glob("*"):
            if scratch.name.partition("-")[0] in self.claims:  # another run's are none of our business
                shutil.rmtree(scratch, ignore_errors=True)
        for claim in self.claims.values():
            self.store.release(claim)
        for server in psutil.Process().children():  # stopped early, it would go on importing
            with contextlib.suppress(psutil.Error):
                server.terminate()


@contextlib.contextmanager
def _deaf_to_ctrl_c() -> Iterator[None]:
    """Ctrl-C is heard afterwards. Processes started here never hear it: the runner does, and ends them."""
    multiprocessing.resource_tracker.ensure_running()  # it would unblock the signal when it starts
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def _record_environment(store: Store) -> str:
    described = environment.describe()
    name = identity.digest(described)
    path = store.root / "envs" / f"{name}.json"
    if not path.is_file():
        try:
            write_file(path, msgspec.json.encode(described))
        except OSError as error:
            raise explain(error, store.root) from None
    return name
