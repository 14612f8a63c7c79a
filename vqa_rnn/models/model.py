"""The whole model: texts and features in, scores out.

Shape letters: B images, N questions, K regions, D feature size, H question vector size, J joint size.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vqa_rnn.batch import Batch
from vqa_rnn.config import ModelConfig
from vqa_rnn.models.attention import ATTENTIONS
from vqa_rnn.models.fusion import FUSIONS
from vqa_rnn.models.heads import ANSWER_HEADS
from vqa_rnn.models.text_encoder import TextEncoder


@dataclass(frozen=True, slots=True)
class ModelSizes:
    """What the data fixes about a model.

    Attributes:
        vocabulary_size: Words, with padding and the unknown word.
        feature_size: D.
        num_answers: Size of the answer vocabulary; unused by the choice head.
    """

    vocabulary_size: int
    feature_size: int
    num_answers: int


class VqaModel(nn.Module):
    """Question encoder, image attention, fusion and answer head.

    Features are standardised by channel with the mean and deviation over the training images, which are buffers of the
    model and travel with its weights. An ablated part is replaced by zeros before its first layer, so that what remains
    of it is a learned constant.
    """

    feature_mean: Tensor
    feature_std: Tensor

    def __init__(self, config: ModelConfig, sizes: ModelSizes) -> None:
        super().__init__()
        self.sees_question = config.ablate in ("none", "question_only")
        self.sees_image = config.ablate in ("none", "image_only")
        self.register_buffer("feature_mean", torch.zeros(sizes.feature_size))
        self.register_buffer("feature_std", torch.ones(sizes.feature_size))
        self.feature_dropout = nn.Dropout(config.feature_dropout)
        self.question_encoder = TextEncoder(config.question, sizes.vocabulary_size)
        question_size = self.question_encoder.output_size
        self.attention = ATTENTIONS[config.attention.name](config.attention, sizes.feature_size, question_size)  # type: ignore[arg-type]
        self.fusion = FUSIONS[config.fusion.name](config.fusion, question_size, sizes.feature_size)  # type: ignore[arg-type]
        choice_encoder = TextEncoder(config.question, sizes.vocabulary_size)
        choice_encoder.embedding = self.question_encoder.embedding
        head = ANSWER_HEADS[config.head.name]
        self.head = head(config.head, self.fusion.output_size, sizes.num_answers, choice_encoder)  # type: ignore[arg-type]

    def set_feature_statistics(self, mean_D: Tensor, std_D: Tensor) -> None:
        """Fix how features are standardised.

        Args:
            mean_D: (D,) float.
            std_D: (D,) float; channels that never change are left alone.
        """
        self.feature_mean.copy_(mean_D)
        self.feature_std.copy_(torch.where(std_D > 1e-6, std_D, torch.ones_like(std_D)))

    def compile_parts(self) -> None:
        """Compile what does not depend on the lengths of texts, in place: the recurrent networks have kernels of their own."""
        for part in (self.attention, self.fusion):
            part.compile(dynamic=True)

    def encode(self, batch: Batch) -> Tensor:
        """Everything before the head.

        Args:
            batch: The batch, on the model's device.

        Returns:
            (N, J) float joint vectors.
        """
        question_NH = self.question_encoder.encode_texts(batch.question_tokens, batch.question_lengths)
        features_BKD = (batch.features.to(self.feature_mean.dtype) - self.feature_mean) / self.feature_std
        features_BKD = self.feature_dropout(features_BKD)
        if not self.sees_question:
            question_NH = torch.zeros_like(question_NH)
        if not self.sees_image:
            features_BKD = torch.zeros_like(features_BKD)
        image_MD, image_index_N = self.attention(features_BKD, batch.region_mask, question_NH, batch.image_index)
        return self.fusion(question_NH, image_MD, image_index_N)

    def answer(self, joint_NJ: Tensor, batch: Batch) -> Tensor:
        """The head.

        Args:
            joint_NJ: (N, J) float, from ``encode``.
            batch: The same batch.

        Returns:
            (N, A) or (N, C) float32 logits, by head.
        """
        return self.head(joint_NJ, batch)

    def forward(self, batch: Batch) -> Tensor:
        """Score the answers of every question.

        Args:
            batch: The batch, on the model's device.

        Returns:
            (N, A) or (N, C) float32 logits, by head.
        """
        return self.answer(self.encode(batch), batch)

    def losses(self, logits: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """The head's loss of each question.

        Args:
            logits: From ``forward``.
            batch: The same batch.

        Returns:
            (N,) float32, 0 where the truth is not known or not among the answers, and (N,) bool, where it is.
        """
        return self.head.losses(logits, batch)

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """The mean loss.

        Args:
            logits: From ``forward``.
            batch: The same batch.

        Returns:
            () float32, the mean over the questions that count; 0 if there is none.
        """
        losses_N, counts_N = self.losses(logits, batch)
        return losses_N.sum() / counts_N.sum().clamp(min=1)

    def question_scores(self, logits: Tensor, batch: Batch) -> Tensor:
        """What the metric gives the best answer of each question.

        Args:
            logits: From ``forward``.
            batch: The same batch.

        Returns:
            (N,) float32 fractions.
        """
        return self.head.question_scores(logits, batch)
