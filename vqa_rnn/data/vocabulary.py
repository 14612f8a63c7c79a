"""Vocabularies of the words and the answers of the training questions."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from vqa_rnn.answers import AnswerVocabulary
from vqa_rnn.config import TextConfig
from vqa_rnn.data.encoding import generation_target
from vqa_rnn.records import Question
from vqa_rnn.text import WordTokenizer


def vocabulary_texts(questions: Sequence[Question], *, with_answers: bool = False) -> Iterator[str]:
    """Yield every training text as often as its words are counted.

    A question outside a dialog counts once. In a dialog, the caption and the question and answer of each round count once,
    however many histories repeat them, including the answer of the last round if it is known. Each distinct choice counts once
    in total.

    Args:
        questions: The training questions.
        with_answers: Whether to count all human answers, too, for a model that writes them.

    Yields:
        The texts.
    """
    if with_answers:
        for question in questions:
            yield from question.human_answers
    counted: dict[str, _Counted] = {}
    choices: set[str] = set()
    for question in questions:
        choices.update(question.choices)
        if question.dialog_id is None and not question.facts:
            yield question.question
            continue
        name = question.dialog_id or question.question_id
        dialog = counted.get(name)
        if dialog is None:
            dialog = counted[name] = _Counted()
            if question.caption:
                yield question.caption
        place = len(question.history)
        for number in range(dialog.rounds, place):
            turn = question.history[number]
            if number not in dialog.asked:
                yield turn.question
            if number not in dialog.answered:
                yield turn.answer
        dialog.rounds = max(dialog.rounds, place)
        if place < dialog.rounds:  # counted with the history of a later round
            continue
        if place not in dialog.asked:
            dialog.asked.add(place)
            yield question.question
        answer = generation_target(question)
        if answer and place not in dialog.answered:
            dialog.answered.add(place)
            yield answer
    yield from choices


@dataclass(slots=True)
class _Counted:
    """Parts of a dialog that were counted: the first ``rounds`` rounds, and questions and answers of later rounds."""

    rounds: int = 0
    asked: set[int] = field(default_factory=set)
    answered: set[int] = field(default_factory=set)


def build_tokenizer(questions: Sequence[Question], config: TextConfig, *, with_answers: bool = False) -> WordTokenizer:
    """Build a tokenizer from the words of the training questions.

    Args:
        questions: The training questions.
        config: Text options with the minimum count of a word and the maximum length of a text.
        with_answers: As in ``vocabulary_texts``.

    Returns:
        The tokenizer.
    """
    return WordTokenizer.build(vocabulary_texts(questions, with_answers=with_answers), config.min_count, config.max_tokens)


def build_answers(questions: Sequence[Question], config: TextConfig) -> AnswerVocabulary:
    """Build the answer vocabulary of a classifier head.

    Args:
        questions: The training questions.
        config: Text options with the minimum count of an answer and the maximum number of answers.

    Returns:
        The answer vocabulary.
    """
    return AnswerVocabulary.build((q.human_answers for q in questions), config.min_answer_count, config.max_answers)
