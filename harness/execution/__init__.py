"""Bringing cells to results: scheduling, executors, and the processes that do the work."""
