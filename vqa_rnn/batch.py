"""What the model sees: one batch, in which every distinct image, text and candidate answer is encoded once.

Shape letters: B images, N questions, G dialogs, R rounds (facts of a dialog), F distinct facts, T tokens, K regions,
D feature size, C choices, U distinct choice texts, S scored answers. Texts are padded on the right with 0,
each field with its own T.

What shapes follow from stays on the CPU wherever the batch goes (``ON_HOST``), as ``torch.nn.utils.rnn`` wants lengths: a GPU
would have to finish its work before they could be read.
"""

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

ON_HOST = ("question_lengths", "fact_lengths", "fact_questions", "history_index", "choice_lengths", "answer_lengths")


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Tensors of one step.

    Attributes:
        features: (B, K, D) in the stored dtype, the distinct images; cast by the model.
        region_mask: (B, K) bool, True where a region exists.
        boxes: (B, K, 4) float32 x1 y1 x2 y2 as fractions of the image, or None.
        images: (B,) int64, each image's place among those of its split.
        question_index: (N,) int64, each question's place among those of its split.
        image_index: (N,) int64, each question's row in ``features``.
        question_tokens: (N, T) int64.
        question_lengths: (N,) int64.
        fact_tokens: (F, T) int64, the distinct facts: a caption, or an earlier question with its answer.
        fact_lengths: (F,) int64.
        fact_questions: (F,) int64, how many tokens of each fact, from the first, are its question; 0 for a caption.
        history_index: (G, R) int64, each dialog's facts in order, -1 = none.
        dialog_index: (N,) int64, the question's dialog.
        history_lengths: (N,) int64, how many of the dialog's facts came before the question.
        choice_tokens: (U, T) int64, the distinct choice texts of the batch.
        choice_lengths: (U,) int64.
        choice_texts: (U,) int64, each one's number among the texts of its split.
        choice_vectors: (U, H) float, the same as the head's own layers give them, where they were read before; else None.
        choice_index: (N, C) int64, rows of ``choice_tokens``, -1 = no such choice.
        choice_regions: (N, C) int64, pointing: rows of the question's image's regions, -1 = no such choice.
        choice_relevance: (N, C) float32, graded relevance of the choices, 0 where a question was not judged; C is 0 where none
            was.
        correct_choice: (N,) int64, -1 where the truth is withheld or there are no choices.
        answer_tokens: (N, T) int64, the text of the true answer, for heads that write; T is 0 for the others.
        answer_lengths: (N,) int64, 0 where it is not known or not asked for.
        answer_ids: (N, S) int64, classes that score, padded with 0.
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
        """N."""
        return self.image_index.shape[0]

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> "Batch":
        """Move every tensor but those of ``ON_HOST``.

        Args:
            device: Where to.
            non_blocking: As in ``Tensor.to``.

        Returns:
            The batch there.
        """
        moved = {
            name: tensor.to(device, non_blocking=non_blocking)
            for name, tensor in self._tensors().items()
            if name not in ON_HOST
        }
        return replace(self, **moved)  # type: ignore[arg-type]

    def record_stream(self, stream: torch.cuda.Stream) -> None:
        """Tell the allocator of a GPU that a stream uses the batch, as ``Tensor.record_stream``.

        Args:
            stream: Another one than that on which the batch was made.
        """
        for name, tensor in self._tensors().items():
            if name not in ON_HOST:
                tensor.record_stream(stream)

    def _tensors(self) -> dict[str, Tensor]:
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if value is not None}


def beside(host: Tensor, other: Tensor) -> Tensor:
    """Put what is on the CPU where another tensor is, without waiting for that device.

    Args:
        host: A tensor on the CPU, such as one of ``ON_HOST``.
        other: A tensor on any device.

    Returns:
        ``host`` on that device.
    """
    return host.to(other.device, non_blocking=True)
