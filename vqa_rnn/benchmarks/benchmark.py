"""Definition of a benchmark and its submission format."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from vqa_rnn.config import DatasetOptions
from vqa_rnn.metrics.floors import Floors, text_floors
from vqa_rnn.metrics.official import CorpusMetrics, Metrics, answer_accuracy
from vqa_rnn.records import Annotations, Prediction, Question, Split


def its_own_id(question: Question) -> dict[str, Any]:
    """Return the key of an entry, for a benchmark without an official submission format.

    Args:
        question: A question.

    Returns:
        ``question_id``, as set by the reader.
    """
    return {"question_id": question.question_id}


def answer_entry(question: Question, prediction: Prediction) -> dict[str, Any]:
    """Return the answer of an entry in most submission formats.

    Args:
        question: A question.
        prediction: The prediction for the question.

    Returns:
        ``answer``, the text of the answer.
    """
    return {"answer": prediction.answer}


@dataclass(frozen=True, slots=True)
class Submission:
    """Format of the file that the official evaluation of a benchmark reads: a JSON list with one entry per question.

    Attributes:
        key: Function that returns the keys of an entry that identify the question, with ids as in the official files. None for
            a file that is not JSON but has one answer per line, in the order of the questions.
        answer: Function that returns the keys of an entry that contain the answer.
        answer_name: The key with the text of the answer, for ``vqa-rnn score``.
    """

    key: Callable[[Question], dict[str, Any]] | None = its_own_id
    answer: Callable[[Question, Prediction], dict[str, Any]] = answer_entry
    answer_name: str = "answer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """A row of ``BENCHMARKS``.

    Attributes:
        options: Class of the data set options, a member of ``config.Dataset``. Its ``name`` is the name of the benchmark.
        reader: Function of these options and the requested splits. It opens only the files of these splits.
        metrics: The official metrics, with one score per question. The first is broken down by type and compared with the
            floors.
        corpus: Official metrics that are not the mean of a score per question, such as BLEU; None if there are none.
        floors: The floors that use text only.
        by_answer: Whether the first metric compares an answer with the human answers, so that it has a ceiling.
        submission: Format that ``vqa-rnn predict`` writes and ``vqa-rnn score NAME`` reads.
        official: Names of its official data sets in ``datasets.DATASETS``, for ``vqa-rnn datasets``.
    """

    options: type[DatasetOptions]
    reader: Callable[[Any, Sequence[Split]], Annotations]
    metrics: Metrics = answer_accuracy
    corpus: CorpusMetrics | None = None
    floors: Floors = text_floors
    by_answer: bool = True
    submission: Submission = Submission()
    official: tuple[str, ...] = ()
