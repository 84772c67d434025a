"""The measure of a machine: what an interpreter that does nothing costs on it. Bars were set at 11 ms."""

from __future__ import annotations

import resource
import subprocess

from project import Project

BARE = 0.011


def seconds(project: Project, command: list[str]) -> float:
    """The processor time of a command and what it starts."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, cwd=project.root, env=project.variables(), capture_output=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def slowness(project: Project) -> float:
    """How many times as long as where the bars were set: the least of five rounds."""
    return min(seconds(project, [project.command()[0], "-c", "pass"]) for _ in range(5)) / BARE
