"""``shapes_dialog``: dialogs about drawn scenes whose later questions need earlier rounds, in the file format of VisDial 1.0.

    FOLDER/visdial_1.0_{train,val,test}.json                    answers in all splits; each round also has ``needs_history`` and
                                                                ``coreference_distance``
    FOLDER/visdial_1.0_{val,test}_dense_annotations.json        graded relevance of one round per dialog
    FOLDER/visdial_1.0_train_dense_sample.json                  the same for every tenth training dialog
    FOLDER/visdial_1.0_test_withheld.json                       test as in the official file: dialogs end at the asked round
    FOLDER/scenes_{train,val,test}.json                         the things of each image
    FOLDER/answers.txt                                          all possible answers, for vqa-rnn ask --choices
    FOLDER/train2014/, VisualDialog_val2018/, VisualDialog_test2018/

``dialogs`` generates the questions; ``dialog_answers`` has the answers.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from preprocessing.dialog_answers import ANSWERS, relevance
from preprocessing.dialogs import NUM_ROUNDS, SceneDialog, Turn, make_dialog
from preprocessing.scenes import describe_scene, draw_scene, sample_scene
from vqa_rnn.files import write_text
from vqa_rnn.progress import progress_bar
from vqa_rnn.records import Split

JUDGED_EVERY = 10
"""Of so many training dialogs one has graded relevance: few have it in VisDial too."""

_FIRST_IMAGES = {"train": 1, "val": 1_000_001, "test": 2_000_001}
_IMAGE_NAMES = {
    "train": "train2014/COCO_train2014_{:012d}.jpg",
    "val": "VisualDialog_val2018/VisualDialog_val2018_{:012d}.jpg",
    "test": "VisualDialog_test2018/VisualDialog_test2018_{:012d}.jpg",
}

_DENSE_NAMES = {"train": "train_dense_sample", "val": "val_dense_annotations", "test": "test_dense_annotations"}


def write_shapes_dialog(folder: Path, images: Mapping[Split, int], seed: int) -> dict[str, int]:
    """Write the data set.

    Args:
        folder: An empty folder.
        images: Number of images of each split; each image has one dialog.
        seed: Seed of all random draws.

    Returns:
        Numbers of images and rounds by split: ``train_images``, ``train_rounds``, ….
    """
    counts: dict[str, int] = {}
    with progress_bar() as progress:
        for split, number_of_images in images.items():
            task = progress.add_task(split, total=number_of_images, rate="")
            (folder / _IMAGE_NAMES[split]).parent.mkdir(parents=True)
            dialogs: dict[int, SceneDialog] = {}
            scenes = []
            for number in range(number_of_images):
                scene = sample_scene(seed, split, number)
                image_id = _FIRST_IMAGES[split] + number
                path = folder / _IMAGE_NAMES[split].format(image_id)
                draw_scene(scene).save(path, quality=95, subsampling=0)  # colours at full resolution
                dialogs[image_id] = make_dialog(scene)
                scenes.append({"image_id": image_id, "objects": describe_scene(scene)})
                progress.update(task, advance=1)
            _write_split(folder, split, dialogs)
            write_text(folder / f"scenes_{split}.json", json.dumps(scenes))
            counts |= {f"{split}_images": number_of_images, f"{split}_rounds": number_of_images * NUM_ROUNDS}
    write_text(folder / "answers.txt", "".join(f"{text}\n" for text in _ANSWER_PLACES))
    return counts


def _write_split(folder: Path, split: Split, dialogs: Mapping[int, SceneDialog]) -> None:
    _write_dialogs(folder / f"visdial_1.0_{split}.json", split, dialogs, withheld=False)
    if split == "test":
        _write_dialogs(folder / "visdial_1.0_test_withheld.json", split, dialogs, withheld=True)
    judged = {image_id: dialog for image_id, dialog in dialogs.items() if split != "train" or image_id % JUDGED_EVERY == 0}
    _write_relevance(folder / f"visdial_1.0_{_DENSE_NAMES[split]}.json", split, judged)


def _write_relevance(path: Path, split: Split, dialogs: Mapping[int, SceneDialog]) -> None:
    """Write the relevance of each dialog's graded round, under the key that the official files use for the split."""
    key = "relevance" if split == "train" else "gt_relevance"
    dense = []
    for image_id, dialog in dialogs.items():
        turn = dialog.turns[dialog.graded]
        grades = [relevance(choice, turn.answer) for choice in turn.choices]
        dense.append({"image_id": image_id, "round_id": dialog.graded + 1, key: grades})
    write_text(path, json.dumps(dense))


def _write_dialogs(path: Path, split: Split, dialogs: Mapping[int, SceneDialog], *, withheld: bool) -> None:
    """Write complete dialogs, or with ``withheld`` only up to their graded round, without its answer."""
    questions = sorted({turn.question for dialog in dialogs.values() for turn in dialog.turns})
    question_places = {text: place for place, text in enumerate(questions)}
    records = []
    for image_id, dialog in dialogs.items():
        rounds = [_record(turn, question_places) for turn in dialog.turns]
        if withheld:
            rounds = rounds[: dialog.graded + 1]
            rounds = [{"question": turn["question"], "answer": turn["answer"]} for turn in rounds[:-1]] + [
                {"question": rounds[-1]["question"], "answer_options": rounds[-1]["answer_options"]}
            ]
        records.append({"image_id": image_id, "caption": dialog.caption, "dialog": rounds})
    data = {"questions": questions, "answers": list(_ANSWER_PLACES), "dialogs": records}
    write_text(path, json.dumps({"version": "1.0", "split": f"{split}2018", "data": data}))


_ANSWER_PLACES = {
    text: place for place, text in enumerate(sorted({answer.text for said in ANSWERS.values() for answer in said.values()}))
}


def _record(turn: Turn, question_places: Mapping[str, int]) -> dict[str, Any]:
    return {
        "question": question_places[turn.question],
        "answer": _ANSWER_PLACES[turn.answer.text],
        "answer_options": [_ANSWER_PLACES[choice.text] for choice in turn.choices],
        "gt_index": turn.choices.index(turn.answer),
        "needs_history": turn.needs_history,
        "coreference_distance": turn.coreference_distance,
    }
