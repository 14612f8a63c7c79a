"""A model that finds all choices equally good is right by chance, wherever a benchmark puts the truth."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.official import draw_visdial, draw_visual7w, draw_vqa
from vqa_rnn.answers import AnswerVocabulary
from vqa_rnn.benchmarks import BENCHMARKS, read_annotations
from vqa_rnn.checkpoint import Run
from vqa_rnn.commands.answers import Member, answer_questions
from vqa_rnn.config import Config
from vqa_rnn.data.encoding import encode_questions
from vqa_rnn.models import ModelSizes, VqaModel
from vqa_rnn.records import Question
from vqa_rnn.text import WordTokenizer


class NoFeatures:
    """Eight regions of zeros for every image."""

    def read(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray, None]:
        return np.zeros((len(images), 8, 2), dtype=np.float32), np.full(len(images), 8, dtype=np.int32), None


def answer_with_nothing(questions: tuple[Question, ...], head: dict[str, Any], answers: tuple[str, ...] = ()) -> dict:
    config = Config.model_validate({"model": {"head": head, "question": {"embedding_size": 4, "hidden_size": 4}}})
    tokenizer, vocabulary = WordTokenizer.build(["what"], 1, 8), AnswerVocabulary(answers)
    sizes = ModelSizes(tokenizer.vocabulary_size, 2, len(answers))
    model = VqaModel(config.model, sizes).eval()
    for parameter in model.parameters():
        torch.nn.init.zeros_(parameter)
    run = Run(
        path=Path(),
        config=config,
        tokenizer=tokenizer,
        answers=vocabulary,
        sizes=sizes,
        features={},
        precision="float32",
        threads=1,
    )
    encoded = encode_questions(questions, tokenizer, vocabulary)
    member = Member(run, model, encoded, NoFeatures())  # type: ignore[arg-type]
    return answer_questions([member], questions, torch.device("cpu"))


CHOICE: dict[str, Any] = {"name": "choice"}
MLP: dict[str, Any] = {"name": "mlp_choice", "hidden_size": 4}
REGIONS = {"choices": "regions"}
COLOURS = ("red", "green", "blue", "yellow", "white")


@pytest.mark.parametrize(
    ("dataset", "head", "num_choices"),
    [
        ({"name": "vqa", "version": "v1", "task": "multiple_choice"}, CHOICE, 18),
        ({"name": "vqa", "version": "v1", "task": "multiple_choice"}, MLP, 18),
        ({"name": "visual7w", "task": "telling"}, CHOICE, 4),
        ({"name": "visual7w", "task": "telling"}, {"name": "classifier"}, 4),
        ({"name": "visual7w", "task": "pointing"}, CHOICE | REGIONS, 4),
        ({"name": "visual7w", "task": "pointing"}, MLP | REGIONS, 4),
        ({"name": "visdial"}, CHOICE, 100),
    ],
)
def test_no_tie_favours_the_truth(tmp_path: Path, dataset: dict[str, Any], head: dict[str, Any], num_choices: int):
    if dataset["name"] == "vqa":
        draw_vqa(tmp_path, "v1", "multiple_choice", images=300, unanimous=True)
    elif dataset["name"] == "visual7w":
        draw_visual7w(tmp_path, dataset["task"], images=(300, 1, 1))
    else:
        draw_visdial(tmp_path, images=500, num_answers=100)
    options = Config.model_validate({"dataset": {**dataset, "root": str(tmp_path)}}).dataset
    questions = read_annotations(options, ["train"]).split("train")
    assert {len(question.choices or question.choice_regions) for question in questions} == {num_choices}
    predictions = answer_with_nothing(questions, head, COLOURS if head["name"] == "classifier" else ())
    scores = next(iter(BENCHMARKS[dataset["name"]].metrics(questions, predictions).values()))
    chance = 1 / num_choices
    error = np.sqrt(chance * (1 - chance) / len(questions))
    assert abs(scores.mean() - chance) < 1.96 * error
    places = np.bincount([prediction.choice for prediction in predictions.values()], minlength=num_choices)
    assert places.max() < len(questions) * (chance + 5 * error)  # no place is favoured
