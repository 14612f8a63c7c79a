"""Floors: answers from the frequency of answers to the training questions, without the image.

A floor gives the answer with the highest total score among all training questions, among those that begin with the same words,
or among those with the same text. If a finer lookup finds no training question, the next coarser one is used. The choices of a
question are ranked by their total score in the finest lookup, ties by the coarser ones. Remaining ties are ordered by a hash,
which favours no position, no text and not the correct choice.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from functools import cached_property, lru_cache

import numpy as np
import xxhash
from numpy.typing import NDArray

from vqa_rnn.answers import answer_forms, answer_scores, fold_answer
from vqa_rnn.records import Prediction, Question

Key = Callable[[Question], str]
Floors = Callable[[Sequence[Question], Sequence[Question], int], dict[str, dict[str, Prediction]]]
"""Returns predictions by floor and question id, from training questions, the questions to answer and a number of words."""


class _Totals(dict[str, float]):
    """Total score of each answer."""

    @cached_property
    def best(self) -> tuple[str, float]:
        """The answer with the highest total, by the alphabet among equals, and its share of all totals."""
        answer = min(self, key=lambda a: (-self[a], a))
        return answer, self[answer] / (sum(self.values()) or 1)


_fold = lru_cache(maxsize=1 << 18)(fold_answer)  # VisDial's two million choices are 35 thousand distinct texts


def text_floors(train: Sequence[Question], asked: Sequence[Question], prefix_words: int) -> dict[str, dict[str, Prediction]]:
    """Answer questions from text statistics of the training questions.

    Args:
        train: Training questions with their answers.
        asked: The questions to answer.
        prefix_words: Number of first words that ``question_prefix`` compares.

    Returns:
        Predictions by floor (``most_frequent_answer``, ``question_prefix`` and ``question_string``) and question id. They have
        ranks if the question has choices.
    """

    def anything(question: Question) -> str:
        return ""

    def prefix(question: Question) -> str:
        return " ".join(fold_answer(question.question).split()[:prefix_words])

    def string(question: Question) -> str:
        return fold_answer(question.question)

    keys = (string, prefix, anything)
    lookups = _earnings(train, keys)
    several_people = any(len(question.human_answers) > 1 for question in train)
    finest = {"most_frequent_answer": 2, "question_prefix": 1, "question_string": 0}  # index of the first lookup of each floor
    floors: dict[str, dict[str, Prediction]] = {name: {} for name in finest}
    for question in asked:
        tables = [lookup.get(key(question), _Totals()) for key, lookup in zip(keys, lookups, strict=True)]
        if question.choices:
            earned, order = _choice_totals(question, tables, several_people), _hashed_order(question)
            for name, first in finest.items():
                floors[name][question.question_id] = _rank(question, earned[first:], order)
        else:
            for name, first in finest.items():
                floors[name][question.question_id] = _answer(question, tables[first:])
    return floors


def caption_floors(train: Sequence[Question], asked: Sequence[Question], prefix_words: int) -> dict[str, dict[str, Prediction]]:
    """Caption images without looking at them.

    Args:
        train: Training images with their captions.
        asked: The images to caption.
        prefix_words: Is ignored.

    Returns:
        Predictions by floor and question id: ``most_frequent_caption``, and ``caption_of_another_image``, that of a training
        image chosen by a hash.
    """
    captions = [caption for question in train for caption in question.human_answers]
    counts = Counter(captions)
    best = min(counts, key=lambda caption: (-counts[caption], caption))
    floors: dict[str, dict[str, Prediction]] = {"most_frequent_caption": {}, "caption_of_another_image": {}}
    for question in asked:
        other = captions[xxhash.xxh64_intdigest(question.question_id.encode()) % len(captions)]
        for name, caption in zip(floors, (best, other), strict=True):
            floors[name][question.question_id] = Prediction(
                question_id=question.question_id, answer=caption, probability=counts[caption] / len(captions)
            )
    return floors


def _earnings(train: Sequence[Question], keys: Sequence[Key]) -> list[dict[str, _Totals]]:
    """Return the lookup of each key: the totals of the answers to the questions with the same key."""
    lookups: list[dict[str, _Totals]] = [defaultdict(_Totals) for _ in keys]
    for question in train:
        scores = answer_scores(question.human_answers)
        for key, lookup in zip(keys, lookups, strict=True):
            totals = lookup[key(question)]
            for answer, score in scores.items():
                totals[answer] = totals.get(answer, 0.0) + score
    for lookup in lookups:
        for totals in lookup.values():
            # rounded: sums of the same scores in another order differ in the last digits, and ties would be lost
            totals.update({answer: round(total, 9) for answer, total in totals.items()})
    return lookups


def _answer(question: Question, tables: Sequence[_Totals]) -> Prediction:
    """Predict the best answer of the first lookup that is not empty."""
    answer, probability = next((table.best for table in tables if table), ("", 0.0))
    return Prediction(question_id=question.question_id, answer=answer, probability=probability)


def _choice_totals(question: Question, tables: Sequence[_Totals], several_people: bool) -> NDArray[np.float64]:
    """Return the total score of each choice in each lookup, one row per lookup."""
    if several_people:
        forms = [answer_forms(choice) for choice in question.choices]
        return np.array([[sum(table.get(form, 0.0) for form in said) for said in forms] for table in tables])
    folded = [_fold(choice) for choice in question.choices]
    return np.array([[table.get(choice, 0.0) for choice in folded] for table in tables])


def _rank(question: Question, earned: NDArray[np.float64], hashed: NDArray[np.int64]) -> Prediction:
    """Rank all choices by total score, the finest lookup first; ties keep the hashed order."""
    order = hashed[np.lexsort(-earned[::-1, hashed])]  # lexsort sorts by its last key first and is stable
    ranks = np.empty(len(order), dtype=np.int64)
    ranks[order] = np.arange(1, len(order) + 1)
    best = int(order[0])
    known = next((row for row in earned if row.any()), np.ones(len(order)))
    return Prediction(
        question_id=question.question_id,
        answer=question.choices[best],
        probability=float(known[best] / known.sum()),
        choice=best,
        ranks=ranks,
    )


def _hashed_order(question: Question) -> NDArray[np.int64]:
    """Order the choices by a hash of question id and text; choices with equal texts by a hash of question id and position."""
    seed = xxhash.xxh64_intdigest(question.question_id.encode())
    texts = [xxhash.xxh64_intdigest(_fold(choice).encode(), seed) for choice in question.choices]
    places = [xxhash.xxh64_intdigest(str(place).encode(), seed) for place in range(len(texts))]
    return np.lexsort((np.array(places, dtype=np.uint64), np.array(texts, dtype=np.uint64)))
