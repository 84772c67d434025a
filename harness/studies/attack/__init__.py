"""Attack classifiers whose robustness to small perturbations is certified, inside a norm ball and outside."""

from harness.studies.attack.task import Problem as Problem
