"""What a submission file holds."""

import json

import numpy as np

from vqa_rnn.benchmarks import BENCHMARKS, submissions
from vqa_rnn.records import Prediction, Question


def submission_text(benchmark: str, questions: list[Question], predictions: dict[str, Prediction]) -> str:
    return submissions.submission_text(BENCHMARKS[benchmark].submission, questions, predictions)


def ask(question_id: str, **more) -> Question:
    return Question(question_id=question_id, image_id="9", question="what is it", split="test", **more)


def say(question_id: str, answer: str, **more) -> dict[str, Prediction]:
    return {question_id: Prediction(question_id=question_id, answer=answer, probability=0.5, **more)}


def test_vqa():
    assert json.loads(submission_text("vqa", [ask("458752000")], say("458752000", "naïve"))) == [
        {"question_id": 458752000, "answer": "naïve"}
    ]


def test_visual7w_tells_a_text_and_points_with_a_box_id():
    telling = ask("986916", choices=("Trees.", "A dog."))
    assert json.loads(submission_text("visual7w", [telling], say("986916", "Trees.", choice=0))) == [
        {"qa_id": 986916, "question": "what is it", "candidates": [{"answer": "Trees."}]}
    ]
    pointing = ask("7", choice_regions=(1, 2), choice_labels=("2456", "31"))
    assert json.loads(submission_text("visual7w", [pointing], say("7", "31", choice=1)))[0]["candidates"] == [{"answer": 31}]


def test_visdial_counts_rounds_from_one_and_ranks_options_in_the_order_given():
    question = ask("185565-0", choices=("a", "b", "c"))
    answer = say("185565-0", "b", choice=1, ranks=np.array([3, 1, 2]))
    assert json.loads(submission_text("visdial", [question], answer)) == [
        {"image_id": 185565, "round_id": 1, "ranks": [3, 1, 2]}
    ]


def test_clevr_leaves_the_split_out_of_its_index():
    text = submission_text("clevr", [ask("test/3"), ask("test/12")], say("test/3", "yes") | say("test/12", "2"))
    assert json.loads(text) == [{"question_index": 3, "answer": "yes"}, {"question_index": 12, "answer": "2"}]


def test_clevr_dialog_counts_from_zero():
    text = submission_text(
        "clevr_dialog", [ask("test/103-4-0"), ask("test/7-0-9")], say("test/103-4-0", "bleu à") | say("test/7-0-9", "2")
    )
    assert json.loads(text) == [
        {"image_index": 103, "dialog_index": 4, "round_index": 0, "answer": "bleu à"},
        {"image_index": 7, "dialog_index": 0, "round_index": 9, "answer": "2"},
    ]


def test_daquar_is_an_answer_a_line_in_the_order_of_the_questions():
    assert submission_text("daquar", [ask("b"), ask("a")], say("a", "bed") | say("b", "table, lamp")) == "table, lamp\nbed\n"


def test_others_keep_their_own_ids():
    assert json.loads(submission_text("jsonl", [ask("12")], say("12", "red"))) == [
        {"question_id": "12", "answer": "red", "probability": 0.5}
    ]
    assert json.loads(submission_text("jsonl", [], {})) == []
