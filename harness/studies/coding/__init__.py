"""Send images through a noisy binary channel: learned codes against codecs behind channel codes."""

from harness.studies.coding.task import Problem as Problem
