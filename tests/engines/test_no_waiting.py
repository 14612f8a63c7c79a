"""The training step never waits for the device.

The device here is torch's ``meta``, whose tensors have shapes and no values: whatever would read one fails.
"""

from typing import Any

import numpy as np
import pytest
import torch
from ignite.engine import Engine, Events

from tests.models.test_history import CHOICES, DIALOGS, SIZES, TOKENIZER, ThreeImages
from vqa_rnn.answers import AnswerVocabulary
from vqa_rnn.batch import Batch
from vqa_rnn.config import ModelConfig, TrainingConfig
from vqa_rnn.data.collate import make_batch
from vqa_rnn.data.encoding import encode_questions
from vqa_rnn.engines.optimization import OPTIMIZERS, build_optimization
from vqa_rnn.engines.trainer import Examples, build_trainer
from vqa_rnn.models import VqaModel
from vqa_rnn.models.attention import ATTENTIONS
from vqa_rnn.models.fusion import FUSIONS
from vqa_rnn.models.heads import ANSWER_HEADS
from vqa_rnn.models.history import HISTORY_ENCODERS
from vqa_rnn.models.reasoning import REASONING
from vqa_rnn.rnn import CELLS

pytestmark = pytest.mark.filterwarnings("ignore:Seems like `optimizer.step")

DEVICE = torch.device("meta")
ENCODED = encode_questions(DIALOGS, TOKENIZER, AnswerVocabulary(CHOICES), answers_as_text=True)


def trainer_of(training: dict[str, Any], *, device: torch.device = DEVICE, precision: str = "float32", **model: Any) -> Engine:
    config = TrainingConfig.model_validate({"batch_size": len(ENCODED), **training})
    question = {"embedding_size": 8, "hidden_size": 6, **model.pop("question", {})}
    network = VqaModel(ModelConfig.model_validate({"question": question, **model}), SIZES).to(device)
    optimization = build_optimization(network, config, precision=precision, device=device, steps_per_epoch=10)
    if device == DEVICE and config.optimizer.name != "adamax":  # torch's fused kernels, which a meta tensor does not have
        optimization.optimizer.defaults["fused"] = True
        optimization.optimizer.step = lambda: None  # type: ignore[method-assign]
    return build_trainer(
        network,
        optimization,
        config=config,
        precision=precision,
        device=device,
        examples=Examples(ENCODED.question_ids),
    )


def parts_of_a_step() -> tuple[Batch, ...]:
    return tuple(make_batch(ENCODED, half, ThreeImages()) for half in np.array_split(np.arange(len(ENCODED)), 2))


def run(trainer: Engine, steps: int = 3) -> None:
    trainer.add_event_handler(Events.ITERATION_COMPLETED(once=steps), trainer.terminate)
    trainer.run([parts_of_a_step()] * (steps + 1))
    assert trainer.state.iteration == steps


def test_what_reads_the_device_fails_here():
    with pytest.raises((RuntimeError, NotImplementedError), match="meta"):
        run(trainer_of({"log_steps": 3}))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("clipping", [{}, {"clip_norm": None}, {"clip_value": 1.0}], ids=["norm", "free", "value"])
def test_no_optimizer_waits(optimizer: str, clipping: dict[str, Any]):
    run(trainer_of({"optimizer": {"name": optimizer}, **clipping}))


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("options", [{}, {"bidirectional": True, "num_layers": 2}], ids=["plain", "deep"])
def test_no_cell_waits(cell: str, options: dict[str, Any]):
    run(trainer_of({}, question={"cell": cell, **options}))


@pytest.mark.parametrize("pooling", ["last", "mean", "max", "attention", "all_states"])
def test_no_pooling_waits(pooling: str):
    run(trainer_of({}, question={"pooling": pooling, "word_dropout": 0.1, "dropout": 0.1}))


@pytest.mark.parametrize(
    ("attention", "fusion"),
    [
        *((name, "product") for name in ATTENTIONS),
        *(("stacked" if name == "image" else "top_down", name) for name in FUSIONS),
    ],
)
def test_no_attention_and_no_fusion_waits(attention: str, fusion: str):
    run(trainer_of({}, attention={"name": attention}, fusion={"name": fusion}, geometry=True))


@pytest.mark.parametrize("reasoning", REASONING)
def test_no_reasoning_waits(reasoning: str):
    run(trainer_of({}, reasoning={"name": reasoning}, geometry=True))


@pytest.mark.parametrize("history", HISTORY_ENCODERS)
@pytest.mark.parametrize("head", ANSWER_HEADS)
def test_no_history_and_no_head_waits(history: str, head: str):
    run(trainer_of({}, history={"name": history}, head={"name": head}))


@pytest.mark.parametrize("conditioning", ["first_state", "every_step"])
def test_no_decoder_waits(conditioning: str):
    run(trainer_of({}, head={"name": "generative", "conditioning": conditioning}))


@pytest.mark.parametrize(
    "head",
    [
        {"name": "classifier", "loss": "sigmoid", "hidden_size": 8},
        {"name": "choice", "loss": "sigmoid"},
        {"name": "choice", "target": "relevance"},
    ],
    ids=["classifier", "choice", "relevance"],
)
def test_no_loss_waits(head: dict[str, Any]):
    run(trainer_of({}, head=head))
