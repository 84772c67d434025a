"""Examples in the docs run: files they show are written, commands they show succeed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(?P<info>[^\n]+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: Path) -> list[tuple[str, str]]:
    return [(found["info"], found["text"]) for found in BLOCK.finditer(page.read_text())]


RUNNABLE = [page for page in PAGES if any(info.startswith("console") for info, _ in blocks(page))]


@pytest.mark.parametrize("page", RUNNABLE, ids=lambda page: page.name)
def test_commands_succeed_in_the_order_shown(page, tmp_path):
    environment = os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "120"}
    for info, text in blocks(page):
        if name := re.search(r"file=(\S+)", info):
            path = tmp_path / name[1]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        if info.startswith("console"):
            for line in text.splitlines():
                if line.startswith("$ harness "):
                    command = [sys.executable, "-P", "-m", "harness", *line.split()[2:]]
                    done = subprocess.run(
                        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=200
                    )
                    assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"


def test_some_pages_have_commands():
    assert ROOT / "docs" / "adding-a-method.md" in RUNNABLE and ROOT / "README.md" in RUNNABLE


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_inside_the_project_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target
