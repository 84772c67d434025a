"""The code of a job: imported as its key says, and checked to be what the key was made of."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from harness import declared, key, registry
from harness.errors import UserError
from harness.execution.job import Call, Job

_INSTALLED = {"site-packages", "dist-packages"}
"""Folders of other people's packages, such as those of a virtual environment among somebody's methods."""


def module(call: Call) -> ModuleType:
    """The module of a call: imported, or loaded from its file under a name that child processes know too."""
    if call.module:
        return importlib.import_module(call.module)
    name = f"harness_method_{Path(call.file).stem}"
    spec = importlib.util.spec_from_file_location(name, call.file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickles look their module up
    spec.loader.exec_module(module)
    return module


def importable(job: Job) -> None:
    """Let this process and its children import the method's own file, and the files beside it that are no
    methods. They come last on the path, as links in a folder of their own: a method named after the package
    that it wraps must not hide it."""
    if job.kind != "fit" or job.work.module:
        return
    folder = job.folder / "modules"
    folder.mkdir(parents=True, exist_ok=True)
    file, root = Path(job.work.file), Path(job.sources[-1].root)
    (folder / f"harness_method_{file.stem}.py").symlink_to(file)
    if root not in (registry.HOME / "methods", registry.HOME / "baselines"):
        methods = {path for path in registry.sources(root) if declared.methods(path, "", root)}
        for path in root.glob("[!.]*"):
            package = path.is_dir() and (path / "__init__.py").is_file()
            if package or (path.suffix == ".py" and path not in methods):
                (folder / path.name).symlink_to(path)
    sys.path.append(str(folder))
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), str(folder)]))


def method(job: Job) -> Callable[..., Any]:
    """The method's function, checked against what the registry read in its source."""
    name = job.work.function
    function = getattr(module(job.work), name)
    if getattr(function, "__harness__", {}).get("role") != "method":
        raise TypeError(
            f"{name} is not what its file says: another object has taken the decorated function's name"
        )
    found = {
        word.name: word.default
        for word in inspect.signature(function).parameters.values()
        if word.kind is word.KEYWORD_ONLY and word.default is not word.empty
    }
    if found != job.defaults:
        raise TypeError(f"{name} has the defaults {found}, but its source says {job.defaults}")
    return function


def check_unedited(job: Job) -> None:
    """Fail if the job's code was edited after its key was made: the result would stand under a wrong key."""
    root = Path(job.sources[-1].root or ".")
    files = [key.located(label, root) for label in job.code]
    newest = max((file.stat().st_mtime for file in files if file.is_file()), default=0.0)
    if newest >= job.since and key.code_of(job.sources) != job.code:
        raise UserError("the code was edited while the suite was running; run it again")


def check_covered(job: Job, before: set[str]) -> None:
    """Fail if the method ran code of its own folder or package that its key does not know."""
    root = Path(job.sources[-1].root)
    for name in sorted(set(sys.modules) - before):
        file = getattr(sys.modules[name], "__file__", None)
        path = Path(file).resolve() if isinstance(file, str) else None
        if path is None or not path.is_relative_to(root) or _INSTALLED & {*path.relative_to(root).parts}:
            continue
        if key.label(path, root) not in job.code:
            raise UserError(
                f"{path} was loaded, but nothing in the source says so: its code is not part of the key. "
                "Import it by an import statement"
            )
