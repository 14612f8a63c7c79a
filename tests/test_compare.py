"""``vqa-rnn compare``: over evaluations written by hand, and over two runs."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import configure
from vqa_rnn.cli import main
from vqa_rnn.commands.compare import compare
from vqa_rnn.commands.evaluate import evaluate
from vqa_rnn.commands.train import train
from vqa_rnn.metrics.intervals import bootstrap_means, bootstrap_p

SIGNATURE = "made|n:40|version:0"
RIGHT = [float(n % 4 != 0) for n in range(40)]


def write_run(path: Path, scores: dict[str, list[float | None]], signature: str = SIGNATURE, split: str = "test") -> Path:
    (path / "evaluation").mkdir(parents=True, exist_ok=True)
    (path / "run.json").write_text("{}")
    (path / "model.safetensors").write_text("weights")
    report = {
        "benchmark": "jsonl",
        "num_questions": 40,
        "num_images": 20,
        "signature": signature,
        "questions_sha256": "those",
        "weights_sha256": hashlib.sha256(b"weights").hexdigest(),
    }
    (path / "evaluation" / f"{split}.json").write_text(json.dumps(report))
    rows = [
        {"question_id": f"q{n}", "image_id": f"i{n // 2}", "scores": {name: values[n] for name, values in scores.items()}}
        for n in range(40)
    ]
    (path / "evaluation" / f"{split}_predictions.json").write_text(json.dumps(rows))
    return path


def test_differences_are_paired_and_of_the_questions_to_which_a_metric_applies(tmp_path: Path):
    worse = [0.0 if n in (1, 2, 3, 21) else value for n, value in enumerate(RIGHT)]
    graded: list[float | None] = [0.5 if n % 2 else None for n in range(40)]
    higher: list[float | None] = [0.75 if n % 2 else None for n in range(40)]
    first = write_run(tmp_path / "a", {"accuracy": RIGHT, "ndcg": graded})
    second = write_run(tmp_path / "b", {"accuracy": worse, "ndcg": higher})
    report = compare([first, second])
    assert (report["split"], report["counts"]) == ("test", {"questions": 40, "images": 20})
    assert report["runs"][str(first)]["accuracy"] == {"value": 0.75, "interval": pytest.approx((0.65, 0.85), abs=0.1)}
    found = report["runs"][str(second)]["accuracy"]
    assert found["value"] == pytest.approx(np.mean(worse))
    assert found["difference"] == pytest.approx(-4 / 40)
    low, high = found["difference_interval"]
    assert -0.25 < low < -0.1 < high <= 0
    assert 1e-4 < found["p"] < 0.2
    gain = report["runs"][str(second)]["ndcg"]
    assert gain["difference"] == pytest.approx(0.25)
    assert gain["difference_interval"] == pytest.approx([0.25, 0.25])
    assert gain["p"] == pytest.approx(2 / 10_001)


def test_a_run_that_says_the_same_differs_in_nothing(tmp_path: Path):
    first, second = (write_run(tmp_path / name, {"accuracy": RIGHT}) for name in "ab")
    found = compare([first, second])["runs"][str(second)]["accuracy"]
    assert (found["difference"], found["difference_interval"], found["p"]) == (0.0, [0.0, 0.0], 1.0)


def test_chance_is_found_surprising_as_often_as_it_should_be():
    generator = np.random.default_rng(0)
    images = [str(n) for n in range(60)]
    surprising = [bootstrap_p(bootstrap_means(generator.normal(size=60), images, 400)) < 0.1 for _ in range(300)]
    assert 0.05 < np.mean(surprising) < 0.17


CASES = [
    "signature",
    "questions",
    "data",
    "missing",
    "elsewhere",
    "trained",
    "old",
    "report",
    "one",
    "twice",
    "not a run",
    "split",
]


@pytest.mark.parametrize("case", CASES)
def test_what_cannot_be_compared_is_refused_in_one_line(case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    first, second = (write_run(tmp_path / name, {"accuracy": RIGHT}) for name in "ab")
    arguments, words = [str(first), str(second)], ""
    predictions = second / "evaluation" / "test_predictions.json"
    rows: list[dict[str, Any]] = json.loads(predictions.read_text())
    if case == "signature":
        write_run(second, {"accuracy": RIGHT}, "made|n:41|version:0")
        words = "made|n:41|version:0 is not made|n:40|version:0"
    elif case == "questions":
        predictions.write_text(json.dumps([row | {"question_id": row["question_id"] + "x"} for row in rows]))
        words = "was evaluated on other questions"
    elif case == "data":
        report = json.loads((second / "evaluation" / "test.json").read_text())
        (second / "evaluation" / "test.json").write_text(json.dumps(report | {"questions_sha256": "others"}))
        words = "was evaluated on other questions"
    elif case == "missing":
        predictions.unlink()
        words = f"run vqa-rnn evaluate {second} --split test"
    elif case == "elsewhere":
        shutil.rmtree(second / "evaluation")
        write_run(second, {"accuracy": RIGHT}, split="val")
        words = f"run vqa-rnn evaluate {second} --split test"
    elif case == "trained":
        (second / "model.safetensors").write_text("other weights")
        words = f"changed since it was evaluated: run vqa-rnn evaluate {second} --split test again"
    elif case == "report":
        (second / "evaluation" / "test.json").write_text("{}")
        words = "of an earlier version"
    elif case == "old":
        predictions.write_text(json.dumps([{"question_id": row["question_id"], "score": 1.0} for row in rows]))
        words = "of an earlier version"
    elif case in ("one", "twice"):
        arguments = arguments[:1] if case == "one" else arguments[:1] * 2
        words = "at least two different runs"
    elif case == "not a run":
        (second / "run.json").unlink()
        words = "is not a run folder"
    else:
        arguments += ["--split", "tset"]
        words = "did you mean 'test'?"
    assert main(["compare", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line


def test_two_runs_from_the_command_line(features: Path, capsys: pytest.CaptureFixture[str]):
    paths = []
    for cell in ("lstm", "gru"):
        run = train(configure(features, "training.max_epochs=2", f"model.question.cell={cell}", f"run.name={cell}"))
        report = evaluate(run.path, "val")
        paths.append(str(run.path))
    capsys.readouterr()
    assert main(["compare", *paths, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["split"] == "val"
    assert found["runs"][paths[1]]["accuracy"]["value"] == report["metrics"]["accuracy"]
    assert found["signature"] == report["signature"]
    assert main(["compare", *paths]) == 0
    printed = capsys.readouterr().out
    assert "difference" in printed
    assert "signature" in printed


def kind_of(path: Path, command: str) -> Path:
    (path / "run.json").write_text(json.dumps({"command": command}))
    return path


def test_runs_of_other_kinds_are_refused_or_sent_to_their_own_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    scores = {"accuracy": RIGHT}
    questions, first, second = (write_run(tmp_path / name, scores) for name in "abc")
    first, second = (kind_of(path, "vqa-rnn video train") for path in (first, second))
    draw, language = (kind_of(write_run(tmp_path / name, scores), f"vqa-rnn {name} train") for name in ("draw", "lm"))

    def said(*runs: Path) -> str:
        assert main(["compare", *map(str, runs)]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        return line.removeprefix("error: ")

    assert (
        said(first, draw) == f"{draw} is a run of vqa-rnn draw train, and {first} of vqa-rnn video train: give runs of one kind"
    )
    assert (
        said(questions, first)
        == f"{first} is a run of vqa-rnn video train, and {questions} of vqa-rnn train: give runs of one kind"
    )
    assert said(language, draw).startswith(f"{language} is a run of vqa-rnn lm train, which has no evaluation to compare")
    (second / "model.safetensors").write_text("other weights")
    assert said(first, second).endswith(f"run vqa-rnn video evaluate {second} --split test again")
    for path in (first, second):
        shutil.rmtree(path / "evaluation")
    assert said(first, second) == f"{first} was not evaluated on its test or val split: run vqa-rnn video evaluate {first}"


def test_nats_are_plain_numbers_and_lower_is_better(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    nats: list[float | None] = [100.0 + n % 7 for n in range(40)]
    paths = [
        write_run(tmp_path / "a", {"nats": nats}),
        write_run(tmp_path / "b", {"nats": [value - 1.5 for value in nats if value]}),
    ]
    for path in paths:
        report = json.loads((path / "evaluation" / "test.json").read_text())
        (path / "evaluation" / "test.json").write_text(json.dumps(report | {"counts": {"images": 20}}))
    assert main(["compare", *map(str, paths)]) == 0
    printed = capsys.readouterr().out
    assert "nats (lower is better), test split, 20 images" in printed
    assert "-1.50 to -1.50" in printed
    assert "%" not in printed.replace("95% interval", "")


def test_a_few_images_have_no_p_and_are_not_called_clear(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    paths = [write_run(tmp_path / name, {"accuracy": scores}) for name, scores in (("a", [0.0] * 40), ("b", [1.0] * 40))]
    for path in paths:
        file = path / "evaluation" / "test_predictions.json"
        file.write_text(json.dumps([row | {"image_id": "one"} for row in json.loads(file.read_text())]))
        report = path / "evaluation" / "test.json"
        report.write_text(json.dumps(json.loads(report.read_text()) | {"num_images": 1}))
    assert compare(paths)["runs"][str(paths[1])]["accuracy"]["p"] is None
    assert main(["compare", *map(str, paths)]) == 0
    printed = capsys.readouterr().out
    assert "< 0.001" not in printed
    assert " to " not in printed.replace("differences to", ""), "no interval either"
