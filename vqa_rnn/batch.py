"""The input of a model: one batch, in which each distinct image, text and candidate answer occurs once.

Shape letters: B images, N questions, G dialogs, R rounds (facts of a dialog), F distinct facts, T tokens, K regions,
D feature size, C choices, U distinct choice texts, S scored answers. Texts are padded on the right with 0,
each field with its own T.

The tensors of ``ON_HOST`` determine the shapes of other tensors. They always stay on the CPU, as ``torch.nn.utils.rnn``
requires of lengths, because reading them from a GPU would force a synchronisation.
"""

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

ON_HOST = ("question_lengths", "fact_lengths", "fact_questions", "history_index", "choice_lengths", "answer_lengths")


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """The tensors of one step.

    Attributes:
        features: (B, K, D) in the stored dtype, features of the distinct images; cast by the model.
        region_mask: (B, K) bool, True where a region exists.
        boxes: (B, K, 4) float32 x1 y1 x2 y2 as fractions of the image, or None.
        images: (B,) int64, index of each image among the images of its split.
        question_index: (N,) int64, index of each question among the questions of its split.
        image_index: (N,) int64, each question's row in ``features``.
        question_tokens: (N, T) int64.
        question_lengths: (N,) int64.
        fact_tokens: (F, T) int64, the distinct facts: a caption, or an earlier question with its answer.
        fact_lengths: (F,) int64.
        fact_questions: (F,) int64, number of leading tokens of each fact that are its question; 0 for a caption, and for all
            facts of a ``SubwordTokenizer``.
        history_index: (G, R) int64, rows of ``fact_tokens``: each dialog's facts in order, -1 = none.
        dialog_index: (N,) int64, each question's row in ``history_index``.
        history_lengths: (N,) int64, number of facts of the dialog that precede the question.
        choice_tokens: (U, T) int64, the distinct choice texts of the batch.
        choice_lengths: (U,) int64.
        choice_texts: (U,) int64, index of each choice text among the texts of its split.
        choice_vectors: (U, H) float, encodings of the choice texts by the head's own layers, if precomputed; else None.
        choice_index: (N, C) int64, rows of ``choice_tokens``, -1 = no such choice.
        choice_regions: (N, C) int64, for pointing: rows among the regions of the question's image, -1 = no such choice.
        choice_relevance: (N, C) float32, graded relevance of the choices, 0 for questions that were not judged; C is 0 if none
            was judged.
        correct_choice: (N,) int64, -1 if the true answer is withheld or there are no choices.
        answer_tokens: (N, T) int64, the text of the true answer, for generative heads; T is 0 for other heads.
        answer_lengths: (N,) int64, 0 if the true answer is unknown or not needed.
        answer_ids: (N, S) int64, classes that score above 0, padded with 0.
        answer_scores: (N, S) float32, their scores, padded with 0.
    """

    features: Tensor
    region_mask: Tensor
    boxes: Tensor | None = None
    images: Tensor
    question_index: Tensor
    image_index: Tensor
    question_tokens: Tensor
    question_lengths: Tensor
    fact_tokens: Tensor
    fact_lengths: Tensor
    fact_questions: Tensor
    history_index: Tensor
    dialog_index: Tensor
    history_lengths: Tensor
    choice_tokens: Tensor
    choice_lengths: Tensor
    choice_texts: Tensor
    choice_vectors: Tensor | None = None
    choice_index: Tensor
    choice_regions: Tensor
    choice_relevance: Tensor
    correct_choice: Tensor
    answer_tokens: Tensor
    answer_lengths: Tensor
    answer_ids: Tensor
    answer_scores: Tensor

    @property
    def num_questions(self) -> int:
        """The number of questions, N."""
        return self.image_index.shape[0]

    @property
    def num_examples(self) -> int:
        """The same as ``num_questions``, for the training engine."""
        return self.num_questions

    @property
    def example_index(self) -> Tensor:
        """The same as ``question_index``, for the training engine."""
        return self.question_index

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> "Batch":
        """Move all tensors except those of ``ON_HOST`` to a device.

        Args:
            device: The device.
            non_blocking: As in ``Tensor.to``.

        Returns:
            The moved batch.
        """
        moved = {
            name: tensor.to(device, non_blocking=non_blocking)
            for name, tensor in self._tensors().items()
            if name not in ON_HOST
        }
        return replace(self, **moved)  # type: ignore[arg-type]

    def record_stream(self, stream: torch.cuda.Stream) -> None:
        """Call ``Tensor.record_stream`` on all tensors except those of ``ON_HOST``.

        Args:
            stream: A stream that uses the batch and is not the one on which it was created.
        """
        for name, tensor in self._tensors().items():
            if name not in ON_HOST:
                tensor.record_stream(stream)

    def _tensors(self) -> dict[str, Tensor]:
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if value is not None}


def beside(host: Tensor, other: Tensor) -> Tensor:
    """Move a CPU tensor to the device of another tensor, without blocking.

    Args:
        host: A tensor on the CPU, such as one of ``ON_HOST``.
        other: A tensor on any device.

    Returns:
        ``host`` on the device of ``other``.
    """
    return host.to(other.device, non_blocking=True)
