"""What scores without the image: answers by frequency alone, learned from the training questions.

A floor answers a question with the best-earning training answer that it can look up: over all questions, over questions with
the same text, or with the same first words. What a finer look-up has not met, the coarser one answers. Where a question has
choices, they are ranked by what they earned in the finest look-up, then in the coarser ones; what is still equal is ordered by
a hash, which favours no place, no text and not the truth.
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
Earned = Mapping[str, Mapping[str, float]]  # summed score of each answer, by what was looked up

_fold = lru_cache(maxsize=1 << 18)(fold_answer)  # VisDial's two million choices are 35 thousand texts


def text_floors(train: Sequence[Question], asked: Sequence[Question], prefix_words: int) -> dict[str, dict[str, Prediction]]:
    """Answer questions from text statistics of the training questions.

    Args:
        train: Training questions with their answers.
        asked: The questions to answer.
        prefix_words: Words that the prefix floor looks at.

    Returns:
        By floor, by question id: ``most_frequent_answer``, ``question_prefix`` and ``question_string``; with ranks where a
        question has choices.
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
    # rounded, as sums of the same scores in another order differ in their last digit, and would not be ties
    return {name: {answer: round(total, 9) for answer, total in earned.items()} for name, earned in totals.items()}


def _answer(question: Question, tables: Sequence[Mapping[str, float]]) -> Prediction:
    """The best-earning answer of the first look-up that has met something; a tie goes by the alphabet."""
    totals = next(filter(None, tables), {"": 0.0})
    answer = min(totals, key=lambda a: (-totals[a], a))
    probability = totals[answer] / (sum(totals.values()) or 1)
    return Prediction(question_id=question.question_id, answer=answer, probability=probability)


def _rank(
    question: Question, tables: Sequence[Mapping[str, float]], hashed: NDArray[np.int64], several_people: bool
) -> Prediction:
    """All choices by what they earned, the finest look-up first, then in hashed order."""
    if several_people:
        forms = [answer_forms(choice) for choice in question.choices]
        earned = np.array([[sum(table.get(form, 0.0) for form in said) for said in forms] for table in tables])
    else:
        folded = [_fold(choice) for choice in question.choices]
        earned = np.array([[table.get(choice, 0.0) for choice in folded] for table in tables])
    order = hashed[np.lexsort(-earned[::-1, hashed])]  # the last key of lexsort counts most; it is stable
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
    """The places of the choices by a hash of question and text; choices with one text by a hash of question and place."""
    seed = xxhash.xxh64_intdigest(question.question_id.encode())
    texts = [xxhash.xxh64_intdigest(_fold(choice).encode(), seed) for choice in question.choices]
    places = [xxhash.xxh64_intdigest(str(place).encode(), seed) for place in range(len(texts))]
    return np.lexsort((np.array(places, dtype=np.uint64), np.array(texts, dtype=np.uint64)))
