"""Joint vectors to answers, and the loss of each head."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from vqa_rnn.batch import Batch
from vqa_rnn.config import ChoiceHead, ClassifierHead, MlpChoiceHead, RecurrentTextEncoder
from vqa_rnn.metrics.visdial import ndcg
from vqa_rnn.models.heads import ChoiceHead as Choice
from vqa_rnn.models.heads import ClassifierHead as Classifier
from vqa_rnn.models.text_encoder import TextEncoder

NOTHING = -math.inf
REGIONS = torch.zeros(1, 1, 3)


def batch_of(num_questions: int, **given: Any) -> Batch:
    """A batch of which the heads look at a few fields only."""
    none = torch.zeros(num_questions, 0, dtype=torch.int64)
    ones = torch.ones(num_questions, dtype=torch.int64)
    values: dict[str, Tensor] = {
        "features": torch.zeros(1, 1, 1),
        "region_mask": torch.ones(1, 1, dtype=torch.bool),
        "images": torch.zeros(1, dtype=torch.int64),
        "question_index": torch.arange(num_questions),
        "image_index": torch.zeros_like(ones),
        "question_tokens": ones[:, None],
        "question_lengths": ones,
        "fact_tokens": torch.zeros(0, 0, dtype=torch.int64),
        "fact_lengths": torch.zeros(0, dtype=torch.int64),
        "fact_questions": torch.zeros(0, dtype=torch.int64),
        "history_index": none,
        "dialog_index": torch.arange(num_questions),
        "history_lengths": torch.zeros_like(ones),
        "choice_tokens": torch.zeros(0, 0, dtype=torch.int64),
        "choice_lengths": torch.zeros(0, dtype=torch.int64),
        "choice_texts": torch.zeros(0, dtype=torch.int64),
        "choice_index": none,
        "choice_regions": none,
        "choice_relevance": none.float(),
        "correct_choice": torch.full_like(ones, -1),
        "answer_tokens": none,
        "answer_lengths": torch.zeros_like(ones),
        "answer_ids": torch.zeros(num_questions, 1, dtype=torch.int64),
        "answer_scores": torch.zeros(num_questions, 1),
    }
    return Batch(**{**values, **{name: torch.as_tensor(value) for name, value in given.items()}})


def classifier(label_smoothing: float = 0.0, num_answers: int = 3) -> Classifier:
    torch.manual_seed(0)
    config = ClassifierHead(hidden_size=4, label_smoothing=label_smoothing)
    return Classifier(config, 5, num_answers, 3, TextEncoder(RecurrentTextEncoder(), 9)).eval()


def mlp_choice(loss: str = "sigmoid", label_smoothing: float = 0.0) -> Choice:
    torch.manual_seed(0)
    encoder = TextEncoder(RecurrentTextEncoder(embedding_size=4, hidden_size=6), 9)
    config = MlpChoiceHead(hidden_size=8, loss=loss, label_smoothing=label_smoothing)  # type: ignore[arg-type]
    return Choice(config, 5, 0, 3, encoder).eval()


def choice(label_smoothing: float = 0.0) -> Choice:
    torch.manual_seed(0)
    encoder = TextEncoder(RecurrentTextEncoder(embedding_size=4, hidden_size=6), 9)
    return Choice(ChoiceHead(label_smoothing=label_smoothing), 5, 0, 3, encoder).eval()


LOGITS = torch.tensor([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0], [5.0, -1.0, 0.0]])
TARGETS = {"answer_ids": [[2, 0], [0, 1], [0, 0]], "answer_scores": [[1.0, 0.0], [0.9, 0.3], [0.0, 0.0]]}


def log_softmax(row: list[float]) -> list[float]:
    total = math.log(sum(math.exp(value) for value in row))
    return [value - total for value in row]


def test_the_classifier_scores_every_answer():
    head = classifier()
    joint = torch.randn(2, 5)
    hidden = (joint @ head.layers[0].weight.T + head.layers[0].bias).clamp(min=0)
    expected = hidden @ head.layers[3].weight.T + head.layers[3].bias
    torch.testing.assert_close(head(joint, REGIONS, batch_of(2)), expected)


def test_the_hidden_layer_can_be_a_gated_tanh_with_weight_norm():
    config = ClassifierHead(hidden_size=4, activation="gated_tanh", weight_norm=True)
    head = Classifier(config, 5, 3, 3, TextEncoder(RecurrentTextEncoder(), 9)).eval()
    joint = torch.randn(2, 5)
    gated, _, scores = head.layers
    hidden = torch.tanh(gated.value(joint)) * torch.sigmoid(gated.gate(joint))
    torch.testing.assert_close(head(joint, REGIONS, batch_of(2)), hidden @ scores.weight.T + scores.bias)
    for layer in (gated.value, gated.gate, scores):
        torch.testing.assert_close(layer.parametrizations.weight.original0, layer.weight.norm(dim=1, keepdim=True))
    with pytest.raises(ValidationError, match="activation is for the hidden layer, and hidden_size=null leaves it out"):
        ClassifierHead(hidden_size=None, activation="gated_tanh")


def test_a_classifier_without_a_hidden_layer_is_one_matrix():
    torch.manual_seed(0)
    head = Classifier(ClassifierHead(hidden_size=None), 5, 3, 3, TextEncoder(RecurrentTextEncoder(), 9))
    joint = torch.randn(2, 5)
    matrix, bias = head.parameters()
    torch.testing.assert_close(head(joint, REGIONS, batch_of(2)), joint @ matrix.T + bias)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_loss_of_the_classifier_takes_soft_targets_and_leaves_out_questions_without(smoothing: float):
    first, second = log_softmax([1, 2, 3]), log_softmax([0, 0, 0])
    targets = (first[2], 0.75 * second[0] + 0.25 * second[1])
    losses = [
        -(1 - smoothing) * target - smoothing * sum(row) / 3 for target, row in zip(targets, (first, second), strict=True)
    ]
    expected = [*losses, 0]
    found, counts = classifier(smoothing).losses(LOGITS, batch_of(3, **TARGETS))
    assert found.tolist() == pytest.approx(expected, rel=1e-6)
    assert counts.tolist() == [value != 0 for value in expected]


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_loss_of_the_classifier_is_zero_without_any_target(smoothing: float):
    logits = LOGITS.clone().requires_grad_()
    found, counts = classifier(smoothing).losses(logits, batch_of(3, answer_ids=[[0]] * 3, answer_scores=[[0.0]] * 3))
    assert found.tolist() == [0, 0, 0]
    assert not counts.any()
    found.sum().backward()
    assert logits.grad is not None
    assert (logits.grad == 0).all()


def test_the_classifier_earns_the_score_of_its_best_answer():
    batch = batch_of(3, **TARGETS)
    assert classifier().question_scores(LOGITS, batch).tolist() == pytest.approx([1.0, 0.9, 0.0])
    turned = torch.tensor([[9.0, 0, 0], [0, 9.0, 0], [0, 0, 9.0]])
    assert classifier().question_scores(turned, batch).tolist() == pytest.approx([0.0, 0.3, 0.0])


CHOICES = {
    "choice_tokens": [[2, 3], [4, 0], [5, 6], [7, 0]],
    "choice_lengths": [2, 1, 2, 1],
    "choice_index": [[0, 2, 3], [1, 0, -1], [-1, -1, -1], [3, 1, 2]],
    "correct_choice": [1, 0, -1, -1],
}


def test_a_choice_is_scored_by_its_text_and_missing_ones_are_minus_infinity():
    head = choice()
    joint = torch.randn(4, 5, generator=torch.Generator().manual_seed(0))
    logits = head(joint, REGIONS, batch_of(4, **CHOICES))
    assert logits.shape == (4, 3)
    tokens, lengths = torch.tensor(CHOICES["choice_tokens"]), torch.tensor(CHOICES["choice_lengths"])
    texts = head.choices.text_encoder.encode_texts(tokens, lengths)
    for n, row in enumerate(CHOICES["choice_index"]):
        for c, text in enumerate(row):
            if text < 0:
                assert logits[n, c] == NOTHING
            else:
                right = head.choices.project.weight @ texts[text] + head.choices.project.bias
                expected = (head.score.project_joint.weight @ joint[n]) @ right
                assert logits[n, c].item() == pytest.approx(expected.item(), rel=1e-5, abs=1e-6)


CHOICE_LOGITS = torch.tensor([[1.0, 2.0, 3.0], [0.5, 1.5, NOTHING], [NOTHING] * 3, [1.0, 1.0, 1.0]])


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_the_loss_of_choices_is_cross_entropy_over_those_that_exist(smoothing: float):
    first, second = log_softmax([1, 2, 3]), log_softmax([0.5, 1.5])
    losses = [
        -(1 - smoothing) * first[1] - smoothing * sum(first) / 3,
        -(1 - smoothing) * second[0] - smoothing * sum(second) / 2,
    ]
    logits = CHOICE_LOGITS.clone().requires_grad_()
    expected = [*losses, 0, 0]
    found, counts = choice(smoothing).losses(logits, batch_of(4, **CHOICES))
    assert found.tolist() == pytest.approx(expected, rel=1e-6)
    assert counts.tolist() == [value != 0 for value in expected]
    reference = torch.nn.functional.cross_entropy(CHOICE_LOGITS[:1], torch.tensor([1]), label_smoothing=smoothing)
    assert losses[0] == pytest.approx(reference.item(), rel=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_missing_choices_give_no_gradient_and_no_nan(smoothing: float):
    head = choice(smoothing)
    joint = torch.randn(4, 5, requires_grad=True)
    batch = batch_of(4, **CHOICES)
    head.losses(head(joint, REGIONS, batch), batch)[0].sum().backward()
    assert joint.grad is not None
    assert (joint.grad[:2] != 0).any(dim=1).all()
    assert (joint.grad[2:] == 0).all()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in head.parameters())


def test_the_loss_of_choices_is_zero_where_no_truth_is_known():
    batch = batch_of(4, **{**CHOICES, "correct_choice": [-1] * 4})
    found, counts = choice().losses(CHOICE_LOGITS, batch)
    assert found.tolist() == [0, 0, 0, 0]
    assert not counts.any()


def test_a_batch_in_which_no_question_has_choices_earns_and_costs_nothing():
    head, batch = choice(0.1), batch_of(2)
    logits = head(torch.randn(2, 5), REGIONS, batch)
    assert logits.shape == (2, 0)
    found, counts = head.losses(logits, batch)
    assert found.tolist() == [0, 0]
    assert not counts.any()
    assert head.question_scores(logits, batch).tolist() == [0.0, 0.0]


def test_a_choice_earns_one_or_nothing():
    batch = batch_of(4, **{**CHOICES, "correct_choice": [2, 0, -1, -1]})
    assert choice().question_scores(CHOICE_LOGITS, batch).tolist() == [1.0, 0.0, 0.0, 0.0]


def test_logits_are_float32_under_half_precision():
    joint = torch.randn(4, 5)
    with torch.autocast("cpu", torch.bfloat16):
        assert classifier()(joint, REGIONS, batch_of(4)).dtype == torch.float32
        assert choice()(joint, REGIONS, batch_of(4, **CHOICES)).dtype == torch.float32
        assert mlp_choice()(joint, REGIONS, batch_of(4, **CHOICES)).dtype == torch.float32


def cross_entropy(logit: float, target: float) -> float:
    probability = 1 / (1 + math.exp(-logit))
    return -target * math.log(probability) - (1 - target) * math.log(1 - probability)


def test_the_sigmoid_loss_of_the_classifier_asks_of_each_answer_whether_it_is_right():
    head = Classifier(ClassifierHead(hidden_size=None, loss="sigmoid"), 5, 3, 3, TextEncoder(RecurrentTextEncoder(), 9))
    found, counts = head.losses(LOGITS, batch_of(3, **TARGETS))
    first = cross_entropy(1, 0) + cross_entropy(2, 0) + cross_entropy(3, 1)
    second = cross_entropy(0, 0.9) + cross_entropy(0, 0.3) + cross_entropy(0, 0)
    assert found.tolist() == pytest.approx([first, second, 0], rel=1e-6)
    assert counts.tolist() == [True, True, False]
    assert head.probabilities(LOGITS)[0].tolist() == pytest.approx([1 / (1 + math.exp(-x)) for x in (1, 2, 3)])
    assert classifier().probabilities(LOGITS).sum(dim=1).tolist() == pytest.approx([1, 1, 1])


def test_an_mlp_scores_each_triplet_of_question_image_and_choice():
    head = mlp_choice()
    joint = torch.randn(4, 5, generator=torch.Generator().manual_seed(0))
    logits = head(joint, REGIONS, batch_of(4, **CHOICES))
    texts = head.choices.text_encoder.encode_texts(
        torch.tensor(CHOICES["choice_tokens"]), torch.tensor(CHOICES["choice_lengths"])
    )
    for n, row in enumerate(CHOICES["choice_index"]):
        for c, text in enumerate(row):
            if text < 0:
                assert logits[n, c] == NOTHING
                continue
            hidden = head.score.project_joint.weight @ joint[n] + head.choices.project.weight @ texts[text]
            expected = (
                head.score.output.weight[0] @ (hidden + head.choices.project.bias).clamp(min=0) + head.score.output.bias[0]
            )
            assert logits[n, c].item() == pytest.approx(expected.item(), rel=1e-5, abs=1e-6)


def test_questions_whose_answer_is_unknown_can_have_a_target_of_zeros():
    config = ClassifierHead(hidden_size=None, loss="sigmoid", unknown_answers="zero_target")
    head = Classifier(config, 5, 3, 3, TextEncoder(RecurrentTextEncoder(), 9))
    found, counts = head.losses(LOGITS, batch_of(3, **TARGETS))
    assert counts.tolist() == [True, True, True]
    assert found[2].item() == pytest.approx(sum(math.log1p(math.exp(value)) for value in (5, -1, 0)), rel=1e-6)
    before, _ = Classifier(ClassifierHead(loss="sigmoid"), 5, 3, 3, TextEncoder(RecurrentTextEncoder(), 9)).losses(
        LOGITS, batch_of(3, **TARGETS)
    )
    assert before.tolist() == pytest.approx([*found[:2].tolist(), 0.0])


def test_the_sigmoid_loss_of_choices_is_the_mean_over_those_that_exist():
    found, counts = mlp_choice().losses(CHOICE_LOGITS, batch_of(4, **CHOICES))
    first = (cross_entropy(1, 0) + cross_entropy(2, 1) + cross_entropy(3, 0)) / 3
    second = (cross_entropy(0.5, 1) + cross_entropy(1.5, 0)) / 2
    assert found.tolist() == pytest.approx([first, second, 0, 0], rel=1e-6)
    assert counts.tolist() == [True, True, False, False]
    chances = mlp_choice().probabilities(CHOICE_LOGITS)
    assert chances[1].tolist() == pytest.approx([1 / (1 + math.exp(-0.5)), 1 / (1 + math.exp(-1.5)), 0])


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_the_softmax_loss_of_an_mlp_is_that_of_the_product(smoothing: float):
    batch = batch_of(4, **CHOICES)
    found, counts = mlp_choice("softmax", smoothing).losses(CHOICE_LOGITS, batch)
    expected, expected_counts = choice(smoothing).losses(CHOICE_LOGITS, batch)
    assert torch.equal(found, expected)
    assert torch.equal(counts, expected_counts)
    assert mlp_choice().question_scores(CHOICE_LOGITS, batch).tolist() == [0.0, 0.0, 0.0, 0.0]


@pytest.mark.parametrize("loss", ["softmax", "sigmoid"])
def test_missing_choices_give_an_mlp_no_gradient_and_no_nan(loss: str):
    head = mlp_choice(loss)
    joint = torch.randn(4, 5, requires_grad=True)
    batch = batch_of(4, **CHOICES)
    head.losses(head(joint, REGIONS, batch), batch)[0].sum().backward()
    assert joint.grad is not None
    assert (joint.grad[2:] == 0).all()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in head.parameters())


def relevant(label_smoothing: float = 0.0) -> Choice:
    torch.manual_seed(0)
    encoder = TextEncoder(RecurrentTextEncoder(embedding_size=4, hidden_size=6), 9)
    return Choice(ChoiceHead(label_smoothing=label_smoothing, target="relevance"), 5, 0, 3, encoder).eval()


# the second was not judged, of the third nothing is relevant; no question of the batch that was judged has a fourth choice
JUDGED = {"choice_relevance": [[0.0, 0.5, 1.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.2, 0.2, 0.0]]}
JUDGED_LOGITS = torch.tensor(
    [[1.0, 2.0, 3.0, NOTHING], [0.5, 1.5, 1.0, 0.0], [1.0, 0.0, 2.0, NOTHING], [2.0, 1.0, 3.0, NOTHING]]
)


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_the_loss_of_relevance_is_cross_entropy_to_its_shares(smoothing: float):
    first, last = log_softmax([1, 2, 3]), log_softmax([2, 1, 3])
    losses = [
        -(1 - smoothing) * (first[1] / 3 + 2 * first[2] / 3) - smoothing * sum(first) / 3,
        -(1 - smoothing) * (last[0] + last[1]) / 2 - smoothing * sum(last) / 3,
    ]
    logits = JUDGED_LOGITS.clone().requires_grad_()
    found, counts = relevant(smoothing).losses(logits, batch_of(4, **JUDGED))
    assert found.tolist() == pytest.approx([losses[0], 0, 0, losses[1]], rel=1e-6)
    assert counts.tolist() == [True, False, False, True]
    found.sum().backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    assert (logits.grad[1:3] == 0).all()


def test_relevance_earns_ndcg_over_as_many_ranks_as_are_relevant():
    scores = relevant().question_scores(JUDGED_LOGITS, batch_of(4, **JUDGED))
    second = 1 / math.log2(3)
    assert scores[0].item() == pytest.approx(1.0)
    assert scores[1:3].isnan().all()  # does not apply
    assert scores[3].item() == pytest.approx((0 + 0.2 * second) / (0.2 + 0.2 * second))
    relevance = torch.tensor(JUDGED["choice_relevance"][0:1], dtype=torch.float64)
    turned = -JUDGED_LOGITS[:1, :3].double()
    ranks = turned.numpy().argsort(axis=1)[:, ::-1].argsort(axis=1) + 1
    official = ndcg(ranks, relevance.numpy())
    assert relevant().question_scores(turned, batch_of(1, choice_relevance=relevance)).tolist() == pytest.approx(official)


def test_relevance_without_any_judged_question_earns_and_costs_nothing():
    head, batch = relevant(), batch_of(4, **CHOICES)
    joint = torch.randn(4, 5, requires_grad=True)
    losses, counts = head.losses(head(joint, REGIONS, batch), batch)
    losses.sum().backward()
    assert losses.tolist() == [0.0] * 4
    assert not counts.any()
    assert head.question_scores(head(joint, REGIONS, batch), batch).isnan().all()


def test_choices_that_were_read_before_are_not_read_again():
    head, batch = choice(), batch_of(4, **CHOICES)
    joint = torch.randn(4, 5)
    vectors = head.choices.encode(batch.choice_tokens, batch.choice_lengths)
    unread = replace(batch, choice_vectors=vectors, choice_tokens=torch.zeros(0, 0, dtype=torch.int64))
    assert torch.equal(head(joint, REGIONS, unread), head(joint, REGIONS, batch))


@pytest.mark.parametrize("options", [{"loss": "sigmoid"}, {"choices": "regions"}])
@pytest.mark.parametrize("config", [ChoiceHead, MlpChoiceHead])
def test_relevance_is_a_share_and_of_texts(config: type, options: dict[str, str]):
    with pytest.raises(ValidationError, match="target=relevance needs loss=softmax and choices=texts"):
        config(**{"loss": "softmax", "target": "relevance", **options})
