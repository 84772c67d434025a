"""The command line. Each verb imports what it needs, so that `--help` costs nothing."""

from __future__ import annotations

import io
import os
import signal
import sys
from pathlib import Path
from typing import Any, NoReturn

import click

from harness import __version__
from harness.cli import cells, gates, upkeep, views
from harness.errors import UserError


class _Verbs(click.Group):
    """A group that turns a user's error into its message and exit code."""

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except UserError as error:
            click.echo(f"harness: {error}", err=True)
            context.exit(2)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            context.exit(0)
        except OSError as error:
            click.echo(f"harness: {error.filename or 'input or output'}: {error.strerror or error}", err=True)
            context.exit(2)
        except KeyboardInterrupt:
            click.echo("harness: stopped; finished cells are kept, the same command goes on", err=True)
            context.exit(130)


# A fixed width, for asking the terminal costs as much as the rest of the help.
@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"], "terminal_width": 100})
@click.version_option(__version__, message="harness %(version)s")
def main() -> None:
    """Re-measure published claims about deep generative models, beside strong baselines."""
    _print_anything()
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # nohup asks for that
            signal.signal(number, _stop)


def _print_anything() -> None:
    """Let no letter end a verb: a terminal is shown "?" for what it has not; files and pipes get UTF-8."""
    if sys.stdout is None:
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115 it stays
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            if stream.isatty() or stream is sys.stderr:
                stream.reconfigure(errors="replace")
            else:
                stream.reconfigure(encoding="utf-8")


def _stop(*_: object) -> NoReturn:
    raise KeyboardInterrupt


for _room in (cells, gates, upkeep, views):
    for _verb in _room.VERBS:
        main.add_command(_verb)
