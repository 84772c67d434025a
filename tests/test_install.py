"""What a plain `pip install .` gives: one top-level name, and suites that run from any folder."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from harness import doctor

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the unpacked wheel, as site-packages would hold it."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def harness(site: Path, cwd: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", "harness", *arguments]
    environment = os.environ | {"PYTHONPATH": str(site)}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120)


def test_the_wheel_claims_no_other_top_level_name(installed):
    names = {path.name for path in installed.iterdir()}
    assert {name for name in names if not name.endswith(".dist-info")} == {"harness"}


def test_suites_and_methods_travel_inside_it(installed, tmp_path):
    listed = harness(installed, tmp_path, "list")
    assert listed.returncode == 0, listed.stderr
    assert "bsvi_sir" in listed.stdout and "quick" in listed.stdout
    assert (installed / "harness/views/page/page.html").is_file()
    planned = harness(installed, tmp_path, "plan", "suites/quick.yaml", "--offline")
    assert planned.returncode == 0, planned.stderr
    assert "likelihood/digits bsvi" in planned.stdout


def test_a_cell_runs_from_any_folder_and_has_the_clone_s_key(installed, tmp_path):
    suite = tmp_path / "tiny.yaml"
    suite.write_text(
        "cells:\n  - {task: likelihood, dataset: digits, preset: digits, updates: 3, test_images: 2, "
        "subset: 1, ais_temperatures: 2, methods: [vae]}\n"
    )
    ran = harness(installed, tmp_path, "run", "tiny.yaml")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "1 hit" in harness(ROOT, tmp_path, "plan", "tiny.yaml").stdout


def test_torch_is_bounded_and_the_source_only_peer_is_no_dependency():
    declared = (ROOT / "pyproject.toml").read_text()
    assert '"torch>=2.6,<2.14"' in declared
    assert '"pyldpc' not in declared


def test_doctor_looks_for_what_the_extras_bring_beside_the_tests():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    del extras["test"]
    brought = {re.split("[=>]", name)[0] for names in extras.values() for name in names}
    assert set(doctor.PEERS) == brought | {"pyldpc"}  # which the Makefile installs


def test_decoders_to_compare_with_are_asked_for_by_an_extra_alone():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["optional-dependencies"]["ldpc"] == ["ldpc==2.4.1", "sionna-no-rt==2.2.0"]
    others = [*project["dependencies"], *project["optional-dependencies"]["test"]]
    assert not [name for name in others if name.startswith(("ldpc", "sionna"))]
