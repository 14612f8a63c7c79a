"""What ``evaluate`` reports, from made-up scores, and how it is printed."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from preprocessing.extract_features import ExtractionReport
from vqa_rnn.commands.measure import Measurement, summarise
from vqa_rnn.commands.tables import print_evaluation, print_extraction
from vqa_rnn.metrics.floors import text_floors
from vqa_rnn.metrics.official import visdial_metrics
from vqa_rnn.records import Prediction, Question

CHOICES = ("yes", "no", "red", "blue")
ALL_METRICS = ["r@1", "r@5", "r@10", "mean_rank", "mrr", "ndcg"]


def ask(image: int, round_index: int, answer: str) -> Question:
    return Question(
        question_id=f"{image}-{round_index}",
        image_id=str(image),
        question="is it red" if round_index else "what colour is it",
        split="val",
        human_answers=(answer,),
        choices=CHOICES,
        correct_choice=CHOICES.index(answer),
        relevance=(1, 0.5, 0, 0) if round_index else (),
        dialog_id=str(image),
        round_index=round_index,
        needs_history=bool(round_index),
        coreference_distance=round_index,
    )


def rank(question: Question, *ranks: int) -> Prediction:
    best = ranks.index(1)
    return Prediction(
        question_id=question.question_id,
        answer=CHOICES[best],
        probability=0.5,
        choice=best,
        ranks=np.array(ranks, dtype=np.int64),
    )


@pytest.fixture
def report() -> dict[str, Any]:
    """Six images; the first round is always right, the second has the truth in second place."""
    questions = tuple(ask(image, i, answer) for image in range(6) for i, answer in enumerate(("red", "yes")))
    said = [rank(q, 2, 1, 3, 4) if q.round_index else rank(q, 4, 3, 1, 2) for q in questions]
    predictions = {prediction.question_id: prediction for prediction in said}
    floors = {name: visdial_metrics(questions, found) for name, found in text_floors(questions, questions, 2).items()}
    floors["chance"] = {"r@1": np.full(len(questions), 0.25)}
    metrics = visdial_metrics(questions, predictions)
    measured = Measurement(
        benchmark="visdial",
        split="val",
        questions=questions,
        predictions=predictions,
        metrics=metrics,
        floors=floors,
        ceilings={},
    )
    return summarise(measured, 20) | {"signature": "made up"}


def test_every_floor_has_every_metric_that_applies_and_the_interval_of_the_headline(report: dict[str, Any]):
    assert set(report["floors"]) == {"most_frequent_answer", "question_prefix", "question_string", "chance"}
    string = report["floors"]["question_string"]
    assert [*string] == [*ALL_METRICS, "interval"]
    assert (string["r@1"], string["mean_rank"], string["mrr"]) == (1.0, 1.0, 1.0)
    assert string["interval"] == [1.0, 1.0]
    assert report["floors"]["chance"] == {"r@1": 0.25, "interval": [0.25, 0.25]}


def test_breakdowns_have_every_metric_that_applies(report: dict[str, Any]):
    assert set(report["per_type"]) == {"round", "needs_history", "coreference_distance"}
    assert report["per_type"]["needs_history"]["false"] == {
        "r@1": 1.0,
        "r@5": 1.0,
        "r@10": 1.0,
        "mean_rank": 1.0,
        "mrr": 1.0,
        "num_questions": 6,
        "chance": 0.25,
    }
    second = report["per_type"]["round"]["2"]
    assert second == report["per_type"]["needs_history"]["true"] == report["per_type"]["coreference_distance"]["1"]
    assert (second["r@1"], second["mrr"]) == (0.0, 0.5)
    assert second["ndcg"] == pytest.approx((0.5 + 1 / np.log2(3)) / (1 + 0.5 / np.log2(3)))
    assert list(report["per_type"]["coreference_distance"]) == ["none", "1"]


def test_tables_show_the_headline_by_kind_and_the_other_metrics_beside_the_floors(report: dict[str, Any]):
    printed = io.StringIO()
    print_evaluation(report, Console(file=printed, width=100))
    lines = [" ".join(line.replace("│", " ").replace("┃", " ").split()) for line in printed.getvalue().splitlines()]
    assert "needs history r@1 questions chance" in lines
    assert "true 0.00% 6 25.00%" in lines
    assert "coreference distance r@1 questions chance" in lines
    assert "mrr 75.00% 75.00% to 75.00%" in lines
    assert "mean_rank 1.50 1.50 to 1.50" in lines
    assert "floor r@5 r@10 mean_rank mrr ndcg" in lines
    assert any(line.startswith("most frequent answer of the question 100.00% 100.00% 1.00 100.00% ") for line in lines)
    assert not any(line.startswith("a blind guess 100.00%") for line in lines)  # of one metric alone


def test_what_comes_from_files_is_no_markup(report: dict[str, Any]):
    printed = io.StringIO()
    console = Console(file=printed, width=100)
    report["per_type"] = {"question_type": {"what [/b]": report["per_type"]["round"]["1"]}}
    print_evaluation(report, console)
    print_extraction(ExtractionReport(Path("features[old]/a.h5"), 2, 1, {"photos[/x]/a.png": "is [cut]"}, 1.0), console)
    for words in ("what [/b]", "features[old]/a.h5: 2 images", "skipped photos[/x]/a.png: is [cut]"):
        assert words in printed.getvalue()


def test_a_benchmark_with_one_metric_has_one_table_of_floors(report: dict[str, Any]):
    del report["per_type"]
    for part in (report["metrics"], report["intervals"]):
        for name in ALL_METRICS[1:]:
            del part[name]
    printed = io.StringIO()
    print_evaluation(report | {"per_type": {}}, Console(file=printed, width=100))
    assert "mrr" not in printed.getvalue()
    assert "most frequent answer of the question" in printed.getvalue()


def test_the_best_reachable_score_is_printed_where_it_is_below_one(report: dict[str, Any], capsys: pytest.CaptureFixture[str]):
    report["ceilings"] = {"best_answer": {"r@1": 1.0}, "best_known_answer": {"r@1": 0.5}}
    print_evaluation(report, Console(width=120))
    printed = capsys.readouterr().out
    assert "at best, by any answer" not in printed
    assert "at best, by an answer of the vocabulary" in printed
    assert "50.00%" in printed
