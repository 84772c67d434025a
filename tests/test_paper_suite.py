"""The operations of `suites/paper.yaml`, counted again from its cells, against the table in docs/scaling.md.

One update of each cell runs on PyTorch's fake tensors, or on real ones where it is small. Two operations are
one multiply-add of a matrix product or a convolution; element by element nothing counts. Not counted are
codecs, classifiers, auditors and curves, most of them on the host.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from method_files import load
from test_fake_device import StandIns
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from harness import registry, suite
from harness.context import Run
from harness.registry import HOME
from harness.studies.attack import adversarial, judges, networks, tries
from harness.studies.attack.search import UNTARGETED, Search, search
from harness.studies.coding import task as coding
from harness.studies.coding import training as coding_training
from harness.studies.fairness import task as fairness
from harness.studies.fairness import training as fairness_training
from harness.studies.likelihood import annealing
from harness.studies.likelihood import score as likelihood_score
from harness.studies.likelihood import task as likelihood
from harness.studies.steganography import attack as hiding
from harness.studies.steganography import domains
from harness.studies.steganography import score as steganography_score
from harness.studies.steganography import task as steganography
from harness.studies.steganography.one_way import regress
from harness.suite import Cell

DEVICE = 2e13
"""Operations a second of a data-centre GPU on convolutions, sustained: an assumption, as is the next."""
LAUNCH = 1e-5
"""Seconds to start an operation from Python: what bounds the updates of small networks."""
AGREE = 0.05


class Counter(TorchDispatchMode):
    """Counts operations as PyTorch's `FlopCounterMode`, which cannot follow a gradient penalty, and launches.

    A launch is whatever starts work on a device: all but views and memory left as it is.
    """

    def __init__(self) -> None:
        super().__init__()
        self.operations, self.launches = 0, 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        made = function(*args, **kwargs)
        if function.namespace == "aten" and not function.is_view and "empty" not in str(function):
            self.launches += 1
        if formula := flop_registry.get(function._overloadpacket):
            self.operations += formula(*args, **kwargs, out_val=made)
        return made


@dataclass(frozen=True)
class Cost:
    """Of one update: operations, and how many are started."""

    operations: float
    launches: int


def cost(work: Callable[[Callable[..., None]], object], *, fake: bool = True) -> Cost:
    """Of what `work(mark)` does between the two first calls of `mark`, or from the only one to the end."""
    marks: list[tuple[int, int]] = []
    with ExitStack() as stack:
        if fake:
            stack.enter_context(FakeTensorMode(allow_non_fake_inputs=True))
            stack.enter_context(StandIns())
        counter = stack.enter_context(Counter())

        def mark(*_: object, **__: object) -> None:
            marks.append((counter.operations, counter.launches))

        work(mark)
        mark()
    (operations, started), (later, ended), *_ = marks
    return Cost(later - operations, ended - started)


@dataclass(frozen=True)
class Row:
    """`cells` that cost the same, `updates` each."""

    cells: int
    updates: int
    update: Cost

    @property
    def minutes(self) -> float:
        operations, launches = self.update.operations, self.update.launches
        seconds = max(operations / DEVICE, launches * LAUNCH)
        return self.cells * self.updates * seconds / 60

    @property
    def bound(self) -> str:
        return "operations" if self.update.operations / DEVICE > self.update.launches * LAUNCH else "launches"


Rows = dict[tuple[str, str], Row]


@pytest.fixture(scope="module")
def cells() -> list[Cell]:
    return suite.load(HOME / "suites" / "paper.yaml", registry.scan()).cells


@pytest.fixture
def run(tmp_path, monkeypatch) -> Iterator[Run]:
    """A run on made-up data of the right shapes."""
    monkeypatch.setattr(nn.Module, "to", lambda self, *_, **__: self)  # fake parameters cannot be swapped
    monkeypatch.setattr(
        coding_training, "validation_loss", lambda *_: 0.0
    )  # ten times in all: not per update
    monkeypatch.setattr(fairness_training, "LOOKS", 1)
    monkeypatch.setattr(domains, "draw", tiles)
    yield Run(seed=0, folder=tmp_path, read=made_up)


def made_up(name: str) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    if name == "adult":
        bits = random.integers(0, 2, (6400, 103)).astype(np.uint8)
        columns = np.array(["sex", *(f"feature {n}" for n in range(102))])
        arrays = {"x": bits, "y": random.integers(0, 2, 6400)}
        parts = {f"{kind}_{part}": array for kind, array in arrays.items() for part in ("train", "test")}
        return parts | {"columns": columns, "sensitive": np.array(["sex"])}
    if name == "sat2maps":
        return {}
    images = random.integers(0, 256, (300, 28, 28)).astype(np.uint8)
    labels = np.arange(300) % 10
    return {"x_train": images, "x_test": images, "y_train": labels, "y_test": labels}


def tiles(_: Any, domain: str, size: int, counts: tuple[int, int], __: Any) -> domains.Domains:
    """Blank photographs and maps, a few."""
    assert domain == "tiles"
    blank = torch.zeros(16, 3, size, size)
    pairs = domains.Pairs(blank, blank)
    return domains.Domains(pairs, blank, pairs)


def called(cell: Cell, run: Run, problem: Any) -> None:
    room = "methods" if (HOME / "methods" / f"{cell.method}.py").exists() else "baselines"
    getattr(load(room, cell.method), cell.method)(problem, run, **cell.parameters)


def of_likelihood(cell: Cell, run: Run) -> Cost:
    """Without Adam, which starts a dozen operations."""

    def work(mark: Callable[..., None]) -> None:
        problem = likelihood.likelihood(run, **cell.problem | {"updates": 1})

        def once(model: nn.Module, update: Callable[[Tensor, float], Tensor], _: float) -> dict[str, Tensor]:
            model.train()
            (x,) = problem.batches()
            mark()
            update(x, 1.0)
            mark()
            return {}

        problem.train = once
        called(cell, run, problem)

    return cost(work)


def of_likelihood_score(cell: Cell, run: Run) -> Cost:
    """All of a score, from passes of one image: forwards, and with the slope in z."""
    images = 10

    def passes(slopes: bool, mark: Callable[..., None]) -> None:
        problem = likelihood.likelihood(run, **cell.problem | {"updates": 1})
        model = problem.model().eval().requires_grad_(False)
        x, z = problem.x_test[:images], torch.zeros(1, images, 32)
        mark()
        model.tape(x, 1, graphs=False).step(z) if slopes else model.log_likelihood(x, z)

    forward, step = (cost(partial(passes, slopes)).operations / images for slopes in (False, True))
    asked = defaults(likelihood_score.score) | cell.score
    moves = (asked["ais_temperatures"] - 1) * annealing.LEAPFROGS + 1
    pilots, chains = annealing.PILOTS * moves, asked["ais_chains"] * moves
    fitting = annealing.FITTING * annealing.DRAWS
    test, made = asked["test_images"], asked["sandwich_images"]
    slopes = 500 * test + (test + made) * (fitting + pilots + chains) + made * chains
    return Cost(forward * (500 * test + 5000 * asked["subset"]) + step * slopes, 0)


def of_coding(cell: Cell, run: Run) -> Cost:
    def work(mark: Callable[..., None]) -> None:
        run.progress = lambda step, *_, **__: mark() if step > 1 else None  # the first keeps its weights, too
        problem = coding.coding(run, **cell.problem)
        getattr(load("methods", cell.method), cell.method)(problem, run, **cell.parameters | {"steps": 3})

    return cost(work, fake=False)


def of_fairness(cell: Cell, run: Run) -> Cost:
    def work(mark: Callable[..., None]) -> None:
        run.progress = mark
        called(cell, run, fairness.fairness(run, **cell.problem | {"steps": 3}))

    return cost(work, fake=False)


def of_generator(cell: Cell) -> Cost:
    def work(mark: Callable[..., None]) -> None:
        x, y = torch.rand(300, 1, 28, 28), torch.arange(300) % 10
        adversarial.train_pair(cell.parameters["generator"], x, y, 2, 256, mark)

    return cost(work)


def of_search(cell: Cell) -> Cost:
    """Of one step of all tries, so many of which move at once."""
    p = cell.parameters
    wanted = 10 * p["starts"]

    def work(mark: Callable[..., None]) -> None:
        pair = adversarial.AdversarialPair(p["generator"], 28).requires_grad_(False)
        wong_kolter = cell.problem["target"] == "wong_kolter"  # the other costs .2 % less
        target = networks.convolutional() if wong_kolter else networks.two_layer(784, 500)
        source = torch.arange(min(wanted, tries.AT_ONCE)) % 10
        how = Search(2, p["step"], p["l1_weight"], p["l2_weight"], 0.1, p["l1_form"], p["rule"], p["noise"])
        search(
            pair,
            target.requires_grad_(False),
            adversarial.CriticClasses(pair.critic),
            source,
            torch.full_like(source, UNTARGETED),
            torch.randn(len(source), pair.latent),
            how,
            torch.Generator(),
            mark,
        )

    moved = cost(work)
    return Cost(
        moved.operations * wanted / min(wanted, tries.AT_ONCE), moved.launches * -(-wanted // tries.AT_ONCE)
    )


def of_judge(architecture: str) -> tuple[int, Cost]:
    """Updates on MNIST but for what is held out, and the mean one."""
    x, y = (55_000, 1, 28, 28), 55_000
    passes = judges.EPOCHS[architecture] * y / judges.BATCH

    def work(mark: Callable[..., None]) -> None:
        judges.train_judge(architecture, torch.rand(x), torch.arange(y) % 10, 2 / passes, mark)

    return round(passes), cost(work)


def of_cycle(cell: Cell, run: Run) -> Cost:
    def work(mark: Callable[..., None]) -> None:
        run.progress = mark
        problem = steganography.steganography(run, **cell.problem | {"steps": 2})
        called(cell, run, problem)

    return cost(work)


def of_inverse(cell: Cell, run: Run) -> Cost:
    """Of the network that learns from true pairs what a map tells, for as long as the method."""

    def work(mark: Callable[..., None]) -> None:
        run.progress = mark
        problem = steganography.steganography(run, **cell.problem | {"steps": 2})
        regress(problem, problem.generators()[1], problem.train.y, problem.train.x, 2, "honest")

    return cost(work)


def of_hiding(cell: Cell, run: Run, pairs: int) -> Cost:
    """Of one step of the score's attack on all pairs, from that on one."""

    def work(mark: Callable[..., None]) -> None:
        problem = steganography.steganography(run, **cell.problem)
        g = problem.generators()[1].requires_grad_(False)
        x = problem.test.x[:1]
        mark()
        hiding.hide(g, x, x, 1)

    one = cost(work)
    return Cost(pairs * one.operations, one.launches)


def defaults(function: Any) -> dict[str, Any]:
    return dict(function.__kwdefaults__)


@pytest.fixture
def recounted(cells, run) -> Rows:
    """The table's rows from the suite's cells."""
    fits: dict[tuple[str, str], dict[str, Cell]] = {}
    for cell in cells:
        known = str((cell.problem, cell.parameters, cell.seed))
        fits.setdefault((cell.task, cell.method), {})[known] = cell
    rows: Rows = {}
    for (task, method), each in fits.items():
        cell, count = next(iter(each.values())), len(each)
        if task == "likelihood":
            rows[task, method] = Row(count, cell.problem["updates"], of_likelihood(cell, run))
        elif task == "coding":
            rows[task, method] = Row(count, cell.parameters["steps"], of_coding(cell, run))
        elif task == "fairness":
            rows[task, method] = Row(count, cell.problem["steps"], of_fairness(cell, run))
        elif task == "attack":
            generators = len({known.seed for known in each.values()})
            rows[task, "generator"] = Row(generators, cell.parameters["updates"], of_generator(cell))
            rows[task, "search"] = Row(count, cell.parameters["steps"], of_search(cell))
            panel = [of_judge(each) for each in judges.ARCHITECTURES]
            updates = sum(steps for steps, _ in panel)
            operations, launches = (
                sum(steps * getattr(each, kind) for steps, each in panel) / updates
                for kind in ("operations", "launches")
            )
            rows[task, "judges, for the score"] = Row(1, updates, Cost(operations, round(launches)))
        elif task == "steganography":
            asked = defaults(steganography_score.score) | cell.score
            hidden = of_hiding(cell, run, asked["attack_pairs"])
            ways = 1 + len(hiding.CAPS)
            rows[task, method] = Row(count, cell.problem["steps"], of_cycle(cell, run))
            rows[task, "inverse, for the score"] = Row(count, cell.problem["steps"], of_inverse(cell, run))
            rows[task, "attack of the score"] = Row(count, ways * asked["attack_steps"], hidden)
    scored = [cell for cell in cells if cell.task == "likelihood"]
    rows["likelihood", "scores"] = Row(len(scored), 1, of_likelihood_score(scored[0], run))
    return rows


def printed() -> tuple[dict[tuple[str, str], list[str]], float]:
    """The table's rows by study and name, and its total of minutes."""
    text = (HOME / "docs" / "scaling.md").read_text().split("## The published protocols")[1].split("\n## ")[0]
    lines = [
        [part.strip(" *`") for part in line.split("|")[1:-1]] for line in text.splitlines() if "|" in line
    ]
    body = [line for line in lines if not re.fullmatch(r"[-: ]+", line[0]) and line[0] != "study"]
    rows = {(line[0], line[1]): line[2:] for line in body if line[0] != "all"}
    (total,) = [float(line[-2]) for line in body if line[0] == "all"]
    return rows, total


def test_the_table_says_what_is_counted(recounted):
    rows, total = printed()
    minutes = sum(row.minutes for row in recounted.values())
    for (study, name), row in recounted.items():
        operations = row.update.operations
        numbers = (row.cells, f"{row.updates:,}", f"{operations:.2e}", f"{row.update.launches:,}")
        print("|", " | ".join(map(str, (study, name, *numbers, f"{operations * row.updates:.1e}"))), end=" ")
        print(f"| {row.minutes:.1f} | {row.bound} |")
    print(f"{minutes:.1f} minutes of the device")
    assert rows.keys() == recounted.keys()
    for key, row in recounted.items():
        cells, updates, operations, launches, in_a_cell, told, bound = rows[key]
        assert (int(cells), int(updates.replace(",", "")), bound) == (row.cells, row.updates, row.bound), key
        near = partial(pytest.approx, rel=AGREE)
        assert float(operations) == near(row.update.operations), key
        assert float(in_a_cell) == near(row.update.operations * row.updates), key
        assert float(told) == near(row.minutes, abs=0.05), key
        if row.update.launches:
            assert int(launches.replace(",", "")) == near(row.update.launches), key
    assert total == pytest.approx(minutes, rel=AGREE)
    assert minutes <= 60
