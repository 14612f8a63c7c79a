"""Table of all benchmarks, by ``dataset.name``. A new benchmark needs options, a reader and a row here."""

from collections.abc import Callable, Sequence
from typing import Any

from vqa_rnn.annotations.captions import captions_of_dialogs, read_captions
from vqa_rnn.annotations.clevr import read_clevr
from vqa_rnn.annotations.clevr_dialog import read_clevr_dialog
from vqa_rnn.annotations.daquar import read_daquar
from vqa_rnn.annotations.easy_vqa import read_easy_vqa
from vqa_rnn.annotations.jsonl import read_jsonl
from vqa_rnn.annotations.photo_captions import read_coco_captions, read_flickr8k, read_flickr30k
from vqa_rnn.annotations.slake import read_slake
from vqa_rnn.annotations.visdial import read_visdial
from vqa_rnn.annotations.visual7w import read_visual7w
from vqa_rnn.annotations.vqa import read_vqa
from vqa_rnn.annotations.vqa_rad import read_vqa_rad
from vqa_rnn.benchmarks.benchmark import Benchmark, Submission, answer_entry
from vqa_rnn.config.dataset import (
    CaptionsDataset,
    ClevrDataset,
    ClevrDialogCaptionsDataset,
    ClevrDialogDataset,
    CocoCaptionsDataset,
    DaquarDataset,
    DatasetOptions,
    EasyVqaDataset,
    Flickr8kDataset,
    Flickr30kDataset,
    JsonlDataset,
    SlakeDataset,
    VisdialCaptionsDataset,
    VisdialDataset,
    Visual7wDataset,
    VqaDataset,
    VqaRadDataset,
)
from vqa_rnn.metrics.floors import caption_floors
from vqa_rnn.metrics.official import caption_bleu, caption_scores, open_closed_accuracy, visdial_metrics, visual7w_accuracy
from vqa_rnn.records import Annotations, Prediction, Question, Split


def _vqa_id(question: Question) -> dict[str, Any]:
    return {"question_id": int(question.question_id)}


def _visual7w_id(question: Question) -> dict[str, Any]:
    return {"qa_id": int(question.question_id), "question": question.question}


def _visual7w_answer(question: Question, prediction: Prediction) -> dict[str, Any]:
    answer = int(prediction.answer) if question.choice_labels else prediction.answer
    return {"candidates": [{"answer": answer}]}


def _visdial_id(question: Question) -> dict[str, Any]:
    image_id, _, round_index = question.question_id.rpartition("-")
    return {"image_id": int(image_id), "round_id": int(round_index) + 1}


def _visdial_answer(question: Question, prediction: Prediction) -> dict[str, Any]:
    assert prediction.ranks is not None, "every round has options"
    return {"ranks": prediction.ranks.tolist()}


def _clevr_id(question: Question) -> dict[str, Any]:
    return {"question_index": int(question.question_id.rpartition("/")[2])}


def _clevr_dialog_id(question: Question) -> dict[str, Any]:
    image_index, dialog_index, round_index = map(int, question.question_id.rpartition("/")[2].split("-"))
    return {"image_index": image_index, "dialog_index": dialog_index, "round_index": round_index}


def _qid(question: Question) -> dict[str, Any]:
    return {"qid": int(question.question_id) if question.question_id.isdecimal() else question.question_id}


def _coco_image(question: Question) -> dict[str, Any]:
    return {"image_id": int(question.question_id) if question.question_id.isdecimal() else question.question_id}


def _caption(question: Question, prediction: Prediction) -> dict[str, Any]:
    return {"caption": prediction.answer}


def _own_answer(question: Question, prediction: Prediction) -> dict[str, Any]:
    return answer_entry(question, prediction) | {"probability": prediction.probability}


def _captions(options: type[DatasetOptions], reader: Callable[[Any, Sequence[Split]], Annotations]) -> Benchmark:
    return Benchmark(
        options=options,
        reader=reader,
        metrics=caption_scores,
        corpus=caption_bleu,
        floors=caption_floors,
        by_answer=False,
        submission=Submission(_coco_image, _caption, "caption"),
    )


def _captions_of(
    reader: Callable[[Any, Sequence[Split]], Annotations],
) -> Callable[[Any, Sequence[Split]], Annotations]:
    """Return a reader of the captions that open the dialogs of a reader."""
    return lambda dataset, splits: captions_of_dialogs(reader(dataset, splits))


BENCHMARKS: dict[str, Benchmark] = {
    "easy_vqa": Benchmark(options=EasyVqaDataset, reader=read_easy_vqa, submission=Submission(answer=_own_answer)),
    "vqa": Benchmark(options=VqaDataset, reader=read_vqa, submission=Submission(_vqa_id), official=("vqa1", "vqa2")),
    "visual7w": Benchmark(
        options=Visual7wDataset,
        reader=read_visual7w,
        metrics=visual7w_accuracy,
        by_answer=False,
        submission=Submission(_visual7w_id, _visual7w_answer),
        official=("visual7w",),
    ),
    "visdial": Benchmark(
        options=VisdialDataset,
        reader=read_visdial,
        metrics=visdial_metrics,
        by_answer=False,
        submission=Submission(_visdial_id, _visdial_answer),
        official=("visdial", "visdial0.9"),
    ),
    "clevr": Benchmark(options=ClevrDataset, reader=read_clevr, submission=Submission(_clevr_id), official=("clevr",)),
    "clevr_dialog": Benchmark(options=ClevrDialogDataset, reader=read_clevr_dialog, submission=Submission(_clevr_dialog_id)),
    "daquar": Benchmark(options=DaquarDataset, reader=read_daquar, submission=Submission(key=None), official=("daquar",)),
    "vqa_rad": Benchmark(
        options=VqaRadDataset,
        reader=read_vqa_rad,
        metrics=open_closed_accuracy,
        submission=Submission(_qid),
        official=("vqa_rad",),
    ),
    "slake": Benchmark(
        options=SlakeDataset,
        reader=read_slake,
        metrics=open_closed_accuracy,
        submission=Submission(_qid),
        official=("slake",),
    ),
    "coco_captions": _captions(CocoCaptionsDataset, read_coco_captions),
    "flickr8k": _captions(Flickr8kDataset, read_flickr8k),
    "flickr30k": _captions(Flickr30kDataset, read_flickr30k),
    "visdial_captions": _captions(VisdialCaptionsDataset, _captions_of(read_visdial)),
    "clevr_dialog_captions": _captions(ClevrDialogCaptionsDataset, _captions_of(read_clevr_dialog)),
    "captions": _captions(CaptionsDataset, read_captions),
    "jsonl": Benchmark(options=JsonlDataset, reader=read_jsonl, submission=Submission(answer=_own_answer)),
}
