"""Examples in the docs run: files they show are written, commands they show succeed."""

from __future__ import annotations

import functools
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from project import Project

from harness.cli import main

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
                    line, _, code = line.partition("  # exit code ")
                    command = [sys.executable, "-P", "-m", "harness", *line.split()[2:]]
                    done = subprocess.run(
                        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=200
                    )
                    assert done.returncode == int(code or 0), f"{line}\n{done.stdout}{done.stderr}"


def test_some_pages_have_commands():
    assert ROOT / "docs" / "adding-a-method.md" in RUNNABLE and ROOT / "README.md" in RUNNABLE


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_inside_the_project_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


WORKFLOWS = {"github": ("jobs", "quality", "steps"), "gitlab": ("quality", "script")}


@pytest.mark.parametrize("kind", WORKFLOWS)
def test_the_workflows_are_yaml_and_their_commands_exist(kind):
    found = dict(blocks(ROOT / "docs" / "regression.md"))[f"yaml {kind}"]
    steps = functools.reduce(lambda part, key: part[key], WORKFLOWS[kind], yaml.safe_load(found))
    scripts = "\n".join(step if isinstance(step, str) else step.get("run", "") for step in steps)
    filled_in = re.sub(r"\$\{\{.*?\}\}", "0", scripts)
    assert subprocess.run(["bash", "-n"], input=filled_in, text=True).returncode == 0
    commands = [shlex.split(words) for words in re.findall(r"^\s*harness (.*?)(?= \|\|| >|$)", scripts, re.M)]
    assert [words[0] for words in commands] == ["run", "gc", "compare"]
    for verb, *words in commands:
        main.commands[verb].make_context(verb, words)


def test_the_toy_study_runs_as_its_page_says(project: Project) -> None:
    for info, text in blocks(ROOT / "docs" / "adding-a-study.md"):
        if name := re.search(r"file=(\S+)", info):
            project.write(name[1], text)
    done = project.run("suites/coin.yaml")
    assert "6 cells: 6 ok" in done.stdout, done.stdout + done.stderr
    pictures = list(project.root.glob("results/cells/*/tosses.png"))
    assert len(pictures) == 6
    told = project.harness("show", pictures[0].parent.name).stdout
    assert "coin(seed=0) built in" in told and "tosses.png" in told
    logs = [path.read_text() for path in project.root.glob("results/artifacts/*/files/log.txt")]
    assert sum("a coin is minted" in text for text in logs) == 1
    fits = {path.name for path in project.root.glob("results/artifacts/*")}
    project.edit("harness/studies/coin/score.py", "abs(float(", "abs(0 + float(")
    reasons = {(cell["status"], cell["reason"]) for cell in project.plan("suites/coin.yaml")}
    assert reasons == {("miss", "code: harness/studies/coin/score.py")}
    assert "6 ran now" in project.run("suites/coin.yaml").stdout
    assert {path.name for path in project.root.glob("results/artifacts/*")} == fits
