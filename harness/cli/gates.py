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
    """Keep the per-seed values of SUITE's finished cells as the reference that `compare` judges against.

    Says how many seeds it takes until `compare` finds a loss of twice the tolerance.
    """
    from harness import compare as judging
    from harness import frozen
    from harness import rows as making

    loaded, found, store, cells = lay_out(chosen)
    output = output or Path("results") / "frozen" / f"{loaded.name}.json"
    kept = frozen.gather(making.of_plan(cells, found, loaded.name), store.root)
    kept.suite = frozen.name_of(loaded.path, output)
    click.echo(f"{output}: {frozen.freeze(kept, output)} cells")
    click.echo("\n".join(judging.power(kept, found)))


@click.command()
@click.argument("then")
@click.argument("now", required=False)
@ONLY
@METHODS
@RESULTS
@click.option("--allow-missing", is_flag=True, help="Let pass what is missing, failed or not finite.")
@click.option("--all", "every", is_flag=True, help="Show what is ok, too.")
@FORM
def compare(
    then: str,
    now: str | None,
    only: tuple[str, ...],
    folders: tuple[Path, ...],
    results: Path,
    allow_missing: bool,
    every: bool,
    form: str,
) -> None:
    """Judge NOW against THEN, seed by seed: each is a suite, a frozen file or a results folder.

    A suite as THEN stands for its results/frozen/SUITE.json; without NOW, it is the results of THEN's suite.
    Exit code 0: ok or improved; 1: something regressed, failed or is missing; 2: nothing in common;
    3: inconclusive.
    """
    from harness import compare as judging
    from harness import frozen, plan, registry
    from harness import rows as making
    from harness.errors import UserError
    from harness.views import render

    def side(word: str) -> frozen.Frozen:
        if Path(word).is_dir():
            return frozen.gather(making.stored(Path(word)), Path(word))
        if not frozen.is_suite(word):
            return frozen.thaw(Path(word))
        loaded, found, store, cells = lay_out(Selection(word, (), only, folders, results))
        return frozen.gather(making.of_plan(cells, found, loaded.name), store.root)

    if frozen.is_suite(then):
        then, now = str(frozen.reference(then)), now or then
    before = side(then)
    if not (now := now or frozen.suite_of(before, Path(then))):
        raise UserError(f"{then}: compare with what? Name a second folder, frozen file or suite")
    after = side(now)
    verdicts = judging.compare(before, after, registry.scan(folders), plan.parse_filters(only))
    notes = [judging.NOTE, *judging.reach(verdicts), *judging.origins(before, after)]
    click.echo(render.FORMATS[form](judging.as_table(verdicts, *notes, every=every)))
    sys.exit(judging.exit_code(verdicts, allow_missing=allow_missing))


@click.command()
@click.argument("kernels", nargs=-1)
@click.option(
    "--against", required=True, metavar="REF", help="The git revision to compare this tree's speed with."
)
@click.option("--rounds", default=13, show_default=True, help="At most so many rounds of old, new, new, old.")
@click.option("--seconds", default=900.0, show_default=True, help="After these no round is begun.")
@click.option(
    "--threshold", default=0.05, show_default=True, help="The slowdown that counts as a regression."
)
@FORM
def bench(
    kernels: tuple[str, ...], against: str, rounds: int, seconds: float, threshold: float, form: str
) -> None:
    """Time KERNELS of tests/benchmarks (files, names, patterns; default all) here and at another revision.

    Exit code 0: none became slower; 1: one became slower or failed; 2: nothing in common; 3: undecided.
    """
    from harness import bench as timing
    from harness.views import render

    found = timing.bench(
        Path.cwd(),
        against,
        kernels,
        rounds=rounds,
        seconds=seconds,
        threshold=threshold,
        told=lambda line: click.echo(line, err=True),
    )
    click.echo(render.FORMATS[form](timing.as_table(found, against, threshold)))
    sys.exit(timing.exit_code(found))


VERBS = (freeze, compare, bench)
