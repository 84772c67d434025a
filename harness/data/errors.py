"""Why a file could not be had."""

from __future__ import annotations


class SourceError(Exception):
    """Why one source could not give one file; the next source is tried."""
