"""``vqa-rnn export``: a run as a folder to share, with a model card, in the layout of the Hugging Face hub."""

import json
import logging
import os
import shutil
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml

from vqa_rnn.checkpoint import Run, load_run
from vqa_rnn.commands.onnx_card import FILE as ONNX
from vqa_rnn.commands.onnx_file import check_onnx, write_onnx
from vqa_rnn.commands.shared import counts_of, describe_model
from vqa_rnn.config import Config
from vqa_rnn.config.files import config_yaml
from vqa_rnn.config.section import Section
from vqa_rnn.errors import UserError
from vqa_rnn.files import read_json, write_json, write_text
from vqa_rnn.progress import counted
from vqa_rnn.run_folder import best_validation

log = logging.getLogger("vqa_rnn")

FILES = ("tokenizer.json", "answers.json", "model.safetensors")
# Files that are copied without some of their values, which describe the author's machine.
PRIVATE = {"run.json": {"launcher"}, "calibration.json": {"run", "picture"}}
CARD = "README.md"


def export(path: str | Path, output: str | Path, push: str | None = None, *, onnx: bool = False) -> Path:
    """Write what is needed to ask a run into a new folder, with a model card. ``vqa_rnn.load`` opens the folder.

    Args:
        path: The folder of a trained run.
        output: The folder to create.
        push: Also upload it to the Hugging Face hub under this name, ``OWNER/NAME``; this needs a token.
        onnx: Also write ``model.onnx``, which runs without torch.

    Returns:
        The folder.

    Raises:
        UserError: The run is not trained, the folder exists already or cannot be written, or the upload failed. If the model
            cannot be exported to ``model.onnx`` or does not give the same answers there as in torch, nothing is written.
    """
    run, output = load_run(path), Path(output)
    if not run.model_path.is_file():
        raise UserError(f"{run.path} has no weights yet: train it first")
    if output.exists():
        raise UserError(f"{output} already exists: delete it, or give another name")
    if onnx:
        check_onnx(run)
    temporary = output.with_name(f".{output.name}.{os.getpid()}.tmp")
    try:
        temporary.mkdir(parents=True)
        for name in FILES:
            shutil.copyfile(run.path / name, temporary / name)
        for name, private in PRIVATE.items():
            if (run.path / name).exists():
                content = read_json(run.path / name, "file")
                write_json(temporary / name, {key: value for key, value in content.items() if key not in private})
        write_text(temporary / "config.yaml", config_yaml(_without_own_paths(run.config)))
        card = model_card(run)
        if onnx:
            compared, lines = write_onnx(run, temporary / ONNX)
            log.info("%s: %s", ONNX, compared)
            card += "\n".join(lines) + "\n"
        write_text(temporary / CARD, card)
        os.replace(temporary, output)
    except OSError as error:
        raise UserError(f"cannot write {output}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    if push is not None:
        _upload(output, push)
    return output


def model_card(run: Run) -> str:
    """Write the model card of a run: what it is, its results, its limits and how to use it.

    Args:
        run: The run.

    Returns:
        Markdown, with the metadata that the Hugging Face hub reads.
    """
    config = run.config
    has_captions = config.dataset.has_captions
    task, tag = ("image-to-text", "image-captioning") if has_captions else ("visual-question-answering", "vqa")
    metadata = {"library_name": "vqa-rnn", "pipeline_tag": task, "tags": [tag, config.dataset.name]}
    question = json.dumps((run.examples or ["What is it?"])[0], ensure_ascii=False)
    kind, does = ("Image captioning", "writes captions") if has_captions else ("Visual question answering", "answers questions")
    call = 'describe("photo.jpg")' if has_captions else f'ask("photo.jpg", {question})'
    features = run.features
    parts = [f"{part.lower()}: {text}" for part, text in describe_model(config.model).items()]
    lines = [
        "---",
        yaml.safe_dump(metadata, sort_keys=False).strip(),
        "---",
        f"# {run.path.name}",
        "",
        f"{kind}, trained on `{config.dataset.name}` with vqa-rnn:",
        f"{'; '.join(parts)}; features: `{features['backbone']}` ({', '.join(features['layer'])}).",
        "",
        "```python",
        "import vqa_rnn",
        "",
        'session = vqa_rnn.load("THIS FOLDER")    # or hub:OWNER/NAME',
        f"print(session.{call})",
        "```",
        "",
        "## What was measured",
        "",
        *_figures(run),
        "",
        "## Limits",
        "",
        f"It {does} like those of `{config.dataset.name}`, about images like its images.",
    ]
    if len(run.answers):
        lines.append(f"It has {len(run.answers):,} answers and gives no other.")
    if config.dataset.name in ("slake", "vqa_rad"):
        lines.append("It is no medical device.")
    return "\n".join(lines) + "\n"


def _without_own_paths(config: Config) -> Config:
    """Return the config without the locations of the feature store and the run folder, and without absolute paths.

    Imported features keep the name of their store, which their config needs.
    """
    features = config.features
    without: Config = _shortened(
        config.model_copy(
            update={
                "features": features.model_copy(update={"store": features.store if features.library == "imported" else None}),
                "run": config.run.model_copy(update={"folder": Path("runs")}),
            }
        )
    )
    return without


def _shortened(value: Any) -> Any:
    """Return a section or an option with each absolute path shortened to its last part."""
    if isinstance(value, Section):
        return value.model_copy(update={name: _shortened(each) for name, each in value})
    if isinstance(value, Path | str) and Path(value).is_absolute():
        return type(value)(Path(value).name)
    return value


def _figures(run: Run) -> list[str]:
    """Return a table for each report of ``evaluate``, or the best validation score if there is none."""
    reports = [json.loads(path.read_text(encoding="utf-8")) for path in sorted((run.path / "evaluation").glob("*.json"))]
    tables = [line for report in reports if isinstance(report, dict) and "metrics" in report for line in _table(report)]
    if tables:
        return tables
    best = best_validation(run.path)
    measured = "Nothing." if best is None else f"{_score(run, best[0])} on the validation split, which also chose the epoch."
    return [f"{measured} `vqa-rnn evaluate` adds intervals and floors."]


def _score(run: Run, value: float) -> str:
    return f"CIDEr {value:.3f}" if run.config.dataset.has_captions else f"{value:.2%}"


def _table(report: Mapping[str, Any]) -> list[str]:
    size = " about ".join(counted(count, things) for things, count in counts_of(report).items())
    rows = [f"| {report['split']} split, {size} | | 95% interval |", "|---|---|---|"]
    for name, value in report["metrics"].items():
        low, high = report["intervals"].get(name) or (None, None)
        interval = "" if low is None else f"{low:.4f} to {high:.4f}"
        rows.append(f"| **{name}** | **{value:.4f}** | {interval} |")
    for floor, scores in report["floors"].items():
        low, high = scores.get("interval") or (None, None)
        name, value = next((name, value) for name, value in scores.items() if name != "interval")
        interval = "" if low is None else f"{low:.4f} to {high:.4f}"
        rows.append(f"| floor: {floor.replace('_', ' ')}, {name} | {value:.4f} | {interval} |")
    return [*rows, ""]


def _upload(folder: Path, name: str) -> None:
    hub = import_module("huggingface_hub")  # it takes a second to import
    try:
        api = hub.HfApi()
        api.create_repo(name, exist_ok=True)
        api.upload_folder(repo_id=name, folder_path=str(folder))
    except Exception as error:  # errors of the network, the hub or the token
        reason = " ".join(str(error).split())
        raise UserError(f"{folder} is written, but could not be uploaded to {name}: {reason}") from error
