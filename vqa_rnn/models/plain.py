"""A model as a function of plain tensors instead of a ``Batch``, for export to ONNX.

Shape letters: B images, N questions, K regions, D feature size, T words, C choices, A answers.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from vqa_rnn.batch import Batch
from vqa_rnn.models.heads import ChoiceHead, TextChoices
from vqa_rnn.models.model import VqaModel

AXES: Mapping[str, tuple[str, ...]] = {
    "features": ("images", "regions"),
    "region_mask": ("images", "regions"),
    "boxes": ("images", "regions"),
    "image_index": ("questions",),
    "tokens": ("questions", "words"),
    "lengths": ("questions",),
    "choice_tokens": ("questions", "choices", "choice_words"),
    "choice_lengths": ("questions", "choices"),
    "choice_regions": ("questions", "choices"),
}
"""The first axes of each input, by input name. These axes can have any length; a further axis has a fixed length."""


class PlainModel(nn.Module):
    """A model that maps regions and questions to probabilities, without a dialog history.

    Attributes:
        inputs: Names of the inputs that the model reads, from ``AXES``.
        needs_grid: Whether the regions must be all cells of the square grid that the model was trained on.
    """

    def __init__(self, model: VqaModel, temperature: float = 1.0) -> None:
        """Wrap a model.

        Args:
            model: A model without a history encoder, with a head that scores answers or choices.
            temperature: Divisor of the logits.
        """
        super().__init__()
        self.model = model
        self.temperature = temperature
        names = ["features", "region_mask", "image_index", "tokens", "lengths"]
        if model.has_geometry:
            names.insert(2, "boxes")
        if isinstance(model.head, ChoiceHead):
            reads_texts = isinstance(model.head.choices, TextChoices)
            names += ["choice_tokens", "choice_lengths"] if reads_texts else ["choice_regions"]
        self.inputs = tuple(names)
        self.needs_grid = getattr(getattr(model.reasoning, "stem", None), "kernel_size", 1) > 1

    def forward(
        self,
        features: Tensor,
        region_mask: Tensor,
        image_index: Tensor,
        tokens: Tensor,
        lengths: Tensor,
        boxes: Tensor | None = None,
        choice_tokens: Tensor | None = None,
        choice_lengths: Tensor | None = None,
        choice_regions: Tensor | None = None,
    ) -> Tensor:
        """Compute the probability of each answer or choice.

        Args:
            features: (B, K, D) float32.
            region_mask: (B, K) bool, True where a region exists.
            image_index: (N,) int64, the image of each question.
            tokens: (N, T) int64, padded on the right with 0.
            lengths: (N,) int64.
            boxes: (B, K, 4) float32 x1 y1 x2 y2 as fractions of the image, for a model with ``model.geometry``.
            choice_tokens: (N, C, T) int64, padded on the right with 0, for a head that chooses among texts.
            choice_lengths: (N, C) int64, 0 where there is no such choice.
            choice_regions: (N, C) int64, for a head that chooses among regions; -1 where there is no such choice.

        Returns:
            (N, A) or (N, C) float32 probabilities.
        """
        num_questions = tokens.shape[0]
        none_N0 = tokens.new_zeros(num_questions, 0)
        choice_index, texts, text_lengths = none_N0, tokens.new_zeros(0, 0), tokens.new_zeros(0)
        if choice_tokens is not None and choice_lengths is not None:
            texts, text_lengths = choice_tokens.flatten(0, 1), choice_lengths.flatten()
            places_NC = torch.arange(texts.shape[0], device=tokens.device).view(num_questions, -1)
            choice_index = torch.where(choice_lengths > 0, places_NC, -1)
        none_0 = tokens.new_zeros(0)
        batch = Batch(
            features=features,
            region_mask=region_mask,
            boxes=boxes,
            images=torch.arange(features.shape[0]),
            question_index=torch.arange(num_questions),
            image_index=image_index,
            question_tokens=tokens,
            question_lengths=lengths,
            fact_tokens=tokens.new_zeros(0, 0),
            fact_lengths=none_0,
            fact_questions=none_0,
            history_index=none_N0,
            dialog_index=torch.arange(num_questions),
            history_lengths=torch.zeros_like(lengths),
            choice_tokens=texts,
            choice_lengths=text_lengths,
            choice_texts=torch.arange(texts.shape[0]),
            choice_index=choice_index,
            choice_regions=none_N0 if choice_regions is None else choice_regions,
            choice_relevance=features.new_zeros(num_questions, 0),
            correct_choice=torch.full_like(lengths, -1),
            answer_tokens=none_N0,
            answer_lengths=torch.zeros_like(lengths),
            answer_ids=none_N0,
            answer_scores=features.new_zeros(num_questions, 0),
        )
        logits: Tensor = self.model(batch)
        return self.model.probabilities(logits / self.temperature)
