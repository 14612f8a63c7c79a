"""``vqa-rnn predict``: the official submission for a split, with or without known answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vqa_rnn.benchmarks import BENCHMARKS, read_annotations
from vqa_rnn.benchmarks.submissions import submission_text
from vqa_rnn.commands.answers import answer_questions, open_members
from vqa_rnn.commands.shared import check_questions, open_ensemble
from vqa_rnn.config import Config
from vqa_rnn.engines import is_first, processes
from vqa_rnn.errors import UserError
from vqa_rnn.files import write_text
from vqa_rnn.records import SPLITS, Annotations, Prediction, Question, Split

SUBMISSIONS = (".json", ".txt")  # an existing file with such a suffix may be overwritten


@dataclass(frozen=True, slots=True)
class PredictionReport:
    """Report of the predictions.

    Attributes:
        benchmark: Name of the data set.
        split: The split.
        num_questions: Number of questions answered.
        output: The file.
    """

    benchmark: str
    split: Split
    num_questions: int
    output: Path


def predict(
    paths: str | Path | Sequence[str | Path], split: Split, output: str | Path, overrides: Sequence[str] = ()
) -> PredictionReport:
    """Answer all questions of a split and write the benchmark's official submission.

    Args:
        paths: The run folder, or those of an ensemble, which answers with the mean of their probabilities.
        split: The split.
        output: The file to write.
        overrides: ``section.key=value`` each, of ``MAY_MOVE``.

    Returns:
        The report.

    Raises:
        UserError: The split is empty, features are missing, runs do not answer the same questions, or the output is a folder, a
            file of the data set, an existing file without the suffix of a submission, or cannot be written.
    """
    check_output(Path(output))
    runs = open_ensemble([paths] if isinstance(paths, str | Path) else paths, overrides)
    annotations, questions = questions_to_answer(runs[0].config, split, Path(output))
    for each in runs:
        check_questions(each.config, questions)
    with processes(runs[0].config.run.device) as device:
        members, questions = open_members(runs, questions, annotations, split, device)
        predictions = answer_questions(members, questions, device)
    return write_predictions(runs[0].config.dataset.name, split, questions, predictions, Path(output))


def check_output(output: Path) -> None:
    """Check that a submission may be written to a file, before anything is computed.

    Args:
        output: The file.

    Raises:
        UserError: The output is a folder, or an existing file without the suffix of a submission.
    """
    if not output.name or output.is_dir():
        raise UserError(f"--output {output} is a folder: give the name of a file")
    if output.exists() and output.suffix not in SUBMISSIONS:
        raise UserError(
            f"--output {output} already exists, and only .json and .txt files are overwritten: give another name, such as "
            "answers.json"
        )


def questions_to_answer(config: Config, split: Split, output: Path) -> tuple[Annotations, tuple[Question, ...]]:
    """Read all questions of a split, with or without known answers.

    Args:
        config: The config with the data set.
        split: The split.
        output: The submission file.

    Returns:
        The annotations and the questions.

    Raises:
        UserError: The split has no questions, or the output is a file of the data set.
    """
    dataset = config.dataset.with_all_questions()
    annotations = read_annotations(dataset, [split])
    questions = annotations.split(split)
    if not questions:
        others = [other for other in SPLITS if other != split and read_annotations(dataset, [other]).split(other)]
        advice = f"give --split {' or '.join(others)}" if others else "are its files there?"
        raise UserError(f"{dataset.name} has no {dataset.nouns().records} in its {split} split: {advice}")
    if output.resolve() in {file.resolve() for file in annotations.files}:
        raise UserError(f"--output {output} is a file of the data set itself: give another name")
    return annotations, questions


def write_predictions(
    benchmark: str, split: Split, questions: Sequence[Question], predictions: Mapping[str, Prediction], output: Path
) -> PredictionReport:
    """Write a submission, in the first process only.

    Args:
        benchmark: Name of the data set.
        split: The split.
        questions: The questions that were answered.
        predictions: The predictions by question id.
        output: The file.

    Returns:
        The report.

    Raises:
        UserError: The file cannot be written.
    """
    if is_first():
        write_text(output, submission_text(BENCHMARKS[benchmark].submission, questions, predictions))
    return PredictionReport(benchmark, split, len(questions), output)
