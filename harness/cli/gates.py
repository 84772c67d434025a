"""Verbs that fail when results or speed have become worse."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from harness.cli.options import FORM, METHODS, ONLY, RESULTS, Selection, lay_out, selecting


@click.command()
@selecting
@click.option(
    "--output", type=click.Path(path_type=Path, dir_okay=False), help="[default: results/frozen/SUITE.json]"
)
def freeze(chosen: Selection, output: Path | None) -> None:
    """Keep the per-seed values of SUITE's finished cells as the reference that `compare` judges against."""
    from harness import compare as judging
    from harness import environment
    from harness import rows as making

    loaded, found, _, cells = lay_out(chosen)
    output = output or Path("results") / "frozen" / f"{loaded.name}.json"
    devices = sorted({planned.record.device for planned in cells if planned.record})
    count = judging.freeze(
        making.of_plan(cells, found, loaded.name),
        output,
        suite=chosen.suite,
        device=", ".join(devices),
        versions=environment.describe(),
    )
    click.echo(f"{output}: {count} values")


@click.command()
@click.argument("frozen", type=click.Path(path_type=Path, dir_okay=False))
@METHODS
@RESULTS
@FORM
def compare(frozen: Path, folders: tuple[Path, ...], results: Path, form: str) -> None:
    """Judge the results of FROZEN's suite against it, seed by seed: ok, improved, regressed, inconclusive.

    Exit code 0: ok or improved; 1: something regressed or failed; 2: nothing in common; 3: inconclusive.
    """
    from harness import compare as judging
    from harness import rows as making
    from harness.views import render

    reference = judging.thaw(frozen)
    loaded, found, _, cells = lay_out(Selection(reference.suite, (), (), folders, results))
    verdicts = judging.compare(reference, making.of_plan(cells, found, loaded.name))
    click.echo(getattr(render, f"to_{form}")(judging.as_table(verdicts)))
    sys.exit(judging.exit_code(verdicts))


@click.command()
@click.argument("suite")
@click.argument("filters", nargs=-1)
@ONLY
@click.option(
    "--against", required=True, metavar="REF", help="The git revision to compare this tree's speed with."
)
@click.option("--rounds", default=5, show_default=True, help="Pairs of runs, in the order ABBA.")
@click.option(
    "--threshold", default=0.05, show_default=True, help="The slowdown that counts as a regression."
)
@FORM
def bench(
    suite: str,
    filters: tuple[str, ...],
    only: tuple[str, ...],
    against: str,
    rounds: int,
    threshold: float,
    form: str,
) -> None:
    """Time SUITE's cells in this tree and at another revision by turns, and judge the paired ratios."""
    from harness import bench as timing
    from harness import compare as judging
    from harness.views import render

    verdicts = timing.bench(Path.cwd(), against, suite, (*filters, *only), rounds=rounds, threshold=threshold)
    click.echo(getattr(render, f"to_{form}")(timing.as_table(verdicts)))
    sys.exit(judging.exit_code(verdicts))


VERBS = (freeze, compare, bench)
