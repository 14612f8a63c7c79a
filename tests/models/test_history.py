"""A dialog's history into the question."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from vqa_rnn.answers import AnswerVocabulary
from vqa_rnn.batch import Batch
from vqa_rnn.config import History, ModelConfig, RecurrentTextEncoder
from vqa_rnn.data.collate import make_batch
from vqa_rnn.data.columns import EncodedQuestions, Ints
from vqa_rnn.data.encoding import encode_questions
from vqa_rnn.data.sources import Regions
from vqa_rnn.models import ModelSizes, VqaModel
from vqa_rnn.models.dialog import PUBLISHED
from vqa_rnn.models.history import HISTORY_ENCODERS, dialog_tokens
from vqa_rnn.models.text_encoder import TextEncoder
from vqa_rnn.records import Question, Round
from vqa_rnn.rnn import CELLS, Cell
from vqa_rnn.text import WordTokenizer

WORDS = "what colour is it and the other one red blue green a cat dog yes no left of two"
ASKED = ("what colour is it", "is it red", "and the other one", "what is left of it", "is the dog blue")
SAID = ("red", "yes", "blue", "a green cat", "no")
CHOICES = ("red", "yes", "blue", "a green cat", "no")
TOKENIZER = WordTokenizer.build([WORDS], min_count=1, max_tokens=20)
SIZES = ModelSizes(TOKENIZER.vocabulary_size, feature_size=6, num_answers=5)
READING = sorted(set(HISTORY_ENCODERS) - {"none"})
AS_PUBLISHED = [f"published {name}" for name in PUBLISHED]


class ThreeImages:
    features = np.random.default_rng(0).normal(size=(3, 4, 6))

    def read(self, images: Ints) -> Regions:
        return self.features[images], np.full(len(images), 4, dtype=np.int32), None


def dialog(number: int, rounds: int, caption: str | None = "a cat and a dog", said: tuple[str, ...] = SAID) -> list[Question]:
    turns = [Round(ASKED[(number + i) % 5], said[i % 5]) for i in range(rounds)]
    return [
        Question(
            question_id=f"{number}-{i}",
            image_id=f"{number % 3}",
            question=turns[i].question,
            split="train",
            human_answers=(turns[i].answer,),
            choices=CHOICES,
            correct_choice=CHOICES.index(turns[i].answer),
            caption=caption,
            history=tuple(turns[:i]),
            dialog_id=f"{number}",
        )
        for i in range(rounds)
    ]


def encode(questions: list[Question]) -> EncodedQuestions:
    return encode_questions(questions, TOKENIZER, AnswerVocabulary(CHOICES))


def batch_of(questions: list[Question], rows: list[int] | None = None) -> Batch:
    chosen = np.arange(len(questions)) if rows is None else np.array(rows)
    return make_batch(encode(questions), chosen, ThreeImages())


def build(history: str, attention: str = "top_down", head: str = "choice", **options) -> VqaModel:
    torch.manual_seed(0)
    if history in AS_PUBLISHED:
        history, attention, options = history.removeprefix("published "), "none", {"published": True, **options}
    values = {
        "question": {"embedding_size": 8, "hidden_size": 7},
        "history": {"name": history, **options},
        "attention": {"name": attention, "hidden_size": 9} if attention != "none" else {"name": "none"},
        "fusion": {"name": "none"} if options.get("published") else {"name": "product", "hidden_size": 10},
        "head": {"name": head},
    }
    return VqaModel(ModelConfig.model_validate(values), SIZES).double().eval()


DIALOGS = [*dialog(0, 5), *dialog(1, 3, caption=None), *dialog(2, 4, "two"), *dialog(3, 1)]


@pytest.mark.parametrize("attention", ["none", "top_down"])
@pytest.mark.parametrize("history", [*HISTORY_ENCODERS, *AS_PUBLISHED])
def test_other_dialogs_and_their_order_change_nothing(history: str, attention: str):
    model = build(history, attention)
    together = model(batch_of(DIALOGS))
    for row in range(len(DIALOGS)):
        alone = model(batch_of(DIALOGS, [row]))
        torch.testing.assert_close(alone[0], together[row], rtol=0, atol=1e-9)
    order = [7, 2, 12, 0, 5, 9]
    torch.testing.assert_close(model(batch_of(DIALOGS, order)), together[order], rtol=0, atol=1e-9)


@pytest.mark.parametrize("history", [*HISTORY_ENCODERS, *AS_PUBLISHED])
def test_padding_changes_nothing(history: str):
    batch = batch_of(DIALOGS)

    def widen(values: Tensor, fill: int) -> Tensor:
        return torch.cat([values, values.new_full((len(values), 3), fill)], dim=1)

    padded = replace(batch, fact_tokens=widen(batch.fact_tokens, 0), history_index=widen(batch.history_index, -1))
    for precision, tolerance in ((torch.float64, 1e-9), (torch.float32, 1e-5)):
        model = build(history).to(precision)
        torch.testing.assert_close(model(padded), model(batch), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("history", [*READING, *AS_PUBLISHED])
def test_what_is_said_later_moves_nothing_before_it(history: str):
    model = build(history)
    before = model(batch_of(dialog(0, 5)))
    for changed in range(5):
        said = tuple("two left" if i == changed else answer for i, answer in enumerate(SAID))
        turns = dialog(0, 5)
        questions = [replace(q, history=tuple(Round(t.question, said[i]) for i, t in enumerate(q.history))) for q in turns]
        after = model(batch_of(questions))
        torch.testing.assert_close(after[: changed + 1], before[: changed + 1], rtol=0, atol=1e-9)
        if changed < 4:
            assert (after[changed + 1 :] - before[changed + 1 :]).abs().max() > 1e-6


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("history", READING)
def test_any_cell_reads_what_was_said_and_the_question_keeps_its_own(history: str, cell: str):
    model = build(history, cell=cell)
    inside = {type(each) for each in model.history.modules() if isinstance(each, Cell)}
    assert inside == {CELLS[cell]}
    assert {type(each) for each in model.question_encoder.modules() if isinstance(each, Cell)} == {CELLS["lstm"]}
    together = model(batch_of(DIALOGS))
    for row in range(len(DIALOGS)):
        torch.testing.assert_close(model(batch_of(DIALOGS, [row]))[0], together[row], rtol=0, atol=1e-9)


@pytest.mark.parametrize("history", sorted(set(READING) - {"late_fusion"}))
def test_facts_are_read_by_the_network_of_the_question_unless_they_have_a_cell(history: str):
    shared, own = build(history), build(history, cell="lstm")
    assert shared.history.text_encoder is shared.question_encoder
    assert own.history.text_encoder is not own.question_encoder
    assert own.history.text_encoder.embedding is own.question_encoder.embedding


@pytest.mark.parametrize("history", [*READING, *AS_PUBLISHED])
def test_the_caption_is_read(history: str):
    model = build(history)
    questions = dialog(0, 2)
    other = [replace(q, caption="no blue cat") for q in questions]
    assert (model(batch_of(questions)) - model(batch_of(other))).abs().min(dim=1).values.max() > 1e-7
    none = build("none")
    assert torch.equal(none(batch_of(questions)), none(batch_of(other)))


@pytest.mark.parametrize("history", [*READING, *AS_PUBLISHED])
def test_a_question_without_history_and_a_data_set_without_any_are_read(history: str):
    model = build(history)
    first = dialog(1, 1, caption=None)
    alone = model(batch_of(first))
    assert alone.isfinite().all()
    mixed = model(batch_of([*first, *dialog(0, 3)]))
    torch.testing.assert_close(mixed[0], alone[0], rtol=0, atol=1e-9)


@pytest.mark.parametrize("history", [*READING, *AS_PUBLISHED])
def test_every_history_encoder_learns_and_uses_all_its_weights(history: str):
    options = {"num_hops": 2} if history == "memory" else {}
    model = build(history, **options).float().train()
    batch = batch_of(DIALOGS)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    losses = []
    for step in range(70):
        optimizer.zero_grad()
        loss = model.loss(model(batch), batch)
        loss.backward()
        if step == 0:
            for name, parameter in (model.history if model.dialog is None else model.dialog).named_parameters():
                assert parameter.grad is not None, name
                assert parameter.grad.isfinite().all(), name
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]


def read_literally(encoder: TextEncoder, *texts: str, beside: Tensor | None = None) -> Tensor:
    """The last state over texts end to end, read word by word."""
    words = encoder.word_vectors(torch.tensor([token for ids in TOKENIZER.encode(list(texts)) for token in ids]))
    if beside is not None:
        words = torch.cat([words, beside.expand(len(words), -1)], dim=1)
    return encoder.network(words[None])[0][0, -1]


def rounds_literally(question: Question) -> tuple[Tensor, list[str], list[str]]:
    """The mean of an image's regions; the facts; and the questions so far, each with the fact before it at the same place."""
    image = torch.from_numpy(ThreeImages.features[int(question.image_id)].mean(axis=0))
    captions = [question.caption] if question.caption else []
    facts = captions + [f"{turn.question} {turn.answer}" for turn in question.history]
    return image, facts, [*(turn.question for turn in question.history), question.question]


@pytest.mark.parametrize("history", AS_PUBLISHED)
def test_published_encoders_equal_their_equations(history: str):
    model = build(history)
    joint = model.encode(batch_of(DIALOGS)).joint
    asks, part = model.question_encoder, model.dialog
    facts = part.facts
    for found, question in zip(joint, DIALOGS, strict=True):
        image, said, asked = rounds_literally(question)
        nothing = torch.zeros(7, dtype=torch.float64)
        if history.endswith("late_fusion"):
            told = read_literally(facts, *said) if said else nothing
            expected = part.join(torch.cat([read_literally(asks, asked[-1]), image, told])).tanh()
        elif history.endswith("hierarchical"):
            before = [nothing] * (len(asked) - len(said)) + [read_literally(facts, fact) for fact in said]
            embedded = part.embed_image(image)
            rounds = [
                torch.cat([read_literally(asks, q, beside=embedded), fact]) for q, fact in zip(asked, before, strict=True)
            ]
            expected = part.network(torch.stack(rounds)[None])[0][0, -1]
        else:
            query = part.query(torch.cat([read_literally(asks, asked[-1]), image])).tanh()
            vectors = torch.stack([read_literally(facts, fact) for fact in said] or [nothing])
            context = (vectors @ query).softmax(dim=0) @ vectors
            expected = part.join(query + part.project_context(context).tanh()).tanh()
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"attention": {"name": "top_down"}}, "set model.attention.name=none"),
        ({"reasoning": {"name": "mac"}}, "model.reasoning.name=none"),
        ({"question": {"bidirectional": True}}, "question.bidirectional=false"),
        ({"ablate": "image_only"}, "history.published=false for ablate=image_only"),
        ({"history": {"name": "memory", "published": True, "num_hops": 2}}, "leave out num_hops=2"),
    ],
)
def test_a_published_encoder_stands_alone(values: dict, says: str):
    with pytest.raises(ValidationError, match=says):
        ModelConfig.model_validate({"history": {"name": "memory", "published": True}, **values})


def test_memory_with_uniform_weights_adds_the_mean_of_what_was_said():
    model = build("memory")
    memory = model.history
    torch.nn.init.zeros_(memory.query[0].weight)
    torch.nn.init.zeros_(memory.query[0].bias)
    torch.nn.init.normal_(memory.join[0].project.weight)
    questions = dialog(0, 3)
    batch = batch_of(questions)
    question = torch.randn(3, 7, dtype=torch.float64)
    facts = memory.text_encoder.encode_texts(batch.fact_tokens, batch.fact_lengths)[batch.history_index[0]]
    for n in range(3):
        mean = facts[: n + 1].mean(dim=0)
        gate = (memory.join[0].gate.weight @ question[n] + memory.join[0].gate.bias).sigmoid()
        expected = question[n] + gate * (memory.join[0].project.weight @ mean)
        torch.testing.assert_close(memory(question, batch)[n], expected, rtol=0, atol=1e-12)


def test_late_fusion_reads_the_facts_end_to_end():
    model = build("late_fusion")
    batch = batch_of(dialog(0, 4))
    tokens, ends = dialog_tokens(batch)
    texts = ["a cat and a dog", *(f"{ASKED[i]} {SAID[i]}" for i in range(3))]
    expected = [token for ids in TOKENIZER.encode(texts) for token in ids]
    assert tokens[0].tolist() == expected
    assert ends[0].tolist() == np.cumsum([len(ids) for ids in TOKENIZER.encode(texts)]).tolist()
    question = torch.randn(4, 7, dtype=torch.float64)
    for n in range(4):
        states, _ = model.history.network(model.history.embedding(tokens[:, : ends[0, n]]))
        found = model.history.join(question[n], states[0, -1])
        torch.testing.assert_close(model.history(question, batch)[n], found, rtol=0, atol=1e-12)


def test_dialogs_of_different_lengths_lie_side_by_side():
    tokens, ends = dialog_tokens(batch_of([*dialog(1, 2, caption=None), *dialog(0, 3)]))
    assert tokens.shape[0] == ends.shape[0] == 2
    for row, end in zip(tokens, ends[:, -1].tolist(), strict=True):
        assert (row[:end] > 0).all()
        assert (row[end:] == 0).all()


@pytest.mark.parametrize("name", HISTORY_ENCODERS)
def test_vectors_keep_their_size(name: str):
    kinds = {kind.model_fields["name"].default: kind for kind in History.__args__[0].__args__}  # type: ignore[attr-defined]
    encoder = TextEncoder(RecurrentTextEncoder(embedding_size=8, hidden_size=7, bidirectional=True), SIZES.vocabulary_size)
    history = HISTORY_ENCODERS[name](kinds[name](), encoder)
    batch = batch_of(DIALOGS)
    assert history(torch.randn(len(DIALOGS), 14), batch).shape == (len(DIALOGS), 14)
