"""Questions to columns, each distinct text tokenised once."""

from collections.abc import Sequence

import numpy as np
import xxhash

from vqa_rnn.answers import AnswerVocabulary
from vqa_rnn.data.columns import EncodedQuestions, Ragged, Texts
from vqa_rnn.errors import UserError
from vqa_rnn.records import Question, is_empty
from vqa_rnn.text import WordTokenizer


def choice_order(question_id: str, num_choices: int) -> list[int]:
    """The order in which a question's choices are scored: fixed by a hash of its id, so that no tie favours the truth.

    Args:
        question_id: The question.
        num_choices: C.

    Returns:
        For each place, which choice of the source stands there.
    """
    return sorted(range(num_choices), key=lambda i: xxhash.xxh64_intdigest(f"{question_id}/{i}".encode()))


def encode_questions(questions: Sequence[Question], tokenizer: WordTokenizer, answers: AnswerVocabulary) -> EncodedQuestions:
    """Turn questions into columns.

    Args:
        questions: The questions.
        tokenizer: For all texts.
        answers: The classes that targets refer to; may be empty.

    Returns:
        The columns, in the order of ``questions``.

    Raises:
        UserError: A question is empty, or has fewer than two choices.
    """
    text_ids: dict[str, int] = {}
    images: dict[str, int] = {}
    dialogs: dict[str, int] = {}
    facts: list[list[int]] = []
    question_text, image, dialog, history_length, correct = [], [], [], [], []
    choices, choice_regions, targets = [], [], []

    def text_id(text: str) -> int:
        return text_ids.setdefault(text, len(text_ids))

    for q in questions:
        if is_empty(q.question):
            raise UserError(f"question {q.question_id}: the question is empty")
        num_choices = len(q.choices) or len(q.choice_regions)
        if num_choices == 1:
            raise UserError(f"question {q.question_id}: one choice; at least two are needed")
        question_text.append(text_id(q.question))
        image.append(images.setdefault(q.image_id, len(images)))
        row = dialogs.setdefault(q.dialog_id or q.question_id, len(dialogs))
        dialog.append(row)
        if row == len(facts):
            facts.append([])
        fact_ids = [text_id(fact) for fact in q.facts]
        facts[row] = max(facts[row], fact_ids, key=len)  # rounds of one dialog share the longest history
        history_length.append(len(fact_ids))
        order = choice_order(q.question_id, num_choices)
        choices.append([text_id(q.choices[i]) for i in order] if q.choices else [])
        choice_regions.append([q.choice_regions[i] for i in order] if q.choice_regions else [])
        correct.append(-1 if q.correct_choice is None else order.index(q.correct_choice))
        targets.append(answers.targets(q.human_answers))
    return EncodedQuestions(
        question_ids=Texts.of(q.question_id for q in questions),
        image_ids=Texts.of(images),
        image=np.array(image, dtype=np.int64),
        tokens=Ragged.of(tokenizer.encode(list(text_ids)), "int32"),
        question=np.array(question_text, dtype=np.int64),
        dialog=np.array(dialog, dtype=np.int64),
        dialog_facts=Ragged.of(facts, "int32"),
        history_length=np.array(history_length, dtype=np.int64),
        choices=Ragged.of(choices, "int32"),
        choice_regions=Ragged.of(choice_regions, "int32"),
        correct_choice=np.array(correct, dtype=np.int64),
        answer_ids=Ragged.of([list(target) for target in targets], "int32"),
        answer_scores=Ragged.of([list(target.values()) for target in targets], "float32"),
    )
