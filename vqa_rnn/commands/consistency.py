"""``vqa-rnn consistency``: whether the answers of a run contradict each other."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from vqa_rnn.annotations.implied import implied_questions
from vqa_rnn.benchmarks import read_annotations
from vqa_rnn.checkpoint import Run, load_run
from vqa_rnn.commands.answers import answer_questions, open_members
from vqa_rnn.commands.shared import check_questions, check_unchanged, move_run
from vqa_rnn.engines import is_first, processes
from vqa_rnn.errors import UserError
from vqa_rnn.files import write_json
from vqa_rnn.metrics.accuracy import question_scores
from vqa_rnn.metrics.intervals import bootstrap_interval
from vqa_rnn.records import Annotations, Prediction, Question, Split

SEED = 0
KINDS = {
    "equivalent": "yes to its own answer",
    "necessary": "yes to some of it",
    "exclusive": "no to another answer",
}
CHANGES = {"choice_order": "choices in another order", "duplicate_choice": "a wrong choice twice"}


def consistency(path: Path, split: Split = "val", overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Measure how consistent the answers of a run are.

    Without choices, the run is asked questions that its own answers imply. With choices, it is asked the same questions with
    the choices in another order, and with a wrong choice repeated.

    Args:
        path: The run folder.
        split: The split whose questions and images are used.
        overrides: ``section.key=value`` each, of ``MAY_MOVE``.

    Returns:
        ``run``, ``split``, ``num_questions``, and ``kinds``: by kind of implied question (``equivalent``, ``necessary``,
        ``exclusive``) or by change (``choice_order``, ``duplicate_choice``) the ``consistency`` with an ``interval`` over
        images and the number of ``questions``. Implied questions also have ``yes_or_no``, how often the run answered yes or no,
        and ``where_right``, the consistency where the run's own answer was right. Written to
        ``evaluation/SPLIT_consistency.json``, with every question that was asked.

    Raises:
        UserError: The split has no questions, the run learned from it, choices are regions, or no answer implies a question
            that the run can answer.
    """
    run = move_run(load_run(path), overrides)
    annotations = read_annotations(run.config.dataset, [split])
    check_unchanged(run, annotations, split)
    questions = annotations.split(split)
    if not questions:
        raise UserError(f"{run.config.dataset.name} has no questions in its {split} split")
    check_questions(run.config, questions)
    if questions[0].choice_regions:
        raise UserError(f"{run.config.dataset.name} has regions as answers, which imply no other question")
    if split in run.config.training.splits and split != "train":
        raise UserError(f"{path} learned from the {split} questions (training.refit): give another --split")
    with processes(run.config.run.device) as device:
        members, questions = open_members([run], questions, annotations, split, device)
        predictions = answer_questions(members, questions, device)
        if questions[0].choices:
            rows = _with_changed_choices(run, questions, predictions, annotations, device)
        else:
            rows = _with_implied(run, questions, predictions, annotations, device)
    report = {"run": str(path), "split": split, "num_questions": len(questions), "kinds": _summarise(rows)}
    if is_first():
        asked = [row._asdict() for row in rows]
        write_json(run.path / "evaluation" / f"{split}_consistency.json", report | {"asked": asked})
    return report


class _Row(NamedTuple):
    """The answer to a question that was made from another question.

    ``was_right`` is the score of the answer to the other question, None if it is not known. ``is_yes_or_no`` is None unless the
    question is an implied one.
    """

    kind: str
    image_id: str
    is_consistent: bool
    was_right: float | None
    question: str
    expected: str
    answer: str
    is_yes_or_no: bool | None = None


def _with_implied(
    run: Run,
    questions: Sequence[Question],
    predictions: Mapping[str, Prediction],
    annotations: Annotations,
    device: torch.device,
) -> list[_Row]:
    if run.config.model.head.name == "classifier" and not {"yes", "no"} <= set(run.answers.answers):
        raise UserError(f"{run.path} cannot answer yes and no: no training question has them as its answer")
    others = _other_answers(questions, predictions)
    asked: list[Question] = []
    origin: list[tuple[Question, str, str]] = []
    for question in questions:
        said = predictions[question.question_id].answer
        for implied in implied_questions(question.question, said, others.get(question.question_id)):
            name = f"{question.question_id}/{len(asked)}"
            asked.append(replace(question, question_id=name, question=implied.question, human_answers=(implied.answer,)))
            origin.append((question, implied.kind, implied.answer))
    if not asked:
        raise UserError(
            f"no answer to the questions of {run.config.dataset.name} implies another question: there are patterns for counts "
            "(how many … are there) and qualities (what colour is the …)"
        )
    members, kept = open_members([run], asked, annotations, "implied", device)
    found = answer_questions(members, kept, device)
    known = [question for question in questions if question.human_answers]
    right = dict(zip((question.question_id for question in known), question_scores(known, predictions).tolist(), strict=True))
    rows = []
    for each, (question, kind, expected) in zip(asked, origin, strict=True):
        said, was_right = found[each.question_id].answer, right.get(question.question_id)
        is_yes_or_no = said in ("yes", "no")
        rows.append(_Row(kind, question.image_id, said == expected, was_right, each.question, expected, said, is_yes_or_no))
    return rows


def _other_answers(questions: Sequence[Question], predictions: Mapping[str, Prediction]) -> dict[str, str]:
    """Return, by question id, an answer that the run gave to another question with the same first words but not to this one."""
    given: dict[str, list[str]] = defaultdict(list)
    for question in questions:
        given[_kind(question)].append(predictions[question.question_id].answer)
    generator = np.random.default_rng(SEED)
    others = {}
    for question in questions:
        different = sorted(set(given[_kind(question)]) - {predictions[question.question_id].answer})
        if different:
            others[question.question_id] = different[int(generator.integers(len(different)))]
    return others


def _kind(question: Question) -> str:
    return " ".join(question.question.lower().split()[:2])


def _with_changed_choices(
    run: Run,
    questions: Sequence[Question],
    predictions: Mapping[str, Prediction],
    annotations: Annotations,
    device: torch.device,
) -> list[_Row]:
    generator = np.random.default_rng(SEED)
    changed: dict[str, list[Question]] = {name: [] for name in CHANGES}
    for question in questions:
        order = generator.permutation(len(question.choices)).tolist()
        shuffled = tuple(question.choices[place] for place in order)
        said = predictions[question.question_id].answer
        truth = None if question.correct_choice is None else question.choices[question.correct_choice]
        wrong = next((choice for choice in question.choices if choice not in (said, truth)), None)
        changed["choice_order"].append(_with_choices(question, shuffled))
        if wrong is not None:
            changed["duplicate_choice"].append(_with_choices(question, (*question.choices, wrong)))
    rows = []
    for name, asked in changed.items():
        if not asked:
            continue
        members, kept = open_members([run], asked, annotations, name, device)
        found = answer_questions(members, kept, device)
        for question in kept:
            said, before = found[question.question_id].answer, predictions[question.question_id].answer
            rows.append(_Row(name, question.image_id, said == before, None, question.question, before, said))
    return rows


def _with_choices(question: Question, choices: tuple[str, ...]) -> Question:
    truth = None if question.correct_choice is None else choices.index(question.choices[question.correct_choice])
    return replace(question, choices=choices, correct_choice=truth, relevance=())


def _summarise(rows: Sequence[_Row]) -> dict[str, Any]:
    found = {}
    for kind in dict.fromkeys(row.kind for row in rows):
        these = [row for row in rows if row.kind == kind]
        scores = np.array([row.is_consistent for row in these], dtype=np.float64)
        right = scores[[row.was_right == 1 for row in these]]
        found[kind] = {
            "consistency": float(scores.mean()),
            "interval": list(bootstrap_interval(scores, [row.image_id for row in these])),
            "questions": len(these),
            **({"yes_or_no": float(np.mean([row.is_yes_or_no for row in these]))} if these[0].is_yes_or_no is not None else {}),
            **({"where_right": float(right.mean())} if len(right) else {}),
        }
    return found


def print_consistency(report: Mapping[str, Any]) -> None:
    """Print the report of ``consistency``.

    Args:
        report: The report.
    """
    title = f"{report['run']}, {report['split']} split: how often its answers are consistent"
    table = Table("", "consistent", "95%", "where right", "yes or no", "asked", title=escape(title), title_justify="left")
    for column in table.columns[:2]:
        column.no_wrap = True  # in a narrow terminal the other headers take two lines
    for column in table.columns[1:]:
        column.justify = "right"
    for kind, row in report["kinds"].items():
        low, high = row["interval"]
        shares = [f"{100 * row[name]:.1f}%" if name in row else "" for name in ("consistency", "where_right", "yes_or_no")]
        name = {**KINDS, **CHANGES}[kind]
        table.add_row(name, shares[0], f"{100 * low:.0f} to {100 * high:.0f}", *shares[1:], f"{row['questions']:,}")
    Console().print(table)
