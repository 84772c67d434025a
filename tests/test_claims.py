"""Claims: every verdict on planted rows, errors over a family, faults of a file, the verb."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from harness import frozen, registry, rows
from harness.errors import UserError
from harness.registry import CLAIMS, HOME
from harness.row import Row
from harness.strict_yaml import InvalidFile
from harness.views import claims, claims_file
from harness.views.claims_file import Claim

ROOT = Path(__file__).resolve().parent.parent
SPREAD = [0.0, 0.1, -0.1, 0.05]


@pytest.fixture(scope="module")
def found():
    return registry.scan()


def made(method: str, values: list[float], metric: str = "score", **settings: object) -> list[Row]:
    known = {"method": method, **settings}
    return [
        Row(
            suite="s",
            task="t",
            dataset=None,
            method=method,
            settings=known,
            seed=seed,
            metric=metric,
            value=value,
        )
        for seed, value in enumerate(values)
    ]


def claim(holds: str, name: str = "c", **more: object) -> Claim:
    return Claim(id=name, says="s", place="p", task="t", holds=holds, **more)  # type: ignore[arg-type]


def verdict(made_rows: list[Row], asked: Claim) -> claims.Verdict:
    return claims.judge(made_rows, [asked])[0]


def around(mean: float, n: int = 4) -> list[float]:
    return [mean + each for each in SPREAD[:n]]


OVER = claim("score > other.score", of={"method": "a"}, against={"method": "b"})
BOUND = claim("score <= 2", where={"method": "a"})


@pytest.mark.parametrize(
    ("planted", "asked", "expected"),
    [
        (made("a", around(5)) + made("b", [4.0, 4.0, 4.1, 3.9]), OVER, "holds"),
        (made("a", around(3)) + made("b", [4.0, 4.0, 4.1, 3.9]), OVER, "does not hold"),
        (made("a", [1.0, 5.0, 3.0, 3.1]) + made("b", [3.0, 3.0, 3.0, 3.0]), OVER, "inconclusive"),
        (made("a", around(5, 2)) + made("b", around(4, 2)), OVER, "inconclusive"),  # two seeds
        (made("a", around(5)), OVER, "not measured"),
        (made("b", around(5)), OVER, "not measured"),
        (
            made("a", around(5)) + made("b", around(5)),
            OVER,
            "does not hold",
        ),  # equal on every seed is not more
        (made("a", around(1)), BOUND, "holds"),
        (made("a", [2.0, 2.0, 2.0]), BOUND, "holds"),
        (made("a", around(3)), BOUND, "does not hold"),
        (made("a", [1.0, 1.0, float("nan")]), BOUND, "inconclusive"),
        (made("a", [1.0, 1.0, float("-inf")]), BOUND, "inconclusive"),
        (made("a", around(1), metric="other_metric"), BOUND, "not measured"),
        ([], BOUND, "not measured"),
    ],
)
def test_planted_rows_get_their_verdict(planted, asked, expected):
    assert verdict(planted, asked).verdict == expected


def test_a_wrong_sign_turns_the_verdict():
    planted = made("a", around(5)) + made("b", around(4))
    flipped = [row._replace(value=-row.value) for row in planted]
    assert [verdict(each, OVER).verdict for each in (planted, flipped)] == ["holds", "does not hold"]


def test_seeds_are_paired_and_not_pooled():
    noise = [0.0, 50.0, -30.0, 10.0]
    a = made("a", [5 + each + small for each, small in zip(noise, SPREAD, strict=True)])
    assert verdict(a + made("b", [4 + each for each in noise]), OVER).verdict == "holds"
    shuffled = made("b", [4 + each for each in reversed(noise)])
    assert verdict(a + shuffled, OVER).verdict == "inconclusive"


def test_rivals_pair_only_at_equal_settings():
    rows_ = made("a", around(5), steps=10) + made("b", around(4), steps=20)
    assert verdict(rows_, OVER).verdict == "not measured"
    assert verdict(rows_, Claim(**{**vars(OVER), "apart": ["steps"]})).verdict == "holds"


def test_every_combination_must_hold_and_what_nobody_ran_is_told():
    asked = claim("score <= 2", where={"method": "a", "d": ["x", "y"]}, for_each=["d"], needs="y's files")
    x = made("a", around(1), d="x")
    assert verdict(x + made("a", around(1), d="y"), asked).verdict == "holds"
    assert verdict(x + made("a", around(9), d="y"), asked).verdict == "does not hold"
    half = verdict(x, asked)
    assert (
        half.verdict == "inconclusive" and "y's files" in half.settles and half.decisive.where == {"d": "y"}
    )


def test_the_largest_budget_is_judged():
    asked = claim("score <= 2", where={"method": "a"}, budget=["steps"])
    planted = made("a", around(9), steps=10) + made("a", around(1), steps=200)
    assert verdict(planted, asked).verdict == "holds"
    assert verdict(planted, asked).decisive.budget == {"steps": 200}


def test_a_large_budget_with_one_seed_or_no_rival_does_not_hide_a_smaller_one():
    asked = Claim(**{**vars(OVER), "budget": ["steps"]})
    small = made("a", around(5), steps=10) + made("b", around(3.9), steps=10)
    alone = made("a", [9.0], steps=200)
    assert verdict(small + alone, asked).verdict == "holds"
    assert verdict(small + alone + made("b", [1.0], steps=200), asked).decisive.budget == {"steps": 10}


def test_a_published_number_is_agreed_with_within_its_tolerance():
    asked = claim("published.p - 1 <= score <= published.p + 1", where={"method": "a"}, published="t1")
    known = {"task": "t", "dataset": None, "method": "a", "settings": {"method": "a"}, "seed": -1}
    printed = Row(suite="t1", metric="p", value=5.0, origin="published", **known)
    assert verdict([*made("a", around(5.5)), printed], asked).verdict == "holds"
    assert verdict([*made("a", around(7)), printed], asked).verdict == "does not hold"
    assert verdict(made("a", around(5)), asked).verdict == "not measured"


def test_what_is_exact_needs_no_seeds_and_no_mercy():
    asked = claim("score <= 2", where={"method": "a"}, exact=True)
    assert verdict(made("a", [2.0]), asked).verdict == "holds"
    assert verdict(made("a", [1.0, 1.0, 2.01]), asked).verdict == "does not hold"


def test_failed_seeds_are_told():
    crash = made("a", [0.0])[0]._replace(seed=1, metric="", status="crashed", reason="out of paper")
    told = verdict([*made("a", [1.0]), crash], BOUND)
    assert told.verdict == "inconclusive" and "out of paper" in told.settles


def test_it_says_how_many_seeds_would_do():
    draw = random.Random(1)
    planted = made("a", [2.3 + draw.gauss(0, 1) for _ in range(4)])
    told = verdict(planted, claim("score > 2", where={"method": "a"}))
    assert told.verdict == "inconclusive"
    # If the same four values came again and again, as many seeds as it says would decide.
    values = [row.value for row in planted]
    enough = len(values) + (told.decisive.seeds or 0)
    repeated = (values * (enough // 4 + 2))[: enough + 4]
    assert verdict(made("a", repeated), claim("score > 2", where={"method": "a"})).verdict != "inconclusive"


@pytest.mark.parametrize("parts", [1, 3])
def test_false_verdicts_in_a_family_stay_below_the_level(parts):
    """Twelve claims at their very boundary: any verdict but inconclusive is an error."""
    asked = [
        claim("score > 0", name=str(i), where={"method": "a", "d": i}, for_each=["e"] if parts > 1 else [])
        for i in range(12)
    ]
    draw, wrong, rounds = random.Random(3), 0, 300 // parts
    for _ in range(rounds):
        planted = [
            row
            for i in range(12)
            for part in range(parts)
            for row in made("a", [draw.gauss(0, 1) for _ in range(4)], d=i, e=part)
        ]
        wrong += any(each.verdict != "inconclusive" for each in claims.judge(planted, asked))
    assert wrong / rounds <= 0.05 + 2.5 * (0.05 * 0.95 / rounds) ** 0.5


def test_a_true_claim_is_found_in_a_family():
    draw = random.Random(5)
    asked = [claim("score > 0", name=str(i), where={"method": "a", "d": i}) for i in range(12)]
    planted = [
        row for i in range(12) for row in made("a", [(i == 0) * 8 + draw.gauss(0, 1) for _ in range(6)], d=i)
    ]
    assert claims.judge(planted, asked)[0].verdict == "holds"


@pytest.mark.parametrize("study", CLAIMS.names())
def test_bundled_claims_load(study, found):
    listed = claims_file.load(CLAIMS.find(study), found)
    assert listed and len({each.id for each in listed}) == len(listed)


def test_every_study_has_claims():
    studies = {
        path.name for path in (HOME / "harness" / "studies").iterdir() if (path / "__init__.py").is_file()
    }
    assert studies == set(CLAIMS.names())


def test_names_of_claims_are_unique_over_all_studies(found):
    names = [each.id for study in CLAIMS.names() for each in claims_file.load(CLAIMS.find(study), found)]
    assert len(set(names)) == len(names)


FAULTS = {
    "holds: e_0": "compares nothing",
    "holds: e_0 <= honst": "did you mean 'honest'",
    "holds: e_0 == honest": "use <, <=",
    "holds: e_0 <= open('x')": "is not arithmetic",
    "holds: e_0 <= honest.__class__": "is not arithmetic",
    "holds: e_0 <= other.e_0": "need each other",
    "holds: e_0 <= published.e": "need each other",
    "holds: e_0 <= max(honest)": "is not arithmetic",
    "holds: e_0 <= max": "is not arithmetic",
    "holds: other.e_0 <= other\n    against: {method: cyclegan}": "is not arithmetic",
    "holds: e_0 <= other.e_0\n    against: {method: []}": "name a method",
    "holds: e_0 <": "not a comparison",
    "holds: e_0 <= 1\n    against: {dataset: mnist}": "'method' is missing",
    "holds: e_0 <= 1\n    where: {method: cyclegam}": "did you mean 'cyclegan'",
    "holds: e_0 <= 1\n    familly: x": "family",
    "holds: e_0 <= 1\n    id: c": "given twice",
}


@pytest.mark.parametrize("text", FAULTS)
def test_faults_name_file_and_line(tmp_path: Path, found, text):
    path = tmp_path / "c.yaml"
    path.write_text(f"claims:\n  - id: c\n    says: s\n    place: p\n    task: steganography\n    {text}\n")
    with pytest.raises(InvalidFile, match=r"c\.yaml:\d+: ") as caught:
        claims_file.load(path, found)
    assert FAULTS[text] in str(caught.value)


def harness(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-P", "-m", "harness", *words]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=100)


def test_shipped_values_are_judged_and_a_turned_verdict_fails(tmp_path: Path):
    done = harness(tmp_path, "claims", "steganography", "--json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    covered = said["published"]
    assert said["claims"] and covered["published"] >= covered["comparable"] > 0
    assert (
        sum(covered[key] for key in ("agree", "in part", "differ", "not measured")) == covered["comparable"]
    )
    before = tmp_path / "before.json"
    before.write_text(done.stdout)
    assert harness(tmp_path, "claims", "steganography", "--against", "before.json").returncode == 0
    first = said["claims"][0]
    was, first["verdict"] = first["verdict"], "turned round"
    before.write_text(json.dumps(said))
    worse = harness(tmp_path, "claims", "steganography", "--against", "before.json")
    assert worse.returncode == 1 and f"{first['id']}: turned round → {was}" in worse.stderr
    assert harness(tmp_path, "claims", "steganografy").returncode == 2
    mixed = harness(tmp_path, "claims", "quick", "--frozen", "x.json")
    assert mixed.returncode == 2 and "leave out quick" in mixed.stderr


def test_frozen_values_are_judged_as_the_rows_they_came_from(tmp_path: Path):
    planted = [row._replace(direction="higher") for row in made("a", around(5)) + made("b", around(4))]
    frozen.freeze(frozen.gather(planted, tmp_path), tmp_path / "f.json")
    assert verdict(rows.frozen([tmp_path / "f.json"]), OVER) == verdict(planted, OVER)


def test_a_file_of_something_else_cannot_be_compared_with(tmp_path: Path):
    (tmp_path / "x").write_text("{}")
    with pytest.raises(UserError, match="not a file of verdicts"):
        claims.turned([], tmp_path / "x")
