"""Answer heads, which score answers from joint vectors and compute the loss.

Shape letters: N questions, B images, K regions, D region size, J joint size, A answer vocabulary, C choices, U distinct choice
texts, H text vector size, S scored answers.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from vqa_rnn.batch import Batch
from vqa_rnn.config import ChoiceHead as ChoiceConfig
from vqa_rnn.config import ClassifierHead as ClassifierConfig
from vqa_rnn.config import MlpChoiceHead as MlpChoiceConfig
from vqa_rnn.dropout import Dropout
from vqa_rnn.models.generative import GenerativeHead
from vqa_rnn.models.layers import GatedTanh, at_least_float32, linear
from vqa_rnn.models.text_encoder import TextEncoder

FEW_VECTORS = 16  # per choice of a question: up to here, a matrix product with all vectors is faster than a lookup


class ClassifierHead(nn.Module):
    """A logit for every answer of the vocabulary, with an optional hidden layer: relu, or a gated tanh.

    ``softmax``: cross-entropy with the answer scores, normalised to sum to 1, as the target. ``sigmoid``: binary cross-entropy
    of each answer with its score as the target (Teney et al. 2018, https://arxiv.org/abs/1708.02711, section 3.6). In that
    paper questions without an answer in the vocabulary have a target of zeros (``unknown_answers: zero_target``).
    """

    def __init__(
        self, config: ClassifierConfig, joint_size: int, num_answers: int, region_size: int, text_encoder: TextEncoder
    ) -> None:
        super().__init__()
        hidden = [] if config.hidden_size is None else _hidden_layer(config, joint_size, config.hidden_size)
        scores = linear(config.hidden_size or joint_size, num_answers, weight_norm=config.weight_norm)
        self.layers = nn.Sequential(*hidden, scores)
        self.loss = config.loss
        self.keeps_unknown_answers = config.unknown_answers == "zero_target"
        self.label_smoothing = config.label_smoothing

    def forward(self, joint_NJ: Tensor, regions_BKD: Tensor, batch: Batch) -> Tensor:
        """Score every answer.

        Args:
            joint_NJ: (N, J) float.
            regions_BKD: Unused.
            batch: Unused.

        Returns:
            (N, A) float32 logits.
        """
        return at_least_float32(self.layers(joint_NJ))

    def losses(self, logits_NA: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """Compute the loss of each question; for ``sigmoid`` the sum over the answers.

        Args:
            logits_NA: (N, A) float32.
            batch: Provides ``answer_ids`` and ``answer_scores``.

        Returns:
            (N,) float32, 0 for questions without an answer in the vocabulary; and (N,) bool, True for questions that have one.
            With ``unknown_answers: zero_target`` all questions count, because all questions of a training split have answers.
        """
        totals_N = batch.answer_scores.sum(dim=1)
        if self.loss == "sigmoid":
            targets_NA = torch.zeros_like(logits_NA).scatter_add_(1, batch.answer_ids, batch.answer_scores.to(logits_NA))
            losses_NA = functional.binary_cross_entropy_with_logits(logits_NA, targets_NA, reduction="none")
            return _masked_losses(losses_NA.sum(dim=1), (totals_N > 0) | self.keeps_unknown_answers)
        log_p_NA = logits_NA.log_softmax(dim=1)
        targets_NS = batch.answer_scores / totals_N.clamp(min=1e-9)[:, None]
        true_N = -(targets_NS * log_p_NA.gather(1, batch.answer_ids)).sum(dim=1)
        losses_N = (1 - self.label_smoothing) * true_N - self.label_smoothing * log_p_NA.mean(dim=1)
        return _masked_losses(losses_N, totals_N > 0)

    def probabilities(self, logits_NA: Tensor) -> Tensor:
        """Compute the probability of each answer.

        Args:
            logits_NA: (N, A) float32.

        Returns:
            (N, A) float32; rows sum to 1 with ``softmax`` only.
        """
        return _probabilities(logits_NA, self.loss)

    def question_scores(self, logits_NA: Tensor, batch: Batch) -> Tensor:
        """Return the score of the top answer to each question.

        Args:
            logits_NA: (N, A) float32.
            batch: Provides ``answer_ids`` and ``answer_scores``.

        Returns:
            (N,) float32, as fractions; 0 if no correct answer is in the vocabulary.
        """
        best_N1 = logits_NA.argmax(dim=1, keepdim=True)
        return (batch.answer_scores * (batch.answer_ids == best_N1)).sum(dim=1)


def _hidden_layer(config: ClassifierConfig, input_size: int, size: int) -> list[nn.Module]:
    dropout = Dropout(config.dropout)
    if config.activation == "gated_tanh":
        return [GatedTanh(input_size, size, weight_norm=config.weight_norm), dropout]
    return [linear(input_size, size, weight_norm=config.weight_norm), nn.ReLU(), dropout]


class TextChoices(nn.Module):
    """Choices that are texts: each distinct text of the batch is encoded once, with the question's word embedding."""

    def __init__(self, region_size: int, text_encoder: TextEncoder, output_size: int, *, project: bool) -> None:
        super().__init__()
        self.text_encoder = text_encoder
        self.project = nn.Linear(text_encoder.output_size, output_size) if project else nn.Identity()

    def exists(self, batch: Batch) -> Tensor:
        """Return which choices exist.

        Args:
            batch: Provides ``choice_index``.

        Returns:
            (N, C) bool.
        """
        return batch.choice_index >= 0

    def forward(self, regions_BKD: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """Encode all choice texts.

        Args:
            regions_BKD: Unused.
            batch: Provides ``choice_index``, and ``choice_vectors`` or else ``choice_tokens`` and ``choice_lengths``.

        Returns:
            (U, output size) float, and (N, C) int64, the row of each choice in it; any row where there is no such choice.
        """
        texts_UH = batch.choice_vectors
        if texts_UH is None:
            texts_UH = self.encode(batch.choice_tokens, batch.choice_lengths)
        return texts_UH, batch.choice_index.clamp(min=0)

    def encode(self, tokens_UT: Tensor, lengths_U: Tensor) -> Tensor:
        """Encode texts that are not in a batch; the result may be passed as ``Batch.choice_vectors``.

        Args:
            tokens_UT: (U, T) int64.
            lengths_U: (U,) int64.

        Returns:
            (U, output size) float.
        """
        return self.project(self.text_encoder.encode_texts(tokens_UT, lengths_U))


class RegionChoices(nn.Module):
    """Choices that are regions of the question's image: pointing (Zhu et al. 2016, https://arxiv.org/abs/1511.03416)."""

    def __init__(self, region_size: int, text_encoder: TextEncoder, output_size: int, *, project: bool) -> None:
        super().__init__()
        self.project = nn.Linear(region_size, output_size) if project else nn.Identity()

    def exists(self, batch: Batch) -> Tensor:
        """Return which choices exist.

        Args:
            batch: Provides ``choice_regions``.

        Returns:
            (N, C) bool.
        """
        return batch.choice_regions >= 0

    def forward(self, regions_BKD: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """Project every region, once for all questions.

        Args:
            regions_BKD: (B, K, D) float.
            batch: Provides ``choice_regions`` and ``image_index``.

        Returns:
            (B K, output size) float, and (N, C) int64, the row of each choice in it; any row where there is no such choice.
        """
        first_N1 = (batch.image_index * regions_BKD.shape[1])[:, None]
        return self.project(regions_BKD).flatten(0, 1), first_N1 + batch.choice_regions.clamp(min=0)


CHOICES: dict[str, type[TextChoices] | type[RegionChoices]] = {"texts": TextChoices, "regions": RegionChoices}


class ProductScore(nn.Module):
    """``score(c) = (W joint) · c``.

    The discriminative decoder of Das et al. 2017 (https://arxiv.org/abs/1611.08669, section 4) with a linear layer on both
    sides; the one on the choices is in the classes of ``CHOICES``. ``project=false`` leaves both out, as in the paper.
    """

    def __init__(self, config: ChoiceConfig, joint_size: int, choice_size: int) -> None:
        super().__init__()
        self.project_joint = nn.Linear(joint_size, choice_size, bias=False) if config.project else nn.Identity()

    def forward(self, joint_NJ: Tensor, vectors_UH: Tensor, choice_index_NC: Tensor) -> Tensor:
        """Score choices.

        Args:
            joint_NJ: (N, J) float.
            vectors_UH: (U, H) float, the distinct choices.
            choice_index_NC: (N, C) int64, rows of ``vectors_UH``.

        Returns:
            (N, C) float.
        """
        query_NH = self.project_joint(joint_NJ)
        is_exporting = torch.compiler.is_exporting()  # an exported model takes any number of vectors
        if not is_exporting and len(vectors_UH) <= FEW_VECTORS * choice_index_NC.shape[1]:  # every question with every vector
            return (query_NH @ vectors_UH.T).gather(1, choice_index_NC)
        return (vectors_UH[choice_index_NC] @ query_NH.unsqueeze(2)).squeeze(2)


class MlpScore(nn.Module):
    """``score(c) = w · relu(W joint + c) + b``: one score for each triplet of image, question and choice.

    This is the model of Jabri et al. 2016 (https://arxiv.org/abs/1606.08390, section 3) if the joint vector concatenates
    question and image (``model.fusion: {name: concat, hidden_size: null}``), texts are the mean of their word vectors
    (``model.question.alone``), and the loss is ``sigmoid``.
    """

    def __init__(self, config: MlpChoiceConfig, joint_size: int, choice_size: int) -> None:
        super().__init__()
        self.project_joint = nn.Linear(joint_size, choice_size, bias=False)
        self.dropout = Dropout(config.dropout)
        self.output = nn.Linear(choice_size, 1)

    def forward(self, joint_NJ: Tensor, vectors_UH: Tensor, choice_index_NC: Tensor) -> Tensor:
        """Score choices.

        Args:
            joint_NJ: (N, J) float.
            vectors_UH: (U, H) float, the distinct choices.
            choice_index_NC: (N, C) int64, rows of ``vectors_UH``.

        Returns:
            (N, C) float.
        """
        hidden_NCH = (vectors_UH[choice_index_NC] + self.project_joint(joint_NJ).unsqueeze(1)).relu()
        return self.output(self.dropout(hidden_NCH)).squeeze(2)


class ChoiceHead(nn.Module):
    """Scores for the choices of a question, texts or regions, by a dot product or an MLP.

    ``softmax``: cross-entropy over a question's choices. ``sigmoid``: binary cross-entropy of each choice, averaged over a
    question's choices. With ``target=relevance`` the target of the cross-entropy is the graded relevance, normalised to sum to
    1 over a question's choices, and the score of a question is its NDCG. This is the second training stage on VisDial, after
    one on the correct choices (Murahari et al. 2020, https://arxiv.org/abs/1912.02379).
    """

    def __init__(
        self,
        config: ChoiceConfig | MlpChoiceConfig,
        joint_size: int,
        num_answers: int,
        region_size: int,
        text_encoder: TextEncoder,
    ) -> None:
        super().__init__()
        if isinstance(config, MlpChoiceConfig):
            size = config.hidden_size
            self.score: ProductScore | MlpScore = MlpScore(config, joint_size, size)
        else:
            size = text_encoder.output_size if config.choices == "texts" else joint_size
            self.score = ProductScore(config, joint_size, size)
        projects = isinstance(config, MlpChoiceConfig) or config.project
        self.choices = CHOICES[config.choices](region_size, text_encoder, size, project=projects)
        self.loss = config.loss
        self.target = config.target
        self.label_smoothing = config.label_smoothing

    def forward(self, joint_NJ: Tensor, regions_BKD: Tensor, batch: Batch) -> Tensor:
        """Score the choices of every question.

        Args:
            joint_NJ: (N, J) float.
            regions_BKD: (B, K, D) float.
            batch: Provides the choices.

        Returns:
            (N, C) float32 logits, -inf where there is no such choice.
        """
        logits_NC = self.score(joint_NJ, *self.choices(regions_BKD, batch))
        return at_least_float32(logits_NC).masked_fill(~self.choices.exists(batch), float("-inf"))

    def losses(self, logits_NC: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """Compute the loss of each question.

        Args:
            logits_NC: (N, C) float32, -inf where there is no such choice.
            batch: Provides ``correct_choice`` or ``choice_relevance``.

        Returns:
            (N,) float32, 0 for questions whose target is unknown; and (N,) bool, True for questions whose target is known.
        """
        if logits_NC.shape[1] == 0:
            return logits_NC.sum(dim=1), torch.zeros_like(batch.correct_choice, dtype=torch.bool)
        exists_NC = logits_NC > float("-inf")
        num_choices_N = exists_NC.sum(dim=1).clamp(min=1)
        targets_NC, known_N = self._targets(logits_NC, batch)
        if self.loss == "sigmoid":
            finite_NC = logits_NC.masked_fill(~exists_NC, 0.0)
            losses_NC = functional.binary_cross_entropy_with_logits(finite_NC, targets_NC, reduction="none")
            return _masked_losses((losses_NC * exists_NC).sum(dim=1) / num_choices_N, known_N)
        log_p_NC = logits_NC.log_softmax(dim=1).masked_fill(~exists_NC, 0.0)
        true_N = -(targets_NC * log_p_NC).sum(dim=1)
        even_N = -log_p_NC.sum(dim=1) / num_choices_N
        return _masked_losses((1 - self.label_smoothing) * true_N + self.label_smoothing * even_N, known_N)

    def probabilities(self, logits_NC: Tensor) -> Tensor:
        """Compute the probability of each choice.

        Args:
            logits_NC: (N, C) float32, -inf where there is no such choice.

        Returns:
            (N, C) float32; rows sum to 1 with ``softmax`` only.
        """
        return _probabilities(logits_NC, self.loss)

    def question_scores(self, logits_NC: Tensor, batch: Batch) -> Tensor:
        """Return whether the top choice is correct, or with ``target=relevance`` the NDCG of the ranking.

        Args:
            logits_NC: (N, C) float32.
            batch: Provides ``correct_choice`` or ``choice_relevance``.

        Returns:
            (N,) float32, 1 or 0; or NDCG from 0 to 1, NaN for questions without relevance.
        """
        if self.target == "relevance":
            return _ndcg(logits_NC, _relevance(logits_NC, batch))
        if logits_NC.shape[1] == 0:
            return logits_NC.new_zeros(logits_NC.shape[0])
        return (logits_NC.argmax(dim=1) == batch.correct_choice).float()

    def _targets(self, logits_NC: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return (N, C) target distributions over the choices, and (N,) bool, whether the target is known."""
        if self.target == "relevance":
            relevance_NC = _relevance(logits_NC, batch)
            total_N = relevance_NC.sum(dim=1)
            return relevance_NC / total_N.clamp(min=1e-9)[:, None], total_N > 0
        correct_N1 = batch.correct_choice.clamp(min=0)[:, None]
        return torch.zeros_like(logits_NC).scatter_(1, correct_N1, 1.0), batch.correct_choice >= 0


def _relevance(logits_NC: Tensor, batch: Batch) -> Tensor:
    """Return (N, C) the graded relevance, 0 where there is none."""
    return functional.pad(batch.choice_relevance.to(logits_NC), (0, logits_NC.shape[1] - batch.choice_relevance.shape[1]))


def _ndcg(scores_NC: Tensor, relevance_NC: Tensor) -> Tensor:
    """Return (N,) NDCG as defined by VisDial: linear gain, cut off at the number of relevant choices; NaN if there are none."""
    places_C = torch.arange(scores_NC.shape[1], device=scores_NC.device)
    counts_NC = places_C < (relevance_NC > 0).sum(dim=1, keepdim=True)
    weights_NC = counts_NC / (places_C + 2.0).log2()
    found_NC = relevance_NC.gather(1, scores_NC.argsort(dim=1, descending=True, stable=True))
    best_NC = relevance_NC.sort(dim=1, descending=True).values
    return (found_NC * weights_NC).sum(dim=1) / (best_NC * weights_NC).sum(dim=1)


def _probabilities(logits: Tensor, loss: str) -> Tensor:
    return logits.sigmoid() if loss == "sigmoid" else logits.softmax(dim=1)


def _masked_losses(losses_N: Tensor, counts_N: Tensor) -> tuple[Tensor, Tensor]:
    return torch.where(counts_N, losses_N, 0.0), counts_N


ANSWER_HEADS: dict[str, type[ClassifierHead] | type[ChoiceHead] | type[GenerativeHead]] = {
    "classifier": ClassifierHead,
    "choice": ChoiceHead,
    "mlp_choice": ChoiceHead,
    "generative": GenerativeHead,
}
