"""The work of one job inside its own process: fit, score or build.

Reads a job, leaves an outcome and files beside it, reads the store and never writes to it. It knows nothing
of limits: `supervisor` watches over it.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import inspect
import io
import math
import multiprocessing
import os
import random
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from harness import data, declared, environment, key
from harness.authoring import DEVICE_MEMORY, Estimate, Skip
from harness.context import Run, Wanted
from harness.errors import UserError
from harness.execution import job as jobs
from harness.execution import loading
from harness.execution.changes import changed, fingerprint
from harness.execution.job import THREADS, Call, Job, Outcome, Request
from harness.plan import checksums
from harness.registry import PACKAGE
from harness.store import FULL, Damaged, Measurement, Store, pack

if TYPE_CHECKING:
    import numpy
    import torch

STORAGE_FAILED = 73
"""Exit status of a worker whose results the disk had no room for (EX_CANTCREAT of sysexits.h)."""


class Diverged(Exception):
    """Training or scoring gave numbers that are not finite."""


class Waiting(BaseException):
    """The job cannot go on now: no method may catch this. See `Outcome`."""

    def __init__(self, asked: list[Request]) -> None:
        super().__init__(", ".join(request.name for request in asked) or "the stored fit is damaged")
        self.asked = asked


def work(job: Job, *, catch: bool = True) -> Outcome:
    """Do the job; whatever it raises becomes a status and one line, with the traceback in its log."""
    try:
        return {"fit": _fit, "score": _score, "asset": _build}[job.kind](job)
    except Waiting as wait:
        return Outcome(status="waiting", asked=wait.asked)
    except Skip as skip:
        return Outcome(status="skipped", reason=_printable(skip))
    except data.Unavailable as missing:
        return Outcome(status="skipped", reason=str(missing).replace("\n", "; "))
    except (Diverged, FloatingPointError) as error:
        traceback.print_exc()
        return Outcome(status="diverged", reason=_printable(error))
    except MemoryError as error:
        traceback.print_exc()
        return Outcome(status="oom", reason=_printable(error) or "out of memory")
    except OSError as error:
        traceback.print_exc()
        if error.errno in FULL:
            raise
        return Outcome(status="failed", reason=_what_and_where(error, job))
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt) and not catch:
            raise
        traceback.print_exc()
        out_of_memory = type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in str(error)
        return Outcome(status="oom" if out_of_memory else "failed", reason=_what_and_where(error, job))


def _what_and_where(error: BaseException, job: Job) -> str:
    """The error and the last line of the method or the task that led to it."""
    if isinstance(error, UserError):
        return _printable(error)
    frames = traceback.extract_tb(error.__traceback__)
    files = {job.work.file, job.problem.file if job.problem else ""}
    own = [frame for frame in frames if frame.filename in files]
    last = (own or frames)[-1]
    what = ": ".join(filter(None, [type(error).__name__, _printable(error)]))
    return f"{what} ({Path(last.filename).name}:{last.lineno})"


def _printable(error: BaseException) -> str:
    """The first line of its message, without what a terminal would obey or a file refuse."""
    first = (str(error).splitlines() or [""])[0]
    return "".join(letter if letter.isprintable() else "?" for letter in first)[:300]


def _fit(job: Job) -> Outcome:
    """Train, check what came back, and pack it."""
    modules = set(sys.modules)
    _prepare(job)
    run, asked = _context(job)
    problem = _problem(job, run)
    before = fingerprint(problem)
    method = loading.method(job)
    loading.check_unedited(job)
    started = time.perf_counter()
    arrays = _call(method, problem, run, **job.work.parameters)
    run.seconds["fit"] = time.perf_counter() - started
    run.measurements |= _device_memory(job.device)
    _check_arrays(arrays)
    loading.check_covered(job, modules)
    facts = {
        "metrics": {
            name: msgspec.to_builtins(_measurement(value)) for name, value in run.measurements.items()
        },
        "seconds": run.seconds,
        "assets": asked,
    }
    pack(_artifact(job), arrays, facts)
    return _ended(job, seconds=run.seconds, assets=asked, reason=changed(problem, before))


def _score(job: Job) -> Outcome:
    """Judge a stored fit on a fresh problem."""
    store = Store(Path(job.results))
    _prepare(job)
    run, asked = _context(job)
    problem = _problem(job, run)
    try:
        arrays, facts = store.read_artifact(job.fit)
    except Damaged:
        raise Waiting([]) from None
    _seed(job.seed)  # what the problem drew must not matter
    score = getattr(loading.module(job.work), job.work.function)
    loading.check_unedited(job)
    started = time.perf_counter()
    scores: Mapping[str, float | Estimate] = _call(score, problem, arrays, run, **job.work.parameters)
    seconds = facts["seconds"] | run.seconds | {"score": time.perf_counter() - started}
    metrics = {name: Measurement(**value) for name, value in facts["metrics"].items()}
    metrics |= {name: _measurement(value) for name, value in {**scores, **run.measurements}.items()}
    if unknown := sorted(set(metrics) - set(job.metrics)):
        raise ValueError(f"metrics that the task does not declare: {', '.join(unknown)}")
    if bad := sorted(name for name, metric in metrics.items() if not math.isfinite(metric.number)):
        raise Diverged(f"not finite: {', '.join(bad)}")
    return _ended(job, seconds=seconds, metrics=metrics, assets=facts["assets"] | asked)


def _build(job: Job) -> Outcome:
    """Make an asset and pack it."""
    _prepare(job)
    run, asked = _context(job)
    builder = getattr(loading.module(job.work), job.work.function)
    loading.check_unedited(job)
    started = time.perf_counter()
    arrays = _call(builder, run, **job.work.parameters)
    run.seconds["build"] = time.perf_counter() - started
    _check_arrays(arrays)
    root = Path(job.sources[-1].root) if job.sources[-1].root else None
    facts = {
        "builder": job.work.function,
        "source": key.label(Path(job.work.file), root),
        "parameters": job.work.parameters,
        "datasets": job.datasets,
        "data": job.data,
        "seconds": run.seconds,
        "assets": asked,
    }
    pack(_artifact(job), arrays, facts)
    return _ended(job, seconds=run.seconds, assets=asked)


def _ended(job: Job, **told: Any) -> Outcome:
    return Outcome(
        status="ok", device=_device_name(job.device), environment=dict(environment.describe()), **told
    )


def _artifact(job: Job) -> Path:
    job.artifact.mkdir(parents=True, exist_ok=True)
    return job.artifact


def _call(function: Callable[..., Any], *arguments: Any, **words: Any) -> Any:
    """What the function returns to the process that called it; copies of that, forked meanwhile, end here."""
    caller = os.getpid()
    returned = function(*arguments, **words)
    if os.getpid() != caller:
        os._exit(0)
    return returned


def _prepare(job: Job) -> None:
    import torch

    torch.set_num_threads(THREADS)
    if job.device != "cpu":  # one CPU thread is deterministic as it is, and this import takes 1.6 s
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.backends.cudnn.allow_tf32 = False  # convolutions in single precision, as on a CPU
        if torch.cuda.is_initialized():  # by an earlier job in this process: its memory is not ours
            torch.cuda.reset_peak_memory_stats(job.device)
    job.files.mkdir(parents=True, exist_ok=True)
    _seed(job.seed)


def _seed(seed: int) -> None:
    """Seed the global generators, for code that draws from them."""
    import numpy
    import torch

    random.seed(seed)
    numpy.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def _context(job: Job) -> tuple[Run, dict[str, str]]:
    """The run context, and the assets that will have been asked for by then, by key."""
    asked: dict[str, str] = {}
    store = Store(Path(job.results))
    run = Run(
        seed=job.seed,
        folder=job.files,
        device=job.device,
        read=lambda name: _read(job, name),
        assets=lambda wanted: _assets(job, store, asked, wanted),
        progress_file=job.folder / "progress.json",
    )
    return run, asked


def _read(job: Job, name: str) -> dict[str, numpy.ndarray]:
    """The arrays of a data set, which must be part of the key and what it was when that was made."""
    if name not in job.datasets:
        raise UserError(
            f"the data set {name!r} is not part of the key: name it by a parameter of type harness.DataSet"
        )
    arrays = data.load(name)
    here = data.locate(name).checksums
    if any(job.data.get(file) != sha for file, sha in here.items()):
        raise UserError(f"the files of {name!r} were changed while the suite was running; run it again")
    return arrays


def _assets(
    job: Job, store: Store, asked: dict[str, str], wanted: list[Wanted]
) -> list[dict[str, torch.Tensor]]:
    """The stored arrays of assets; raises `Waiting` for those that are not there."""
    found, missing = [], []
    for builder, parameters in wanted:
        request = _request(job, builder, parameters)
        try:
            arrays, facts = store.read_artifact(request.key)
        except Damaged:
            missing.append(request)
            continue
        asked |= {request.key: builder.__name__} | facts["assets"]
        found.append(arrays)
    if missing:
        raise Waiting(missing)
    return found


def _request(job: Job, builder: Callable[..., Any], parameters: dict[str, Any]) -> Request:
    mark = getattr(builder, "__harness__", {})
    if mark.get("role") != "asset":
        raise TypeError(f"{builder.__name__} is not marked @harness.asset")
    bound = inspect.signature(builder).bind(None, **parameters)
    bound.apply_defaults()
    resolved = dict(list(bound.arguments.items())[1:])
    try:
        resolved = msgspec.json.decode(key.canonical(resolved))
    except (TypeError, ValueError) as error:
        raise TypeError(f"{builder.__name__}: parameters of an asset are plain values: {error}") from None
    path = Path(inspect.getfile(builder)).resolve()
    names = [resolved[word] for word in declared.data_parameters(path, builder.__name__)]
    datasets = sorted({name for name in names if name})
    if hidden := [name for name in datasets if name not in job.datasets]:
        raise UserError(
            f"{builder.__name__} reads the data set {hidden[0]!r}, which is not part of the key of what asks "
            "for it: name it by a parameter of type harness.DataSet there too"
        )
    located = {name: data.locate(name) for name in datasets}
    root = "" if path.is_relative_to(PACKAGE) else job.sources[-1].root
    sources = key.asset_sources(path, root, [here.dataset.source for here in located.values()])
    code, contents = key.code_of(sources), checksums(located, datasets)
    module = builder.__module__ if path.is_relative_to(PACKAGE) else None
    label = key.label(path, Path(root) if root else None)
    return Request(
        key=key.asset_key(f"{label}:{builder.__name__}", resolved, code, contents),
        work=Call(str(path), module, builder.__name__, resolved),
        sources=sources,
        code=code,
        data=contents,
        datasets=datasets,
        limits=dict(mark["limits"]),
    )


def _problem(job: Job, run: Run) -> Any:
    assert job.problem is not None
    return _call(getattr(loading.module(job.problem), job.problem.function), run, **job.problem.parameters)


def _check_arrays(arrays: Any) -> None:
    import torch

    if not isinstance(arrays, dict) or not all(isinstance(name, str) for name in arrays):
        raise TypeError(f"arrays by name must be returned, not {type(arrays).__name__}")
    for name, array in arrays.items():
        tensor = torch.as_tensor(array)
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise Diverged(f"numbers that are not finite were returned in {name!r}")


def _measurement(value: float | Estimate) -> Measurement:
    if isinstance(value, Estimate):
        return Measurement(float(value.value), float(value.error), int(value.n), value.sketch)
    return Measurement(float(value))


def _device_name(device: str) -> str:
    if not device.startswith("cuda"):
        return device
    import torch

    return torch.cuda.get_device_name(device)


def _device_memory(device: str) -> dict[str, float]:
    if not device.startswith("cuda"):
        return {}
    import torch

    return {DEVICE_MEMORY.name: torch.cuda.max_memory_allocated(device) / 1e9}


def keep_freed_memory() -> None:
    """Reuse what is freed: by itself, glibc lets large arrays fault in anew, page by page, at each update."""
    trim_threshold, mmap_threshold = -1, -3  # of malloc.h
    with contextlib.suppress(AttributeError, OSError):  # another C library
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(mmap_threshold, 32 << 20)
        mallopt(trim_threshold, 2**31 - 1)


def child(job: Job) -> None:
    """The body of the worker process: log to the job's file, work, leave an outcome. Never returns."""
    own = os.getpid()
    with contextlib.suppress(BaseException):
        log = os.open(job.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        os.dup2(log, 1)
        os.dup2(log, 2)
        # What is printed reaches the log however the process ends.
        sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
        # Processes that the method starts are to be as in any other program.
        multiprocessing.set_start_method(None, force=True)
        keep_freed_memory()
        if job.gpus:  # the one that it sees is the first there
            os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(job.gpus)
            job = msgspec.structs.replace(job, device="cuda")
        try:
            loading.importable(job)
            outcome = work(job)
            if os.getpid() != own:
                os._exit(0)  # a process that the method forked and that raised; only the original may answer
            _flush(job.files)
            jobs.end(job.folder, outcome)
        except OSError as error:
            if error.errno in FULL:
                os._exit(STORAGE_FAILED)
            jobs.end(
                job.folder, Outcome(status="failed", reason=f"its results could not be written: {error}")
            )
        os._exit(0)
    os._exit(70)


def _flush(folder: Path) -> None:
    """Write out what the method has left in the buffers of files that it did not close."""
    descriptors = Path("/proc/self/fd")
    if descriptors.is_dir():
        opened = [str(path.readlink()) for path in descriptors.iterdir() if path.exists()]
        if not any(target.startswith(str(folder)) for target in opened):
            return
    for item in gc.get_objects():
        with contextlib.suppress(Exception):
            if isinstance(item, io.TextIOWrapper | io.BufferedWriter) and not item.closed:
                item.flush()
