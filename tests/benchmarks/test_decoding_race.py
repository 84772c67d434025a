"""The race of decoders against itself: the network beside the network must come in level."""

from __future__ import annotations

import method_files
import pytest

from harness.context import Run
from harness.studies.coding.decoding import score as scoring_file
from harness.studies.coding.decoding import task


def test_the_neural_decoder_keeps_up_with_itself(tmp_path):
    run = Run(seed=0, folder=tmp_path)
    problem = task.decoding(run, bits=60, batch=64)
    arrays = method_files.load("methods", "neural_decoders").necst(problem, run)
    assert scoring_file.score(problem, arrays, run)["necst_speedup"] == pytest.approx(1, rel=0.5)
