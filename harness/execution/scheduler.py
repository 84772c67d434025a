"""What is ready, who waits, and what becomes of it: from the misses of a plan to published results.

A cell is a fit and a score, and may need assets; each is a job. Jobs do the work somewhere (see `executor`)
and leave files; only this process, which holds the claim on a key, publishes them. A job that waits for
another occupies no place and no time limit.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import msgspec
import psutil

from harness.errors import UserError
from harness.execution import job as jobs
from harness.execution import publish
from harness.execution.executor import LOST, Executor, Handle
from harness.execution.job import Call, Job, Outcome, Request
from harness.execution.places import Places
from harness.execution.worker import STORAGE_FAILED
from harness.plan import Planned
from harness.registry import PACKAGE
from harness.store import LOG, Damaged, Record, Store, copy, explain

_REPEATS = 3
"""How often a job may ask for the same thing, or be lost: what is damaged as soon as it is made will not get
better, and what takes its machine down will do so again."""


class View(Protocol):
    """Who is told what happens."""

    def started(self, key: str, name: str, scratch: Path) -> None: ...
    def stopped(self, key: str) -> None: ...
    def finished(self, planned: Planned, record: Record) -> None: ...


@dataclass(eq=False)
class _Node:
    """A job to be done, and who waits for it. `rank` orders what is ready: by cell, what others need first.

    `planned` is the cell that it belongs to, `request` what an asset was asked for with.
    """

    kind: str
    key: str
    rank: tuple[int, int]
    planned: Planned
    request: Request | None = None
    needs: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)
    waiting: list[_Node] = field(default_factory=list)
    done: bool = False
    scratch: Path | None = None
    gpus: list[str] = field(default_factory=list)
    losses: int = 0

    @property
    def limits(self) -> dict[str, float]:
        cell = vars(self.planned.cell.limits)
        return cell | self.request.limits if self.request else dict(cell)

    def name(self) -> str:
        from harness.execution.display import name

        return f"asset {self.request.name}" if self.request else f"{self.kind} {name(self.planned)}"


class Scheduler:
    """Brings misses to records on one store, as many at once as there are places.

    Raises `UserError` when the results folder cannot be written. On any exception, Ctrl-C included, what
    runs is ended and only finished results remain.
    """

    def __init__(self, store: Store, executor: Executor, *, places: Places, device: str, view: View) -> None:
        self.store = store
        self.executor = executor
        self.places = places
        self.device = device
        self.view = view
        # Code is read after a process starts; clocks and file systems agree to a second.
        self.since = psutil.Process().create_time() - 1
        self.nodes: dict[str, _Node] = {}
        self.ready: list[tuple[tuple[int, int], int, _Node]] = []
        self.count = itertools.count()
        self.running: dict[Handle, _Node] = {}
        self.claims: dict[str, int] = {}
        self.failed: dict[str, Outcome] = {}
        self.records: dict[str, Record] = {}

    def complete(self, misses: Sequence[Planned]) -> dict[str, Record]:
        """Bring every cell to a record, by our own work or that of another run on the same store."""
        for left in self.store.tmp.glob("*"):  # what a killed run left; what a living one has is claimed
            self.store.discard(left)
        for index, planned in enumerate(misses):
            score = _Node("score", planned.keys.key, (index, 2), planned)
            self.nodes[score.key] = score
            if planned.forced or not self.store.has_artifact(planned.keys.fit):
                self._need_fit(score)
            self._offer(score)
        try:
            while self.ready or self.running:
                self._start_some()
                self._collect()
        except OSError as error:
            raise explain(error, self.store.root) from None
        finally:
            self._stop_all()
        return self.records

    def _need_fit(self, score: _Node) -> None:
        """Let a score wait for its fit, which other scores may need as well."""
        key = score.planned.keys.fit
        fit = self.nodes.get(key)
        if fit is None:
            fit = self.nodes[key] = _Node("fit", key, (score.rank[0], 1), score.planned)
            self._offer(fit)
        self._wait(score, fit)

    def _wait(self, node: _Node, other: _Node) -> None:
        node.needs.add(other.key)
        other.waiting.append(node)

    def _offer(self, node: _Node) -> None:
        if not node.needs and not node.done:
            heapq.heappush(self.ready, (node.rank, next(self.count), node))

    def _start_some(self) -> None:
        """Fill free places, the first cells first; what another run is making is looked at again later."""
        passed = []
        while self.ready and self.places.cpus >= 1:
            entry = heapq.heappop(self.ready)
            if not self._take_up(entry[2]):
                passed.append(entry)
        for entry in passed:
            heapq.heappush(self.ready, entry)

    def _take_up(self, node: _Node) -> bool:
        """Start a job, or take in what another run has made of it; False while neither can be done."""
        gpus = self.places.take(node.limits)
        if gpus is None:
            return False
        claim = self.store.claim(node.key)
        if claim is not None:
            self.claims[node.key] = claim
            if not self._made_meanwhile(node):
                self._start(node, gpus)
                return True
            self._release(node)
        self.places.give(node.limits, gpus)
        return claim is not None

    def _made_meanwhile(self, node: _Node) -> bool:
        """Whether another run has published the result since the plan was made; then it is taken in."""
        if node.kind != "score":
            done = self.store.has_artifact(node.key) and not (node.kind == "fit" and node.planned.forced)
            if done:
                self._done(node)
            return done
        with contextlib.suppress(Damaged):
            record = self.store.read(node.key)
            if record and record.finished != (node.planned.record.finished if node.planned.record else None):
                self._finish(node, record)
                return True
        return False

    def _start(self, node: _Node, gpus: list[str]) -> None:
        node.scratch, node.gpus = self.store.scratch(node.key), gpus
        handle = self.executor.start(jobs.write(self._job(node, node.scratch)))
        self.running[handle] = node
        self.view.started(node.key, node.name(), node.scratch)

    def _job(self, node: _Node, scratch: Path) -> Job:
        planned, cell = node.planned, node.planned.cell
        common: dict[str, Any] = {
            "kind": node.kind,
            "key": node.key,
            "seed": cell.seed,
            "device": self.device,
            "limits": node.limits,
            "gpus": node.gpus,
            "results": str(self.store.root.resolve()),
            "scratch": str(scratch.resolve()),
            "since": self.since,
        }
        if node.request:
            seed = node.request.work.parameters.get("seed", 0)
            asked = {
                name: getattr(node.request, name) for name in ("work", "sources", "code", "data", "datasets")
            }
            return Job(**common | asked | {"seed": seed if isinstance(seed, int) else 0})
        task, method = planned.task, planned.method
        problem = Call(str(task.path), _module(task.path), cell.task, cell.problem)
        inputs = planned.inputs
        rest: dict[str, Any]
        if node.kind == "fit":
            work = Call(str(method.path.resolve()), method.module, cell.method, cell.parameters)
            defaults = {w.name: w.default for w in method.parameters.values() if not w.required}
            rest = {"code": inputs.fit_code, "data": inputs.data, "defaults": defaults}
        else:
            work = Call(str(task.score_path), _module(task.score_path), task.score_function, cell.score)
            rest = {"code": inputs.score_code, "data": inputs.data | inputs.score_data}
            rest |= {"fit": planned.keys.fit, "metrics": list(task.metrics)}
        half = planned.fit if node.kind == "fit" else planned.score
        rest |= {"sources": half.sources, "datasets": list(half.datasets)}
        return Job(**common | rest, problem=problem, work=work)

    def _collect(self) -> None:
        """Wait a moment for jobs to end, and take in those that have."""
        if not self.running:
            if self.ready:
                time.sleep(0.1)
            return
        for handle, status in self.executor.ended(0.25).items():
            node = self.running.pop(handle)
            self.places.give(node.limits, node.gpus)
            self.view.stopped(node.key)
            assert node.scratch is not None
            outcome = None if status == LOST else jobs.ended(node.scratch)
            self._take_in(node, outcome or self._without_outcome(node, status))
            self._release(node)

    def _without_outcome(self, node: _Node, status: int) -> Outcome:
        """What to say of a job that left none: it was lost, its folder is gone, or its supervisor was killed.

        Raises `UserError` when the disk is full.
        """
        if status == STORAGE_FAILED:
            self.store.check_writable()
            raise UserError(
                f"{self.store.root}: a result could not be written, perhaps the disk is full; "
                "free some space and run again, finished cells are kept"
            )
        if status != LOST:
            reason = f"the supervisor of its process ended with status {status}"
            return Outcome(status="crashed", reason=reason)
        node.losses += 1
        if node.losses < _REPEATS:
            return Outcome(status="lost")
        return Outcome(status="crashed", reason=f"it was lost {_REPEATS} times with what it ran on")

    def _take_in(self, node: _Node, outcome: Outcome) -> None:
        assert node.scratch is not None
        if outcome.status == "lost":
            shutil.rmtree(node.scratch, ignore_errors=True)
            self._offer(node)
        elif outcome.status == "waiting":
            shutil.rmtree(node.scratch, ignore_errors=True)
            self._wait_for(node, outcome.asked)
        elif outcome.status != "ok":
            self._fail(node, outcome)
        elif node.kind == "score":
            self._finish(node, publish.cell(self.store, node.planned, outcome, node.scratch))
        else:
            try:
                publish.artifact(self.store, node.key, node.planned, outcome, node.scratch)
            except publish.Unkept as error:
                self._fail(node, Outcome(status="failed", reason=str(error)))
            else:
                self._done(node)

    def _wait_for(self, node: _Node, requests: list[Request]) -> None:
        """Let a job that was stopped wait for what it asked for: assets, or its fit made anew."""
        if not requests:
            wanted = node.planned.keys.fit
            if self._is_hopeless(node, wanted, None):
                return
            self._discard_damaged(wanted)
            self.nodes.pop(wanted, None)
            self._need_fit(node)
        for request in requests:
            if self._is_hopeless(node, request.key, request):
                return
            self._discard_damaged(request.key)
            asset = self.nodes.get(request.key)
            if asset is None or asset.done:
                asset = _Node("asset", request.key, (node.rank[0], 0), node.planned, request)
                self.nodes[asset.key] = asset
                self._offer(asset)
            self._wait(node, asset)

    def _is_hopeless(self, node: _Node, wanted: str, request: Request | None) -> bool:
        """Whether what a job waits for cannot come; then the job has failed."""
        node.asked.append(wanted)
        if wanted in self.failed:
            self._fail(node, self._because(wanted, request))
        elif wanted in self._chain(node):
            name = request.name if request else "a fit"
            self._fail(node, Outcome(status="failed", reason=f"{name} needs itself"))
        elif node.asked.count(wanted) > _REPEATS:
            self._fail(node, Outcome(status="failed", reason="what it needs is damaged again and again"))
        else:
            return False
        return True

    def _discard_damaged(self, key: str) -> None:
        """Remove an artifact that is not as it was written; somebody may have made it anew meanwhile."""
        if self.store.has_artifact(key) and not self.store.intact(key):
            self.store.discard(self.store.artifact(key))

    def _chain(self, node: _Node) -> set[str]:
        """The keys of all that wait for this node, itself included."""
        found, waiting = set(), [node]
        while waiting:
            one = waiting.pop()
            if one.key not in found:
                found.add(one.key)
                waiting += one.waiting
        return found

    def _done(self, node: _Node) -> None:
        """A fit or an asset is there: who waited for it may be ready."""
        node.done = True
        for other in node.waiting:
            other.needs.discard(node.key)
            self._offer(other)
        node.waiting = []

    def _because(self, key: str, request: Request | None) -> Outcome:
        """The outcome of what needs something that could not be made."""
        cause = self.failed[key]
        if request is None:
            return cause
        reason = f"asset {request.name} {cause.status}: {cause.reason}"
        return msgspec.structs.replace(
            cause, status="skipped" if cause.status == "skipped" else "failed", reason=reason
        )

    def _fail(self, node: _Node, outcome: Outcome) -> None:
        """A job did not go well: its cell, or all cells that wait for it, have that as their result."""
        node.done = True
        if node.kind == "score":
            self._finish(node, publish.cell(self.store, node.planned, outcome, node.scratch))
            return
        self.failed[node.key] = outcome
        because = self._because(node.key, node.request)
        for other in node.waiting:
            if other.done:  # something else that it waits for has failed before
                continue
            other.needs.clear()
            claim = self.store.claim(other.key)
            if claim is None:  # another run is at it; ours will see what comes of that
                self._offer(other)
                continue
            self._say_why(other, node)
            self._fail(other, because)
            self.store.release(claim)
        node.waiting = []

    def _say_why(self, other: _Node, cause: _Node) -> None:
        """Give a job that fails for another's sake the other's log and files to be shown."""
        if cause.scratch is None or (other.scratch and other.scratch.exists()):
            return
        other.scratch = self.store.scratch(other.key)
        for part in ("files", LOG):
            if (source := cause.scratch / part).exists():
                copy(source, other.scratch / part)

    def _finish(self, node: _Node, record: Record) -> None:
        node.done = True
        self.records[record.key] = record
        self.view.finished(node.planned, record)

    def _release(self, node: _Node) -> None:
        if (claim := self.claims.pop(node.key, None)) is not None:
            self.store.release(claim)

    def _stop_all(self) -> None:
        """End what still runs, and leave nothing half-made."""
        from harness.execution.local import deaf_to_ctrl_c

        with deaf_to_ctrl_c():  # asked once is enough
            for handle in list(self.running):
                self.executor.stop(handle)
            self.executor.close()
            for node in self.nodes.values():
                if node.scratch:
                    shutil.rmtree(node.scratch, ignore_errors=True)
            for claim in self.claims.values():
                self.store.release(claim)
            self.claims = {}


def _module(path: Path) -> str:
    """The import name of a file of the package."""
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
