"""Race the decoders of the coding study."""

from harness.studies.coding.decoding.task import Problem as Problem
