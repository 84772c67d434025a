"""Jobs on the nodes of a Ray cluster, placed by their processors, GPUs and memory.

Code and data sets lie under the same paths on every node. Where the results folder does too, a job is done in
it. On other nodes its files travel: what it reads of the store goes along, what it leaves comes back here,
where the scheduler publishes it as it would any other.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import math
import os
import shutil
import socket
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from harness import environment, key
from harness.errors import UserError
from harness.execution import job as jobs
from harness.execution.executor import LOST
from harness.execution.job import Job, Outcome
from harness.execution.local import Local
from harness.execution.places import Places
from harness.store import LOG, Store

Files = dict[str, bytes]
"""What a folder holds, by path inside it."""

_ELSEWHERE = -1
"""In place of a job's exit status: its files must go along, for the node does not see the results folder."""

_BACK = ("artifact", "files", LOG, "progress.json", "outcome.json")


class OnRay:
    """A task of Ray for each job. Every Ray worker keeps supervisors of its own, as `Local` does here.

    `jobs` at once, or as many as the cluster has processors. Without an address, nor one in `RAY_ADDRESS`, a
    Ray of this machine alone is started. Raises `UserError` where there is no Ray.
    """

    def __init__(self, address: str | None, jobs: int | None, device: str, code: Iterable[Path]) -> None:
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        try:
            import ray
        except ImportError:
            raise UserError("--executor ray needs Ray: pip install 'harness[ray]'") from None
        told = {name: os.environ[name] for name in os.environ if name.startswith("HARNESS_")}
        told |= {"PYTHONPATH": os.environ.get("PYTHONPATH", "")}
        address = address or os.environ.get("RAY_ADDRESS")
        own: dict[str, Any] = (
            {} if address else {"num_cpus": jobs or environment.cores(), "include_dashboard": False}
        )
        try:
            ray.init(
                address or "local",
                runtime_env={"env_vars": told},
                log_to_driver=False,
                logging_level=logging.ERROR,
                **own,
            )
        except (ConnectionError, ValueError) as error:
            raise UserError(f"--executor ray: {error}") from None
        there = ray.cluster_resources()
        gpus = map(str, range(int(there.get("GPU", 0)))) if device == "cuda" else ()
        self.places = Places(jobs or int(there["CPU"]), gpus)
        self._do = ray.remote(max_retries=0)(_do)  # what is lost is started again by the scheduler
        self._common = ray.put((device, str(Path.cwd()), tuple(map(str, code))))
        self._running: dict[Any, Path] = {}
        self._apart = False
        self._asked: dict[str, set[str]] = {}
        self._assets: dict[str, Any] = {}

    def start(self, job: Path) -> Path:
        import ray

        todo = jobs.read(job)
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        placed = self._do.options(
            num_cpus=_share(nodes, "CPU", todo.limits["cpus"]),
            num_gpus=_share(nodes, "GPU", todo.limits["gpus"]) if todo.gpus else 0,
            memory=_share(nodes, "memory", todo.limits["memory_gb"] * 1e9),
            name=f"{todo.kind} {todo.key[:10]}",
        )
        sent = self._needed(todo) if self._apart else None
        self._running[placed.remote(str(job), job.read_bytes(), sent, self._common)] = job
        return job

    def _needed(self, todo: Job) -> dict[str, Any]:
        """What a job reads of the store, as far as it is known: its fit, and the assets it has asked for."""
        import ray

        store = Store(Path(todo.results))
        for asset in self._asked.get(todo.key, set()) - self._assets.keys():
            if store.has_artifact(asset):
                self._assets[asset] = ray.put(_packed(store.artifact(asset)))
        fit = {todo.fit: ray.put(_packed(store.artifact(todo.fit)))} if todo.fit else {}
        return fit | {asset: self._assets[asset] for asset in self._asked.get(todo.key, ())}

    def ended(self, seconds: float) -> dict[Path, int]:
        import ray

        found = {}
        for task in ray.wait(list(self._running), timeout=seconds, fetch_local=False)[0]:
            job = self._running[task]
            status = self._take_in(task, job)
            if status is not None:
                del self._running[task]
                if status == _ELSEWHERE:
                    self._apart = True
                    self.start(job)
                else:
                    found[job] = status
        return found

    def _take_in(self, task: Any, job: Path) -> int | None:
        """What a node tells of a job: its files, and its exit status if it has ended."""
        import ray

        status: int | None
        try:
            status, files = ray.get(next(task))
        except (ray.exceptions.RayTaskError, StopIteration) as error:  # a fault of `_do`
            reason = (str(error).strip().splitlines() or ["it ended without a word"])[-1]
            jobs.end(job.parent, Outcome(status="crashed", reason=reason))
            return 1
        except ray.exceptions.RayError:
            return LOST
        _unpack(files, job.parent)
        outcome = jobs.ended(job.parent)
        if outcome and outcome.asked:
            asked = {request.key for request in outcome.asked}
            self._asked.setdefault(jobs.read(job).key, set()).update(asked)
        return status

    def stop(self, handle: Path) -> None:
        """End the Ray worker; its supervisors notice, and end what they watch."""
        import ray

        for task, job in list(self._running.items()):
            if job == handle:
                ray.cancel(task, force=True)
                del self._running[task]

    def close(self) -> None:
        """Leave the cluster, which then ends what we have on it, or end our own."""
        import ray

        ray.shutdown()


def _do(job_file: str, content: bytes, sent: dict[str, Any] | None, common: Any) -> Iterator[Any]:
    """On a node: do a job, tell the driver how it goes and, last, the exit status of its supervisor."""
    import ray

    todo = msgspec.json.decode(content, type=Job)
    apart = not Path(job_file).is_file()
    if apart and sent is None:
        yield _ELSEWHERE, {}
        return
    folder = Path(tempfile.mkdtemp(prefix="harness-")) if apart else todo.folder
    here = {"results": str(folder / "store"), "scratch": str(folder)} if apart else {}
    todo = msgspec.structs.replace(todo, gpus=[str(gpu) for gpu in ray.get_gpu_ids()], **here)
    try:
        for artifact, files in (sent or {}).items():
            _unpack(ray.get(files), Store(Path(todo.results)).artifact(artifact))
        status = 0
        if _as_planned(todo):
            local = _local(*common)
            handle = local.start(jobs.write(todo))
            while not (ended := local.ended(0.25)):
                if apart:
                    yield None, _packed(folder, "progress.json")
            status = ended[handle]
        yield status, _packed(folder, *_BACK) if apart else {}
    finally:
        if apart:
            shutil.rmtree(folder, ignore_errors=True)


@functools.cache
def _local(device: str, folder: str, code: tuple[str, ...]) -> Local:
    """The supervisors of a Ray worker, which does one job after another, in the driver's folder if there is
    one."""
    with contextlib.suppress(OSError):
        os.chdir(folder)
    return Local(device, map(Path, code))


def _as_planned(todo: Job) -> bool:
    """Whether the code on this node is that of the job's key; if not, that is its outcome."""
    with contextlib.suppress(OSError):
        if key.code_of(todo.sources) == todo.code:
            return True
    reason = f"the code on {socket.gethostname()} is not what the run was planned with"
    jobs.end(todo.folder, Outcome(status="failed", reason=reason))
    return False


def _share(nodes: list[dict[str, float]], name: str, wanted: float) -> float:
    """What to ask Ray for: what is wanted, or all that the largest node has; GPUs above one are whole."""
    share = min(wanted, max(node.get(name, 0.0) for node in nodes) if nodes else wanted)
    return share if share < 1 else math.ceil(share)


def _packed(folder: Path, *parts: str) -> Files:
    """These parts of a folder, or all of it."""
    found = [path for part in parts or [""] for path in (folder / part, *folder.joinpath(part).rglob("*"))]
    return {str(path.relative_to(folder)): path.read_bytes() for path in found if path.is_file()}


def _unpack(files: Files, folder: Path) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
