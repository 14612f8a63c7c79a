"""Several runs that answer together, by the mean of their probabilities."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.conftest import configure
from vqa_rnn.benchmarks import read_annotations
from vqa_rnn.checkpoint import Run
from vqa_rnn.cli import main
from vqa_rnn.commands import answers as answering
from vqa_rnn.commands.answers import answer_questions, open_members
from vqa_rnn.commands.evaluate import evaluate, evaluate_ensemble
from vqa_rnn.commands.train import train

OPTIONS = ("training.max_epochs=2", "training.batch_size=4")
CPU = torch.device("cpu")


@pytest.fixture
def runs(features: Path) -> list[Run]:
    return [train(configure(features, *OPTIONS, f"run.seed={seed}", f"run.name=seed{seed}")) for seed in range(3)]


def probabilities(run: Run) -> tuple[list[str], np.ndarray]:
    """What a run gives every answer, computed by hand."""
    annotations = read_annotations(run.config.dataset)
    questions = annotations.split("val")
    (member,), questions = open_members([run], questions, annotations, "val", CPU)
    from vqa_rnn.data.collate import make_batch

    with torch.inference_mode():
        batch = make_batch(member.encoded, np.arange(len(questions)), member.features)
        found = member.model.probabilities(member.model(batch)).numpy()
    return list(run.answers.answers), found


def test_it_answers_with_the_mean_of_the_probabilities(runs: list[Run]):
    annotations = read_annotations(runs[0].config.dataset)
    members, questions = open_members(runs, annotations.split("val"), annotations, "val", CPU)
    predictions = answer_questions(members, questions, CPU)
    answers, first = probabilities(runs[0])
    mean = (first + sum(probabilities(run)[1] for run in runs[1:])) / 3
    for row, question in enumerate(questions):
        assert predictions[question.question_id].answer == answers[mean[row].argmax()]
        assert predictions[question.question_id].probability == pytest.approx(mean[row].max(), abs=1e-6)


def test_answers_that_one_run_does_not_know_count_as_improbable(features: Path, runs: list[Run]):
    narrow = train(configure(features, *OPTIONS, "text.max_answers=2", "run.name=narrow"))
    assert set(narrow.answers.answers) < set(runs[0].answers.answers)
    annotations = read_annotations(narrow.config.dataset)
    members, questions = open_members([narrow, runs[0]], annotations.split("val"), annotations, "val", CPU)
    predictions = answer_questions(members, questions, CPU)
    known, few = probabilities(narrow)
    answers, many = probabilities(runs[0])
    for row, question in enumerate(questions):
        mean = many[row] / 2
        for place, answer in enumerate(known):
            mean[answers.index(answer)] += few[row, place] / 2
        assert predictions[question.question_id].answer == answers[mean.argmax()]


def test_evaluate_reports_the_members_and_the_gain(runs: list[Run], capsys: pytest.CaptureFixture[str]):
    paths = [str(run.path) for run in runs]
    alone = [evaluate(run.path, "val")["metrics"]["accuracy"] for run in runs]
    before = sorted(path.name for path in (runs[0].path / "evaluation").iterdir())
    assert main(["evaluate", *paths, "--ensemble", "--split", "val", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert list(report["members"].values()) == pytest.approx(alone)
    assert report["ensemble_gain"]["accuracy"] == pytest.approx(report["metrics"]["accuracy"] - np.mean(alone))
    assert "ensemble:3" in report["signature"]
    assert {"images_shuffled", "question_string"} <= set(report["floors"])
    assert sorted(path.name for path in (runs[0].path / "evaluation").iterdir()) == before  # nothing is written into the runs
    assert main(["evaluate", *paths, "--ensemble", "--split", "val"]) == 0
    text = capsys.readouterr().out
    assert "this ensemble" in text
    assert "gain over the mean of its members" in text


def test_an_ensemble_of_one_run_twice_in_effect_is_that_run(runs: list[Run], tmp_path: Path):
    import shutil

    copy = shutil.copytree(runs[0].path, tmp_path / "copy")
    report = evaluate_ensemble([runs[0].path, copy], "val")
    assert report["ensemble_gain"]["accuracy"] == 0
    assert report["metrics"]["accuracy"] == evaluate(runs[0].path, "val")["metrics"]["accuracy"]


def test_each_member_answers_once(runs: list[Run], monkeypatch: pytest.MonkeyPatch):
    original, calls = answering._collect, []

    def count(member: answering.Member, *arguments, **options):
        calls.append(member.run.path)
        return original(member, *arguments, **options)

    monkeypatch.setattr(answering, "_collect", count)
    evaluate_ensemble([run.path for run in runs], "val")
    assert calls == 2 * [run.path for run in runs]  # and once more with the images shuffled


def test_predict_writes_the_answers_of_an_ensemble(runs: list[Run], tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    paths = [str(run.path) for run in runs]
    assert main(["predict", *paths, "--ensemble", "--split", "val"]) == 2
    assert "give --output FILE" in capsys.readouterr().err
    assert main(["predict", *paths, "--ensemble", "--split", "val", "--output", str(tmp_path / "answers.json")]) == 0
    assert (tmp_path / "answers.json").is_file()


def test_choices_are_ranked_by_the_mean(features: Path, tmp_path: Path):
    lines = [json.loads(line) for line in features.read_text().splitlines()]
    for line in lines:
        line["choices"] = ["red", "green", "blue", "yellow"] if "colour" in line["question"] else ["circle", "square"]
        if line["answer"] not in line["choices"]:
            line["choices"][0] = line["answer"]
    features.write_text("".join(json.dumps(line) + "\n" for line in lines))
    options = (*OPTIONS, "model.head.name=choice")
    runs = [train(configure(features, *options, f"run.seed={seed}", f"run.name=choice{seed}")) for seed in range(2)]
    report = evaluate_ensemble([run.path for run in runs], "val")
    assert report["num_questions"] > 0
    annotations = read_annotations(runs[0].config.dataset)
    members, questions = open_members(runs, annotations.split("val"), annotations, "val", CPU)
    together = answer_questions(members, questions, CPU)
    each = [answer_questions([member], questions, CPU) for member in members]
    for question in questions:
        ids = question.question_id
        assert sorted(together[ids].ranks.tolist()) == list(range(1, len(question.choices) + 1))
        if len({one[ids].answer for one in each}) == 1:
            assert together[ids].answer == each[0][ids].answer


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["runs/seed0", "--ensemble"], "--ensemble needs at least two runs"),
        (["runs/seed0", "runs/seed1"], "give --ensemble to let them answer together"),
        (["runs/seed0", "runs/seed0", "--ensemble"], "a run comes twice"),
        (["runs/seed0", "runs/nothing", "--ensemble"], "runs/nothing"),
        (["runs/seed0", "runs/other", "--ensemble"], "do not answer the same questions: dataset.split_seed differ"),
        (["runs/seed0", "runs/sigmoid", "--ensemble"], "cannot be averaged: model.head.loss differ"),
        (["runs/seed0", "runs/seed1", "--ensemble", "--question-only", "runs/seed2"], "--question-only is for a single run"),
    ],
)
def test_what_is_no_ensemble_is_refused(features: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], says: str):
    more = {"seed0": "run.seed=0", "other": "dataset.split_seed=1", "sigmoid": "model.head.loss=sigmoid"}
    for name, option in more.items():
        if f"runs/{name}" in arguments:
            train(configure(features, *OPTIONS, f"run.name={name}", option))
    assert main(["evaluate", *arguments]) == 2
    assert says in capsys.readouterr().err
