"""The data sets of people: made-up files of the real formats, and the real ones where they are."""

from __future__ import annotations

import math

import numpy
import pandas
import pytest

from harness import data
from harness.datasets import adult, german, health, synthetic_gaussian
from harness.datasets._binary import binarise

ADULT = (
    "39, State-gov, 77516, Bachelors, 13, Divorced, Sales, Husband, White, Male, 0, 0, 40, Peru, {poor}\n"
    "50, Private, 83311, Masters, 14, Divorced, Sales, Wife, Black, Female, 5, 0, 13, Cuba, {rich}\n"
    "28, ?, 338409, HS-grad, 9, Divorced, Sales, Wife, White, Male, 0, 0, 40, Peru, {rich}\n"
    "20, Local-gov, 1, HS-grad, 9, Divorced, Craft, Wife, White, Male, 0, 7, 20, Peru, {poor}\n\n"
)


def test_adult_drops_unknowns_and_binarises_by_the_training_part(tmp_path):
    train, test = tmp_path / "adult.data", tmp_path / "adult.test"
    train.write_text(ADULT.format(poor="<=50K", rich=">50K"))
    test.write_text(
        "|1x3 Cross validator\n" + ADULT.format(poor="<=50K.", rich=">50K.").replace("Peru", "Chad")
    )
    arrays = adult.load({"adult/adult.data": train, "adult/adult.test": test})
    columns = arrays["columns"].tolist()
    assert arrays["y_train"].tolist() == arrays["y_test"].tolist() == [0, 1, 0]
    assert arrays["x_train"].dtype == numpy.uint8 and len(arrays["x_train"]) == 3
    assert arrays["x_train"][:, columns.index("sex=Male")].tolist() == [1, 0, 1]
    assert arrays["x_train"][:, columns.index("age>39")].tolist() == [0, 1, 0]
    assert arrays["x_train"][:, columns.index("capital_loss>0")].tolist() == [0, 0, 1]
    assert "workclass=State-gov" in columns and not any("?" in name for name in columns)
    countries = [columns.index(name) for name in columns if name.startswith("native_country")]
    assert arrays["x_test"][0, countries].sum() == 0  # a country that training has never seen
    assert arrays["sensitive"].tolist() == ["sex"]


def test_german_hides_the_age_and_holds_a_tenth_out(tmp_path):
    draw = numpy.random.default_rng(0)
    table = pandas.DataFrame({name: draw.integers(1, 60, 1000) for name in german._ATTRIBUTES})
    table["housing"] = draw.choice(["A151", "A152", "A153"], 1000)
    table["foreign"] = draw.choice(["A201", "A202"], 1000)
    table["credit"] = draw.integers(1, 3, 1000)
    path = tmp_path / "german.data"
    table.to_csv(path, sep=" ", header=False, index=False)
    arrays = german.load({"german/german.data": path})
    order = numpy.arange(1000)
    numpy.random.RandomState(4).shuffle(order)
    assert len(arrays["x_train"]) == 900 and len(arrays["x_test"]) == 100
    assert arrays["y_test"].tolist() == (table["credit"].to_numpy()[order[900:]] == 2).astype(int).tolist()
    columns = arrays["columns"].tolist()
    assert {"housing=A151", "housing=A153", "foreign=A202"} <= set(columns) and "foreign=A201" not in columns
    assert sum(name.startswith("age>") for name in columns) == 1 and arrays["sensitive"].tolist() == ["age"]


def test_health_reads_the_authors_table(tmp_path):
    draw = numpy.random.default_rng(0)
    rows = 400
    band = draw.integers(0, 9, rows)
    table = pandas.DataFrame({f"age_{decade}5": (band == decade).astype(int) for decade in range(9)})
    table["sexMALE"] = draw.integers(0, 2, rows)
    table["sexFEMALE"] = 1 - table["sexMALE"]
    table["sexMISS"], table["age_MISS"] = (
        (numpy.arange(rows) == 0).astype(int),
        (numpy.arange(rows) == 1).astype(int),
    )
    table["YEAR_t"] = numpy.where(numpy.arange(rows) == 2, "Y2", "Y3")
    for name in ("max", "min", "ave", "range", "stdev"):
        table[f"CharlsonIndexI_{name}"] = draw.integers(0, 3, rows)
    for name in ("DaysInHospital", "MemberID_t", "trainset", "visits", "drugs"):
        table[name] = draw.integers(0, 9, rows)
    table["rare"] = (numpy.arange(rows) < 10).astype(int)
    path = tmp_path / "health.csv"
    table.to_csv(path, index=False)
    arrays = health.load({"health/health.csv": path})
    columns = arrays["columns"].tolist()
    assert columns == ["visits", "drugs", *(f"age={decade}5" for decade in range(9)), "sex=MALE"]
    assert len(arrays["x_train"]) == int(0.8 * 397) and len(arrays["x_test"]) == 397 - int(0.8 * 397)
    ages = numpy.vstack([arrays["x_train"], arrays["x_test"]])[:, 2:11]
    assert (ages.sum(1) == 1).all() and arrays["sensitive"].tolist() == ["age", "sex"]
    ill = arrays["y_train"].sum() + arrays["y_test"].sum()
    assert ill == (table["CharlsonIndexI_max"][3:] > 0).sum()


def test_binarising_by_hand():
    train = pandas.DataFrame({"n": [1, 2, 9], "two": ["b", "a", "b"], "three": ["x", "y", "z"]})
    other = pandas.DataFrame({"n": [2, 3], "two": ["c", "b"], "three": ["w", "y"]})
    names, (bits, others) = binarise(train, other)
    assert names == ["n>2", "two=b", "three=x", "three=y", "three=z"]
    assert bits.tolist() == [[0, 1, 1, 0, 0], [0, 0, 0, 1, 0], [1, 1, 0, 0, 1]]
    assert others.tolist() == [[0, 0, 0, 0, 0], [1, 1, 0, 1, 0]]


def test_the_synthetic_set_is_what_it_says():
    arrays = data.load("synthetic_gaussian")
    x, group = arrays["x_train"][:, :6], arrays["x_train"][:, 6]
    assert group.mean() == pytest.approx(synthetic_gaussian.SHARE, abs=0.02)
    for value, sign in ((1, 1), (0, -1)):
        numpy.testing.assert_allclose(x[group == value].mean(0), [sign, 0, 0, 0, 0, 0], atol=0.05)
        numpy.testing.assert_allclose(numpy.cov(x[group == value].T), numpy.eye(6), atol=0.06)
    label = arrays["y_train"]
    assert abs(numpy.corrcoef(label, group)[0, 1]) < 0.03 < numpy.corrcoef(label, x[:, 1])[0, 1]
    assert (data.load("synthetic_gaussian")["x_test"] == arrays["x_test"]).all()


def here(name: str) -> bool:
    return data.locate(name).problem is None


@pytest.mark.skipif(not here("adult"), reason="Adult is not here: harness data get adult")
def test_adult_has_the_published_shape():
    arrays = data.load("adult")
    columns = arrays["columns"].tolist()
    assert arrays["x_train"].shape == (30162, 103) and arrays["x_test"].shape == (15060, 103)
    male = arrays["x_train"][:, columns.index("sex=Male")].mean()
    assert male == pytest.approx(0.6757, abs=1e-4)
    assert -male * math.log(male) - (1 - male) * math.log(1 - male) == pytest.approx(0.630, abs=5e-4)
    assert arrays["y_train"].mean() == pytest.approx(0.249, abs=5e-4)
    medians = {
        "age>37",
        "fnlwgt>178425",
        "education_num>10",
        "capital_gain>0",
        "capital_loss>0",
        "hours_per_week>40",
    }
    assert medians <= set(columns)


@pytest.mark.skipif(not here("german"), reason="German credit is not here: harness data get german")
def test_german_has_the_published_shape():
    arrays = data.load("german")
    assert arrays["x_train"].shape == (900, 59) and arrays["x_test"].shape == (100, 59)
    assert "age>33" in arrays["columns"].tolist()
    assert arrays["y_train"].sum() + arrays["y_test"].sum() == 300
