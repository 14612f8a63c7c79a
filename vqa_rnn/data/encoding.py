"""Encoding of questions as columns, with each distinct text tokenised once.

VisDial's training questions have 123 million choices, so work per choice is done by numpy or inside a single ``map``.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from itertools import chain, islice, repeat
from typing import TypeVar

import numpy as np
import xxhash
from numpy.typing import NDArray

from vqa_rnn.answers import AnswerVocabulary
from vqa_rnn.data.columns import EncodedQuestions, Ints, Ragged, Texts
from vqa_rnn.errors import UserError
from vqa_rnn.records import Question, Round, is_empty
from vqa_rnn.text import WordTokenizer

QUESTIONS_AT_ONCE = 8192  # questions whose choices are reordered together
TEXTS_AT_ONCE = 65_536  # texts per tokenizer call: the results of a tokenizer are much larger than the token ids


def choice_order(question_id: str, num_choices: int) -> list[int]:
    """Return the order in which the choices of a question are scored.

    The order is fixed by a hash of the question id, so that ties do not favour the true answer.

    Args:
        question_id: Id of the question.
        num_choices: Number of choices C.

    Returns:
        For each position, the index of the choice in the source.
    """
    return choice_orders([question_id], num_choices)[0].tolist()


def choice_orders(question_ids: Sequence[str], num_choices: int) -> Ints:
    """Return the choice orders of several questions with the same number of choices.

    Args:
        question_ids: Ids of n questions.
        num_choices: Number of choices C.

    Returns:
        (n, C) orders, as in ``choice_order``.
    """
    seeds = np.array([xxhash.xxh64_intdigest(question_id.encode()) for question_id in question_ids], dtype=np.uint64)
    # splitmix64 (Steele, Lea and Flood 2014) gives each choice of a question a distinct number, and choices are sorted by it.
    steps = np.arange(1, num_choices + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    drawn: NDArray[np.uint64] = seeds[:, None] + steps
    drawn = (drawn ^ (drawn >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    drawn = (drawn ^ (drawn >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.argsort(drawn ^ (drawn >> np.uint64(31)), axis=1)


Text = str | Round
"""A text to tokenise. In an earlier round, the question is truncated before the answer."""


Key = TypeVar("Key", str, Text)


class _Numbers(dict[Key, int]):
    """Dictionary that numbers keys in the order in which they are first looked up."""

    def __missing__(self, key: Key) -> int:
        self[key] = number = len(self)
        return number


def generation_target(question: Question) -> str | None:
    """Return the answer text that a generative head is trained on.

    Args:
        question: The question.

    Returns:
        The correct choice if it is known, otherwise the human answer if there is exactly one, otherwise None.
    """
    if question.choices and question.correct_choice is not None:
        return question.choices[question.correct_choice]
    return question.human_answers[0] if len(question.human_answers) == 1 else None


def one_per_answer(questions: Sequence[Question]) -> list[Question]:
    """Return a question for each human answer, for a head that learns to write all of them.

    Args:
        questions: The questions.

    Returns:
        Each question as often as it has answers, in order. The number of the answer is put before the id, as mirrored questions
        are told by how their ids end.
    """
    return [
        replace(question, question_id=f"{number}#{question.question_id}", human_answers=(answer,))
        for question in questions
        for number, answer in enumerate(question.human_answers)
    ]


def encode_questions(
    questions: Sequence[Question],
    tokenizer: WordTokenizer,
    answers: AnswerVocabulary,
    *,
    answers_as_text: bool = False,
    with_references: bool = False,
) -> EncodedQuestions:
    """Encode questions as columns.

    Args:
        questions: The questions. Questions of one dialog share its history.
        tokenizer: Tokenizer for all texts.
        answers: Answer vocabulary with the target classes; may be empty.
        answers_as_text: Whether to keep the text of each true answer, for a generative head.
        with_references: Whether to keep the texts of all human answers about each image, for captions.

    Returns:
        The columns, in the order of ``questions``.

    Raises:
        UserError: A question is empty, or has only one choice.
    """
    for q in questions:
        if is_empty(q.question):
            raise UserError(f"question {q.question_id}: the question is empty")
        if len(q.choices) == 1 or len(q.choice_regions) == 1:
            raise UserError(f"question {q.question_id}: one choice; at least two are needed")
    texts, images, dialogs = _Numbers[Text](), _Numbers[str](), _Numbers[str]()
    question = _column(texts[q.question] for q in questions)
    image = _column(images[q.image_id] for q in questions)
    dialog = _column(dialogs[q.dialog_id or q.question_id] for q in questions)
    history_length, dialog_facts = _encode_facts(questions, dialog, texts)
    choices, choice_regions, relevance, correct_choice = _encode_choices(questions, texts)
    said = map(generation_target, questions) if answers_as_text else [None] * len(questions)
    answer = _column(-1 if text is None else texts[text] for text in said)
    references: list[dict[int, None]] = [{} for _ in images]
    if with_references:
        for q in questions:
            references[images[q.image_id]] |= dict.fromkeys(texts[text] for text in q.human_answers)
    tokens, round_question = _tokenise(texts, tokenizer)
    targets = [answers.targets(q.human_answers) for q in questions] if len(answers) else [{}] * len(questions)
    return EncodedQuestions(
        question_ids=Texts.of(q.question_id for q in questions),
        image_ids=Texts.of(images),
        image=image,
        tokens=tokens,
        round_question=round_question,
        text_class=_classes(texts, answers),
        question=question,
        dialog=dialog,
        dialog_facts=dialog_facts,
        history_length=history_length,
        choices=choices,
        choice_regions=choice_regions,
        relevance=relevance,
        correct_choice=correct_choice,
        answer=answer,
        references=Ragged.of(references, "int32"),
        answer_ids=Ragged.of(targets, "int32"),
        answer_scores=Ragged.of((list(target.values()) for target in targets), "float32"),
    )


def _column(values: Iterable[int]) -> Ints:
    return np.fromiter(values, dtype=np.int64)


def _encode_facts(questions: Sequence[Question], dialog: Ints, texts: _Numbers[Text]) -> tuple[Ints, Ragged]:
    """Return the number of facts before each question, and the facts of each dialog.

    Rounds of one dialog share its longest history.
    """
    facts: list[list[int]] = [[] for _ in range(dialog.max(initial=-1) + 1)]
    lengths = np.empty(len(questions), dtype=np.int64)
    for i, (row, q) in enumerate(zip(dialog.tolist(), questions, strict=True)):
        caption: tuple[Text, ...] = (q.caption,) if q.caption else ()
        came_before, known = (*caption, *q.history), facts[row]
        known += map(texts.__getitem__, came_before[len(known) :])
        lengths[i] = len(came_before)
    return lengths, Ragged.of(facts, "int32")


def _encode_choices(questions: Sequence[Question], texts: _Numbers[Text]) -> tuple[Ragged, Ragged, Ragged, Ints]:
    """Return choices, regions and relevance in the order of ``choice_order``, and the position of the true choice there.

    The position is -1 if the true choice is unknown.
    """
    lengths = _column(len(q.choices) for q in questions)
    flat = map(texts.__getitem__, chain.from_iterable(q.choices for q in questions))
    choices = Ragged.from_lengths(np.fromiter(flat, dtype=np.int32, count=int(lengths.sum())), lengths)
    regions = Ragged.of((q.choice_regions for q in questions), "int32")
    relevance = Ragged.of((q.relevance for q in questions), "float32")
    correct = _column(-1 if q.correct_choice is None else q.correct_choice for q in questions)
    for start in range(0, len(questions), QUESTIONS_AT_ONCE):
        block = np.arange(start, min(start + QUESTIONS_AT_ONCE, len(questions)))
        num_choices = choices.lengths(block) + regions.lengths(block)  # a question has one or the other
        for size in np.unique(num_choices[num_choices > 0]):
            rows = block[num_choices == size]
            order = choice_orders([questions[row].question_id for row in rows], int(size))
            _put_in_order(choices, rows, order)
            _put_in_order(regions, rows, order)
            _put_in_order(relevance, rows, order)
            place = (order == correct[rows, None]).argmax(axis=1)
            correct[rows] = np.where(correct[rows] < 0, -1, place)
    return choices, regions, relevance, correct


def _put_in_order(ragged: Ragged, rows: Ints, order: Ints) -> None:
    """Reorder the elements of the given rows in place; empty rows are skipped."""
    filled = ragged.lengths(rows) > 0
    first = ragged.offsets[rows[filled], None]
    ragged.values[first + np.arange(order.shape[1])] = ragged.values[first + order[filled]]


def _classes(texts: Collection[Text], answers: AnswerVocabulary) -> Ints:
    if not len(answers):
        return np.full(len(texts), -1, dtype=np.int64)
    known = (answers.class_of(text) if isinstance(text, str) else None for text in texts)
    return _column(-1 if number is None else number for number in known)


def _tokenise(texts: Iterable[Text], tokenizer: WordTokenizer) -> tuple[Ragged, Ints]:
    """Return the token ids of each text and, if it is an earlier round, how many of them are its question (otherwise 0)."""
    remaining = iter(texts)
    parts, question_lengths = [], []
    while block := list(islice(remaining, TEXTS_AT_ONCE)):
        plain = zip(tokenizer.encode([text for text in block if isinstance(text, str)]), repeat(0))
        rounds = iter(tokenizer.encode_rounds([(text.question, text.answer) for text in block if isinstance(text, Round)]))
        encoded = [next(plain if isinstance(text, str) else rounds) for text in block]
        parts.append(Ragged.of((ids for ids, _ in encoded), "int32"))
        question_lengths.append(_column(length for _, length in encoded))
    return Ragged.join(parts, "int32"), np.concatenate([np.empty(0, dtype=np.int64), *question_lengths])
