"""Who may import whom, held by the syntax trees; each rule is shown to find what breaks it."""

from __future__ import annotations

import ast
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from project import ROOT

from harness import declared, key, registry

HEAVY = {"torch", "numpy", "pandas", "sklearn", "scipy", "matplotlib", "numba", "PIL", "jinja2"}
ONLY_SCORED = {
    "distortion",
    "measures",
    "rivals",
    "features",
    "figures",
    "evidence",
    "audit",
    "information",
    "ceiling",
    "gaps",
}
ORDER = (
    {"declared", "registry", "key"},
    {"suite", "store"},
    {"plan"},
    {"execution"},
    {"rows"},
    {"views"},
    {"compare", "bench"},
    {"session"},
    {"cli"},
)
"""Of the engine's modules and folders each knows those above it."""

API = {"harness", "harness.authoring", "harness.context", "harness.errors"}
"""What any file of a study may use of the engine: how authors mark, what they get, how users are told."""


def imports(path: Path, *, top: bool = False, types: bool = False) -> Iterator[str]:
    """Dotted names of what a file imports: with `top` at its top level, with `types` for checkers too."""
    waiting: list[ast.AST] = [ast.parse(path.read_bytes())]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level:
            yield "harness.plan.relative"
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield f"{node.module}.{alias.name}"
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING" and not types:
            waiting += node.orelse
        elif not (top and isinstance(node, ast.FunctionDef)):
            waiting += ast.iter_child_nodes(node)


def module(root: Path, name: str) -> Path | None:
    """The file of the package that importing `name` runs, if it is one of its own."""
    base = root.joinpath(*name.split("."))
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.is_file():
            return path
    return module(root, name.rpartition(".")[0]) if "." in name else None


def room(root: Path, name: str) -> str:
    """Where a name lies: "kit", "studies.coding", "datasets", "api", "engine", or "" outside the package."""
    parts = name.split(".")
    if parts[0] != "harness":
        return ""
    if len(parts) > 2 and parts[1] == "studies":
        return ".".join(parts[1:3])
    if len(parts) > 1 and parts[1] in ("kit", "studies", "datasets"):
        return parts[1]
    if name in API or name.rpartition(".")[0] in API - {"harness"}:
        return "api"
    return "api" if len(parts) == 2 and module(root, name) == root / "harness/__init__.py" else "engine"


def trespasses(root: Path) -> list[str]:
    """Every import of a study, the kit or a method that its room does not allow."""
    found = []
    for path in sorted((root / "harness").rglob("*.py")):
        where = room(root, ".".join(path.relative_to(root).with_suffix("").parts))
        allowed = {"", where, "kit", "api"}
        if where == "kit":
            allowed = {"", "kit"}
        elif where.startswith("studies"):
            if path.name in ("task.py", "score.py", "images.py") or path.name.endswith("assets.py"):
                allowed.add("engine")
        elif where != "datasets":
            continue
        if where == "datasets":
            allowed.add("engine")
        found += [
            f"{path.relative_to(root)}: {name}" for name in imports(path) if room(root, name) not in allowed
        ]
    return found


def is_method(root: Path, name: str) -> bool:
    first = name.partition(".")[0]
    return first in ("methods", "baselines") or (root / "methods" / f"{first}.py").is_file()


def strangers(root: Path) -> list[str]:
    """Every import of a method that is neither the authors' interface, the kit nor its own study."""
    tasks = {task.name: task for task in registry.scan().tasks.values()}
    found = []
    for path in sorted([*(root / "methods").glob("*.py"), *(root / "baselines").glob("*.py")]):
        marked = [mark for _, mark in declared._marked(ast.parse(path.read_bytes()), "method")]
        names = {word.value.value for mark in marked for word in mark.keywords if word.arg == "task"}  # type: ignore[attr-defined]
        own = {".".join(["studies", tasks[n].path.relative_to(registry.STUDIES).parts[0]]) for n in names}
        allowed = {"", "kit", "api", *own}
        for name in imports(path):
            if room(root, name) not in allowed or is_method(root, name):
                found.append(f"{path.relative_to(root)}: {name}")
    return found


def cycles(root: Path) -> list[str]:
    """Files that import themselves by way of others; a study's own `__init__` does not count."""
    files = sorted((root / "harness").rglob("*.py"))
    edges = {
        path: {found for name in imports(path, types=True) if (found := module(root, name)) and found != path}
        for path in files
    }
    for path, targets in edges.items():
        targets -= {path.parent / "__init__.py", root / "harness/__init__.py"}
    told = []
    for start in files:
        seen, waiting = set(), list(edges[start])
        while waiting:
            path = waiting.pop()
            if path not in seen:
                seen.add(path)
                waiting += edges.get(path, ())
        if start in seen:
            told.append(str(start.relative_to(root)))
    return told


def backwards(root: Path) -> list[str]:
    """Every import of a part of the engine by one that stands above it in `ORDER`."""
    places = {word: place for place, words in enumerate(ORDER) for word in words}
    found = []
    for path in sorted((root / "harness").rglob("*.py")):
        own = places.get(path.relative_to(root / "harness").parts[0].removesuffix(".py"), len(ORDER))
        for name in imports(path, types=True):
            if name.startswith("harness.") and places.get(name.split(".")[1], 0) > own:
                found.append(f"{path.relative_to(root)}: {name}")
    return found


def heavy(root: Path) -> list[str]:
    """Slow libraries that the engine imports before anybody needs them."""
    others = {root / "harness" / name for name in ("kit", "studies", "datasets", "bundled")}
    return [
        f"{path.name}: {name}"
        for path in sorted((root / "harness").rglob("*.py"))
        if others.isdisjoint(path.parents)
        for name in imports(path, top=True)
        if name.partition(".")[0] in HEAVY
    ]


@pytest.mark.parametrize("rule", [trespasses, strangers, cycles, backwards, heavy])
def test_the_rooms_are_kept(rule) -> None:
    assert rule(ROOT) == []


@pytest.mark.parametrize(
    ("rule", "file", "line"),
    [
        (trespasses, "harness/studies/coding/vimco.py", "from harness.studies.fairness import people"),
        (trespasses, "harness/studies/coding/vimco.py", "from harness import store"),
        (trespasses, "harness/kit/clocks.py", "def f():\n    import harness.plan"),
        (strangers, "methods/bsvi.py", "from harness.studies.coding import vimco"),
        (strangers, "methods/bsvi.py", "import necst"),
        (strangers, "methods/bsvi.py", "from baselines import vae"),
        (strangers, "methods/bsvi.py", "from .necst import necst"),
        (trespasses, "harness/studies/coding/vimco.py", "from ..fairness import people"),
        (strangers, "baselines/vae.py", "from harness import data"),
        (cycles, "harness/errors.py", "def f():\n    from harness import plan"),
        (cycles, "harness/studies/coding/noisy_codes.py", "from harness.studies.coding import task"),
        (cycles, "harness/errors.py", "if TYPE_CHECKING:\n    from harness.plan import Planned"),
        (backwards, "harness/plan.py", "from harness import session"),
        (backwards, "harness/views/render.py", "def f():\n    from harness.compare import judge"),
        (backwards, "harness/execution/places.py", "from harness.rows import stored"),
        (heavy, "harness/plan.py", "import numpy"),
        (heavy, "harness/cli/views.py", "import jinja2"),
        (heavy, "harness/annotate/votes.py", "from PIL import Image"),
    ],
)
def test_what_breaks_a_rule_is_found(tmp_path: Path, rule, file: str, line: str) -> None:
    for folder in ("harness", "methods", "baselines"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    with (tmp_path / file).open("a") as planted:
        planted.write(f"\n\n{line}\n")
    assert any(Path(file).name in told for told in rule(tmp_path))


def test_no_measure_is_part_of_a_fit() -> None:
    known = registry.scan()
    for method in known.methods.values():
        task = known.tasks[method.task]
        labels = key.code_of(key.fit_sources(task.path, method.path, method.root, []))
        # Senders of files choose them by the distortion that they bring.
        scored = ONLY_SCORED - ({"distortion"} if method.name in ("codec_ideal", "codec_ldpc") else set())
        assert not {Path(label).stem for label in labels} & scored, method.name
        assert not any(label.endswith("/score.py") for label in labels), method.name


def test_every_number_that_a_suite_may_set_has_a_range() -> None:
    known = registry.scan()
    for owner in (*known.tasks.values(), *known.methods.values()):
        for parameter in owner.parameters.values():
            numeric = {int, float} & {parameter.hint, *getattr(parameter.hint, "__args__", ())}
            assert not numeric or parameter.interval, f"{owner.name}: {parameter.name}"


def test_a_study_s_package_exports_its_problem_and_nothing_else() -> None:
    for path in registry.STUDIES.rglob("__init__.py"):
        body = ast.parse(path.read_bytes()).body
        assert ast.get_docstring(ast.parse(path.read_bytes()))
        assert all(isinstance(node, ast.ImportFrom) and node.module.endswith(".task") for node in body[1:]), (
            path
        )
