"""The whole way of a question, with type and shape at every stop, and runs that are the same run."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.conftest import configure, everything
from vqa_rnn.answering.session import Session
from vqa_rnn.batch import Batch
from vqa_rnn.checkpoint import load_model
from vqa_rnn.commands.evaluate import evaluate
from vqa_rnn.commands.measure import measure
from vqa_rnn.commands.preprocess import preprocess
from vqa_rnn.commands.shared import store_of_config
from vqa_rnn.commands.train import train
from vqa_rnn.data.collate import make_batch
from vqa_rnn.data.encoding import encode_questions
from vqa_rnn.data.store_features import StoreFeatures
from vqa_rnn.errors import UserError
from vqa_rnn.records import Annotations, Prediction, Question


def test_every_stop_of_the_flow_gives_what_the_map_says(features: Path) -> None:
    run = train(configure(features, "training.max_epochs=2"))
    from vqa_rnn.benchmarks import read_annotations

    annotations = read_annotations(run.config.dataset)
    assert isinstance(annotations, Annotations)
    questions = annotations.questions
    assert all(isinstance(question, Question) for question in questions)
    assert {question.split for question in questions} == {"train", "val"}

    store = store_of_config(run.config, {})
    assert everything(store).shape == (10, 16, 40)
    assert store.dtype == np.float16

    encoded = encode_questions(questions, run.tokenizer, run.answers)
    batch = make_batch(encoded, np.arange(len(questions)), StoreFeatures(store, encoded.image_ids))
    assert isinstance(batch, Batch)
    assert batch.features.shape == (10, 16, 40)
    assert batch.image_index.shape == (20,)

    model = load_model(run)
    encoded_batch = model.encode(batch)
    logits = model.answer(encoded_batch, batch)
    assert encoded_batch.joint.shape == (20, run.config.model.fusion.hidden_size)
    assert logits.shape == (20, len(run.answers))
    assert model.loss(logits, batch).shape == ()

    measured = measure(run, "val")
    assert all(isinstance(prediction, Prediction) for prediction in measured.predictions.values())
    assert measured.scores.shape == (len(measured.questions),)

    session = Session(run.path)
    session.see(features.parent / "images/0.png")
    assert sum(p for _, p in session.ask("What colour is it?", top=100).answers) == pytest.approx(1, abs=1e-5)


def test_the_run_folder_holds_what_is_documented(features: Path) -> None:
    run = train(configure(features, "training.max_epochs=2", "training.log_steps=2"))
    names = {path.name for path in run.path.iterdir()}
    assert names == {
        "run.json",
        "config.yaml",
        "environment.json",
        "log.txt",
        "tokenizer.json",
        "answers.json",
        "model.safetensors",
        "checkpoints",
        "metrics.jsonl",
        "timings.jsonl",
        "tensorboard",
        "lock",
    }
    lines = [json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines()]
    steps, epochs = ([line for line in lines if (key in line)] for key in ("loss", "train_loss"))
    assert [line["step"] for line in steps] == [2, 4, 6]
    assert set(steps[0]) == {"epoch", "step", "loss", "gradient_norm", "learning_rate"}
    assert [(line["epoch"], line["step"]) for line in epochs] == [(1, 3), (2, 6)]
    assert set(epochs[0]) == {"epoch", "step", "train_loss", "learning_rate", "val_accuracy"}
    timings = [json.loads(line) for line in (run.path / "timings.jsonl").read_text().splitlines()]
    assert all(0 <= line["waiting_share"] <= 1 for line in timings)
    assert all(1e8 < line["peak_memory"] < 1e11 for line in timings)
    assert [path.name for path in run.checkpoints] == ["step-00000006.pt", "step-00000003.pt"]
    torch.load(run.checkpoints[0], weights_only=True)
    environment = json.loads((run.path / "environment.json").read_text())
    assert {"command", "git", "packages", "device", "threads"} <= set(environment)


def test_resume_refuses_what_changes_learning_and_records_the_rest(features: Path) -> None:
    run = train(configure(features, "training.max_epochs=1"))
    with pytest.raises(UserError, match=r"training\.learning_rate=0\.02, not 0\.5"):
        train(configure(features, "training.max_epochs=1", "training.learning_rate=0.5"), resume=True)
    train(configure(features, "training.max_epochs=1", "evaluation.batch_size=7"), resume=True)
    record = json.loads((run.path / "resumes.jsonl").read_text().splitlines()[-1])
    assert record["changes"] == {"evaluation.batch_size": [1024, 7]}


def test_same_seed_same_run(features: Path) -> None:
    one = train(configure(features, "training.max_epochs=2", "run.name=one"))
    two = train(configure(features, "training.max_epochs=2", "run.name=two"))
    other = train(configure(features, "training.max_epochs=2", "run.name=other", "run.seed=1"))
    assert (one.path / "metrics.jsonl").read_text() == (two.path / "metrics.jsonl").read_text()
    assert (one.path / "metrics.jsonl").read_text() != (other.path / "metrics.jsonl").read_text()


@pytest.mark.parametrize("attention", ["none", "top_down"])
@pytest.mark.parametrize("fusion", ["concat", "product"])
@pytest.mark.parametrize("head", ["classifier", "choice", "generative"])
def test_every_table_entry_learns_the_pictures(features: Path, attention: str, fusion: str, head: str) -> None:
    lines = [json.loads(line) for line in features.read_text().splitlines()]
    for line in lines:
        line["split"] = "test" if line["image"] == "images/3.png" else "train"
        if head != "classifier":
            colours, shapes = ["blue", "green", "red", "yellow"], ["circle", "square"]
            line["choices"] = colours if line["answer"] in colours else shapes
    features.write_text("".join(json.dumps(line) + "\n" for line in lines))
    config = configure(
        features,
        f"model.attention.name={attention}",
        f"model.fusion.name={fusion}",
        f"model.head.name={head}",
        "training.max_epochs=15",
        "run.name=learn",
    )
    run = train(config)
    assert measure(run, "train").scores.mean() >= 0.9


def test_training_never_reads_the_test_split(features: Path) -> None:
    lines = [json.loads(line) for line in features.read_text().splitlines()]
    lines.append({"image": "images/none.png", "question": "Zebra?", "answer": "zebra", "split": "test"})
    features.write_text("".join(json.dumps(line) + "\n" for line in lines))
    run = train(configure(features, "training.max_epochs=1"))  # the picture does not exist: reading it would fail
    assert "zebra" not in run.answers.answers
    assert run.tokenizer.unknown_words("zebra") == ["zebra"]


def test_evaluate_writes_and_returns_the_object_of_the_design(features: Path) -> None:
    run = train(configure(features, "training.max_epochs=1"))
    blind = train(configure(features, "training.max_epochs=1", "model.ablate=question_only", "run.name=blind"))
    report = evaluate(run.path, question_only=blind.path)
    assert set(report) == {
        "benchmark",
        "split",
        "num_questions",
        "num_images",
        "metrics",
        "intervals",
        "per_type",
        "floors",
        "ceilings",
        "image_gain",
        "questions_sha256",
        "weights_sha256",
        "signature",
    }
    assert set(report["floors"]) == {"most_frequent_answer", "question_prefix", "question_string", "images_shuffled"}
    assert set(report["image_gain"]) == {"accuracy", "interval", "p"}
    assert json.loads((run.path / "evaluation/val.json").read_text()) == report
    low, high = report["intervals"]["accuracy"]
    assert 0 <= low <= report["metrics"]["accuracy"] <= high <= 1
    assert set(evaluate(blind.path)["floors"]) == set(report["floors"]) - {"images_shuffled"}, "it sees none"
    with pytest.raises(UserError, match="sees images"):
        evaluate(run.path, question_only=run.path)


def test_the_image_gain_is_over_the_same_questions_wherever_they_lie_now(features: Path, tmp_path: Path) -> None:
    blind_options = ("training.max_epochs=1", "model.ablate=question_only")
    run = train(configure(features, "training.max_epochs=1"))
    blind = train(configure(features, *blind_options, "run.name=blind"))
    lines = [json.loads(line) for line in features.read_text().splitlines()]
    other = features.with_name("other.jsonl")  # other answers under the same ids
    other.write_text("".join(json.dumps(line | {"answer": str(n % 3)}) + "\n" for n, line in enumerate(lines)))
    preprocess(configure(other))
    unlike = train(configure(other, *blind_options, "run.name=unlike"))
    with pytest.raises(UserError, match=r"unlike was trained on other data: its val split has other questions"):
        evaluate(run.path, question_only=unlike.path)
    moved = tmp_path / "moved"
    moved.mkdir()
    (features.parent / "images").rename(moved / "images")
    features.rename(moved / "questions.jsonl")
    overrides = [f"dataset.path={moved / 'questions.jsonl'}"]
    assert "image_gain" in evaluate(run.path, question_only=blind.path, overrides=overrides)


def test_asking_gives_the_evaluators_answers(features: Path) -> None:
    run = train(configure(features, "training.max_epochs=8"))
    measured = measure(run, "train")
    session = Session(run.path)
    for question in measured.questions:
        session.see(features.parent / question.image_id)
        answer, probability = session.ask(question.question).answers[0]
        expected = measured.predictions[question.question_id]
        assert answer == expected.answer
        assert probability == pytest.approx(expected.probability, abs=1e-3)


def test_a_run_copied_elsewhere_answers(features: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    run = train(configure(features, "training.max_epochs=1"))
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "copy"
    shutil.copytree(run.path, elsewhere)
    picture = shutil.copy(features.parent / "images/0.png", elsewhere.parent)
    features.unlink()
    session = Session(elsewhere)
    session.see(Path(picture))
    assert session.ask("What colour is it?").answers


@pytest.mark.parametrize("option", ["model.feature_scaling=unit", "model.ablate=question_only"])
def test_statistics_of_features_are_not_computed_where_they_are_not_used(
    features: Path, monkeypatch: pytest.MonkeyPatch, option: str
) -> None:
    def compute(*arguments: object) -> None:
        raise AssertionError("computed")

    monkeypatch.setattr("vqa_rnn.commands.train.channel_statistics", compute)
    train(configure(features, option, "training.max_epochs=1"))
