"""``vqa-rnn score`` of benchmarks without an official script: the metrics of their row over a submission."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.annotations.test_medical import slake, slake_folder, write
from tests.conftest import TINY, draw
from tests.official import draw_clevr
from vqa_rnn.benchmarks import BENCHMARKS, read_annotations
from vqa_rnn.benchmarks.submissions import submission_text
from vqa_rnn.cli import main
from vqa_rnn.config import ClevrDataset
from vqa_rnn.records import Prediction

QUESTIONS = [
    slake(qid=1, answer="Liver", answer_type="OPEN", img_name="a.jpg"),
    slake(qid=2, answer="Yes", img_name="b.jpg", content_type="Size"),
    slake(qid=3, answer="No", img_name="c.jpg", content_type="Size"),
    slake(qid=4, answer="Yes", img_name="d.jpg"),
    slake(qid=5, answer="Lung", answer_type="OPEN", img_name="e.jpg"),
]
RIGHT = [{"qid": 5, "answer": "Lung"}, {"qid": 1, "answer": "liver"}, {"qid": 2, "answer": "no"}, {"qid": 4, "answer": "yes"}]
RIGHT += [{"qid": 3, "answer": "No"}]


def score(folder: Path, results: Any, *options: str) -> tuple[int, list[str]]:
    slake_folder(folder, train=[slake(qid=9)], validate=QUESTIONS, test=[slake(qid=10, answer=...)])
    path = write(folder / "results.json", results)
    arguments = ["score", "slake", "--results", str(path), "--split", "val", *options]
    return main([*arguments, f"dataset.root={folder}"]), [str(path)]


def test_open_closed_and_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert score(tmp_path, RIGHT, "--json")[0] == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["accuracy"], report["open"], report["closed"]) == (0.8, 1.0, pytest.approx(2 / 3))
    assert report["per_question_type"] == {"Organ": 1.0, "Size": 0.5}
    assert report["per_answer_type"] == {"closed": pytest.approx(2 / 3), "open": 1.0}
    low, high = report["intervals"]["accuracy"]
    assert low < 0.8 <= high
    assert report["signature"].startswith("slake|language:en|split:val|n:5|")
    assert score(tmp_path, RIGHT)[0] == 0
    out = capsys.readouterr().out
    assert "open" in out
    assert "80.00%" in out


@pytest.mark.parametrize(
    ("results", "options", "said"),
    [
        (RIGHT[:4], (), "1 question missing (3); --allow-missing counts them as wrong"),
        ([*RIGHT, {"qid": 1, "answer": "x"}], (), "1 question answered more than once (1)"),
        ([*RIGHT, {"qid": 77, "answer": "x"}], (), "1 question unknown (77)"),
        ([{"answer": "x"}], (), "[0]: the key 'qid' is missing"),
        ([{"qid": 1}], (), "[0]: the key 'answer' is missing"),
        ({"qid": 1}, (), "expected `array`, got `object`"),
        (RIGHT, ("--split", "test"), "slake: 1 of 1 answers are withheld in the test split"),
        (RIGHT, ("training.max_epochs=1",), "takes options of the data set, such as dataset.root=…"),
        (RIGHT, ("dataset.name=clevr",), "takes options of the data set"),
        (RIGHT, ("dataset.language=zh",), "has no question in dataset.language=zh"),
        (RIGHT, ("--split", "dev"), "unknown split 'dev'"),
    ],
)
def test_what_is_wrong_is_one_line(
    tmp_path: Path, results: Any, options: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
):
    assert score(tmp_path, results, *options)[0] == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_missing_answers_may_count_as_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert score(tmp_path, RIGHT[:4], "--allow-missing", "--json")[0] == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["accuracy"], report["num_answered"]) == (0.6, 4)
    assert "|answered:4|" in report["signature"]


def test_few_images_have_no_interval(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    slake_folder(tmp_path, train=[slake(qid=9)], validate=QUESTIONS[:4])
    path = write(tmp_path / "results.json", RIGHT[1:])
    options = ["--results", str(path), "--split", "val", f"dataset.root={tmp_path}"]
    assert main(["score", "slake", *options, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["intervals"] == {"accuracy": None, "open": None, "closed": None}
    assert main(["score", "slake", *options]) == 0


def test_every_row_is_listed_and_explains_itself(capsys: pytest.CaptureFixture[str]):
    assert main(["score", "--help"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in BENCHMARKS)
    for name in BENCHMARKS:
        assert main(["score", name, "--help"]) == 0
        assert f"Example: vqa-rnn score {name}" in " ".join(capsys.readouterr().out.split())
    assert main(["score", "benchmark", "--help"]) == 2  # what all share is no command of its own


def test_clevr_scores_what_predict_would_write(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    dataset = ClevrDataset(root=draw_clevr(tmp_path, images=3))
    questions = read_annotations(dataset, ["val"]).split("val")
    said = {q.question_id: Prediction(question_id=q.question_id, answer=q.human_answers[0], probability=1.0) for q in questions}
    path = tmp_path / "submission.json"
    path.write_text(submission_text(BENCHMARKS["clevr"].submission, questions, said))
    assert main(["score", "clevr", "--results", str(path), "--split", "val", f"dataset.root={tmp_path}", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] == 1


ORGANS = {"red": ("肝脏", "图中显示的是哪个器官？"), "blue": ("肺", "图中显示的是哪个器官？")}


def test_chinese_questions_are_split_trained_on_and_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    records: dict[str, list[dict[str, Any]]] = {"train": [], "validate": [], "test": []}
    number = 0
    for split, count in (("train", 16), ("validate", 6), ("test", 6)):
        for place in range(count):
            colour = ("red", "blue")[place % 2]
            name = f"xmlab{number}/source.png"
            draw(tmp_path / "imgs" / name, colour)
            organ, asked = ORGANS[colour]
            truth = {} if split == "test" else {"answer": organ}
            common = {"img_name": name, "q_lang": "zh", "answer_type": "OPEN"} | ({"answer": ...} | truth)
            records[split].append(slake(qid=number, question=asked, **common))
            if split != "test":
                yes = {"answer": "是" if colour == "red" else "不是", "answer_type": "CLOSED"}
                records[split].append(slake(qid=1000 + number, question="图中有肝脏吗？", **(common | yes)))
            number += 1
    slake_folder(tmp_path, **records)
    options = [f"dataset.root={tmp_path}", "dataset.language=zh", *TINY, "features.grid_size=null", "training.max_epochs=12"]
    assert main(["preprocess", "slake", *options]) == 0
    assert main(["train", "slake", *options]) == 0
    tokens = json.loads((tmp_path / "runs/slake/tokenizer.json").read_text())["model"]["vocab"]
    assert {"图", "肝", "脏", "器", "官"} <= set(tokens)
    assert main(["evaluate", "runs/slake", "--split", "val", "--json"]) == 0
    report = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    assert report["metrics"]["accuracy"] > 0.9
    assert report["metrics"].keys() == {"accuracy", "open", "closed"}
    assert report["signature"].startswith("slake|language:zh|")
    assert main(["predict", "runs/slake", "--split", "test", "--output", "answers.json"]) == 0
    answers = json.loads(Path("answers.json").read_text())
    assert [row["qid"] for row in answers] == [record["qid"] for record in records["test"]]
    assert np.mean([row["answer"] == ("肝脏", "肺")[place % 2] for place, row in enumerate(answers)]) > 0.9
    image = str(tmp_path / "imgs" / records["test"][0]["img_name"])
    assert main(["ask", "runs/slake", "--image", image, "--question", "图中显示的是哪个器官？", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.strip().splitlines()[-1])["answers"][0]["answer"] == "肝脏"
