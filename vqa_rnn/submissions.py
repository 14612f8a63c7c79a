"""Predictions to the file that a benchmark's official evaluation reads. Ids become what they are in the official files."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from vqa_rnn.records import Prediction, Question


def _vqa(question: Question, prediction: Prediction) -> dict[str, Any]:
    return {"question_id": int(question.question_id), "answer": prediction.answer}


def _visual7w(question: Question, prediction: Prediction) -> dict[str, Any]:
    answer = int(prediction.answer) if question.choice_labels else prediction.answer
    return {"qa_id": int(question.question_id), "question": question.question, "candidates": [{"answer": answer}]}


def _visdial(question: Question, prediction: Prediction) -> dict[str, Any]:
    image_id, _, round_index = question.question_id.rpartition("-")
    assert prediction.ranks is not None, "every round has options"
    return {"image_id": int(image_id), "round_id": int(round_index) + 1, "ranks": prediction.ranks.tolist()}


def _clevr(question: Question, prediction: Prediction) -> dict[str, Any]:
    return {"question_index": int(question.question_id.rpartition("/")[2]), "answer": prediction.answer}


def _clevr_dialog(question: Question, prediction: Prediction) -> dict[str, Any]:
    image_index, dialog_index, round_index = map(int, question.question_id.rpartition("/")[2].split("-"))
    places = {"image_index": image_index, "dialog_index": dialog_index, "round_index": round_index}
    return places | {"answer": prediction.answer}


def _plain(question: Question, prediction: Prediction) -> dict[str, Any]:
    return {"question_id": question.question_id, "answer": prediction.answer, "probability": prediction.probability}


# One entry a question, by benchmark. DAQUAR's file is a line a question, and not JSON.
ROWS: dict[str, Callable[[Question, Prediction], dict[str, Any]]] = {
    "easy_vqa": _plain,
    "vqa": _vqa,
    "visual7w": _visual7w,
    "visdial": _visdial,
    "clevr": _clevr,
    "clevr_dialog": _clevr_dialog,
    "jsonl": _plain,
}


def submission_text(benchmark: str, questions: Sequence[Question], predictions: Mapping[str, Prediction]) -> str:
    """The content of a submission file.

    VQA has ``question_id`` and ``answer``; Visual7W ``qa_id`` and one candidate, a box id for pointing; VisDial ``image_id``,
    ``round_id`` from 1 and the rank of each option; CLEVR ``question_index`` and ``answer``; CLEVR-Dialog ``image_index``,
    ``dialog_index``, ``round_index``, all from 0, and ``answer``; DAQUAR one answer a line.

    Args:
        benchmark: The benchmark.
        questions: In the order of the source.
        predictions: By question id, one for each.

    Returns:
        JSON, an entry a line; or for DAQUAR plain lines.
    """
    pairs = [(question, predictions[question.question_id]) for question in questions]
    if benchmark == "daquar":
        return "".join(f"{prediction.answer}\n" for _, prediction in pairs)
    rows = [json.dumps(ROWS[benchmark](*pair), ensure_ascii=False) for pair in pairs]
    return "[\n" + ",\n".join(rows) + "\n]\n"
