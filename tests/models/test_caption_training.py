"""How a head learns captions: scheduled sampling, the penalty of doubly stochastic attention, self-critical training."""

import pytest
import torch
from torch import Tensor

from tests.models.test_generative import IMAGES, MASK, TEXTS, joint, make
from tests.models.test_heads import batch_of
from vqa_rnn.models.decoding import draw, greedy


def test_scheduled_sampling_rises_linearly_and_then_stays() -> None:
    head = make(scheduled_sampling=0.4, scheduled_sampling_steps=4).train()
    rates = [float(head._sampling_rate()) for _ in range(6)]  # type: ignore[arg-type]
    assert rates == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4, 0.4])
    assert "steps_trained" in head.state_dict()
    assert "steps_trained" not in make().state_dict()


@pytest.mark.parametrize("look", ["none", "soft", "spatial"])
def test_scheduled_sampling_reads_other_words_and_still_predicts_the_text(look: str) -> None:
    options = {"look": look, "look_size": 4, "scheduled_sampling": 1.0, "scheduled_sampling_steps": 1}
    head, vectors, batch = make(**options).train(), joint(), batch_of(4, **TEXTS)
    first = head(vectors, IMAGES, batch)  # the probability begins at 0
    torch.testing.assert_close(first, head.answer_log_p(vectors, IMAGES, batch), rtol=0, atol=1e-12)
    torch.manual_seed(0)
    later = head(vectors, IMAGES, batch)
    assert (later[[0, 1]] != first[[0, 1]]).all()
    torch.testing.assert_close(later[2], first[2], rtol=0, atol=1e-12)  # its text is empty: only the start is read
    drawn: list[Tensor] = []
    sample = head._sample_some
    head._sample_some = lambda *given: drawn.append(sample(*given)) or drawn[-1]  # type: ignore[method-assign,func-returns-value]
    head(vectors, IMAGES, batch)
    assert all(((words >= 2) & (words < head.end_id)).all() for words in drawn), "no padding, unknown word or end is read"


def test_the_penalty_of_attention_changes_the_gradient_and_not_the_value() -> None:
    head, vectors, batch = make(look="soft", look_size=4, coverage=0.5).train(), joint(), batch_of(4, **TEXTS)
    log_p = head(vectors, IMAGES, batch)
    plain = head.score(vectors, IMAGES, batch, batch.answer_tokens, batch.answer_lengths)
    torch.testing.assert_close(log_p, plain.log_p, rtol=0, atol=1e-12)
    log_p.sum().backward()
    found = head.look.score.weight.grad.clone()  # type: ignore[union-attr]
    head.zero_grad()
    total_NK = plain.weights.sum(dim=1)
    torch.testing.assert_close(total_NK.sum(dim=1), torch.tensor([4.0, 3.0, 1.0, 2.0]).double())  # words and end
    penalty = 0.5 * ((1 - total_NK).square() * MASK[batch.image_index]).sum()
    (plain.log_p.sum() - penalty).backward()
    torch.testing.assert_close(found, head.look.score.weight.grad, rtol=0, atol=1e-12)  # type: ignore[union-attr]


def rewards(tokens_NT: Tensor, lengths_N: Tensor, images_N: Tensor) -> Tensor:
    """The share of a text's words that are word 5, and a little for image 1."""
    return (tokens_NT == 5).sum(dim=1) / lengths_N + 0.1 * images_N


def test_self_critical_training_has_the_gradient_of_the_policy() -> None:
    options = {"look": "soft", "look_size": 4, "objective": "self_critical", "dropout": 0.0}
    head, vectors, batch = make(**options).train(), joint(), batch_of(4, **TEXTS, images=[0, 1])
    head.reward = rewards
    torch.manual_seed(3)
    value = head(vectors, IMAGES, batch)
    assert head.training
    value.sum().backward()
    found = {name: parameter.grad.clone() for name, parameter in head.named_parameters() if parameter.grad is not None}
    head.zero_grad()
    torch.manual_seed(3)
    head.eval()
    with torch.no_grad():
        sampled = head.generate(vectors, IMAGES, batch, draw)
        best = head.generate(vectors, IMAGES, batch, greedy)
    gained = rewards(sampled.tokens, sampled.lengths, batch.image_index)
    torch.testing.assert_close(value, gained.to(value.dtype), rtol=0, atol=1e-12)
    surplus = gained - rewards(best.tokens, best.lengths, batch.image_index)
    assert (surplus != 0).any()
    (surplus * head.score(vectors, IMAGES, batch, sampled.tokens, sampled.lengths).log_p).sum().backward()
    for name, parameter in head.named_parameters():
        if name in found:
            torch.testing.assert_close(found[name], parameter.grad, rtol=0, atol=1e-12, msg=name)


def test_self_critical_training_learns_what_is_rewarded() -> None:
    head, vectors = make(objective="self_critical").train(), joint()
    batch = batch_of(4, images=[0, 1], image_index=[0, 1, 1, 0], answer_lengths=[1, 1, 1, 1])
    head.reward = rewards
    optimizer = torch.optim.Adam(head.parameters(), lr=0.05)
    torch.manual_seed(0)
    for _ in range(60):
        optimizer.zero_grad()
        losses, counts = head.losses(head(vectors, IMAGES, batch), batch)
        assert counts.all()
        losses.sum().backward()
        optimizer.step()
    written = head.eval().generate(vectors, IMAGES, batch)
    assert (rewards(written.tokens, written.lengths, torch.zeros(4)) > 0.9).all()
