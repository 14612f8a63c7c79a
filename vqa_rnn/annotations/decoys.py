"""Drawing of plausible wrong answers, so that multiple choice needs the image.

Random decoys can be recognised from the text alone, for example if only one of four answers to "how many" is a number. The
decoys of a question are therefore drawn from the answers to similar questions about **other images**:

    p(a) = mean over the powers k of  sum over questions j of the same type about other images of
           sim(q, j)^k [answer of j is a], normalised for each k so that the sum over a is 1

``sim`` is the cosine similarity of idf-weighted words, word pairs and first three words. A low power favours questions on the
same topic, a high power near copies of the question. Three distinct answers are drawn with weights ``p^SHARPNESS``. Answers
that are given for the same image are excluded, because they might be right as well; they are used only if fewer than three
others exist. Because the true answer is not drawn, it would stand out as the most likely of the four; a sharpness above 1
compensates for this. The powers and the sharpness were chosen so that text-only models are close to chance.
"""

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import xxhash
from numpy.typing import NDArray

from vqa_rnn.answers import fold_answer
from vqa_rnn.errors import UserError
from vqa_rnn.records import Question

NUM_DECOYS = 3
SIMILARITY_POWERS = (3, 10)
SHARPNESS = 1.35
_LAST_RESORT = -1e3  # log-weight far below those of all answers about other images


def draw_choices(questions: Sequence[Question]) -> list[Question]:
    """Add four choices to every question: its answer and three decoys.

    Args:
        questions: Questions with one answer each.

    Returns:
        The same questions with ``choices``, the answer first, and ``correct_choice`` 0. The draw depends only on the id of the
        question and on the set of questions.

    Raises:
        UserError: There are fewer than four distinct answers.
    """
    answers = [fold_answer(question.human_answers[0]) for question in questions]
    vocabulary = sorted(set(answers))
    if len(vocabulary) <= NUM_DECOYS:
        raise UserError(f"only {len(vocabulary)} different answers: too few to draw {NUM_DECOYS} decoys from")
    answer_id = np.searchsorted(vocabulary, answers)
    _, image = np.unique([question.image_id for question in questions], return_inverse=True)
    given = np.zeros((image.max() + 1, len(vocabulary)), dtype=bool)  # answers given for an image
    given[image, answer_id] = True
    drawn = []
    block = 512  # rows at a time: the similarities of all pairs of a large benchmark would not fit in memory
    vectors = _text_vectors(questions)
    _, kind = np.unique([question.question_type or "" for question in questions], return_inverse=True)
    for start in range(0, len(questions), block):
        rows = slice(start, start + block)
        other = (image[rows, None] != image) & (kind[rows, None] == kind)
        similarity = (vectors[rows] @ vectors.T).clip(0, 1)
        weights = sum(_share_of_answers(similarity**power * other, answer_id) for power in SIMILARITY_POWERS)
        log_weights = np.where(given[image[rows]], _LAST_RESORT, SHARPNESS * np.log(weights + 1e-12))
        log_weights[np.arange(len(log_weights)), answer_id[rows]] = -np.inf  # the true answer
        for question, log_weight in zip(questions[rows], log_weights, strict=True):
            generator = np.random.default_rng(xxhash.xxh64_intdigest(question.question_id.encode()))
            # The largest log-weights plus Gumbel noise are a sample without replacement.
            order = np.argsort(-(log_weight + generator.gumbel(size=len(vocabulary))))
            choices = (question.human_answers[0], *(vocabulary[i] for i in order[:NUM_DECOYS]))
            drawn.append(replace(question, choices=choices, correct_choice=0))
    return drawn


def _text_vectors(questions: Sequence[Question]) -> NDArray[np.float32]:
    """Return (questions, grams) float32 vectors, weighted by idf and normalised to length 1."""
    grams = [_grams(question.question) for question in questions]
    frequency = Counter(gram for row in grams for gram in row)
    column = {gram: i for i, gram in enumerate(frequency)}
    vectors = np.zeros((len(questions), len(column)), dtype=np.float32)
    for row, names in enumerate(grams):
        for name in names:
            vectors[row, column[name]] = np.sqrt(np.log(1 + len(questions) / frequency[name]))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _grams(text: str) -> set[str]:
    words = fold_answer(text).replace("?", " ").split() or [""]
    return {*words, *(f"{a} {b}" for a, b in itertools.pairwise(words)), "^" + " ".join(words[:3])}


def _share_of_answers(weights: NDArray[np.floating], answer_id: NDArray[np.integer]) -> NDArray[np.float64]:
    """Sum the weights of each row by answer, and normalise each row to sum to 1."""
    num_answers = int(answer_id.max()) + 1
    totals = np.stack([np.bincount(answer_id, weights=row, minlength=num_answers) for row in weights])
    return totals / np.maximum(totals.sum(axis=1, keepdims=True), 1e-12)
