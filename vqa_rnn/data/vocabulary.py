"""The words and the answers of the training questions."""

from collections.abc import Iterator, Sequence

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
    asked: dict[str, int] = {}  # by dialog, a bit a round
    answered: dict[str, int] = {}
    choices: set[str] = set()
    for question in questions:
        choices.update(question.choices)
        if question.dialog_id is None and not question.facts:
            yield question.question
            continue
        dialog = question.dialog_id or question.question_id
        if dialog not in asked and question.caption:
            yield question.caption
        rounds = [(turn.question, turn.answer) for turn in question.history]
        rounds.append((question.question, answer_text(question) or ""))
        for number, (said, answer) in enumerate(rounds):
            bit = 1 << number
            if not asked.get(dialog, 0) & bit:
                asked[dialog] = asked.get(dialog, 0) | bit
                yield said
            if answer and not answered.get(dialog, 0) & bit:
                answered[dialog] = answered.get(dialog, 0) | bit
                yield answer
    yield from choices


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
