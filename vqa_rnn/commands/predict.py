"""``vqa-rnn predict``: the official submission of a split, whether its answers are known or not."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vqa_rnn.benchmarks import BENCHMARKS, load_annotations
from vqa_rnn.benchmarks.submissions import submission_text
from vqa_rnn.checkpoint import load_model, load_run
from vqa_rnn.commands.shared import (
    answer_questions,
    check_questions,
    images_of,
    move_run,
    open_features,
    readable_questions,
    store_of_config,
)
from vqa_rnn.data.encoding import encode_questions
from vqa_rnn.engines import is_first, processes
from vqa_rnn.errors import UserError
from vqa_rnn.files import write_text
from vqa_rnn.records import SPLITS, Split


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


def predict(path: Path, split: Split, output: Path, overrides: Sequence[str] = ()) -> PredictionReport:
    """Answer all questions of a split and write them as the benchmark's official evaluation reads them.

    Args:
        path: The run folder.
        split: Which split.
        output: The file to write.
        overrides: ``section.key=value`` each, of ``MAY_MOVE``.

    Returns:
        What was done.

    Raises:
        UserError: The split is empty, features are missing, or the file is a folder or cannot be written.
    """
    if not output.name or output.is_dir():
        raise UserError(f"--output {output} is a folder: give the name of a file")
    run = move_run(load_run(path), overrides)
    dataset = run.config.dataset.with_all_questions()
    annotations = load_annotations(dataset, [split])
    questions = annotations.split(split)
    if not questions:
        others = [other for other in SPLITS if other != split and load_annotations(dataset, [other]).split(other)]
        advice = f"give --split {' or '.join(others)}" if others else "are its files there?"
        raise UserError(f"{dataset.name} has no questions in its {split} split: {advice}")
    check_questions(run.config, questions)
    store = store_of_config(run.config, images_of(questions, annotations), run)
    questions = readable_questions(run.config, store, questions, split)
    encoded = encode_questions(questions, run.tokenizer, run.answers)
    features = open_features(store, encoded)
    with processes(run.config.run.device) as device:
        predictions = answer_questions(run, load_model(run, device), questions, encoded, features, device)
    if is_first():
        write_text(output, submission_text(BENCHMARKS[dataset.name].submission, questions, predictions))
    return PredictionReport(dataset.name, split, len(questions), output)
