"""Floors: answers from the frequency of answers to the training questions, without the image.

A floor gives the answer with the highest total score among all training questions, among those that begin with the same words,
or among those with the same text. If a finer lookup finds no training question, the next coarser one is used. The choices of a
question are ranked by their total score in the finest lookup, ties by the coarser ones. Remaining ties are ordered by a hash,
which favours no position, no text and not the correct choice.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

import numpy as np
import xxhash
from numpy.typing import NDArray

from vqa_rnn.answers import answer_forms, answer_scores, fold_answer
from vqa_rnn.records import Prediction, Question

Key = Callable[[Question], str]
Earned = Mapping[str, Mapping[str, float]]  # total score of each answer, by lookup key

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

    looks: dict[str, list[Key]] = {
        "most_frequent_answer": [anything],
        "question_prefix": [prefix, anything],
        "question_string": [string, prefix, anything],
    }
    earned: dict[Key, Earned] = {key: _earnings(train, key) for key in (anything, prefix, string)}
    several_people = any(len(question.human_answers) > 1 for question in train)
    floors: dict[str, dict[str, Prediction]] = {name: {} for name in looks}
    for question in asked:
        order = _hashed_order(question) if question.choices else None
        for name, keys in looks.items():
            tables = [earned[key].get(key(question), {}) for key in keys]
            found = _answer(question, tables) if order is None else _rank(question, tables, order, several_people)
            floors[name][question.question_id] = found
    return floors


def _earnings(train: Sequence[Question], key: Key) -> Earned:
    totals: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for question in train:
        for answer, score in answer_scores(question.human_answers).items():
            totals[key(question)][answer] += score
    # rounded: sums of the same scores in another order differ in the last digits, and ties would be lost
    return {name: {answer: round(total, 9) for answer, total in earned.items()} for name, earned in totals.items()}


def _answer(question: Question, tables: Sequence[Mapping[str, float]]) -> Prediction:
    """Predict the answer with the highest total in the first lookup that is not empty; ties are broken alphabetically."""
    totals = next(filter(None, tables), {"": 0.0})
    answer = min(totals, key=lambda a: (-totals[a], a))
    probability = totals[answer] / (sum(totals.values()) or 1)
    return Prediction(question_id=question.question_id, answer=answer, probability=probability)


def _rank(
    question: Question, tables: Sequence[Mapping[str, float]], hashed: NDArray[np.int64], several_people: bool
) -> Prediction:
    """Rank all choices by total score, the finest lookup first; ties keep the hashed order."""
    if several_people:
        forms = [answer_forms(choice) for choice in question.choices]
        earned = np.array([[sum(table.get(form, 0.0) for form in said) for said in forms] for table in tables])
    else:
        folded = [_fold(choice) for choice in question.choices]
        earned = np.array([[table.get(choice, 0.0) for choice in folded] for table in tables])
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
