"""Errors meant for the person at the keyboard; the command line prints them without a traceback."""

from __future__ import annotations

from collections.abc import Iterable


class UserError(Exception):
    """What is wrong, where, and what to do, in one message. The command line ends with exit code 2."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """' (did you mean …?)' for the nearest of `known`, else the list of what there is."""
    import difflib

    known = sorted(known)
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    if near:
        return f" (did you mean {near[0]!r}?)"
    return f" (known: {', '.join(known)})" if known else ""
