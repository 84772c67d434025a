"""Jobs on this machine: a process each, forked by one of a few supervisors that have torch already."""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.connection
import multiprocessing.forkserver
import multiprocessing.process
import multiprocessing.resource_tracker
import os
import signal
import tempfile
from collections.abc import Iterable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from harness.execution import supervisor
from harness.execution.job import THREADS

_PRELOAD = ["torch", "numpy.random", "safetensors.torch", "harness.execution.preload", "click"]
"""What every worker imports; click because multiprocessing reads the script that we were started by again."""

_SLOW = {
    b"torch.optim": "torch._dynamo",
    b"sklearn": "sklearn.ensemble",
    b"matplotlib": "matplotlib.pyplot",
    b"numba": "numba",
}
"""What takes a second to import, by the word that betrays its use; an optimiser imports `torch._dynamo`."""

_SOCKET_NAME = 40
"""Bytes that multiprocessing appends to its folder; the whole address of a socket has about 100."""


class Local:
    """One process per job, one supervisor per place. `code` are the files behind the jobs to come: slow
    libraries that they name are loaded once, in the server that supervisors are forked from."""

    def __init__(self, device: str, code: Iterable[Path]) -> None:
        os.environ |= {"OMP_NUM_THREADS": str(THREADS), "MKL_NUM_THREADS": str(THREADS)}
        # A forked child cannot use a GPU that its parent has touched, so there every worker starts afresh.
        self._forks = device == "cpu"
        self._context: Any = multiprocessing.get_context("forkserver" if self._forks else "spawn")
        self._server: int | None = None
        self._lines: dict[Any, Connection] = {}
        self._running: dict[Any, Connection] = {}
        self._idle: list[Any] = []
        _shorten_socket_address()
        if self._forks:
            text = b"\n".join(path.read_bytes() for path in code if path.is_file())
            slow = [module for word, module in _SLOW.items() if word in text]
            self._context.set_forkserver_preload([*_PRELOAD, *slow])
            with deaf_to_ctrl_c():
                multiprocessing.forkserver.ensure_running()
            self._server = multiprocessing.forkserver._forkserver._forkserver_pid  # type: ignore[attr-defined]

    def start(self, job: Path) -> Any:
        self._idle = [process for process in self._idle if process.is_alive()]
        process = self._idle.pop() if self._idle else self._supervisor()
        self._running[process] = self._lines[process]
        with contextlib.suppress(BrokenPipeError):  # it was killed meanwhile: `ended` will say so
            self._lines[process].send(str(job))
        return process

    def _supervisor(self) -> Any:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=supervisor.serve, args=(theirs,))
        with contextlib.nullcontext() if self._forks else deaf_to_ctrl_c():
            process.start()
        theirs.close()
        self._lines[process] = ours
        return process

    def ended(self, seconds: float) -> dict[Any, int]:
        ends = [end for process, line in self._running.items() for end in (line, process.sentinel)]
        multiprocessing.connection.wait(ends, timeout=seconds)
        found = {}
        for process, line in list(self._running.items()):
            with contextlib.suppress(EOFError, ConnectionError):  # it has died: see below
                if line.poll():
                    found[process] = line.recv()
                    self._idle.append(process)
            if process not in found and not process.is_alive():
                found[process] = process.exitcode or 0
        for process in found:
            del self._running[process]
        return found

    def stop(self, handle: Any) -> None:
        """Supervisors end their trees on SIGTERM, and themselves go at SIGKILL."""
        handle.terminate()
        handle.join(1.0)
        handle.kill()
        self._running.pop(handle, None)

    def close(self) -> None:
        """End the supervisors, and the server: it would go on importing."""
        for process, line in self._lines.items():
            line.close()
            process.join(1.0)
        if self._server is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._server, signal.SIGTERM)


def _shorten_socket_address() -> None:
    """Keep multiprocessing's sockets out of a temporary folder whose name is too long for them."""
    if len(os.fsencode(tempfile.gettempdir())) + _SOCKET_NAME > 100:
        config = multiprocessing.process.current_process()._config  # type: ignore[attr-defined]
        if "tempdir" not in config:
            holder = tempfile.TemporaryDirectory(prefix="harness-", dir="/tmp")
            config["tempdir"] = holder.name
            multiprocessing.util.Finalize(None, holder.cleanup, exitpriority=-100)


@contextlib.contextmanager
def deaf_to_ctrl_c() -> Iterator[None]:
    """Ctrl-C is heard afterwards. Processes started here never hear it: the scheduler does, and ends them."""
    multiprocessing.resource_tracker.ensure_running()  # it would unblock the signal when it starts
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
