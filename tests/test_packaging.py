"""What a newcomer meets first: the environment file, the shipped recipes, the README's commands, the help."""

import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import typer
import yaml

from vqa_rnn.cli import app, main
from vqa_rnn.config.files import list_recipes, load_config

ROOT = Path(__file__).parent.parent


def test_environment_installs_this_package_and_nothing_twice() -> None:
    # Parsed only: there is no conda to solve it with here.
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert environment["name"] == "vqa-rnn"
    *conda, pip = environment["dependencies"]
    assert pip == {"pip": ["-e ."]}
    requires = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    assert conda == [f"python{requires}", "pip"]


@pytest.mark.parametrize("name", list_recipes())
def test_every_recipe_is_valid(name: str) -> None:
    assert load_config(name).run.name == name.replace("/", "-")


def test_the_wheel_ships_the_recipes() -> None:
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["force-include"] == {"configs": "vqa_rnn/configs"}
    assert set(wheel["packages"]) == {"vqa_rnn", "preprocessing"}


def documented_commands() -> list[str]:
    """Every ``vqa-rnn`` command of the pages, also those inside a loop of the shell; its variables become 0."""
    text = "\n".join(path.read_text() for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))])
    blocks = [block.replace("\\\n", " ") for block in re.findall(r"```bash\n(.*?)```", text, re.DOTALL)]
    commands = [found for block in blocks for found in re.findall(r"^ *(?:for .*; do )?(vqa-rnn [^;\n]*)", block, re.MULTILINE)]
    return [re.sub(r"\$\w+", "0", command).strip() for command in commands]


@pytest.mark.parametrize("line", documented_commands())
def test_documented_commands_are_understood(line: str) -> None:
    _, name, *arguments = shlex.split(line, comments=True)
    command = typer.main.get_command(app).commands[name]  # type: ignore[attr-defined]
    context = command.make_context(name, [re.sub(r"\(.*\)$", "", a) for a in arguments])  # refuses what does not exist
    if context.params.get("config"):
        load_config(context.params["config"], context.params.get("overrides") or [])


@pytest.mark.parametrize("name", ["", "demo", "preprocess", "train", "evaluate", "ask"])
def test_help_says_what_a_command_does(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*([name] if name else []), "--help"]) == 0
    assert "Usage: vqa-rnn" in capsys.readouterr().out


def test_print_config_reads_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "easy_vqa", "model.fusion.name=concat", "--print-config"]) == 0
    path = tmp_path / "printed.yaml"
    path.write_text(capsys.readouterr().out)
    assert load_config(str(path)).model == load_config("easy_vqa", ["model.fusion.name=concat"]).model


@pytest.mark.parametrize("script", ["train", "evaluate", "preprocess", "ask"])
def test_scripts_are_the_commands(script: str, tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, ROOT / "scripts" / f"{script}.py", "nothing-of-this-name"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 2
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
