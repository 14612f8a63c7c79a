"""Choice texts read once a split, not once a batch."""

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.models.test_model import ANSWERS, ENCODED, Regions4, build, make_questions
from vqa_rnn.batch import Batch
from vqa_rnn.data.collate import make_batch
from vqa_rnn.data.loader import build_loader
from vqa_rnn.data.sampler import QuestionSampler
from vqa_rnn.engines import CollectAnswers, build_evaluator, choice_table
from vqa_rnn.models import VqaModel
from vqa_rnn.models.heads import TextChoices

CPU = torch.device("cpu")


def evaluate(model: VqaModel, encoded=ENCODED) -> CollectAnswers:
    evaluator = build_evaluator(model, encoded, device=CPU)
    found = CollectAnswers(model, encoded)
    found.attach(evaluator)
    batches = QuestionSampler(encoded.image, 2, shuffle=False)
    evaluator.run(build_loader(encoded, Regions4(), batches))
    return found


def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many texts each call reads."""
    read: list[int] = []
    encode = TextChoices.encode

    def count(self: TextChoices, tokens: Tensor, lengths: Tensor) -> Tensor:
        read.append(len(tokens))
        return encode(self, tokens, lengths)

    monkeypatch.setattr(TextChoices, "encode", count)
    return read


@pytest.mark.parametrize("head", ["choice", "mlp_choice"])
def test_a_split_reads_each_choice_text_once_and_scores_as_a_batch_does(head: str, monkeypatch: pytest.MonkeyPatch):
    model = build("top_down", "product", head, question={"embedding_size": 8, "hidden_size": 7, "dropout": 0.3}).double()
    alone = [model(make_batch(ENCODED, np.array([row]), Regions4()))[0] for row in range(9)]
    monkeypatch.setattr(choice_table, "TEXTS_AT_ONCE", 3)
    read = counted(monkeypatch)
    found = evaluate(model.train())  # dropout does not act
    assert read == [2, 2]  # of four texts
    for row, scores in enumerate(alone):
        expected = scores.detach().numpy()
        assert found.choice_scores[row, : len(expected)] == pytest.approx(expected, abs=1e-6)  # collected in float32


def test_a_classifier_is_scored_by_the_best_of_the_choices_and_not_of_all_answers():
    model = build("top_down", "product", "classifier").double()
    evaluator = build_evaluator(model, ENCODED, device=CPU)
    evaluator.run(build_loader(ENCODED, Regions4(), QuestionSampler(ENCODED.image, 2, shuffle=False)))
    questions = make_questions()
    logits = torch.cat([model(make_batch(ENCODED, np.array([row]), Regions4())) for row in range(9)]).detach().numpy()
    among, of_all = 0, 0
    for question, scores in zip(questions, logits, strict=True):
        best = max(question.choices, key=lambda choice: scores[ANSWERS.answers.index(choice)])
        among += best == question.human_answers[0]
        of_all += ANSWERS.answers[scores.argmax()] == question.human_answers[0]
    assert among != of_all, "else this shows nothing"
    assert evaluator.state.metrics["accuracy"] == pytest.approx(among / 9)


def test_the_table_follows_the_weights_and_is_not_kept(monkeypatch: pytest.MonkeyPatch):
    model = build("none", "product", "choice").double()
    read = counted(monkeypatch)
    evaluator = build_evaluator(model, ENCODED, device=CPU)
    loader = build_loader(ENCODED, Regions4(), QuestionSampler(ENCODED.image, 9, shuffle=False))
    evaluator.run(loader)
    first, batch = evaluator.state.output
    assert batch.choice_vectors is not None
    torch.nn.init.ones_(model.head.choices.project.weight)
    evaluator.run(loader)
    second, batch = evaluator.state.output
    assert read == [4, 4]
    assert not torch.equal(first, second)
    torch.testing.assert_close(second, model(make_batch(ENCODED, batch.question_index.numpy(), Regions4())), rtol=0, atol=1e-9)


@pytest.mark.parametrize("head", ["classifier", "generative"])
def test_other_heads_have_no_table(head: str):
    model = build("none", "product", head)
    table = choice_table.ChoiceTable(model, ENCODED, CPU)
    table.fill()
    batch: Batch = make_batch(ENCODED, np.array([1]), Regions4())
    assert table.put_into(batch) is batch


def test_a_split_without_choices_has_no_table():
    table = choice_table.ChoiceTable(build("none", "product", "choice"), ENCODED.without_choices(), CPU)
    table.fill()
    batch = make_batch(ENCODED.without_choices(), np.array([1]), Regions4())
    assert table.put_into(batch) is batch
