"""Do the claims hold? Every `comparison` is a t-test over seeds; a family of claims shares an error rate.

A claim of several parts holds if all do (its p-value is their largest) and does not if any does not (the
smallest, times their number). Holm's correction over the claims of a family then keeps the chance that any of
them is called true or false wrongly at 5 %, over repetitions with other seeds; with other test examples as
well, where the cells of both sides keep sketches of theirs.
"""

from __future__ import annotations

import itertools
import json
import statistics
import textwrap
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness import groups as grouping
from harness import stats
from harness.errors import UserError
from harness.groups import Group, Scalar
from harness.key import canonical
from harness.row import Row
from harness.views import claims_file, table_file
from harness.views.claims_file import Claim
from harness.views.comparison import ENOUGH, LEVEL, Outcome, Part, measure, outcome

_Rivals = dict[Scalar, list[Group | None]]  # by method; no method and no group where ours stand alone


@dataclass(frozen=True)
class Verdict:
    """What is to be said of a claim, Holm-corrected within its family, and the part that decides it.

    `brought`: of values that harness brings, since the results at hand do not speak of it.
    """

    claim: Claim
    verdict: Outcome
    decisive: Part
    parts: list[Part]
    brought: bool = False

    @property
    def settles(self) -> str:
        """What would settle it, or "" if it is settled."""
        if self.verdict in ("holds", "does not hold"):
            return ""
        seeds = [part.seeds for part in self.parts if part.seeds is not None]
        words = [part.settles for part in self.parts if part.settles]
        if seeds:
            many = f"about {max(seeds)} more" if max(seeds) < ENOUGH else f"over {ENOUGH} more"
            words.append(f"{many} seeds, if margin and spread stay")
        return "; ".join(dict.fromkeys(words))


def judge(rows: Sequence[Row], claims: Sequence[Claim], level: float = LEVEL) -> list[Verdict]:
    """A verdict on every claim, in their order. Raises `UserError` if two rows of one cell disagree."""
    sizes = Counter(claim.family for claim in claims if not claim.exact)
    parts = [list(_parts(claim, rows, level / max(sizes[claim.family], 1))) for claim in claims]
    p_values = [_joint(each) for each in parts]
    for family in sizes:
        places = [i for i, claim in enumerate(claims) if claim.family == family and not claim.exact]
        for i, p in zip(places, stats.holm([p_values[i] for i in places]), strict=True):
            p_values[i] = p
    return [
        Verdict(claim, outcome(each, significant=p <= level), _decisive(each), each)
        for claim, each, p in zip(claims, parts, p_values, strict=True)
    ]


def coverage(rows: Sequence[Row], tables: Iterable[Path]) -> dict[str, int]:
    """Of all published numbers: how many are comparable, agree, differ, are not measured.

    A number is comparable if a table file gives its tolerance. It agrees if our mean under every setting
    that it stands beside does, differs if none does, and else agrees "in part".
    """
    states: dict[int, set[bool]] = {}
    for spec in map(table_file.load, tables):
        ours = grouping.measured([row for row in rows if row.task == spec.task], spec.where)
        for column in spec.columns:
            if column.agree_within is None:
                continue
            for row in grouping.published(rows, spec.where, spec.published, {column.published}):
                state = states.setdefault(id(row), set())
                for group in ours:
                    values = group.finite(column.metric).values()
                    if (
                        values
                        and grouping.fits(group.settings, spec.comparable)
                        and row.settings.items() <= group.settings.items()
                    ):
                        state.add(abs(statistics.mean(values) - row.value) <= column.agree_within)
    found = Counter(frozenset(state) for state in states.values())
    return {
        "published": sum(row.origin == "published" for row in rows),
        "comparable": len(states),
        "agree": found[frozenset({True})],
        "in part": found[frozenset({True, False})],
        "differ": found[frozenset({False})],
        "not measured": found[frozenset()],
    }


def turned(verdicts: Sequence[Verdict], before: Path) -> list[str]:
    """The verdicts that differ from those in a file of `as_json`, as sentences. Raises `UserError`.

    Of claims that only one side has, those are told that were dropped; new ones cannot have turned.
    """
    try:
        then = {each["id"]: each["verdict"] for each in json.loads(before.read_bytes())["claims"]}
    except OSError as error:
        raise UserError(f"{before}: cannot be read: {error.strerror}") from None
    except (ValueError, TypeError, KeyError):
        raise UserError(f"{before}: not a file of verdicts; harness claims --json makes one") from None
    now = {each.claim.id: each.verdict for each in verdicts}
    pairs = [(name, was, now.get(name, "no longer judged")) for name, was in then.items()]
    return [f"{name}: {was} → {became}" for name, was, became in pairs if was != became]


def as_json(verdicts: Sequence[Verdict], covered: Mapping[str, int]) -> dict[str, Any]:
    """Verdicts as plain values."""
    listed = [
        {
            "id": each.claim.id,
            "says": each.claim.says,
            "place": each.claim.place,
            "family": each.claim.family,
            "verdict": each.verdict,
            "settles": each.settles,
            "decisive": asdict(each.decisive),
            "parts": [asdict(part) for part in each.parts],
        }
        for each in verdicts
    ]
    return {"claims": listed, "published": dict(covered)}


def as_text(verdicts: Sequence[Verdict], covered: Mapping[str, int]) -> str:
    """Verdicts for people, and a line on how far our numbers agree with those in print."""
    lines = []
    for each in verdicts:
        lines.append(f"{each.verdict.upper()}  {each.claim.id}: {each.claim.says} ({each.claim.place})")
        lines.append("    " + _figure(each.decisive, len(each.parts)))
        lines += [f"    would settle it: {each.settles}"] if each.settles else []
    counts = Counter(each.verdict for each in verdicts)
    lines += [
        "",
        ", ".join(f"{count} {name}" for name, count in counts.most_common()),
        "Margins: mean and 95 % t-interval over n seeds, covering the choice of seed (of test examples, too, "
        "where it says so) and nothing else. Of several parts the one that decides is shown. Verdicts are "
        "Holm-corrected by family, level 0.05.",
        f"Of {covered['published']} published numbers {covered['comparable']} are comparable: "
        f"{covered['agree']} agree, {covered['in part']} agree in some of our settings, {covered['differ']} "
        f"differ, {covered['not measured']} are not measured.",
    ]
    wrap = textwrap.TextWrapper(100, subsequent_indent="    ", break_long_words=False)
    return "\n".join(wrap.fill(line) for line in lines)


def _figure(part: Part, parts: int) -> str:
    settings = {**part.where, **part.budget}
    where = ", ".join(f"{name}={grouping.spell(value)}" for name, value in settings.items())
    text = f"{part.test}{f' [{where}]' if where else ''}"
    if part.margin is not None:
        around = "" if part.low is None else f" ({part.low:.3g} to {part.high:.3g})"
        text += f": {part.small:.4g} and {part.large:.4g}, margin {part.margin:.3g}{around}, n = {part.n}"
        text += " seeds, and test examples" if part.examples else ""
    return text + (f"; 1 of {parts} parts" if parts > 1 else "")


def _joint(parts: Sequence[Part]) -> float:
    """The p-value of all parts together, for what they point to; 1 where some cannot be tested."""
    against = [part.p for part in parts if part.p is not None and not part.favours]
    if against:
        return min(1.0, len(parts) * min(against))
    return max(1.0 if part.p is None else part.p for part in parts)


def _decisive(parts: Sequence[Part]) -> Part:
    """The strongest part against it; else one that could not be tested; else the weakest one for it."""
    against = [part for part in parts if part.p is not None and not part.favours]
    if against:
        return min(against, key=lambda part: part.p or 0.0)
    return max(parts, key=lambda part: (part.p is None, part.n if part.p is None else 0, part.p or 0.0))


def _parts(claim: Claim, rows: Sequence[Row], level: float) -> Iterable[Part]:
    """Every comparison of the claim under every setting; the seeds it lacks are counted for `level`."""
    mine = [row for row in rows if row.task == claim.task]
    rivals = _rivals(claim, mine)
    ours = [group for group in grouping.measured(mine, claim.ours) if _same(claim, group)]
    ours = _largest(claim, ours, rivals)
    beside = [row for row in mine if row.origin == "published" and row.suite == claim.published]
    grouping.attach(beside, ours, {})
    for setting in _combinations(claim, ours):
        within = [group for group in ours if grouping.fits(group.settings, setting)]
        telling = [name for name, values in grouping.shared_settings(within).items() if len(values) > 1]
        for rival, test in itertools.product(rivals, claims_file.comparisons(claim.holds)):
            against = {"against": rival} if claim.against else {}
            pairs = [(group, other) for group in within for other in _partners(claim, group, rivals[rival])]
            for group, other in pairs:
                where = setting | {name: group.settings[name] for name in telling} | against
                budget = {name: group.settings.get(name) for name in claim.budget}
                yield measure(claim, Part(test.text, where, budget, test.strict), test, group, other, level)
            if not pairs:
                lacks = claim.needs or _lacking(claim, within)
                yield Part(test.text, setting | against, {}, test.strict, settles=lacks)


def _combinations(claim: Claim, ours: Sequence[Group]) -> list[dict[str, Any]]:
    """The settings under which it must hold: those that are asked for by value, and those that are there."""
    axes: list[list[Scalar]] = []
    for name in claim.for_each:
        asked = claim.ours.get(name, [])
        there = [group.settings[name] for group in ours if name in group.settings]
        axes.append(list(dict.fromkeys([*(asked if isinstance(asked, list) else [asked]), *there])))
    listed: list[dict[str, Any]] = [
        dict(zip(claim.for_each, values, strict=True)) for values in itertools.product(*axes)
    ]
    if claim.for_each and not claim.ours.keys() >= set(claim.for_each):
        listed = [each for each in listed if any(grouping.fits(group.settings, each) for group in ours)]
    return listed or [{}]


def _largest(claim: Claim, groups: Sequence[Group], rivals: _Rivals) -> list[Group]:
    """Of the groups with the same `for_each`, those of the largest budget at which a test is possible."""

    def rank(group: Group) -> tuple[float, ...]:
        mine = _seeds(group)
        pairs = [
            max((len(mine & (_seeds(each) if each else mine)) for each in partners), default=0)
            for partners in (_partners(claim, group, others) for others in rivals.values())
        ]
        return min(stats.MIN_SEEDS, *pairs), *(float(group.settings.get(name) or 0) for name in claim.budget)

    best: dict[str, tuple[float, ...]] = {}
    ranked = [(group, canonical([group.settings.get(name) for name in claim.for_each])) for group in groups]
    for group, place in ranked:
        best[place] = max(best.get(place, rank(group)), rank(group))
    return [group for group, place in ranked if rank(group)[1:] == best[place][1:]]


def _seeds(group: Group) -> set[int]:
    return {seed for seed, status in group.statuses.items() if status == "ok"}


def _rivals(claim: Claim, rows: Sequence[Row]) -> _Rivals:
    if not claim.against:
        return {None: [None]}
    listed = claim.against["method"]
    return {
        method: list(grouping.measured(rows, {**claim.where, **claim.against, "method": method}))
        for method in (listed if isinstance(listed, list) else [listed])
    }


def _partners(claim: Claim, group: Group, others: Sequence[Group | None]) -> list[Group | None]:
    """Of `others` those with the same settings as `group`, as far as both have them and may not differ."""
    free = {*claim.against, *claim.of, *claim.apart, "method"}

    def fits(other: Group) -> bool:
        names = (other.settings.keys() & group.settings.keys()) - free
        return all(other.settings[name] == group.settings[name] for name in names)

    return [other for other in others if other is None or fits(other)]


def _same(claim: Claim, group: Group) -> bool:
    return len({group.settings[name] for name in claim.same if name in group.settings}) <= 1


def _lacking(claim: Claim, within: Sequence[Group]) -> str:
    reasons = "; ".join(dict.fromkeys(reason for group in within for reason in group.reasons))
    return reasons or (
        "cells of the rival at the same settings" if within else f"cells of {claim.task} there"
    )
