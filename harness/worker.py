"""The work of one cell inside its own process: fit unless that is stored, then score.

Reads a job file, writes an outcome file beside it, and knows nothing of limits: `keeper` watches over it.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import importlib
import importlib.util
import inspect
import math
import os
import random
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import msgspec

from harness import data, identity
from harness.declare import Estimate, Skip
from harness.registry import PACKAGE
from harness.run import Run
from harness.store import Damaged, Measurement, Record, Store

if TYPE_CHECKING:
    import torch

STORAGE_FAILED = 73
"""Exit status of a worker that could not write its results (EX_CANTCREAT of sysexits.h)."""


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """All a worker is told: the cell's record so far, where its code is, and where to work."""

    record: Record
    results: str
    scratch: str
    task_path: str
    method_path: str
    method_module: str | None
    method_defaults: dict[str, str | int | float | bool | None]
    metrics: list[str]
    score_function: str
    threads: int
    since: float
    """A moment before the code was read for the key (Unix time, seconds)."""

    @property
    def files(self) -> Path:
        """The folder whose files end up beside the cell."""
        return Path(self.scratch) / "files"


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How the work ended, as far as the worker itself could tell."""

    status: str
    reason: str = ""
    metrics: dict[str, Measurement] = {}
    seconds: dict[str, float] = {}
    device: str = "cpu"


class Diverged(Exception):
    """Training or scoring gave numbers that are not finite."""


def work(job: Job) -> Outcome:
    """Run the cell; whatever it raises becomes a status and one line, with the traceback in its log."""
    try:
        return _fit_and_score(job)
    except Skip as skip:
        return Outcome(status="skipped", reason=_printable(skip))
    except (Diverged, FloatingPointError) as error:
        traceback.print_exc()
        return Outcome(status="diverged", reason=_printable(error))
    except MemoryError as error:
        traceback.print_exc()
        return Outcome(status="oom", reason=_printable(error) or "out of memory")
    except OSError as error:
        traceback.print_exc()
        if error.errno in (errno.ENOSPC, errno.EROFS, errno.EDQUOT):
            os._exit(STORAGE_FAILED)
        return Outcome(status="failed", reason=_what_and_where(error, job))
    except BaseException as error:
        traceback.print_exc()
        out_of_memory = type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in str(error)
        return Outcome(status="oom" if out_of_memory else "failed", reason=_what_and_where(error, job))


def _what_and_where(error: BaseException, job: Job) -> str:
    """The error and the last line of the method or the task that led to it."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename in (job.method_path, job.task_path)]
    last = (own or frames)[-1]
    what = ": ".join(filter(None, [type(error).__name__, _printable(error)]))
    return f"{what} ({Path(last.filename).name}:{last.lineno})"


def _printable(error: BaseException) -> str:
    """The first line of its message, without what a terminal would obey or a file refuse."""
    first = (str(error).splitlines() or [""])[0]
    return "".join(letter if letter.isprintable() else "?" for letter in first)[:300]


def _fit_and_score(job: Job) -> Outcome:
    record = job.record
    store = Store(Path(job.results), tmp=Path(job.scratch))
    _prepare(job.threads, record.device)
    _seed(record.seed)
    task = _load(Path(job.task_path), f"harness.tasks.{record.task}")
    _check_code(job)
    run = _context(job, store, record.seed)
    problem = _call(getattr(task, record.task), run, **record.problem)
    arrays, facts = _fitted(job, problem, run, store)
    _seed(record.seed)  # a fit that was stored draws nothing, and must not change what the score draws
    scoring = _context(job, store, record.seed)
    started = time.perf_counter()
    score = getattr(task, job.score_function)
    scores: Mapping[str, float | Estimate] = _call(score, problem, arrays, scoring, **record.score)
    seconds = facts["seconds"] | scoring.seconds | {"score": time.perf_counter() - started}
    metrics = {name: Measurement(**value) for name, value in facts["metrics"].items()}
    metrics |= _measurements({**scores, **scoring.measurements}, job.metrics)
    bad = [name for name, metric in metrics.items() if not math.isfinite(metric.value)]
    if bad:
        raise Diverged(f"not finite: {', '.join(sorted(bad))}")
    return Outcome(status="ok", metrics=metrics, seconds=seconds, device=_device_name(record.device))


def _fitted(job: Job, problem: Any, run: Run, store: Store) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """The arrays and facts of the fit: stored ones if they are there, else trained now."""
    key = job.record.fit
    with store.building(key):
        with contextlib.suppress(Damaged):
            return store.read_artifact(key)
        _fit(job, problem, run, store)
        return store.read_artifact(key)


def _fit(job: Job, problem: Any, run: Run, store: Store) -> None:
    """Train, check what came back, and store it."""
    record = job.record
    method = _method(job)
    _check_code(job)
    started = time.perf_counter()
    arrays = _call(method, problem, run, **record.parameters)
    run.seconds["fit"] = time.perf_counter() - started
    _check_arrays(arrays)
    measured = _measurements(run.measurements, job.metrics)
    facts = {
        "metrics": {name: msgspec.to_builtins(value) for name, value in measured.items()},
        "seconds": run.seconds,
    }
    store.write_artifact(record.fit, arrays, facts)


def _call(function: Callable[..., Any], *arguments: Any, **words: Any) -> Any:
    """What the function returns to the process that called it; copies of that, forked meanwhile, end here."""
    caller = os.getpid()
    returned = function(*arguments, **words)
    if os.getpid() != caller:
        os._exit(0)
    return returned


def _check_code(job: Job) -> None:
    """Fail if the cell's code was edited after its key was made: the result would stand under a wrong key."""
    record = job.record
    method = Path(job.method_path)
    labels = record.fit_code | record.score_code
    files = [PACKAGE.parent / label if label.startswith("harness/") else method for label in labels]
    if max(file.stat().st_mtime for file in files) < job.since:
        return
    source = data.describe(record.dataset).source if record.dataset else None
    if identity.code_inputs(Path(job.task_path), job.score_function, method, source) != (
        record.fit_code,
        record.score_code,
    ):
        raise RuntimeError("the code was edited while the suite was running; run it again")


def _prepare(threads: int, device: str) -> None:
    import torch

    torch.set_num_threads(threads)
    if device != "cpu":  # one CPU thread is deterministic as it is, and this import takes 1.6 s
        torch.use_deterministic_algorithms(True, warn_only=True)


def _seed(seed: int) -> None:
    """Seed the global generators, for code that draws from them."""
    import numpy
    import torch

    random.seed(seed)
    numpy.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def _context(job: Job, store: Store, seed: int) -> Run:
    return Run(
        seed=seed,
        folder=job.files,
        device=job.record.device,
        assets=lambda builder, parameters: _asset(job, store, builder, parameters),
        progress_file=Path(job.scratch) / "progress.json",
    )


def _asset(
    job: Job, store: Store, builder: Callable[..., Any], parameters: dict[str, Any]
) -> dict[str, torch.Tensor]:
    """The stored arrays of an asset, built now if nobody has; others wait for whoever builds."""
    if getattr(builder, "__harness__", {}).get("role") != "asset":
        raise TypeError(f"{builder.__name__} is not marked @harness.asset")
    signature = inspect.signature(builder)
    bound = signature.bind(None, **parameters)
    bound.apply_defaults()
    resolved = dict(list(bound.arguments.items())[1:])
    code = identity.asset_inputs(Path(inspect.getfile(builder)), job.score_function)
    inputs = []
    if "dataset" in resolved:
        here = data.locate(resolved["dataset"])
        inputs = [identity.dataset_inputs(here.dataset.source), here.checksums]
    key = identity.digest([identity.FORMAT, "asset", builder.__name__, resolved, code, inputs])
    with store.building(key):
        with contextlib.suppress(Damaged):
            return store.read_artifact(key)[0]
        run = _context(job, store, resolved.get("seed", 0))
        arrays = _call(builder, run, **resolved)
        _check_arrays(arrays)
        store.write_artifact(key, arrays, {"builder": builder.__name__, "seconds": run.seconds})
        return store.read_artifact(key)[0]


def _load(path: Path, name: str) -> ModuleType:
    """The module in the file `path`, under a name of its own."""
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickles look their module up
    spec.loader.exec_module(module)
    return module


def _method(job: Job) -> Callable[..., Any]:
    """The method's function, checked against what the registry read in its source."""
    name = job.record.method
    if job.method_module:
        module = importlib.import_module(job.method_module)
    else:
        module = _load(Path(job.method_path), f"harness_method_{name}")
    function = getattr(module, name)
    if getattr(function, "__harness__", {}).get("role") != "method":
        raise TypeError(
            f"{name} is not what its file says: another object has taken the decorated function's name"
        )
    found = {
        word.name: word.default
        for word in inspect.signature(function).parameters.values()
        if word.kind is word.KEYWORD_ONLY and word.default is not word.empty
    }
    if found != job.method_defaults:
        raise TypeError(f"{name} has the defaults {found}, but its source says {job.method_defaults}")
    return function


def _check_arrays(arrays: Any) -> None:
    import torch

    if not isinstance(arrays, dict) or not all(isinstance(name, str) for name in arrays):
        raise TypeError(f"a method returns arrays by name, not {type(arrays).__name__}")
    for name, array in arrays.items():
        tensor = torch.as_tensor(array)
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise Diverged(f"the method returned numbers that are not finite in {name!r}")


def _measurements(values: Mapping[str, float | Estimate], declared: list[str]) -> dict[str, Measurement]:
    unknown = sorted(set(values) - set(declared))
    if unknown:
        raise ValueError(f"metrics that the task does not declare: {', '.join(unknown)}")
    return {
        name: Measurement(float(value.value), float(value.error), int(value.n))
        if isinstance(value, Estimate)
        else Measurement(float(value))
        for name, value in values.items()
    }


def _device_name(device: str) -> str:
    if not device.startswith("cuda"):
        return device
    import torch

    return torch.cuda.get_device_name(device)


def keep_freed_memory() -> None:
    """Reuse what is freed: by itself, glibc lets large arrays fault in anew, page by page, at each update."""
    trim_threshold, mmap_threshold = -1, -3  # of malloc.h
    with contextlib.suppress(AttributeError, OSError):  # another C library
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(mmap_threshold, 32 << 20)
        mallopt(trim_threshold, 2**31 - 1)


def child(job: Job) -> None:
    """The body of the worker process: log to the cell's file, work, leave an outcome. Never returns."""
    own = os.getpid()
    with contextlib.suppress(BaseException):
        log = os.open(job.files / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(log, 1)
        os.dup2(log, 2)
        # What is printed reaches the log however the process ends.
        sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
        keep_freed_memory()
        outcome = work(job)
        if os.getpid() != own:
            os._exit(0)  # a process that the method forked and that raised; only the original may answer
        try:
            (Path(job.scratch) / "outcome.json").write_bytes(msgspec.json.encode(outcome))
        except OSError:
            os._exit(STORAGE_FAILED)
        os._exit(0)
    os._exit(70)
