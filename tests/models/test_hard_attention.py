"""An attention that looks at one region at a time, and learns where by REINFORCE."""

from itertools import product

import pytest
import torch
from torch import Tensor, nn

from tests.models.test_model import ALL, SIZES, batch_of
from vqa_rnn.config import ModelConfig
from vqa_rnn.models import VqaModel
from vqa_rnn.models.attention import RecurrentAttention
from vqa_rnn.models.attention.attended import Policy
from vqa_rnn.models.model import Sampled
from vqa_rnn.models.text_encoder import EncodedTexts

K, D, H, LOOKS = 3, 4, 5, 2


def build(head: str) -> VqaModel:
    torch.manual_seed(0)
    hard = {"name": "recurrent", "hidden_size": 10, "hard": True}
    question = {"embedding_size": 8, "hidden_size": 7}
    return VqaModel(ModelConfig.model_validate({"question": question, "attention": hard, "head": {"name": head}}), SIZES)


def make(hard: bool = True) -> RecurrentAttention:
    torch.manual_seed(0)
    return RecurrentAttention(D, H, cell="gru", hidden_size=6, num_looks=LOOKS, hard=hard).double()


def texts(vectors: Tensor) -> EncodedTexts:
    return EncodedTexts.without_words(vectors)


def look_at(
    attention: RecurrentAttention, monkeypatch: pytest.MonkeyPatch, path: tuple[int, ...], regions: Tensor, vector: Tensor
):
    """What the attention gives where it is made to look at these regions, one after the other."""
    places = iter(path)
    monkeypatch.setattr(attention, "_choose", lambda weights: torch.full((len(weights), 1), next(places)))
    mask = torch.ones(1, K, dtype=torch.bool)
    return attention(regions, mask, texts(vector), torch.tensor([0]))


def test_the_expected_gradient_is_that_of_the_expected_score(monkeypatch: pytest.MonkeyPatch):
    """Over all paths, weighted by their probability: with a baseline or without, ``E[(R - b) ∇ log p] = ∇ E[R]``."""
    attention = make().train()
    regions, vector = torch.randn(1, K, D, dtype=torch.float64), torch.randn(1, H, dtype=torch.float64)
    rewards = {path: torch.rand(()).double() for path in product(range(K), repeat=LOOKS)}
    log_p = {path: look_at(attention, monkeypatch, path, regions, vector).policy.log_p[0] for path in rewards}
    assert sum(value.exp().item() for value in log_p.values()) == pytest.approx(1)
    weights = [*attention.query.parameters(), *attention.key.parameters(), *attention.score.parameters()]
    exact = torch.autograd.grad(sum(log_p[path].exp() * rewards[path] for path in rewards), weights, retain_graph=True)
    for baseline in (0.0, 0.7):
        surrogate = sum(log_p[path].exp().detach() * (rewards[path] - baseline) * log_p[path] for path in rewards)
        estimated = torch.autograd.grad(surrogate, weights, retain_graph=True)
        for one, other in zip(estimated, exact, strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=1e-10)


def test_a_glimpse_is_one_region_as_it_is(monkeypatch: pytest.MonkeyPatch):
    attention = make().train()
    regions, vector = torch.randn(1, K, D, dtype=torch.float64), torch.randn(1, H, dtype=torch.float64)
    found = look_at(attention, monkeypatch, (2, 0), regions, vector)
    state = (attention.begin(vector).tanh(),)
    for place in (2, 0):
        state = attention.cell.step(attention.cell.project(regions[:, place]), state)
    torch.testing.assert_close(found.image, state[0], rtol=0, atol=1e-12)
    assert found.maps.tolist() == [[[0, 0, 1], [1, 0, 0]]]
    assert found.image_index is None


def test_it_looks_at_regions_that_exist_and_at_the_likeliest_when_it_answers():
    attention = make()
    soft = make(hard=False)
    soft.load_state_dict(attention.state_dict(), strict=False)
    regions, mask = torch.randn(2, K, D, dtype=torch.float64), torch.tensor([[False, True, True], [False, False, False]])
    index = torch.tensor([0] * 30 + [1])
    vectors = torch.randn(len(index), H, dtype=torch.float64)
    drawn = attention.train()(regions, mask, texts(vectors), index).maps
    assert not drawn[:30, :, 0].any()
    assert drawn[:30].sum(dim=2).eq(1).all()
    assert not drawn[30].any()  # an image without regions
    assert len({tuple(map(tuple, each.tolist())) for each in drawn[:30]}) > 2
    found = attention.eval()(regions, mask, texts(vectors), index)
    assert found.policy is None
    first_look = soft.eval()(regions, mask, texts(vectors), index).maps[:30, 0].argmax(dim=1)
    assert torch.equal(found.maps[:30, 0].argmax(dim=1), first_look)


def test_the_loss_has_the_value_of_the_head_and_the_gradient_of_both():
    model, batch = build("classifier").train(), batch_of(*ALL)
    sampled = model(batch)
    assert isinstance(sampled, Sampled)
    losses, counts = model.head.losses(sampled.logits, batch)
    log_p, baseline = torch.zeros(len(losses), requires_grad=True), torch.full((len(losses),), 0.3, requires_grad=True)
    both, _ = model.losses(Sampled(sampled.logits, Policy(log_p, baseline)), batch)
    assert torch.equal(both, losses)
    both.sum().backward()
    surplus = (model.question_scores(sampled.logits, batch) - 0.3) * counts
    torch.testing.assert_close(log_p.grad, -surplus)
    torch.testing.assert_close(baseline.grad, -2 * surplus)


@pytest.mark.parametrize("head", ["classifier", "choice", "mlp_choice"])
def test_every_parameter_gets_a_finite_gradient_and_an_answer_needs_no_draw(head: str):
    model, batch = build(head), batch_of(*ALL)
    model.train()
    model.loss(model(batch), batch).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
    model.eval()
    assert torch.equal(model(batch), model(batch))


def test_it_learns_where_to_look():
    """Of four regions one is marked and says the answer; the others say as much, at random."""
    torch.manual_seed(0)
    attention = RecurrentAttention(5, 2, cell="gru", hidden_size=16, num_looks=1, hard=True)
    answer = nn.Linear(16, 2)
    optimizer = torch.optim.Adam([*attention.parameters(), *answer.parameters()], lr=0.02)

    def draw(number: int) -> tuple[Tensor, Tensor, Tensor]:
        regions = torch.randn(number, 4, 5)
        marked, truth = torch.randint(4, (number,)), torch.randint(2, (number,))
        rows = torch.arange(number)
        regions[:, :, 0] = 0
        regions[rows, marked, 0] = 2
        regions[:, :, 1] = torch.randint(2, (number, 4)) * 2.0 - 1
        regions[rows, marked, 1] = truth * 2.0 - 1
        return regions, marked, truth

    def see(regions: Tensor):
        number = len(regions)
        return attention(regions, torch.ones(number, 4, dtype=torch.bool), texts(torch.zeros(number, 2)), torch.arange(number))

    for _ in range(400):
        regions, _, truth = draw(128)
        found = see(regions)
        logits = answer(found.image)
        surplus = logits.argmax(dim=1).eq(truth).float() - found.policy.baseline
        policy_loss = surplus.square() - surplus.detach() * found.policy.log_p
        loss = (nn.functional.cross_entropy(logits, truth, reduction="none") + policy_loss).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    attention.eval()
    regions, marked, truth = draw(1000)
    found = see(regions)
    assert (found.maps[:, 0].argmax(dim=1) == marked).float().mean() > 0.9
    assert answer(found.image).argmax(dim=1).eq(truth).float().mean() > 0.9
