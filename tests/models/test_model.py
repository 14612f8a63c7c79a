"""The whole model: every attention with every fusion and every head."""

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from allpairspy import AllPairs
from torch import Tensor

from vqa_rnn.answers import AnswerVocabulary
from vqa_rnn.batch import Batch
from vqa_rnn.config import ModelConfig
from vqa_rnn.data.collate import make_batch
from vqa_rnn.data.columns import Ints
from vqa_rnn.data.encoding import encode_questions
from vqa_rnn.data.sources import Regions
from vqa_rnn.models import ModelSizes, VqaModel
from vqa_rnn.models.attention import ATTENTIONS
from vqa_rnn.models.fusion import FUSIONS
from vqa_rnn.models.heads import ANSWER_HEADS
from vqa_rnn.models.model import grid_boxes
from vqa_rnn.models.reasoning import REASONING
from vqa_rnn.records import Question
from vqa_rnn.rnn import CELLS
from vqa_rnn.text import WordTokenizer

# every two parts of different families meet at least once
COMBINATIONS = [
    tuple(parts)
    for parts in AllPairs(
        [list(ATTENTIONS), list(FUSIONS), list(ANSWER_HEADS)],
        filter_func=lambda row: len(row) < 2 or row[1] != "image" or row[0] == "stacked",  # whose vector holds the question
    )
]
COMBINATIONS += [(reasoning, "", head) for reasoning, head in itertools.product(REASONING, ANSWER_HEADS)]
CHOICES = ("red", "a dark blue", "green", "cat")
WORDS = "what colour is the very big cat on the left of it red blue"


def make_questions() -> list[Question]:
    found = []
    for i in range(9):
        num_choices = 2 + i % 3
        found.append(
            Question(
                question_id=f"q{i}",
                image_id=f"image{i % 4}",
                question=" ".join(WORDS.split()[: 1 + (5 * i) % 11]),
                split="train",
                human_answers=(CHOICES[i % num_choices],),
                choices=CHOICES[:num_choices],
                correct_choice=i % num_choices,
            )
        )
    return found


class Regions4:
    """Four images of 5, 3, 1 and 4 regions."""

    features = np.random.default_rng(0).normal(size=(4, 5, 6))

    def read(self, images: Ints) -> Regions:
        return self.features[images], np.array([5, 3, 1, 4], dtype=np.int32)[images], None


TOKENIZER = WordTokenizer.build([WORDS, *CHOICES], min_count=1, max_tokens=20)
ANSWERS = AnswerVocabulary(CHOICES)
ENCODED = encode_questions(make_questions(), TOKENIZER, ANSWERS, answers_as_text=True)
SIZES = ModelSizes(TOKENIZER.vocabulary_size, feature_size=6, num_answers=len(ANSWERS))


def batch_of(*rows: int) -> Batch:
    return make_batch(ENCODED, np.array(rows, dtype=np.int64), Regions4())


ALL = tuple(range(9))


ATTENTION_OPTIONS: dict[str, dict[str, Any]] = {"none": {}, "top_down": {}, "bilinear": {"hidden_size": 10, "num_glimpses": 2}}
FUSION_OPTIONS: dict[str, dict[str, Any]] = {
    "mlb": {"rank": 10},
    "mutan": {"factor_size": 8, "rank": 2},
    "tucker": {"factor_size": 8},
    "block": {"factor_size": 12, "pieces": 3, "rank": 2},
}


REASONING_OPTIONS: dict[str, dict[str, Any]] = {
    "relation": {"hidden_size": 10},
    "film": {"hidden_size": 16, "num_blocks": 2, "kernel_size": 1, "joint_size": 10},
    "mac": {"hidden_size": 10, "num_steps": 2, "kernel_size": 1, "self_attention": True, "gate": True},
    "mcan": {"hidden_size": 8, "num_layers": 1, "num_heads": 2, "joint_size": 10, "dropout": 0},
    "word_attention": {"hidden_size": 10},
}


def joined_by(attention: str, fusion: str) -> dict[str, Any]:
    """The parts that join question and image: an attention and a fusion, or one of ``REASONING``."""
    if attention in REASONING:
        return {"reasoning": {"name": attention, **REASONING_OPTIONS[attention]}}
    return {
        "attention": {"name": attention, **ATTENTION_OPTIONS.get(attention, {"hidden_size": 10})},
        "fusion": {"name": fusion, **({} if fusion == "image" else {"hidden_size": 10}), **FUSION_OPTIONS.get(fusion, {})},
    }


def build(attention: str, fusion: str, head: str, head_options: dict[str, Any] | None = None, **options: Any) -> VqaModel:
    torch.manual_seed(0)
    values = {
        "question": {"embedding_size": 8, "hidden_size": 7},
        **joined_by(attention, fusion),
        "head": {"name": head, **({"hidden_size": 16} if head == "mlp_choice" else {}), **(head_options or {})},
        **options,
    }
    model = VqaModel(ModelConfig.model_validate(values), SIZES)
    model.set_feature_statistics(torch.full((6,), 0.3), torch.full((6,), 1.7))
    return model.eval()


def pad(batch: Batch) -> Batch:
    """The same batch with more padding of every kind, and garbage where no region is."""
    features = torch.where(batch.region_mask[:, :, None], batch.features, 1e3)
    extra = torch.full((len(features), 3, features.shape[2]), -1e3, dtype=features.dtype)

    def widen(values: Tensor, fill: int) -> Tensor:
        return torch.cat([values, values.new_full((len(values), 3), fill)], dim=1)

    return replace(
        batch,
        features=torch.cat([features, extra], dim=1),
        region_mask=widen(batch.region_mask, False),
        question_tokens=widen(batch.question_tokens, 0),
        choice_tokens=widen(batch.choice_tokens, 0),
        answer_tokens=widen(batch.answer_tokens, 0),
        choice_index=widen(batch.choice_index, -1),
    )


def close(found: Tensor, expected: Tensor, precision: torch.dtype) -> None:
    width = min(found.shape[1], expected.shape[1])
    for rest in (found[:, width:], expected[:, width:]):
        assert (rest == float("-inf")).all()
    if precision == torch.float64:
        torch.testing.assert_close(found[:, :width], expected[:, :width], rtol=0, atol=1e-9)
    else:
        # relative to the size of the scores: one of them may lie close to 0
        size = expected[expected.isfinite()].abs().max().item()
        torch.testing.assert_close(found[:, :width], expected[:, :width], rtol=1e-5, atol=1e-5 * size)


@pytest.mark.parametrize("precision", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize(("attention", "fusion", "head"), COMBINATIONS)
def test_batch_mates_never_change_an_answer(attention: str, fusion: str, head: str, precision: torch.dtype):
    model = build(attention, fusion, head).to(precision)
    together = model(batch_of(*ALL))
    for row in ALL:
        close(model(batch_of(row)), together[row : row + 1], precision)
    turned = (5, 2, 8, 2)
    close(model(batch_of(*turned)), together[list(turned)], precision)


@pytest.mark.parametrize("precision", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize(("attention", "fusion", "head"), COMBINATIONS)
def test_padding_never_changes_an_answer(attention: str, fusion: str, head: str, precision: torch.dtype):
    model = build(attention, fusion, head).to(precision)
    batch = batch_of(*ALL)
    padded = pad(batch)
    close(model(padded), model(batch), precision)
    close(model.encode(padded).joint, model.encode(batch).joint, precision)
    torch.testing.assert_close(model.loss(model(padded), padded), model.loss(model(batch), batch), rtol=1e-6, atol=0)


@pytest.mark.parametrize(("attention", "fusion", "head"), COMBINATIONS)
def test_every_combination_learns_with_all_its_parameters(attention: str, fusion: str, head: str):
    model = build(attention, fusion, head).train()
    batch = batch_of(*ALL)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    losses = []
    for step in range(80 if attention in REASONING else 30):
        optimizer.zero_grad()
        loss = model.loss(model(batch), batch)
        loss.backward()
        losses.append(loss.item())
        if step == 0:
            for name, parameter in model.named_parameters():
                assert parameter.grad is not None, name
                assert parameter.grad.isfinite().all(), name
            for name, module in model.named_children():
                gradients = [p.grad.abs().sum() for p in module.parameters() if p.grad is not None]
                assert not gradients or sum(gradients) > 0, name
        optimizer.step()
    assert losses[-1] < 0.6 * losses[0]
    scores = model.eval().question_scores(model(batch), batch)
    assert scores.shape == (9,)
    assert scores.mean() > 0.6


def other_features(batch: Batch) -> Batch:
    return replace(batch, features=batch.features.flip(0) * 3 + 1)


def other_questions(batch: Batch) -> Batch:
    return replace(batch, question_tokens=torch.where(batch.question_tokens > 0, 2, 0))


ABLATIONS = {"none": (True, True), "question_only": (False, True), "image_only": (True, False), "choices_only": (False, False)}


ABLATED = [parts for parts in COMBINATIONS if parts[1] != "mcb"]  # which has no weights that could make up for a part


@pytest.mark.parametrize("ablate", ABLATIONS)
@pytest.mark.parametrize(("attention", "fusion", "head"), ABLATED)
def test_an_ablated_part_is_not_seen(attention: str, fusion: str, head: str, ablate: str):
    model = build(attention, fusion, head, ablate=ablate)
    batch = batch_of(*ALL)
    logits = model(batch)
    sees_image, sees_question = ABLATIONS[ablate]
    assert torch.equal(model(other_features(batch)), logits) != sees_image
    assert torch.equal(model(other_questions(batch)), logits) != sees_question


@pytest.mark.parametrize("ablate", ["question_only", "image_only", "choices_only"])
@pytest.mark.parametrize(("attention", "fusion"), [parts[:2] for parts in ABLATED[::2]])
def test_an_ablated_model_learns_what_is_left(attention: str, fusion: str, ablate: str):
    model = build(attention, fusion, "choice", ablate=ablate).train()
    batch = batch_of(*ALL)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    losses = []
    for _ in range(15):
        optimizer.zero_grad()
        loss = model.loss(model(batch), batch)
        loss.backward()
        assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


def test_features_are_standardised_by_channel():
    model = build("none", "concat", "classifier").double()
    batch = batch_of(*ALL)
    plain = build("none", "concat", "classifier").double()
    mean, std = torch.arange(6.0).double(), torch.tensor([1.0, 2, 3, 4, 5, 0]).double()
    model.set_feature_statistics(mean, std)
    plain.set_feature_statistics(torch.zeros(6), torch.ones(6))
    std[5] = 1  # a channel that never changes is left alone
    by_hand = replace(batch, features=(batch.features - mean) / std)
    torch.testing.assert_close(model.encode(batch).joint, plain.encode(by_hand).joint, rtol=0, atol=1e-12)


def test_stored_half_precision_is_cast():
    model = build("top_down", "product", "classifier")
    batch = batch_of(*ALL)
    half = replace(batch, features=batch.features.half())
    torch.testing.assert_close(model(half), model(batch), rtol=1e-2, atol=1e-2)
    assert model(half).dtype == torch.float32


def test_statistics_travel_with_the_weights():
    model, other = build("none", "product", "classifier"), build("none", "product", "classifier")
    model.set_feature_statistics(torch.arange(6.0), torch.arange(1.0, 7.0))
    other.load_state_dict(model.state_dict())
    assert torch.equal(other(batch_of(*ALL)), model(batch_of(*ALL)))


def test_choices_are_read_by_a_network_of_their_own_over_the_words_of_the_question():
    model = build("none", "product", "choice")
    encoder = model.head.choices.text_encoder
    assert encoder.embedding is model.question_encoder.embedding
    assert encoder.network is not model.question_encoder.network
    theirs, ours = (each.network.cells()[0].recurrent_weights() for each in (encoder, model.question_encoder))
    assert not torch.equal(theirs, ours)


@pytest.mark.parametrize("head", ["choice", "mlp_choice"])
@pytest.mark.parametrize("cell", CELLS)
def test_any_cell_reads_questions_and_any_reads_choices(cell: str, head: str):
    options = {"question": {"cell": cell, "embedding_size": 8, "hidden_size": 7}}
    model, other = build("none", "product", head, **options), build("none", "product", head, {"cell": cell})
    for built, question in ((model, cell), (other, "lstm")):
        assert isinstance(built.question_encoder.network.cells()[0], CELLS[question])
        assert isinstance(built.head.choices.text_encoder.network.cells()[0], CELLS[cell])
        scores = built(batch_of(*ALL))
        alone = built(batch_of(1))[0]
        torch.testing.assert_close(alone, scores[1, : len(alone)], rtol=0, atol=1e-6)


def test_dropout_on_features_acts_in_training_alone():
    model = build("none", "product", "classifier", feature_dropout=0.5)
    batch = batch_of(*ALL)
    assert torch.equal(model(batch), model(batch))
    model.train()
    assert not torch.equal(model(batch), model(batch))


def test_forward_is_encoding_and_answering():
    model = build("top_down", "concat", "choice")
    batch = batch_of(*ALL)
    assert torch.equal(model(batch), model.answer(model.encode(batch), batch))
    assert model.encode(batch).joint.shape == (9, model.fusion.output_size)


def test_features_may_be_scaled_to_length_1():
    model = build("none", "concat", "classifier", feature_scaling="unit").double()
    batch = batch_of(*ALL)
    regions = model.regions(batch)
    torch.testing.assert_close(regions.norm(dim=2), torch.ones(regions.shape[:2]).double(), rtol=0, atol=1e-12)
    torch.testing.assert_close(model(replace(batch, features=7 * batch.features)), model(batch))


def test_the_cells_of_a_grid_lie_row_by_row():
    boxes = grid_boxes(torch.zeros(2, 9, 1))
    assert boxes.shape == (2, 9, 4)
    third = 1 / 3
    torch.testing.assert_close(boxes[0, 0], torch.tensor([0, 0, third, third]))
    torch.testing.assert_close(boxes[1, 2], torch.tensor([2 * third, 0, 1, third]))
    torch.testing.assert_close(boxes[1, 3], torch.tensor([0, third, third, 2 * third]))


def test_regions_that_are_no_square_have_no_grid():
    with pytest.raises(ValueError, match="8 regions do not form a square grid"):
        grid_boxes(torch.zeros(2, 8, 1))


def test_geometry_says_where_a_region_lies():
    model = build("none", "concat", "classifier", geometry=True)
    batch = batch_of(0)
    boxes = torch.tensor([[[0.0, 0, 1, 1], [0.5, 0.25, 1, 0.75], [0, 0, 0.5, 0.5], [0, 0, 0, 0], [0, 0, 0, 0]]])
    regions = model.regions(replace(batch, boxes=boxes))
    assert regions.shape == (1, 5, 6 + 5)
    weight = (6 / 5) ** 0.5  # 6 features: as heavy as all of them together
    torch.testing.assert_close(regions[0, 0, 6:] / weight, torch.tensor([-1.0, -1, 1, 1, 1]))
    torch.testing.assert_close(regions[0, 1, 6:] / weight, torch.tensor([0, -0.5, 1, 0.5, -0.5]))


def point(batch: Batch) -> Batch:
    """The same questions, with regions as choices: image i has 5, 3, 1 or 4 of them."""
    count = batch.region_mask.sum(dim=1)[batch.image_index]
    regions = torch.arange(5)[None] % count[:, None]
    return replace(
        batch,
        choice_index=batch.choice_index[:, :0],
        choice_regions=torch.where(torch.arange(5) < count[:, None], regions, -1)[:, :4],
        correct_choice=count - 1 - (count == 5).long(),
    )


@pytest.mark.parametrize("head", ["choice", "mlp_choice"])
@pytest.mark.parametrize("attention", ATTENTIONS)
def test_pointing_scores_regions_of_the_questions_own_image(attention: str, head: str):
    model = build(attention, "product", head, {"choices": "regions"}).double()
    batch = point(batch_of(*ALL))
    logits = model(batch)
    assert logits.shape == (9, 4)
    assert ((logits == float("-inf")) == (batch.choice_regions < 0)).all()
    for row in ALL:
        close(model(point(batch_of(row))), logits[row : row + 1], torch.float64)
    swapped = replace(batch, choice_regions=batch.choice_regions.flip(1))
    torch.testing.assert_close(model(swapped), logits.flip(1), rtol=0, atol=1e-12)
    blind = build(attention, "product", head, {"choices": "regions"}, ablate="question_only", geometry=True)
    boxes = torch.rand(4, 5, 4)
    scores = blind(replace(batch, boxes=boxes))
    kept = batch.choice_regions >= 0
    assert all(row[mask].unique().numel() == 1 for row, mask in zip(scores, kept, strict=True))  # no choice looks like another


@pytest.mark.parametrize("head", ["choice", "mlp_choice"])
def test_pointing_learns(head: str):
    model = build("none", "product", head, {"choices": "regions"}).train()
    batch = point(batch_of(*ALL))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(40):
        optimizer.zero_grad()
        model.loss(model(batch), batch).backward()
        optimizer.step()
    assert model.eval().question_scores(model(batch), batch).mean() > 0.8


def test_a_channel_that_changed_once_is_not_blown_up():
    model = VqaModel(ModelConfig(), SIZES)
    std = torch.tensor([1.0, 2.0, 4.0, 2e-5, 0.0, 3.0])  # the fourth fired in one region of many, the fifth never
    model.set_feature_statistics(torch.zeros(6), std)
    assert model.feature_std.tolist() == pytest.approx([1, 2, 4, 0.02, 1, 3]), "a hundredth of the median of those that change"
    assert (4.0 / model.feature_std)[3].item() == pytest.approx(200), "and not 200,000"
    model.set_feature_statistics(torch.zeros(6), torch.zeros(6))
    assert model.feature_std.tolist() == [1] * 6


def test_the_image_alone_needs_an_attention_that_holds_the_question():
    with pytest.raises(ValueError, match=r"fusion\.name=image needs attention\.name=stacked"):
        build("top_down", "image", "classifier")


def test_what_has_no_layer_must_fit():
    stacked = {"name": "stacked", "hidden_size": 7, "project_question": False}
    ModelConfig.model_validate({"question": {"hidden_size": 7}, "attention": stacked})
    for question in (
        {"hidden_size": 8},
        {"hidden_size": 7, "bidirectional": True},
        {"hidden_size": 7, "pooling": "all_states"},
    ):
        with pytest.raises(
            ValueError, match=r"attention\.project_question=false needs a question vector of attention\.hidden_size=7"
        ):
            ModelConfig.model_validate({"question": question, "attention": stacked})
    mcan = {"name": "mcan", "hidden_size": 8, "project_words": False}
    ModelConfig.model_validate({"question": {"hidden_size": 4, "bidirectional": True}, "reasoning": mcan})
    with pytest.raises(ValueError, match=r"reasoning\.project_words=false needs word states of reasoning\.hidden_size=8"):
        ModelConfig.model_validate({"question": {"hidden_size": 4}, "reasoning": mcan})
