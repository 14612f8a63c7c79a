"""What a benchmark is made of."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from vqa_rnn.config import DatasetOptions
from vqa_rnn.metrics.official import Metrics, answer_accuracy
from vqa_rnn.records import Annotations, Prediction, Question, Split


def its_own_id(question: Question) -> dict[str, Any]:
    """The entry's key where a benchmark has no submission format of its own.

    Args:
        question: A question.

    Returns:
        ``question_id``, as the reader gave it.
    """
    return {"question_id": question.question_id}


def answer_text(question: Question, prediction: Prediction) -> dict[str, Any]:
    """What most submission formats say of a question: the answer's text.

    Args:
        question: A question.
        prediction: Its prediction.

    Returns:
        ``answer``.
    """
    return {"answer": prediction.answer}


@dataclass(frozen=True, slots=True)
class Submission:
    """The file that a benchmark's official evaluation reads: a JSON list with an entry a question.

    Attributes:
        key: The part of an entry that says which question is answered, with ids as in the official files. None for a file
            that is no JSON: an answer a line, in the order of the questions.
        answer: The part of an entry that says what was answered.
    """

    key: Callable[[Question], dict[str, Any]] | None = its_own_id
    answer: Callable[[Question, Prediction], dict[str, Any]] = answer_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """A row of ``BENCHMARKS``.

    Attributes:
        options: The options of its data set, a member of ``config.Dataset``; their ``name`` is the benchmark's.
        reader: Takes these options and the splits wanted, and opens the files of no other split.
        metrics: The official metrics, a score a question. The first is broken down by type and set beside the floors.
        by_answer: Whether the first metric compares an answer with what people said, which gives it a ceiling.
        submission: What ``vqa-rnn predict`` writes, and ``vqa-rnn score NAME`` reads.
        official: Names of its official files in ``datasets.DATASETS``, for ``vqa-rnn datasets``.
    """

    options: type[DatasetOptions]
    reader: Callable[[Any, Sequence[Split]], Annotations]
    metrics: Metrics = answer_accuracy
    by_answer: bool = True
    submission: Submission = Submission()
    official: tuple[str, ...] = ()
