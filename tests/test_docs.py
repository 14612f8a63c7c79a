"""The lines of Python in the documentation run as they stand, and its commands exist."""

import json
import re
import textwrap
from pathlib import Path

import pytest
import torch
import typer

from tests.conftest import run_script
from vqa_rnn.cli import app, main
from vqa_rnn.rnn import CELLS

ROOT = Path(__file__).parents[1]
PAGES = sorted([*(ROOT / "docs").glob("*.md"), ROOT / "README.md"])


WITH_PYTHON = [page for page in PAGES if "```python" in page.read_text() and page.name != "README.md"]  # see test_demo.py


@pytest.mark.parametrize("page", WITH_PYTHON, ids=lambda page: page.name)
def test_python_in_a_page_runs_from_top_to_bottom(page: Path):
    blocks = [textwrap.dedent(block) for block in re.findall(r"```python\n(.*?)```", page.read_text(), flags=re.DOTALL)]
    known = dict(CELLS)
    try:
        names: dict[str, object] = {"torch": torch, "__name__": "page"}
        for block in blocks:
            exec(block, names)
    finally:
        CELLS.clear()
        CELLS.update(known)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_in_a_page_exists(page: Path):
    commands = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
    used = set(re.findall(r"^(?:\$ )?vqa-rnn ([a-z][a-z_-]*)", page.read_text(), flags=re.MULTILINE))
    assert used <= commands
    scripts = re.findall(r"(scripts/[\w/]+\.(?:py|yaml|sbatch))", page.read_text())
    assert [script for script in scripts if not (ROOT / script).is_file()] == []


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CONTRIBUTING.md"], ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path):
    links = re.findall(r"\]\(((?!https?:)[^)#\s]+)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


SCRIPTS = [path for path in (ROOT / "scripts").rglob("*.py") if "argparse" in path.read_text()]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_every_script_says_how_it_is_used(script: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    assert run_script(script, ["--help"], monkeypatch) == 0
    assert "usage" in capsys.readouterr().out


def test_the_gradients_of_the_page_are_those_of_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    assert main(["gradients", "--length", "101", "--json"]) == 0
    cells = json.loads(capsys.readouterr().out)["cells"]
    rows = {
        "`elman`, all singular values 0.9": "elman 0.9",
        "`elman`, 1 ": "elman",
        "`elman`, 1.1": "elman 1.1",
        "`gru`": "gru",
    }
    rows |= {"`lstm`, forget bias 1": "lstm", "`highway`": "highway", "`residual`": "residual", "`nas`": "nas"}
    lines = (ROOT / "docs/recurrent-networks.md").read_text().partition("| steps back")[2].splitlines()
    for start, name in rows.items():
        line = next(line for line in lines if line.startswith(f"| {start}"))
        written = [float(value) for value in line.split("|")[2:-1]]
        assert written == pytest.approx([cells[name][distance] for distance in (0, 10, 50, 100)], rel=0.06)
