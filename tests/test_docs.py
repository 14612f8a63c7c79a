"""The lines of Python in the documentation run as they stand, its commands exist, and the site has all pages and options."""

import json
import os
import re
import runpy
import subprocess
import sys
import textwrap
import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import matplotlib
import pytest
import torch
import typer
import yaml
from PIL import Image

import vqa_rnn
from tests.conftest import run_script
from vqa_rnn.cli import app, main
from vqa_rnn.config import Config, Section
from vqa_rnn.config.files import config_yaml, kinds_of
from vqa_rnn.rnn import CELLS

ROOT = Path(__file__).parents[1]
PAGES = sorted([*(ROOT / "docs").rglob("*.md"), ROOT / "README.md"])
NOTEBOOKS = sorted((ROOT / "docs/notebooks").glob("*.py"))


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
    used = set(re.findall(r"^(?:\$ )?vqa-rnn ([a-z][a-z0-9_-]*)", page.read_text(), flags=re.MULTILINE))
    assert used <= commands
    scripts = re.findall(r"(scripts/[\w/]+\.(?:py|yaml|sbatch))", page.read_text())
    assert [script for script in scripts if not (ROOT / script).is_file()] == []


@pytest.mark.parametrize("page", [*PAGES, *NOTEBOOKS, ROOT / "CONTRIBUTING.md"], ids=lambda page: page.name)
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


def pages_of_nav(nav: Sequence[Any]) -> Iterator[str]:
    for entry in nav:
        (place,) = entry.values()
        yield from [place] if isinstance(place, str) else pages_of_nav(place)


def test_the_site_shows_every_page_and_no_other():
    site = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
    shown = Counter(pages_of_nav(site["nav"]))
    there = [path.relative_to(ROOT / "docs").as_posix() for path in [*PAGES, *NOTEBOOKS] if path != ROOT / "README.md"]
    assert shown == Counter(there)
    assert all((ROOT / hook).is_file() for hook in site["hooks"])


@pytest.mark.parametrize(
    "page", ["own_data.md", "add_a_part.md", "resume.md", "distributed.md", "options.md", "quick_start.md"]
)
def test_the_front_page_leads_to_what_is_looked_for(page: str):
    assert f"]({page})" in (ROOT / "docs/index.md").read_text()


def test_the_pages_of_the_api_have_every_public_name_once():
    shown = [
        name
        for page in (ROOT / "docs/api").glob("*.md")
        for name in re.findall(r"^::: vqa_rnn\.(\w+)$", page.read_text(), re.M)
    ]
    assert Counter(shown) == Counter(vqa_rnn.__all__)


@pytest.fixture(scope="module")
def options_page() -> str:
    """The page of every option, as the site has it."""
    return runpy.run_path(str(ROOT / "scripts/docs/options.py"))["options_page"]()


def options_of(section: type[Section], prefix: str = "") -> Iterator[str]:
    """All options as ``key=default``, of every kind of a section that has several."""
    defaults, values = section(), section().model_dump(mode="json")
    for key, info in section.model_fields.items():
        default = getattr(defaults, key)
        if isinstance(default, Section):
            for kind in kinds_of(info.annotation).values() or [type(default)]:
                yield from options_of(kind, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}={yaml.safe_dump(values[key], default_flow_style=True, width=1000).splitlines()[0]}"


def test_one_page_has_every_option_with_its_default_and_its_meaning(options_page: str):
    options = set(options_of(Config))
    assert len(options) > 200
    assert [option for option in options if f"`{option}`" not in options_page] == []
    notes = re.findall(r"  # (.+)", config_yaml(Config(), comments=True))
    assert [note for note in notes if note.partition(" By name: ")[0] not in options_page] == []


@pytest.mark.parametrize(
    ("option", "says"),
    [
        ("model.question.cell=lstm", "`elman`, `lstm`, "),
        ("dataset.validation_fraction=0.1", "number, above 0, below 1"),
        ("dataset.folds=null", "whole number, at least 2 or `null`"),
        ("features.std=null", "list of 3: number, above 0 or `null`"),
        ("features.layers=null", "list: text or `null`"),
        ("features.compile=false", "`true` or `false`"),
        ("training.start_from=null", "path or `null`"),
    ],
)
def test_the_page_says_what_an_option_may_be(options_page: str, option: str, says: str):
    (line,) = [line for line in options_page.splitlines() if line.startswith(f"`{option}`")]
    assert line.partition("<small>")[2].startswith(says)


def run_notebook(name: str, parameters: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Run a notebook with small parameters, in an empty folder: the names that it leaves."""
    matplotlib.use("Agg")
    monkeypatch.chdir(folder)
    shrink = runpy.run_path(str(ROOT / "scripts/docs/notebook.py"))["with_parameters"]
    script = folder / name
    script.write_text(shrink((ROOT / "docs/notebooks" / name).read_text(), parameters))
    return runpy.run_path(str(script), run_name="__main__")


def test_the_first_model_is_trained_and_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    names = run_notebook("first_model.py", "num_pictures, num_epochs = 20, 2", tmp_path, monkeypatch)
    assert len(names["lines"]) == 80
    assert 0 <= names["report"]["metrics"]["accuracy"] <= 1
    assert [answer.question for answer in names["answers"]] == ["What colour is the square?", "What colour is the triangle?"]
    assert all(answer.maps.shape == (1, 16) for answer in names["answers"])
    assert (tmp_path / "first_model/where.png").is_file()


def test_what_cells_remember_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    names = run_notebook("what_cells_remember.py", "length, delay, num_steps = 31, 0, 150", tmp_path, monkeypatch)
    norms = names["norms"]
    assert norms["elman, 0.9"][30] < 0.1 * norms["elman, 1"][30] < 0.1 * 0.2 * norms["elman, 1.1"][30]
    assert norms["elman, 1"][30] == pytest.approx(norms["elman, 1"][0], rel=0.1)
    assert norms["gru"][30] < 0.001 * norms["gru"][0]
    assert all(accuracies[-1] > 0.9 for accuracies in names["recalled"].values())  # nothing to remember: no delay
    assert {path.name for path in (tmp_path / "what_cells_remember").iterdir()} == {"gradients.png", "recall.png"}


def test_a_notebook_is_shown_as_text_and_code():
    tools = runpy.run_path(str(ROOT / "scripts/docs/notebook.py"))
    script = '# %% [markdown]\n# # A title\n#\n# text\n\n# %% tags=["parameters"]\nsize = 3\n\n# %%\nprint(size)  # %%\n'
    page = tools["as_page"](script, "docs/x.py")
    assert page.startswith("# A title\n\ntext\n\n*This page is the notebook `docs/x.py`.")
    assert page.endswith("```python\nsize = 3\n```\n\n```python\nprint(size)  # %%\n```\n")
    changed = tools["read_cells"](tools["with_parameters"](script, "size = 4"))
    assert [cell.text for cell in changed] == ["# A title\n\ntext", "size = 3", "size = 4", "print(size)  # %%"]
    with pytest.raises(ValueError, match="parameters"):
        tools["with_parameters"]("# %%\nsize = 3\n", "size = 4")


def test_the_picture_of_the_architecture_is_drawn_and_has_todays_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    script = ROOT / "scripts/draw_architecture.py"
    assert run_script(script, ["--output", tmp_path / "drawn.png"], monkeypatch) == 0
    drawn, kept = Image.open(tmp_path / "drawn.png"), Image.open(ROOT / "docs/images/architecture.png")
    assert set(json.loads(drawn.text["Description"])["model.question.cell"]) == set(CELLS)
    assert kept.text["Description"] == drawn.text["Description"], f"draw it again: python {script.relative_to(ROOT)}"
    assert kept.size == drawn.size


def test_the_citation_is_of_this_version_and_licence():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert citation["cff-version"] == "1.2.0"
    assert (citation["version"], citation["license"]) == (vqa_rnn.__version__, project["license"])
    assert {"message", "title", "authors"} <= set(citation)


class Loaded(HTMLParser):
    """Collects what a page loads: all addresses but those of links that a reader follows."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag != "a":
            self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data", "poster")]


def test_the_site_is_built_without_a_warning_and_loads_nothing_from_elsewhere(tmp_path: Path):
    for needed in ("mkdocs", "material", "mkdocstrings_handlers.python"):
        pytest.importorskip(needed, reason='pip install "vqa-rnn[docs]"')
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    assert "WARNING" not in built.stderr
    pages = list(tmp_path.rglob("*.html"))
    assert len(pages) > len(PAGES)
    for page in pages:
        loaded = Loaded()
        loaded.feed(page.read_text())
        assert [address for address in loaded.addresses if re.match(r"(https?:)?//", address)] == [], page
    for style in tmp_path.rglob("*.css"):
        assert not re.search(r"(@import|url\()\s*['\"]?(https?:)?//", style.read_text()), style
    assert "model.fusion.name=mutan" in (tmp_path / "options.html").read_text()
    assert "Your first VQA model" in (tmp_path / "notebooks/first_model.html").read_text()
    assert "MutanFusion" in (tmp_path / "api/fusions.html").read_text()
