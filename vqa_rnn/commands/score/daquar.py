"""``vqa-rnn score daquar``: accuracy and WUPS of a file with one answer line per question."""

from pathlib import Path
from typing import Any

import numpy as np

from vqa_rnn.annotations.daquar import parse_lines, read_lines
from vqa_rnn.errors import UserError
from vqa_rnn.metrics.intervals import bootstrap_interval
from vqa_rnn.metrics.signature import signature
from vqa_rnn.metrics.wups import WordNet, down_weighted, equality, score_answers, split_answers

THRESHOLDS = (0.9, 0.0)


def score_daquar(questions: Path, results: Path, *, wordnet: Path | None = None) -> dict[str, Any]:
    """Score answers to DAQUAR's questions.

    Args:
        questions: The official file, in which question lines and answer lines alternate.
        results: One line of answers per question, in the same order; several answers are separated by commas.
        wordnet: Folder of WordNet's files; by default in NLTK's data folder.

    Returns:
        ``accuracy``, ``wups@0.9`` and ``wups@0.0`` as fractions, ``intervals`` over images, and a ``signature``.

    Raises:
        UserError: A file is missing or invalid, the numbers of lines differ, or WordNet is missing.
    """
    lines = read_lines(questions)
    asked = parse_lines(lines, questions, "test")
    if not asked:
        raise UserError(f"{questions} is empty: a question line and an answer line in turn are needed")
    answers = _read_answers(results)
    if len(answers) != len(asked):
        raise UserError(f"{results}: {len(answers):,} lines of answers for the {len(asked):,} questions of {questions}")
    nouns = WordNet(wordnet)
    measures = {"accuracy": equality, **{f"wups@{t}": down_weighted(nouns.similarity, t) for t in THRESHOLDS}}
    pairs = [(split_answers(answer), split_answers(truth)) for answer, truth in zip(answers, lines[1::2], strict=True)]
    scores = {
        name: np.array([score_answers(given, truth, measure) for given, truth in pairs]) for name, measure in measures.items()
    }
    image_ids = [question.image_id for question in asked]
    return {
        "benchmark": "daquar",
        "num_questions": len(asked),
        **{name: float(each.mean()) for name, each in scores.items()},
        "intervals": {name: list(bootstrap_interval(each, image_ids)) for name, each in scores.items()},
        "signature": signature("daquar", wordnet=nouns.version, n=len(asked)),
    }


def _read_answers(path: Path) -> list[str]:
    """Read one line per question. An empty line is an empty answer."""
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")  # universal newlines also read Windows line ends
    except FileNotFoundError:
        raise UserError(f"no file of answers at {path}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read {path} as UTF-8 text: {error}") from error
    return lines[:-1] if not lines[-1] else lines
