"""``vqa-rnn split``: a new split of the questions of any data set, written as a ``jsonl`` file."""

import json
import os
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vqa_rnn.annotations.changing_priors import kind_of, split_by_priors
from vqa_rnn.answers import most_frequent_answer
from vqa_rnn.benchmarks import read_annotations
from vqa_rnn.config import Config
from vqa_rnn.errors import UserError
from vqa_rnn.files import write_text
from vqa_rnn.records import Question


def split(config: Config, output: Path, test_share: float = 1 / 3, prefix_words: int = 3) -> dict[str, Any]:
    """Write a split with changing priors: each kind of question has different answers in test than in train.

    Args:
        config: The config of the data set. Its training and validation questions are split anew.
        output: The file to write, for ``vqa-rnn train jsonl dataset.path=OUTPUT``. Images stay where they are.
        test_share: Share of the questions in the test split.
        prefix_words: Number of first words that define the kind of a question.

    Returns:
        ``output``; ``train`` and ``test``, the numbers of questions; ``kinds``, the number of kinds; ``prior_accuracy``, how
        often the most frequent train answer of a kind is right on ``train`` and on ``test``; ``known_answers``, the share of
        test questions whose answer occurs in train.

    Raises:
        UserError: The questions have choices or a history, which cannot be split in this way; there are too few questions; the
            file exists already; or an option is invalid.
    """
    if not 0 < test_share < 1:
        raise UserError(f"--test-share {test_share}: give a share between 0 and 1, such as 0.33")
    if output.suffix != ".jsonl" or output.is_dir():
        raise UserError(f"--output {output}: give the name of a .jsonl file")
    if output.exists():
        raise UserError(f"{output} already exists: delete it, or give another name")
    annotations = read_annotations(config.dataset, ["train", "val"])
    questions = [question for question in annotations.questions if question.human_answers]
    if any(question.choices or question.choice_regions or question.facts for question in questions):
        raise UserError(f"{config.dataset.name} has choices or dialogs: changing priors are for single, open questions")
    found = split_by_priors(questions, test_share, prefix_words)
    sides = {name: [question for question in found if question.split == name] for name in ("train", "test")}
    if not all(sides.values()):
        raise UserError(f"{config.dataset.name}: all {len(questions)} questions fall on one side; give another --test-share")
    lines = (_line(question, annotations.images[question.image_id], output.parent) for question in found)
    write_text(output, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    priors = _priors(sides["train"], prefix_words)
    known = {most_frequent_answer(question.human_answers) for question in sides["train"]}
    return {
        "output": str(output),
        "train": len(sides["train"]),
        "test": len(sides["test"]),
        "kinds": len({kind_of(question, prefix_words) for question in found}),
        "prior_accuracy": {name: _prior_accuracy(side, priors, prefix_words) for name, side in sides.items()},
        "known_answers": float(np.mean([most_frequent_answer(question.human_answers) in known for question in sides["test"]])),
    }


def _line(question: Question, image: Path, folder: Path) -> dict[str, Any]:
    answers = list(question.human_answers)
    line: dict[str, Any] = {
        "question_id": question.question_id,
        "image": Path(os.path.relpath(image, folder)).as_posix(),
        "question": question.question,
        **({"answers": answers} if len(answers) > 1 else {"answer": answers[0]}),
        "split": question.split,
    }
    kinds = {"question_type": question.question_type, "answer_type": question.answer_type}
    return line | {name: value for name, value in kinds.items() if value}


def _priors(questions: Sequence[Question], prefix_words: int) -> dict[str, str]:
    """Return the most frequent answer of each kind."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for question in questions:
        counts[kind_of(question, prefix_words)][most_frequent_answer(question.human_answers)] += 1
    return {kind: counter.most_common(1)[0][0] for kind, counter in counts.items()}


def _prior_accuracy(questions: Sequence[Question], priors: dict[str, str], prefix_words: int) -> float:
    said = [priors.get(kind_of(question, prefix_words)) for question in questions]
    right = [answer == most_frequent_answer(question.human_answers) for answer, question in zip(said, questions, strict=True)]
    return float(np.mean(right))
