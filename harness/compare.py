"""Has quality changed? `freeze` keeps today's values by seed, `compare` judges later ones against them.

Pairs share task, settings, seed and metric. Wall-clock speed is neither frozen nor compared: the same code
an hour later would fail. `harness bench` is for that.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from harness import stats
from harness.errors import UserError
from harness.key import canonical
from harness.row import Row
from harness.store import write_file
from harness.views import groups as grouping
from harness.views.groups import Group
from harness.views.render import Head, Table, TableCell

FORMAT = 1
FAR = 10.0
"""Without an interval, a change is judged if it exceeds this many tolerances on every seed."""

NOTE = (
    "now − then: mean over n seeds and, from three seeds, the 95 % t-interval of the differences seed by "
    "seed; judged against the tolerance of the metric."
)

Outcome = Literal["regressed", "inconclusive", "unmatched", "improved", "ok"]
Place = tuple[str, str, str]  # task, settings as canonical text, metric


@dataclass(frozen=True)
class Frozen:
    """A reference: values by seed of each (task, settings as canonical text, metric), and their origin."""

    suite: str
    device: str
    versions: dict[str, str]
    values: dict[Place, dict[int, float]]


@dataclass(frozen=True)
class Judgement:
    """An outcome over `n` paired values. `change` is the mean of now − then, in the metric's unit; `low` and
    `high` bound it with 95 % confidence and are None below three pairs."""

    outcome: Outcome
    n: int
    change: float | None = None
    low: float | None = None
    high: float | None = None
    reason: str = ""


@dataclass(frozen=True)
class Verdict:
    """The judgement on one metric under one setting; `metric` is "" where cells failed outright."""

    task: str
    settings: dict[str, Any]
    metric: str
    judgement: Judgement
    tolerance: float | None = None


def freeze(rows: Sequence[Row], path: Path, *, suite: str, device: str, versions: Mapping[str, str]) -> int:
    """Write the values of all cells, by seed, as canonical JSON with one cell a line; returns how many.

    Kept are metrics of kind quality and size that have a direction; skipped cells are left out. Raises
    `UserError` if cells failed or are missing: a reference with holes would pass what it never saw.
    """
    groups, judged = _measured(rows)
    states = Counter(status for group in _all(groups) for status in group.statuses.values())
    holes = states.keys() - {"ok", "skipped"}
    if holes:
        counts = ", ".join(f"{states[status]} {status}" for status in sorted(holes))
        raise UserError(f"cells without a result cannot be frozen ({counts}); run the suite until all are ok")
    cells = [cell for task in groups for group in groups[task] for cell in _cells(task, group, judged)]
    if not cells:
        raise UserError("there is nothing to freeze: no cell has a quality or size metric")
    head = canonical({"format": FORMAT, "suite": suite, "device": device, "versions": dict(versions)})
    cells.sort(key=lambda cell: canonical([cell["task"], cell["settings"], cell["seed"]]))
    body = ",\n".join(map(canonical, cells))
    write_file(path, f'{head[:-1]},"cells":[\n{body}\n]}}\n'.encode())
    return len(cells)


def _cells(task: str, group: Group, judged: Mapping[tuple[str, str], Row]) -> Iterable[dict[str, Any]]:
    for seed in group.statuses:
        found = {
            metric: by_seed[seed]
            for metric, by_seed in group.values.items()
            if seed in by_seed and (task, metric) in judged
        }
        if found:
            # JSON has no word for values that are not finite, so they are text: "nan", "inf", "-inf".
            texts = {metric: value if math.isfinite(value) else str(value) for metric, value in found.items()}
            yield {"task": task, "settings": group.settings, "seed": seed, "metrics": texts}


def thaw(path: Path) -> Frozen:
    """Read what `freeze` wrote. Raises `UserError` for any other file."""
    try:
        read = json.loads(path.read_bytes())
        if read["format"] != FORMAT:
            raise UserError(f"{path}: frozen in format {read['format']}, not {FORMAT}; freeze it again")
        values: dict[Place, dict[int, float]] = {}
        for cell in read["cells"]:
            for metric, value in cell["metrics"].items():
                place = (cell["task"], canonical(cell["settings"]), metric)
                values.setdefault(place, {})[int(cell["seed"])] = float(value)
        return Frozen(read["suite"], read["device"], dict(read["versions"]), values)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, TypeError, KeyError, AttributeError):
        raise UserError(f"{path}: not a file of frozen results; harness freeze makes one") from None


def compare(frozen: Frozen, rows: Sequence[Row]) -> list[Verdict]:
    """A verdict on every frozen metric and on every setting whose cells failed, the worst first.

    What is frozen but not measured now is "unmatched"; what is new is not judged. Directions and tolerances
    are today's.
    """
    groups, judged = _measured(rows)
    now = {
        (task, group.key, metric): values
        for task in groups
        for group in groups[task]
        for metric, values in group.values.items()
    }
    verdicts = [verdict for task in groups for group in groups[task] for verdict in _failures(task, group)]
    for (task, settings, metric), then in frozen.values.items():
        record = judged.get((task, metric))
        if record is None or not then.keys() & now.get((task, settings, metric), {}).keys():
            missing = Judgement("unmatched", 0, reason="not measured now")
            verdicts.append(Verdict(task, json.loads(settings), metric, missing))
            continue
        judgement = judge(then, now[task, settings, metric], record.direction, record.tolerance)
        verdicts.append(Verdict(task, json.loads(settings), metric, judgement, record.tolerance))
    return sorted(verdicts, key=_worst_first)


def judge(then: Mapping[int, float], now: Mapping[int, float], direction: str, tolerance: float) -> Judgement:
    """The judgement on values by seed, over the seeds that both have (at least one).

    The 95 % interval of the mean gain (the change, counted so that more is better) says:

    - regressed: all of it lies below −tolerance
    - improved: all of it lies above the tolerance
    - ok: it does not reach below −tolerance, so there is no loss that anybody should care about
    - inconclusive: both such a loss and none are possible

    Below three seeds there is no interval. Then gains within the tolerance on every seed are ok (identical
    values always are), gains beyond `FAR` tolerances in one direction on every seed regressed or improved,
    for no third seed would turn them; the rest is inconclusive.
    """
    shared = sorted(then.keys() & now.keys())
    sign = -1.0 if direction == "lower" else 1.0
    gains = [_gain(then[seed], now[seed], sign) for seed in shared]
    reason = f"{len(shared)} of {len(then)} frozen seeds" if len(shared) < len(then) else ""
    if not all(map(math.isfinite, gains)):
        lost = -math.inf in gains
        reason = f"values {'became' if lost else 'were'} not finite"
        return Judgement("regressed" if lost else "improved", len(shared), reason=reason)
    interval = stats.t_interval(gains)
    change = sign * interval.mean
    if interval.low is None or interval.high is None:
        return Judgement(_without_interval(gains, tolerance), len(shared), change, reason=reason)
    low, high = sorted((sign * interval.low, sign * interval.high))
    outcome = _with_interval(interval.low, interval.high, tolerance)
    return Judgement(outcome, len(shared), change, low, high, reason)


def exit_code(verdicts: Iterable[Verdict]) -> int:
    """0: nothing is worse. 1: something regressed or failed. 2: nothing in common. 3: some cannot be told."""
    outcomes = {verdict.judgement.outcome for verdict in verdicts}
    if "regressed" in outcomes:
        return 1
    if outcomes <= {"unmatched"}:
        return 2
    return 3 if outcomes & {"inconclusive", "unmatched"} else 0


def as_table(verdicts: Sequence[Verdict], title: str = "Now against frozen", note: str = NOTE) -> Table:
    """The verdicts for people: settings are named as far as they tell verdicts apart."""
    heads = [Head(key, key) for key in ("outcome", "task", "dataset", "method", "metric")]
    heads += [Head("n", "n", "right"), Head("change", "now − then", "right")]
    heads += [Head("tolerance", "tolerance", "right"), Head("reason", "reason")]
    groups = {canonical(verdict.settings): Group(verdict.settings, {0: "ok"}) for verdict in verdicts}
    labels = grouping.labels(list(groups.values()), ["dataset", "method"], [])
    rows = [_row(verdict, labels[canonical(verdict.settings)]) for verdict in verdicts]
    return Table(title, heads, rows, [note])


def _row(verdict: Verdict, label: str) -> list[TableCell]:
    judgement = verdict.judgement
    dataset = verdict.settings.get("dataset", "–")
    texts = [judgement.outcome, verdict.task, dataset, label, verdict.metric or "–", str(judgement.n)]
    tolerance = "–" if verdict.tolerance is None else f"{verdict.tolerance:g}"
    last = [TableCell(tolerance), TableCell(judgement.reason or "–")]
    return [*map(TableCell, texts), _change(judgement), *last]


def _change(judgement: Judgement) -> TableCell:
    if judgement.change is None:
        return TableCell("–")
    numbers = {"": judgement.change, "low": judgement.low, "high": judgement.high}
    around = "" if judgement.low is None else f" ({judgement.low:+.3g} to {judgement.high:+.3g})"
    exact = judgement.change == 0 and judgement.low in (0, None)
    return TableCell("0" if exact else f"{judgement.change:+.3g}{around}", numbers)


def _measured(rows: Sequence[Row]) -> tuple[dict[str, list[Group]], dict[tuple[str, str], Row]]:
    """The measured groups by task, and a record of every (task, metric) that is judged."""
    records = [row for row in rows if row.origin == "measured"]
    tasks = sorted({record.task for record in records})
    groups = {
        task: grouping.measured([record for record in records if record.task == task], {}) for task in tasks
    }
    judged = {
        (record.task, record.metric): record
        for record in records
        if record.kind in ("quality", "size") and record.direction in ("higher", "lower")
    }
    return groups, judged


def _all(groups: Mapping[str, Sequence[Group]]) -> list[Group]:
    return [group for task in groups for group in groups[task]]


def _failures(task: str, group: Group) -> Iterable[Verdict]:
    failed = Counter(
        status for status in group.statuses.values() if status not in ("ok", "skipped", "missing")
    )
    if failed:
        reason = ", ".join(f"{count} {status}" for status, count in sorted(failed.items()))
        yield Verdict(task, group.settings, "", Judgement("regressed", failed.total(), reason=reason))


def _gain(then: float, now: float, sign: float) -> float:
    """How much better `now` is; infinite if either value is not finite and they are not the same."""
    if then == now or (math.isnan(then) and math.isnan(now)):
        return 0.0
    if math.isnan(now) or math.isnan(then):
        return -math.inf if math.isnan(now) else math.inf
    if math.isinf(now) or math.isinf(then):
        return sign * (now - then)
    return sign * stats.differences([now], [then])[0]


def _with_interval(low: float, high: float, tolerance: float) -> Outcome:
    if high < -tolerance:
        return "regressed"
    if low > tolerance:
        return "improved"
    return "ok" if low >= -tolerance else "inconclusive"


def _without_interval(gains: Sequence[float], tolerance: float) -> Outcome:
    if all(abs(gain) <= tolerance for gain in gains):
        return "ok"
    if tolerance > 0 and all(gain < -FAR * tolerance for gain in gains):
        return "regressed"
    if tolerance > 0 and all(gain > FAR * tolerance for gain in gains):
        return "improved"
    return "inconclusive"


def _worst_first(verdict: Verdict) -> tuple[Any, ...]:
    order = ("regressed", "inconclusive", "unmatched", "improved", "ok")
    outcome = order.index(verdict.judgement.outcome)
    return (outcome, verdict.task, canonical(verdict.settings), verdict.metric)
