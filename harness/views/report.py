"""One page for people who ask whether it holds: claims, tables, pictures, failures, all rows; one HTML file.

The page asks nobody for anything: its policy forbids every request, scripts run by their digest alone, and
whatever came from results is escaped.
"""

from __future__ import annotations

import base64
import hashlib
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness import groups as grouping
from harness import stats
from harness.registry import CLAIMS, FIGURES, STUDIES, Method, Registry
from harness.row import Row
from harness.store import Record, Store
from harness.views import claims, claims_file, curve, drawing, evidence, figure_file, render, table
from harness.views.claims import Verdict
from harness.views.evidence import Failure, Picture
from harness.views.figure_file import CurveSpec

LARGEST = 5_000_000
"""Bytes of a page: pictures are left out until it is smaller."""

ORDER = ("holds", "does not hold", "inconclusive", "not measured")


@dataclass(frozen=True)
class Drawn:
    """Curves as an address, what they show in words, and what is to be said of them."""

    title: str
    address: str
    alt: str
    notes: list[str]


@dataclass(frozen=True)
class Study:
    """What the page says of one study; `lacks` are reasons why things were not measured, with their count."""

    name: str
    protocol: list[str]
    same: dict[str, dict[str, Any]]
    methods: list[Method]
    verdicts: list[Verdict]
    covered: dict[str, int]
    tables: list[str]
    figures: list[Drawn]
    pictures: list[Picture]
    lacks: list[tuple[str, int]]
    failures: list[Failure]


def page(
    rows: Sequence[Row],
    registry: Registry,
    *,
    of: str,
    tables: Iterable[Path],
    store: Store,
    frozen: Sequence[Row] = (),
) -> str:
    """The page about `rows`, those of `of`, with `tables` as far as they show a cell.

    Pictures, logs and what cells ran on come from `store`, as far as it has them. Claims that `rows` do not
    speak of are judged on `frozen` ones, and marked. Raises `UserError` if two rows of one cell disagree.
    """
    rows = [_described(row, registry) for row in rows]
    keys = dict.fromkeys(row.key for row in rows if row.key)
    records = {key: record for key in keys if (record := store.readable(key))}
    known = [(path, spec) for path in tables for spec in [table.load(path)]]
    judged = _judged(rows, frozen, registry)
    studies = list(_studies(rows, registry, judged, known, records, store))
    listed = [verdict for study in studies for verdict in study.verdicts]
    parts = {
        "of": of,
        "studies": studies,
        "counts": {outcome: sum(each.verdict == outcome for each in listed) for outcome in ORDER},
        "brought": sum(each.brought for each in listed),
        "covered": claims.coverage(rows, [path for path, _ in known]),
        "level": claims.LEVEL,
        "enough": stats.MIN_SEEDS,
        "made": evidence.provenance(rows, records, store),
        "rows": _long(rows, {task: same for study in studies for task, same in study.same.items()}),
    }
    for most in (2_000_000, 500_000, 0):
        made = _render(parts | {"shown": evidence.within([study.pictures for study in studies], most)})
        if len(made) < LARGEST:
            break
    return made


def _judged(rows: Sequence[Row], frozen: Sequence[Row], registry: Registry) -> dict[str, list[Verdict]]:
    """Verdicts by study. All are judged at once, for claims of a family share an error rate."""
    listed = {study: claims_file.load(CLAIMS.find(study), registry) for study in CLAIMS.names()}
    every = [claim for each in listed.values() for claim in each]
    brought = (replace(each, brought=each.verdict != "not measured") for each in claims.judge(frozen, every))
    pairs = zip(claims.judge(rows, every), brought, strict=True)
    verdicts = (other if own.verdict == "not measured" else own for own, other in pairs)
    made = {study: [next(verdicts) for _ in each] for study, each in listed.items()}
    return {study: sorted(each, key=lambda one: ORDER.index(one.verdict)) for study, each in made.items()}


def _studies(
    rows: Sequence[Row],
    registry: Registry,
    judged: dict[str, list[Verdict]],
    tables: Sequence[tuple[Path, table.TableSpec]],
    records: dict[str, Record],
    store: Store,
) -> Iterator[Study]:
    declared = [figure_file.load(FIGURES.find(name), registry) for name in FIGURES.names()]
    figures = [spec for spec in declared if isinstance(spec, CurveSpec)]
    rooms: dict[str, list[str]] = {}
    for task in registry.tasks.values():
        if any(row.task == task.name and row.origin == "measured" for row in rows):
            rooms.setdefault(task.path.relative_to(STUDIES).parts[0], []).append(task.name)
    for name, tasks in rooms.items():
        mine = [row for row in rows if row.task in tasks]
        shown = [(path, spec) for path, spec in tables if spec.task in tasks]
        ours = {task: grouping.measured([row for row in mine if row.task == task], {}) for task in tasks}
        yield Study(
            name=name,
            protocol=[registry.tasks[task].doc for task in tasks],
            same={task: _same(groups) for task, groups in ours.items()},
            methods=[
                registry.methods[place]
                for place in dict.fromkeys((row.task, row.method) for row in mine)
                if place in registry.methods
            ],
            verdicts=judged.get(name, []),
            covered=claims.coverage(mine, [path for path, _ in shown]),
            tables=[
                render.to_html(render.brief(table.make(spec, mine)))
                for _, spec in shown
                if grouping.measured([row for row in mine if row.task == spec.task], spec.where)
            ],
            figures=[drawn for spec in figures if spec.task in tasks for drawn in _drawn(spec, mine)],
            pictures=evidence.pictures(ours.values(), records, store),
            lacks=_lacks(mine),
            failures=evidence.failures(mine, store),
        )


def _drawn(spec: CurveSpec, rows: Sequence[Row]) -> Iterator[Drawn]:
    """The figure, if these rows give it anything to draw."""
    made = curve.make(spec, rows)
    if made.panels:
        picture = base64.b64encode(drawing.draw(made, "svg")).decode()
        yield Drawn(made.title, f"data:image/svg+xml;base64,{picture}", _in_words(made), made.notes)


def _in_words(figure: curve.Figure) -> str:
    """The ends of every curve, for those who cannot see it."""
    told = [f"{figure.title}. {figure.y_title} by {figure.x_title}."]
    for panel in figure.panels:
        ends = [(each.label, each.points[0], each.points[-1]) for each in panel.series if each.points]
        curves = [
            f"{name} from {_number(first.y)} at {_number(first.x)} to {_number(last.y)} at {_number(last.x)}"
            for name, first, last in ends
        ]
        told.append(f"{panel.title}: {'; '.join(curves)}." if panel.title else f"{'; '.join(curves)}.")
    return " ".join(told)


def _same(groups: Sequence[grouping.Group]) -> dict[str, Any]:
    """What all cells of a task share."""
    shared = grouping.shared_settings(groups).items()
    return {name: values[0] for name, values in shared if len(values) == 1 and name != "method"}


def _lacks(rows: Sequence[Row]) -> list[tuple[str, int]]:
    absent = [row for row in rows if row.status in ("skipped", "missing")]
    return Counter(f"{row.task} {row.method}, {row.status}: {row.reason}" for row in absent).most_common()


def _described(row: Row, registry: Registry) -> Row:
    """The row with its metric's unit and direction, which frozen values lack."""
    task = registry.tasks.get(row.task)
    metric = task.metrics.get(row.metric) if task and row.origin == "measured" else None
    if metric is None:
        return row
    return row._replace(unit=metric.unit, direction=metric.direction, kind=metric.kind)


def _long(rows: Sequence[Row], same: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """All rows, compactly: each names its cell and its metric by their places in two lists.

    Settings that are the `same` in all cells of a task are left out.
    """
    texts: dict[int, str] = {}  # the metrics of a cell share one object
    cells: dict[tuple[Any, ...], int] = {}
    metrics: dict[tuple[str, str], int] = {}
    made = []
    for row in rows:
        if id(row.settings) not in texts:
            plain = {"method": row.method, "dataset": row.dataset, **same.get(row.task, {})}
            told = {n: grouping.spell(v) for n, v in row.settings.items() if plain.get(n, ...) != v}
            texts[id(row.settings)] = ", ".join(f"{name}={told[name]}" for name in sorted(told))
        cell = (row.task, row.dataset or "", row.method, texts[id(row.settings)], *_origin(row))
        metric = metrics.setdefault((row.metric, row.unit), len(metrics))
        numbers = (_short(row.value), _short(row.error), row.n or None)
        made.append([cells.setdefault(cell, len(cells)), metric, *numbers])
    return {"cells": list(cells), "metrics": list(metrics), "rows": made}


def _origin(row: Row) -> tuple[int | None, str, str]:
    """Seed, whose row it is, and its status or, of a published one, its place."""
    if row.origin == "published":
        return None, f"published: {row.suite}", row.place
    return row.seed, f"ours: {row.suite}", f"{row.status}: {row.reason}" if row.reason else row.status


def _short(value: float) -> float | None:
    """Six digits of a number; None where JSON has no word for it."""
    return float(f"{value:.6g}") if math.isfinite(value) else None


def _render(parts: dict[str, Any]) -> str:
    import jinja2
    from jinja2.utils import htmlsafe_json_dumps

    folder = Path(__file__).with_name("page")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {
        "spell": grouping.spell,
        "paragraphs": _paragraphs,
        "number": _number,
        "word": _word,
    }
    script = folder.joinpath("page.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    style = folder.joinpath("page.css").read_text(encoding="utf-8")
    dumped = htmlsafe_json_dumps(parts["rows"], separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return environment.get_template("page.html").render(
        parts | {"script": script, "digest": digest, "style": style, "dumped": dumped}
    )


def _number(value: float | None) -> str:
    """Three or four digits, with a true minus."""
    return "–" if value is None else f"{value:.4g}".replace("-", "−")


def _word(name: str) -> str:
    """An identifier as part of an element's id."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower())


def _paragraphs(text: str) -> list[str]:
    """The paragraphs of a docstring; the points of a list are paragraphs, too."""
    parts = re.split(r"\n\s*\n|\n(?=\* )", text.strip())
    return [" ".join(part.split()) for part in parts]
