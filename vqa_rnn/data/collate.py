"""Gathering of a batch: each distinct image, fact and choice once, and the indices that refer to them."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vqa_rnn.batch import Batch
from vqa_rnn.data.columns import EncodedQuestions, Ints, Ragged
from vqa_rnn.data.packed import empty_shared
from vqa_rnn.data.sources import FeatureSource


def make_batch(encoded: EncodedQuestions, questions: Ints, source: FeatureSource, *, shared: bool = False) -> Batch:
    """Gather questions into a batch.

    Args:
        encoded: All questions.
        questions: (N,) indices of the questions to gather.
        source: Source of the features.
        shared: Whether to read the features directly into memory that can be shared with another process.

    Returns:
        The batch.
    """
    images, image_index = np.unique(encoded.image[questions], return_inverse=True)
    if shared:
        features = empty_shared((len(images), *source.shape), torch.from_numpy(np.empty(0, source.dtype)).dtype)
        _, num_regions, boxes = source.read(images, features.numpy())
    else:
        read, num_regions, boxes = source.read(images)
        features = torch.from_numpy(read)
    region_mask = np.arange(features.shape[1]) < num_regions[:, None]

    question_tokens, question_lengths = _pad_texts(encoded.tokens, encoded.question[questions])
    dialogs, dialog_index = np.unique(encoded.dialog[questions], return_inverse=True)
    history_index, facts = _distinct(encoded.dialog_facts.padded(dialogs, -1))
    fact_tokens, fact_lengths = _pad_texts(encoded.tokens, facts)
    choice_index, choices = _distinct(encoded.choices.padded(questions, -1))
    choice_tokens, choice_lengths = _pad_texts(encoded.tokens, choices)
    answer_tokens, answer_lengths = _pad_known_texts(encoded.tokens, encoded.answer[questions])
    return Batch(
        features=features,
        region_mask=torch.from_numpy(region_mask),
        boxes=None if boxes is None else torch.from_numpy(boxes),
        images=torch.from_numpy(images),
        question_index=torch.from_numpy(questions),
        image_index=torch.from_numpy(image_index),
        question_tokens=question_tokens,
        question_lengths=question_lengths,
        fact_tokens=fact_tokens,
        fact_lengths=fact_lengths,
        fact_questions=torch.from_numpy(encoded.round_question[facts]),
        history_index=torch.from_numpy(history_index),
        dialog_index=torch.from_numpy(dialog_index),
        history_lengths=torch.from_numpy(encoded.history_length[questions]),
        choice_tokens=choice_tokens,
        choice_lengths=choice_lengths,
        choice_texts=torch.from_numpy(choices),
        choice_index=torch.from_numpy(choice_index),
        choice_regions=torch.from_numpy(encoded.choice_regions.padded(questions, -1)),
        choice_relevance=torch.from_numpy(encoded.relevance.padded(questions, 0)),
        correct_choice=torch.from_numpy(encoded.correct_choice[questions]),
        answer_tokens=answer_tokens,
        answer_lengths=answer_lengths,
        answer_ids=torch.from_numpy(_at_least_one_column(encoded.answer_ids.padded(questions, 0))),
        answer_scores=torch.from_numpy(_at_least_one_column(encoded.answer_scores.padded(questions, 0))),
    )


def _pad_texts(tokens: Ragged, texts: Ints) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(tokens.padded(texts, 0)), torch.from_numpy(tokens.lengths(texts))


def _pad_known_texts(tokens: Ragged, texts: Ints) -> tuple[Tensor, Tensor]:
    """Pad texts of which some are unknown (-1). Unknown texts have no tokens."""
    known = np.flatnonzero(texts >= 0)
    padded, lengths = tokens.padded(texts[known], 0), np.zeros(len(texts), dtype=np.int64)
    all_tokens = np.zeros((len(texts), padded.shape[1]), dtype=np.int64)
    all_tokens[known], lengths[known] = padded, tokens.lengths(texts[known])
    return torch.from_numpy(all_tokens), torch.from_numpy(lengths)


def _distinct(text_ids: NDArray[Any]) -> tuple[Ints, Ints]:
    """Return an index array of the same shape, in which -1 is kept, and the distinct texts that it refers to."""
    if text_ids.size == 0:
        return np.empty(text_ids.shape, dtype=np.int64), np.empty(0, dtype=np.int64)
    exists = text_ids >= 0
    distinct, inverse = np.unique(text_ids[exists], return_inverse=True)
    index = np.full(text_ids.shape, -1, dtype=np.int64)
    index[exists] = inverse
    return index, distinct


def _at_least_one_column(targets: NDArray[Any]) -> NDArray[Any]:
    return targets if targets.shape[1] else np.zeros((targets.shape[0], 1), dtype=targets.dtype)
