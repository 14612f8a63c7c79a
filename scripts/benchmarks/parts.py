"""Measure the time of a training step for each attention, fusion and reasoning network, against its own matrix products.

    python scripts/benchmarks/parts.py [--only bilinear mac …] [--questions 128] [--rounds 3] [--json]

36 regions x 2048 of 24 images, 128 questions of 14 words, hidden sizes of 1024, float32, forward and backward. The question
encoder and the head are left out. A fusion comes after `top_down` attention, an attention before the `product` fusion.

step       milliseconds, the best of the rounds, in which the parts take turns
products   milliseconds of the step's matrix products and convolutions alone, with the same shapes, forward and backward
kept       megabytes that the forward pass keeps for the backward pass, without weights and inputs
"""

import vqa_rnn  # noqa: F401 - imported before torch, as it sets how threads wait

# isort: split

import argparse
import json
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from made_up import FEATURE, REGIONS, WORDS
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

from vqa_rnn.config import ModelConfig
from vqa_rnn.memory import keep_freed_memory
from vqa_rnn.models import ModelSizes, VqaModel
from vqa_rnn.models.attention import ATTENTIONS
from vqa_rnn.models.fusion import FUSIONS
from vqa_rnn.models.reasoning import REASONING
from vqa_rnn.models.text_encoder import EncodedTexts

QUESTIONS_AN_IMAGE, HIDDEN = 16 / 3, 1024
UNMEASURED = ("top_down", "product", "image")  # the two parts of the baseline; a fusion that computes nothing
BASELINE = "top_down + product"
PARTS = {
    **{f"{name}_attention" if name in FUSIONS else name: ("attention", name) for name in ATTENTIONS},
    **{name: ("fusion", name) for name in FUSIONS},
    **{name: ("reasoning", name) for name in REASONING},
}  # section and name of each part
NAMES = [part for part in PARTS if part not in UNMEASURED]
OPTIONS: dict[str, dict[str, Any]] = {
    "film": {"hidden_size": 128},
    "mcan": {"hidden_size": 512},
    "relation": {"hidden_size": 256},
    "mcb": {"hidden_size": 16_000},
    "none": {},
}
aten = torch.ops.aten
PRODUCTS = {aten.mm, aten.addmm, aten.bmm, aten.baddbmm, aten.convolution, aten.convolution_backward}


class Products(TorchDispatchMode):
    """Records the matrix products and convolutions that run, each distinct one once with its number of calls."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()
        self.calls: dict[str, Callable[[], Any]] = {}

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function.overloadpacket in PRODUCTS:
            like = tree_map(lambda value: torch.randn_like(value) if isinstance(value, Tensor) else value, args)
            key = str(tree_map(lambda value: (value.shape, value.stride()) if isinstance(value, Tensor) else value, args))
            key = f"{function} {key}"
            self.counts[key] += 1
            self.calls.setdefault(key, lambda: function(*like, **(kwargs or {})))
        return function(*args, **(kwargs or {}))


def config_of(part: str) -> ModelConfig:
    """Return the config of a model with the part."""
    section, name = PARTS[part]
    options = {"name": name, "hidden_size": HIDDEN, **OPTIONS.get(name, {})}
    options = {"name": name} if name == "none" else options
    if section == "reasoning":
        parts: dict[str, Any] = {"reasoning": options}
        parts["reasoning"] |= {"kernel_size": 1} if name in ("film", "mac") else {}
    elif section == "fusion":
        parts = {"fusion": options, "attention": {"name": "top_down", "hidden_size": HIDDEN}}
    else:
        parts = {"attention": options, "fusion": {"name": "product", "hidden_size": HIDDEN}}
    question = {"embedding_size": 16, "hidden_size": HIDDEN}
    return ModelConfig.model_validate({"question": question, **parts})


def build(part: str) -> VqaModel:
    """Build a model of which only the parts that join question and image are used."""
    torch.manual_seed(0)
    return VqaModel(config_of(part), ModelSizes(100, FEATURE, 2))


def joined(model: VqaModel, inputs: tuple[Any, ...]) -> Tensor:
    """Return (N, J), as ``VqaModel.encode`` computes it."""
    if model.reasoning is not None:
        return model.reasoning(*inputs).joint
    attended = model.attention(*inputs)  # type: ignore[misc]
    return model.fusion(attended.question, attended.image, attended.image_index)  # type: ignore[misc]


def make_inputs(num_questions: int) -> tuple[Any, ...]:
    generator = torch.Generator().manual_seed(0)
    num_images = max(1, int(num_questions / QUESTIONS_AN_IMAGE))
    regions = torch.randn(num_images, REGIONS, FEATURE, generator=generator)
    vectors = torch.randn(num_questions, HIDDEN, generator=generator, requires_grad=True)
    words = torch.randn(num_questions, WORDS, HIDDEN, generator=generator, requires_grad=True)
    mask = torch.ones(num_questions, WORDS, dtype=torch.bool)
    index = torch.randint(num_images, (num_questions,), generator=generator)
    return regions, torch.ones(num_images, REGIONS, dtype=torch.bool), EncodedTexts(vectors, words, mask), index


def kept_bytes(model: VqaModel, inputs: tuple[Any, ...]) -> int:
    """Return the bytes that the backward pass needs besides weights and inputs, each storage once."""
    known = {tensor.untyped_storage().data_ptr() for tensor in (*model.parameters(), inputs[0], *inputs[2])}
    found: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            found[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        joint = joined(model, inputs)
    del joint
    return sum(found.values())


def seconds_of(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=NAMES, default=NAMES)
    parser.add_argument("--questions", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    keep_freed_memory()
    inputs = make_inputs(arguments.questions)
    models: dict[str, nn.Module] = {BASELINE: build("top_down"), **{name: build(name) for name in arguments.only}}
    noted: dict[str, Products] = {}

    def step(name: str) -> None:
        joined(models[name], inputs).sum().backward()

    for name in models:
        with Products() as noted[name]:
            step(name)
    best: dict[tuple[str, str], float] = {}
    for _ in range(arguments.rounds):
        for name in models:
            products = sum(seconds_of(call) * noted[name].counts[key] for key, call in noted[name].calls.items())
            for what, seconds in (("step", seconds_of(lambda name=name: step(name))), ("products", products)):
                best[name, what] = min(best.get((name, what), float("inf")), seconds)
    rows = {
        name: {
            "step_ms": 1000 * best[name, "step"],
            "products_ms": 1000 * best[name, "products"],
            "step_over_products": best[name, "step"] / best[name, "products"],
            "step_over_baseline": best[name, "step"] / best[BASELINE, "step"],
            "kept_mb": kept_bytes(model, inputs) / 1e6,
        }
        for name, model in models.items()
    }
    if arguments.json:
        print(json.dumps(rows))
        return
    table = Table("part", "step, ms", "products, ms", "step / products", f"step / {BASELINE}", "kept, MB")
    for name, row in rows.items():
        table.add_row(name, *(f"{value:,.2f}" for value in row.values()))
    Console().print(table)


if __name__ == "__main__":
    main()
