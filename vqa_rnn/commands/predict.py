"""``vqa-rnn predict``: the official submission of a split, whether its answers are known or not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vqa_rnn.benchmarks import BENCHMARKS, read_annotations
from vqa_rnn.benchmarks.submissions import submission_text
from vqa_rnn.commands.answers import answer_questions, open_members
from vqa_rnn.commands.shared import check_questions, open_runs
from vqa_rnn.config import Config
from vqa_rnn.engines import is_first, processes
from vqa_rnn.errors import UserError
from vqa_rnn.files import write_text
from vqa_rnn.records import SPLITS, Annotations, Prediction, Question, Split

SUBMISSIONS = (".json", ".txt")  # what may be written again


@dataclass(frozen=True, slots=True)
class PredictionReport:
    """What was predicted.

    Attributes:
        benchmark: The data set.
        split: The split.
        num_questions: Questions answered.
        output: The file.
    """

    benchmark: str
    split: Split
    num_questions: int
    output: Path


def predict(
    paths: str | Path | Sequence[str | Path], split: Split, output: str | Path, overrides: Sequence[str] = ()
) -> PredictionReport:
    """Answer all questions of a split and write them as the benchmark's official evaluation reads them.

    Args:
        paths: The run folder, or those of an ensemble, which answers with the mean of their probabilities.
        split: Which split.
        output: The file to write.
        overrides: ``section.key=value`` each, of ``MAY_MOVE``.

    Returns:
        What was done.

    Raises:
        UserError: The split is empty, features are missing, runs do not answer the same questions, or the file is a folder, is
            one of the data set's own, is there already and no submission by its name, or cannot be written.
    """
    check_output(Path(output))
    runs = open_runs([paths] if isinstance(paths, str | Path) else paths, overrides)
    annotations, questions = questions_to_answer(runs[0].config, split, Path(output))
    for each in runs:
        check_questions(each.config, questions)
    with processes(runs[0].config.run.device) as device:
        members, questions = open_members(runs, questions, annotations, split, device)
        predictions = answer_questions(members, questions, device)
    return write_predictions(runs[0].config.dataset.name, split, questions, predictions, Path(output))


def check_output(output: Path) -> None:
    """See that a submission may be written to a file, before anything is computed.

    Args:
        output: The file.

    Raises:
        UserError: It is a folder, or is there already and no submission by its name.
    """
    if not output.name or output.is_dir():
        raise UserError(f"--output {output} is a folder: give the name of a file")
    if output.exists() and output.suffix not in SUBMISSIONS:
        raise UserError(
            f"--output {output} already exists, and its name is not that of a submission: give another, such as answers.json"
        )


def questions_to_answer(config: Config, split: Split, output: Path) -> tuple[Annotations, tuple[Question, ...]]:
    """Read all questions of a split, whether their answers are known or not.

    Args:
        config: Of what data set.
        split: Which split.
        output: Where the answers will go.

    Returns:
        What was read, and the questions.

    Raises:
        UserError: There is none, or the output is a file of the data set.
    """
    dataset = config.dataset.with_all_questions()
    annotations = read_annotations(dataset, [split])
    questions = annotations.split(split)
    if not questions:
        others = [other for other in SPLITS if other != split and read_annotations(dataset, [other]).split(other)]
        advice = f"give --split {' or '.join(others)}" if others else "are its files there?"
        raise UserError(f"{dataset.name} has no questions in its {split} split: {advice}")
    if output.resolve() in {file.resolve() for file in annotations.files}:
        raise UserError(f"--output {output} is a file of the data set itself: give another name")
    return annotations, questions


def write_predictions(
    benchmark: str, split: Split, questions: Sequence[Question], predictions: Mapping[str, Prediction], output: Path
) -> PredictionReport:
    """Write a submission; of several processes the first does.

    Args:
        benchmark: The data set.
        split: Its split.
        questions: What was answered.
        predictions: The answers by question id.
        output: The file.

    Returns:
        What was written.

    Raises:
        UserError: It cannot be written.
    """
    if is_first():
        write_text(output, submission_text(BENCHMARKS[benchmark].submission, questions, predictions))
    return PredictionReport(benchmark, split, len(questions), output)
