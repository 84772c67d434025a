"""Imported once by the server that workers are forked from, so that no worker waits for it."""

from harness import environment
from harness.execution import supervisor as supervisor

environment.describe()
