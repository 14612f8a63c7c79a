"""The part of a model card about ``model.onnx``: its inputs and how to use it."""

import json
from collections.abc import Mapping

from vqa_rnn.checkpoint import Run
from vqa_rnn.models.plain import AXES, PlainModel

FILE = "model.onnx"

INPUTS: Mapping[str, tuple[str, str]] = {
    "features": ("(images, regions, {D}) float32", "the regions of each image"),
    "region_mask": ("(images, regions) bool", "which of them exist"),
    "boxes": ("(images, regions, 4) float32", "where they lie: x1 y1 x2 y2 as fractions of the image"),
    "image_index": ("(questions,) int64", "the image of each question"),
    "tokens": ("(questions, words) int64", "its words, padded on the right with 0"),
    "lengths": ("(questions,) int64", "how many there are, at least 1"),
    "choice_tokens": ("(questions, choices, choice words) int64", "the words of each choice, padded on the right with 0"),
    "choice_lengths": ("(questions, choices) int64", "how many there are; 0 where there is no such choice"),
    "choice_regions": ("(questions, choices) int64", "the region that each choice is; -1 where there is no such choice"),
}


def onnx_card(run: Run, plain: PlainModel, num_regions: int | None, compared: str) -> list[str]:
    """Describe how to use an ONNX file.

    Args:
        run: The run.
        plain: The exported model.
        num_regions: The only number of regions that the file accepts; None if it accepts any.
        compared: How the file compares with torch.

    Returns:
        Lines of Markdown for the model card.
    """
    gives = "choices" if "choices" in {axis for name in plain.inputs for axis in AXES[name]} else f"{len(run.answers)}"
    return [
        "",
        f"## {FILE}",
        "",
        "The model as ONNX operators, which answers without torch. It turns features of an image's regions and the words of a",
        f"question into probabilities. The backbone `{run.features['backbone']}`, which makes the features, is not in it.",
        f"Compared with torch when it was written: {compared}.",
        "",
        "```python",
        *onnx_snippet(run, plain),
        "```",
        "",
        "| input | | |",
        "|---|---|---|",
        *(f"| `{name}` | {INPUTS[name][0].format(D=run.sizes.feature_size)} | {INPUTS[name][1]} |" for name in plain.inputs),
        "",
        f"It gives `probabilities`, (questions, {gives}) float32"
        + (f", calibrated with a temperature of {plain.temperature:.3g}." if plain.temperature != 1 else "."),
        "`tokenizer.json` belongs to the library tokenizers. It splits a question into words and numbers them; 0 is padding, 1",
        "an unknown word. Every named axis may have any length from 1"
        + (f"; but there are always {num_regions} regions, the grid that the model convolves over." if num_regions else "."),
    ]


def onnx_snippet(run: Run, plain: PlainModel) -> list[str]:
    """Return Python code that asks the file a question.

    Args:
        run: The run.
        plain: The exported model.

    Returns:
        The lines of code.
    """
    question = json.dumps((run.examples or ["What is it?"])[0], ensure_ascii=False)
    has_choices = "choice_tokens" in plain.inputs or "choice_regions" in plain.inputs
    has_store = run.config.features.output == "boxes" or run.config.features.library == "imported"
    image = "" if run.config.features.library == "none" else '"photo.jpg"'
    lines = [] if has_choices else ["import json"]
    lines += [
        "from pathlib import Path",
        "",
        "import numpy as np",
        "import onnxruntime",
        "from tokenizers import Tokenizer",
        "",
    ]
    lines += ["import vqa_rnn", "", 'folder = Path("THIS FOLDER")', f'model = onnxruntime.InferenceSession(folder / "{FILE}")']
    lines += ['words = Tokenizer.from_file(str(folder / "tokenizer.json"))']
    if not has_choices:
        lines += ['answers = json.loads((folder / "answers.json").read_text(encoding="utf-8"))']
    lines += [""]
    if has_store:
        lines += [
            'store = vqa_rnn.open_store(Path("features.h5"))  # features of training; no backbone here makes them',
            'rows = store.rows(["IMAGE ID"])',
            "inputs = {",
            '    "features": store.read(rows).astype(np.float32),',
            '    "region_mask": np.arange(store.num_regions_max) < store.num_regions[rows, None],',
            *(['    "boxes": store.read_column("boxes", rows),'] if "boxes" in plain.inputs else []),
            "}",
        ]
    else:
        lines += [f"inputs = vqa_rnn.load(folder).regions({image})  # features, as the backbone of training makes them"]
    lines += [f"tokens = words.encode({question}).ids or [1]"]
    lines += ['question = {"image_index": [0], "tokens": [tokens], "lengths": [len(tokens)]}']
    if "choice_tokens" in plain.inputs:
        lines += [
            'choices = ["red", "dark blue"]',
            "encoded = [words.encode(choice).ids or [1] for choice in choices]",
            "longest = max(map(len, encoded))",
            'question["choice_tokens"] = [[ids + [0] * (longest - len(ids)) for ids in encoded]]',
            'question["choice_lengths"] = [[len(ids) for ids in encoded]]',
        ]
    if "choice_regions" in plain.inputs:
        lines += ["choices = [0, 1]  # rows of the regions", 'question["choice_regions"] = [choices]']
    lines += [
        "inputs |= {name: np.array(value) for name, value in question.items()}",
        "(probabilities,) = model.run(None, inputs)",
        f"print({'choices' if has_choices else 'answers'}[probabilities[0].argmax()], probabilities[0].max())",
    ]
    return lines
