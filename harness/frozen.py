"""Values by seed to judge later ones against: gathered from rows, written by `freeze`, read back by `thaw`.

Wall-clock speed is not among them: the same code an hour later would fail. `harness bench` is for that.
"""

from __future__ import annotations

import json
import math
import os
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness import groups as grouping
from harness.errors import UserError, did_you_mean
from harness.key import canonical
from harness.registry import HOME
from harness.row import Row
from harness.sketch import Sketch
from harness.store import Store, write_file
from harness.suite import bundled, find

FORMAT = 2

_PLACES = (Path("results/frozen"), HOME / "results" / "frozen")

Setting = tuple[str, str]  # task, settings as canonical text
Place = tuple[str, str, str]  # the same and a metric


@dataclass
class Frozen:
    """Values and sketches by seed of each place, statuses by seed of each setting, and what they come from.

    `suite` is the name of one that the harness brings, or the path of another as seen from the frozen file.
    """

    suite: str = ""
    device: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    values: dict[Place, dict[int, float]] = field(default_factory=lambda: defaultdict(dict))
    sketches: dict[Place, dict[int, Sketch]] = field(default_factory=lambda: defaultdict(dict))
    statuses: dict[Setting, dict[int, str]] = field(default_factory=lambda: defaultdict(dict))


def gather(rows: Sequence[Row], results: Path) -> Frozen:
    """What the measured rows of a results folder hold: metrics of kind quality and size.

    Those without a direction are kept for claims and views, where they are finite, and judged by nobody.
    """
    records = [row for row in rows if row.origin == "measured"]
    left_out = {(row.task, row.metric) for row in records if row.kind not in ("quality", "size")}
    judged = {(row.task, row.metric) for row in records if row.direction != "none"}
    found = Frozen()
    for task in sorted({row.task for row in records}):
        for group in grouping.measured([row for row in records if row.task == task], {}):
            found.statuses[task, group.key] = group.statuses
            for metric, by_seed in group.values.items():
                if (task, metric) not in judged:
                    by_seed = group.finite(metric)
                if by_seed and (task, metric) not in left_out:
                    found.values[task, group.key, metric] = by_seed
                    found.sketches[task, group.key, metric] = group.sketches.get(metric, {})
    found.device, found.versions = Store(results).origin({row.key for row in records})
    return found


def freeze(found: Frozen, path: Path) -> int:
    """Write the values of all cells as canonical JSON with one setting and its seeds a line; how many cells.

    Skipped cells are left out. Raises `UserError` if cells failed or are missing, or values are not finite: a
    reference with holes would pass what it never saw.
    """
    states = Counter(status for by_seed in found.statuses.values() for status in by_seed.values())
    states["not finite"] = sum(not math.isfinite(v) for each in found.values.values() for v in each.values())
    if holes := sorted(state for state in states if states[state] and state not in ("ok", "skipped")):
        counts = ", ".join(f"{states[state]} {state}" for state in holes)
        raise UserError(f"cells without a result cannot be frozen ({counts}); run the suite until all are ok")
    made: dict[Setting, dict[str, dict[str, Any]]] = {}
    for (task, settings, metric), by_seed in found.values.items():
        for seed, value in by_seed.items():
            cell = made.setdefault((task, settings), {}).setdefault(str(seed), {"metrics": {}})
            cell["metrics"][metric] = value
            if sketch := found.sketches.get((task, settings, metric), {}).get(seed):
                cell.setdefault("sketches", {})[metric] = sketch
    if not made:
        raise UserError("there is nothing to freeze: no cell has a quality or size metric")
    head = {"format": FORMAT, "suite": found.suite, "device": found.device, "versions": found.versions}
    body = ",\n".join(
        canonical({"task": task, "settings": json.loads(settings), "seeds": seeds})
        for (task, settings), seeds in sorted(made.items())
    )
    write_file(path, f'{canonical(head)[:-1]},"cells":[\n{body}\n]}}\n'.encode())
    return sum(map(len, made.values()))


def thaw(path: Path) -> Frozen:
    """Read what `freeze` wrote. Raises `UserError` for any other file."""
    try:
        read = json.loads(path.read_bytes())
        if read["format"] != FORMAT:
            raise UserError(f"{path}: frozen in format {read['format']}, not {FORMAT}; freeze it again")
        found = Frozen(read["suite"], read["device"], dict(read["versions"]))
        for each in read["cells"]:
            task, settings = each["task"], canonical(each["settings"])
            str(each["settings"]["method"])  # every setting names one
            for seed, cell in ((int(seed), cell) for seed, cell in each["seeds"].items()):
                found.statuses[task, settings][seed] = "ok"
                for metric, value in cell["metrics"].items():
                    found.values[task, settings, metric][seed] = float(value)
                for metric, sketch in cell.get("sketches", {}).items():
                    found.sketches[task, settings, metric][seed] = tuple(map(float, sketch))
        return found
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, TypeError, KeyError, AttributeError):
        raise UserError(f"{path}: not a file of frozen results; harness freeze makes one") from None


def name_of(suite: Path, frozen: Path) -> str:
    """What a frozen file calls its suite: one of the harness by its name, another by its path from there."""
    suite = suite.resolve()
    brought = suite.parent == (HOME / "suites").resolve()
    return suite.stem if brought else os.path.relpath(suite, frozen.resolve().parent)


def suite_of(found: Frozen, path: Path) -> str:
    """The suite that the frozen file `path` names, as `suite.find` takes it."""
    beside = path.parent / found.suite
    return str(beside) if beside.is_file() else found.suite


def is_suite(word: str) -> bool:
    """Whether a word means a suite, by name or file, rather than a frozen file or a results folder.

    Raises `UserError` for a name of nothing.
    """
    path = Path(word)
    if path.suffix in (".yaml", ".yml", ".json") or path.exists():
        return path.suffix in (".yaml", ".yml")
    known = {*bundled(), *(str(cells.parent) for cells in path.parent.glob("*/cells"))}
    known |= {file.stem for place in _PLACES for file in place.glob("*.json")}
    if word not in known:
        raise UserError(f"{word}: no such suite, frozen file or results folder{did_you_mean(word, known)}")
    return True


def reference(suite: str) -> Path:
    """The frozen file of a suite: results/frozen/SUITE.json, here or of the harness."""
    for place in _PLACES:
        if (path := place / f"{Path(suite).stem}.json").is_file():
            return path
    find(suite)
    raise UserError(f"{suite}: nothing is frozen of this suite; harness freeze {suite} does it")
