"""What scores without the image: answers by frequency alone, learned from the training questions.

A floor answers a question with the best-earning training answer that it can look up: over all questions, over questions with
the same text, or with the same first words. What a finer look-up has not met, the coarser one answers. Where a question has
choices, the best-earning of them is chosen.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

from vqa_rnn.answers import answer_scores, fold_answer
from vqa_rnn.records import Prediction, Question

Key = Callable[[Question], str]


def text_floors(train: Sequence[Question], asked: Sequence[Question], prefix_words: int) -> dict[str, dict[str, Prediction]]:
    """Answer questions from text statistics of the training questions.

    Args:
        train: Training questions with their answers.
        asked: The questions to answer.
        prefix_words: Words that the prefix floor looks at.

    Returns:
        By floor, by question id: ``most_frequent_answer``, ``question_prefix`` and ``question_string``.
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
    earned: dict[Key, Mapping[str, Mapping[str, float]]] = {key: _earnings(train, key) for key in (anything, prefix, string)}
    return {name: {question.question_id: _answer(question, keys, earned) for question in asked} for name, keys in looks.items()}


def _earnings(train: Sequence[Question], key: Key) -> Mapping[str, Mapping[str, float]]:
    """Summed score of each answer, by look-up."""
    totals: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for question in train:
        for answer, score in answer_scores(question.human_answers).items():
            totals[key(question)][answer] += score
    return totals


def _answer(question: Question, keys: Sequence[Key], earned: dict[Key, Mapping[str, Mapping[str, float]]]) -> Prediction:
    for key in keys:
        totals = earned[key].get(key(question), {})
        if question.choices:
            totals = {c: totals[fold_answer(c)] for c in question.choices if fold_answer(c) in totals}
        if totals:
            answer = min(totals, key=lambda a: (-totals[a], a))
            probability = totals[answer] / sum(totals.values())
            choice = question.choices.index(answer) if question.choices else None
            return Prediction(question_id=question.question_id, answer=answer, probability=probability, choice=choice)
    choices = sorted(question.choices)  # nothing known: the alphabet decides, not the order of the source
    choice = question.choices.index(choices[0]) if choices else None
    return Prediction(question_id=question.question_id, answer=choices[0] if choices else "", probability=0.0, choice=choice)
