"""Translate rich images to poor ones and back without pairs, and count what is smuggled through."""

from harness.studies.steganography.task import Problem as Problem
