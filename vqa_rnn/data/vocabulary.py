"""The words and the answers of the training questions."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from vqa_rnn.answers import AnswerVocabulary
from vqa_rnn.config import TextConfig
from vqa_rnn.data.encoding import answer_text
from vqa_rnn.records import Question
from vqa_rnn.text import WordTokenizer


def vocabulary_texts(questions: Sequence[Question]) -> Iterator[str]:
    """Every training text as often as its words count.

    A question counts once. So do, once a dialog, its caption and each earlier question with its answer, however many rounds
    repeat them; the answer of a dialog's last round too, where it is known. Each distinct choice counts once in all.

    Args:
        questions: The training questions.

    Yields:
        The texts.
    """
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
        answer = answer_text(question)
        if answer and place not in dialog.answered:
            dialog.answered.add(place)
            yield answer
    yield from choices


@dataclass(slots=True)
class _Counted:
    """What of a dialog was counted: rounds of its history, and questions and answers of rounds beyond."""

    rounds: int = 0
    asked: set[int] = field(default_factory=set)
    answered: set[int] = field(default_factory=set)


def build_tokenizer(questions: Sequence[Question], config: TextConfig) -> WordTokenizer:
    """Collect the words of the training questions.

    Args:
        questions: The training questions.
        config: How frequent words must be, and how long texts may be.

    Returns:
        The tokenizer.
    """
    return WordTokenizer.build(vocabulary_texts(questions), config.min_count, config.max_tokens)


def build_answers(questions: Sequence[Question], config: TextConfig) -> AnswerVocabulary:
    """Collect the classes of a classifier.

    Args:
        questions: The training questions.
        config: How frequent answers must be, and how many are kept.

    Returns:
        The answer vocabulary.
    """
    return AnswerVocabulary.build((q.human_answers for q in questions), config.min_answer_count, config.max_answers)
