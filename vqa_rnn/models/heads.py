"""Joint vectors to answers. A head scores, and owns its loss.

Shape letters: N questions, J joint size, A answer vocabulary, C choices, U distinct choice texts, H text vector
size, S scored answers.
"""

import torch
from torch import Tensor, nn

from vqa_rnn.batch import Batch
from vqa_rnn.config import ChoiceHead as ChoiceConfig
from vqa_rnn.config import ClassifierHead as ClassifierConfig
from vqa_rnn.models.text_encoder import TextEncoder


class ClassifierHead(nn.Module):
    """A hidden layer, or none, then a logit for every answer of the vocabulary."""

    def __init__(self, config: ClassifierConfig, joint_size: int, num_answers: int, text_encoder: TextEncoder) -> None:
        super().__init__()
        hidden = config.hidden_size
        if hidden is None:
            self.layers = nn.Sequential(nn.Linear(joint_size, num_answers))
        else:
            layer = (nn.Linear(joint_size, hidden), nn.ReLU(), nn.Dropout(config.dropout))
            self.layers = nn.Sequential(*layer, nn.Linear(hidden, num_answers))
        self.label_smoothing = config.label_smoothing

    def forward(self, joint_NJ: Tensor, batch: Batch) -> Tensor:
        """Score every answer.

        Args:
            joint_NJ: (N, J) float.
            batch: Unused.

        Returns:
            (N, A) float32 logits.
        """
        return _at_least_float32(self.layers(joint_NJ))

    def losses(self, logits_NA: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """Cross-entropy with the questions' answer scores, made to sum to 1, as targets.

        Args:
            logits_NA: (N, A) float32.
            batch: Its ``answer_ids`` and ``answer_scores``.

        Returns:
            (N,) float32, 0 for questions without an answer in the vocabulary, and (N,) bool, the questions that have one.
        """
        log_p_NA = logits_NA.log_softmax(dim=1)
        totals_N = batch.answer_scores.sum(dim=1)
        targets_NS = batch.answer_scores / totals_N.clamp(min=1e-9)[:, None]
        true_N = -(targets_NS * log_p_NA.gather(1, batch.answer_ids)).sum(dim=1)
        losses_N = (1 - self.label_smoothing) * true_N - self.label_smoothing * log_p_NA.mean(dim=1)
        return _where(losses_N, totals_N > 0)

    def question_scores(self, logits_NA: Tensor, batch: Batch) -> Tensor:
        """What the metric gives the best answer of each question.

        Args:
            logits_NA: (N, A) float32.
            batch: Its ``answer_ids`` and ``answer_scores``.

        Returns:
            (N,) float32 fractions; 0 where no right answer is in the vocabulary.
        """
        best_N1 = logits_NA.argmax(dim=1, keepdim=True)
        return (batch.answer_scores * (batch.answer_ids == best_N1)).sum(dim=1)


class ChoiceHead(nn.Module):
    """``score(c) = (W joint) · (W' text(c) + b')``, each distinct choice text of the batch encoded once.

    The discriminative decoder of Das et al. 2017 (https://arxiv.org/abs/1611.08669, section 4) with a learned map on
    both sides; choice texts are read by an LSTM of their own over the question's word embedding.
    """

    def __init__(self, config: ChoiceConfig, joint_size: int, num_answers: int, text_encoder: TextEncoder) -> None:
        super().__init__()
        self.text_encoder = text_encoder
        self.project_joint = nn.Linear(joint_size, text_encoder.output_size, bias=False)
        self.project_choice = nn.Linear(text_encoder.output_size, text_encoder.output_size)
        self.label_smoothing = config.label_smoothing

    def forward(self, joint_NJ: Tensor, batch: Batch) -> Tensor:
        """Score every question's choices.

        Args:
            joint_NJ: (N, J) float.
            batch: Its ``choice_tokens``, ``choice_lengths`` and ``choice_index``.

        Returns:
            (N, C) float32 logits, -inf where there is no such choice.
        """
        texts_UH = self.project_choice(self.text_encoder.encode_texts(batch.choice_tokens, batch.choice_lengths))
        choices_NCH = texts_UH[batch.choice_index.clamp(min=0)]
        logits_NC = (choices_NCH @ self.project_joint(joint_NJ).unsqueeze(2)).squeeze(2)
        return _at_least_float32(logits_NC).masked_fill(batch.choice_index < 0, float("-inf"))

    def losses(self, logits_NC: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """Cross-entropy over the choices.

        Args:
            logits_NC: (N, C) float32, -inf where there is no such choice.
            batch: Its ``correct_choice``.

        Returns:
            (N,) float32, 0 for questions whose correct choice is not known, and (N,) bool, the questions whose is.
        """
        if logits_NC.shape[1] == 0:
            return logits_NC.sum(dim=1), torch.zeros_like(batch.correct_choice, dtype=torch.bool)
        exists_NC = batch.choice_index >= 0
        log_p_NC = logits_NC.log_softmax(dim=1).masked_fill(~exists_NC, 0.0)
        true_N = -log_p_NC.gather(1, batch.correct_choice.clamp(min=0)[:, None]).squeeze(1)
        even_N = -log_p_NC.sum(dim=1) / exists_NC.sum(dim=1).clamp(min=1)
        losses_N = (1 - self.label_smoothing) * true_N + self.label_smoothing * even_N
        return _where(losses_N, batch.correct_choice >= 0)

    def question_scores(self, logits_NC: Tensor, batch: Batch) -> Tensor:
        """Whether the best choice is the correct one.

        Args:
            logits_NC: (N, C) float32.
            batch: Its ``correct_choice``.

        Returns:
            (N,) float32, 1 or 0.
        """
        if logits_NC.shape[1] == 0:
            return logits_NC.new_zeros(logits_NC.shape[0])
        return (logits_NC.argmax(dim=1) == batch.correct_choice).float()


def _at_least_float32(logits: Tensor) -> Tensor:
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def _where(losses_N: Tensor, counts_N: Tensor) -> tuple[Tensor, Tensor]:
    return torch.where(counts_N, losses_N, 0.0), counts_N


ANSWER_HEADS: dict[str, type[ClassifierHead] | type[ChoiceHead]] = {"classifier": ClassifierHead, "choice": ChoiceHead}
