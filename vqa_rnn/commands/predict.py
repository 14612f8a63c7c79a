"""``vqa-rnn predict``: the official submission of a split, whether its answers are known or not."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vqa_rnn.benchmarks import BENCHMARKS, read_annotations
from vqa_rnn.benchmarks.submissions import submission_text
from vqa_rnn.commands.answers import answer_questions, open_members
from vqa_rnn.commands.shared import check_questions, open_runs
from vqa_rnn.engines import is_first, processes
from vqa_rnn.errors import UserError
from vqa_rnn.files import write_text
from vqa_rnn.records import SPLITS, Split

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
    output = Path(output)
    if not output.name or output.is_dir():
        raise UserError(f"--output {output} is a folder: give the name of a file")
    if output.exists() and output.suffix not in SUBMISSIONS:
        raise UserError(
            f"--output {output} is there already, and is no submission by its name: give another, such as answers.json"
        )
    runs = open_runs([paths] if isinstance(paths, str | Path) else paths, overrides)
    run = runs[0]
    dataset = run.config.dataset.with_all_questions()
    annotations = read_annotations(dataset, [split])
    questions = annotations.split(split)
    if not questions:
        others = [other for other in SPLITS if other != split and read_annotations(dataset, [other]).split(other)]
        advice = f"give --split {' or '.join(others)}" if others else "are its files there?"
        raise UserError(f"{dataset.name} has no questions in its {split} split: {advice}")
    if output.resolve() in {file.resolve() for file in annotations.files}:
        raise UserError(f"--output {output} is a file of the data set itself: give another name")
    for each in runs:
        check_questions(each.config, questions)
    with processes(run.config.run.device) as device:
        members, questions = open_members(runs, questions, annotations, split, device)
        predictions = answer_questions(members, questions, device)
    if is_first():
        write_text(output, submission_text(BENCHMARKS[dataset.name].submission, questions, predictions))
    return PredictionReport(dataset.name, split, len(questions), output)
