"""Learn codes of people that say little of their group."""

from harness.studies.fairness.task import Problem as Problem
