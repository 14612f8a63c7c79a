"""Export a model with random weights to ONNX for every part, and compare onnxruntime with torch.

    python scripts/soak/onnx_parity.py [NAME …]

Prints a Markdown table of the parts with the largest difference of each. The exit code is 1 if a model cannot be exported or
differs. Takes a few seconds per model. Needs `pip install "vqa-rnn[onnx]"`.
"""

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import BertConfig

from vqa_rnn.commands.onnx_file import COMPARED, REPEATS, TRACED, compare_graph, draw_inputs, write_graph
from vqa_rnn.config import ModelConfig
from vqa_rnn.models import ModelSizes, VqaModel
from vqa_rnn.models.attention import ATTENTIONS
from vqa_rnn.models.fusion import FUSIONS
from vqa_rnn.models.plain import PlainModel
from vqa_rnn.models.reasoning import REASONING
from vqa_rnn.rnn import CELLS

GRID = 16
TEMPERATURE = 0.01  # with random weights all answers have nearly the same probability; this separates them
QUESTION = {"embedding_size": 24, "hidden_size": 32}
SMALL: dict[str, dict[str, Any]] = {
    "mlb": {"rank": 24},
    "mutan": {"factor_size": 24, "rank": 3},
    "tucker": {"factor_size": 16},
    "block": {"factor_size": 24, "pieces": 3, "rank": 3},
    "mcan": {"num_layers": 2, "num_heads": 4, "joint_size": 32},
    "film": {"joint_size": 32},
}


def variants() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the name and the model options of each row."""
    for name in ATTENTIONS:
        yield f"attention {name}", {"attention": options(name, sized=name != "none")}
    yield "attention recurrent, hard", {"attention": options("recurrent") | {"hard": True}}
    for name in FUSIONS:
        attention = options("stacked") if name == "image" else {"name": "none"}
        yield f"fusion {name}", {"attention": attention, "fusion": options(name, sized=name != "image")}
    for name in REASONING:
        kernel = {"kernel_size": 1} if name in ("film", "mac") else {}
        yield f"reasoning {name}", {"reasoning": options(name) | kernel, "geometry": True}
    yield "reasoning film on a grid", {"reasoning": options("film"), "geometry": True}
    yield "reasoning mac on a grid", {"reasoning": options("mac") | {"self_attention": True, "gate": True}}
    for cell in CELLS:
        yield (
            f"cell {cell}, two layers, both directions",
            {"question": QUESTION | {"cell": cell, "num_layers": 2, "bidirectional": True, "first_state": "learned"}},
        )
    for pooling in ("mean", "max", "attention", "all_states"):
        yield f"pooling {pooling}", {"question": QUESTION | {"pooling": pooling}}
    yield "bag of words", {"question": {"embedding_size": 24, "alone": True, "pooling": "mean"}}
    yield "question transformer (BERT)", {"question": {"name": "transformer", "weights": "none", "hidden_size": 32}}
    yield "head classifier, sigmoid", {"head": {"name": "classifier", "loss": "sigmoid"}}
    yield "head choice, texts", {"head": {"name": "choice"}}
    yield "head choice, regions", {"head": {"name": "choice", "choices": "regions"}}
    yield "head mlp_choice", {"head": {"name": "mlp_choice", "hidden_size": 32, "loss": "sigmoid"}}
    yield "features of length 1", {"feature_scaling": "unit", "geometry": True}
    for ablate in ("question_only", "image_only", "choices_only"):
        yield f"ablate {ablate}", {"ablate": ablate, "attention": options("top_down")}


def options(name: str, *, sized: bool = True) -> dict[str, Any]:
    return {"name": name, **({"hidden_size": 32} if sized else {}), **SMALL.get(name, {})}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="rows that have one of these words; by default all")
    names = parser.parse_args().names
    bert = BertConfig(vocab_size=50, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32)
    sizes = ModelSizes(50, feature_size=40, num_answers=20, transformer=bert.to_dict())
    is_good = True
    print("| part | largest difference of a probability |\n|---|---|")
    for name, values in variants():
        if names and not any(word in name for word in names):
            continue
        torch.manual_seed(0)
        model = VqaModel(ModelConfig.model_validate({"question": QUESTION, "fusion": {"name": "product"}} | values), sizes)
        plain = PlainModel(model, TEMPERATURE).eval()
        num_regions = GRID if plain.needs_grid else None
        generator = np.random.default_rng(0)
        try:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "model.onnx"
                write_graph(plain, draw_inputs(plain, 50, TRACED, generator, num_regions), path, num_regions)
                cases = [draw_inputs(plain, 50, each, generator, num_regions) for each in COMPARED * REPEATS]
                found = f"{compare_graph(plain, path, cases):.0e}"
        except Exception as error:
            is_good, found = False, " ".join(f"{type(error).__name__}: {error}".split())[:200]
        print(f"| {name} | {found} |", flush=True)
    return 0 if is_good else 1


if __name__ == "__main__":
    raise SystemExit(main())
