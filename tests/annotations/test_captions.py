"""Readers of captions: your own, COCO, Flickr8k, Flickr30k, and those of dialogs, in their official formats."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vqa_rnn.benchmarks import read_annotations
from vqa_rnn.config import (
    CaptionsDataset,
    ClevrDialogCaptionsDataset,
    CocoCaptionsDataset,
    Flickr8kDataset,
    Flickr30kDataset,
    VisdialCaptionsDataset,
)
from vqa_rnn.errors import UserError
from vqa_rnn.records import CAPTION_PROMPT, Annotations


def error_of(read: Callable[[], object]) -> str:
    with pytest.raises(UserError) as caught:
        read()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def told(annotations: Annotations) -> dict[str, tuple[str, tuple[str, ...]]]:
    assert {question.question for question in annotations.questions} == {CAPTION_PROMPT}
    return {question.image_id: (question.split, question.human_answers) for question in annotations.questions}


def as_json(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


OWN = [
    {"image": "a.png", "captions": ["A red  square.", "a square"], "split": "train"},
    {"image": "b.png", "captions": "a circle", "split": "validation"},
    {"image": "sub/c.png", "split": "test"},
]


@pytest.mark.parametrize("form", ["lines", "array"])
def test_your_own_captions(tmp_path: Path, form: str) -> None:
    path = tmp_path / "captions.jsonl"
    path.write_text("\n".join(map(json.dumps, OWN)) if form == "lines" else json.dumps(OWN), encoding="utf-8")
    annotations = read_annotations(CaptionsDataset(path=path))
    assert told(annotations) == {
        "a.png": ("train", ("A red square.", "a square")),
        "b.png": ("val", ("a circle",)),
        "sub/c.png": ("test", ()),
    }
    assert annotations.images["sub/c.png"] == tmp_path / "sub/c.png"


WRONG = {
    "misspelt": ({"image": "a.png", "caption": ["x"]}, ":1: unknown key 'caption': did you mean 'captions'?"),
    "missing": ({"image": "a.png"}, ":1: captions is missing; it is optional only in the test split"),
    "empty": ({"image": "a.png", "captions": []}, ":1: captions is an empty list: give at least one text"),
    "blank": ({"image": "a.png", "captions": ["ok", "  "]}, ":1: captions[1] is empty"),
    "number": ({"image": "a.png", "captions": 7}, ":1: captions: a list is needed, not a number"),
    "no object": ("a.png", ":1: a JSON object is needed, such as {"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_record_is_named_in_one_line(tmp_path: Path, case: str) -> None:
    record, expected = WRONG[case]
    path = tmp_path / "captions.jsonl"
    path.write_text(json.dumps(record), encoding="utf-8")
    assert f"{path}{expected}" in error_of(lambda: read_annotations(CaptionsDataset(path=path)))


def test_a_file_of_another_kind_is_asked_for_captions(tmp_path: Path) -> None:
    path = tmp_path / "captions.jsonl"
    dataset = CaptionsDataset(path=path)
    assert error_of(lambda: read_annotations(dataset)) == f"no file of captions at {path}: set dataset.path to yours"
    path.write_text('{"image": "a.png", "captions": [}')
    assert f'{path}:1: not a JSON object, such as {{"image": "photos/kitchen.jpg", "captions": [' in error_of(
        lambda: read_annotations(dataset)
    )
    path.write_text('{"images": [{"id": 1}]}')
    assert "a list under 'images': an array of captions is needed" in error_of(lambda: read_annotations(dataset))


def test_an_image_has_one_record(tmp_path: Path) -> None:
    path = tmp_path / "captions.jsonl"
    path.write_text("\n".join(map(json.dumps, [OWN[0], OWN[1], OWN[0]])), encoding="utf-8")
    said = error_of(lambda: read_annotations(CaptionsDataset(path=path)))
    assert said == f"{path}:3: the image a.png comes twice, first at {path}:1: put its captions together"
    table = tmp_path / "captions.csv"
    table.write_text("image,captions\na.png,x\n", encoding="utf-8")
    assert "captions are read from JSON lines or a JSON array" in error_of(
        lambda: read_annotations(CaptionsDataset(path=table))
    )


def split_file(**more: Any) -> dict[str, Any]:
    def image(name: str, split: str, *raw: str) -> dict[str, Any]:
        sentences = [{"raw": text, "tokens": text.lower().split(), "imgid": 0, "sentid": 0} for text in raw]
        return {"filename": name, "split": split, "sentences": sentences, "imgid": 0, "sentids": [0], **more}

    images = [image("1.jpg", "train", "A dog .", "Dogs."), image("2.jpg", "restval", "A cat"), image("3.jpg", "val", "A cow")]
    return {"images": [*images, image("4.jpg", "test", "An owl")], "dataset": "flickr8k"}


def test_karpathys_split_file(tmp_path: Path) -> None:
    content = split_file()
    for number, image in enumerate(content["images"]):
        image |= {"cocoid": 100 + number, "filepath": "val2014"}
    as_json(tmp_path / "dataset_coco.json", content)
    annotations = read_annotations(CocoCaptionsDataset(root=tmp_path))
    assert told(annotations) == {
        "100": ("train", ("A dog .", "Dogs.")),
        "101": ("train", ("A cat",)),
        "102": ("val", ("A cow",)),
        "103": ("test", ("An owl",)),
    }
    assert annotations.images["101"] == tmp_path / "val2014/2.jpg"
    content["images"][1]["split"] = "holdout"
    as_json(tmp_path / "dataset_coco.json", content)
    said = error_of(lambda: read_annotations(CocoCaptionsDataset(root=tmp_path)))
    assert said.endswith("images[1].split: 'holdout' is unknown (known: train, restval, val, test)")


def test_cocos_official_files(tmp_path: Path) -> None:
    for split, first in (("train", 7), ("val", 9)):
        images = [{"id": first, "file_name": f"COCO_{first}.jpg", "height": 2}, {"id": first + 1, "file_name": "x.jpg"}]
        captions = [{"image_id": first, "id": 1, "caption": "A bus"}, {"image_id": first, "id": 2, "caption": "Two\nbuses"}]
        captions.append({"image_id": first + 1, "id": 3, "caption": "Rain"})
        as_json(tmp_path / f"annotations/captions_{split}2014.json", {"images": images, "annotations": captions})
    dataset = CocoCaptionsDataset(root=tmp_path, split_file=None)
    annotations = read_annotations(dataset)
    assert told(annotations)["7"] == ("train", ("A bus", "Two buses"))
    assert [question.image_id for question in annotations.split("val")] == ["9", "10"]
    assert annotations.images["9"] == tmp_path / "val2014/COCO_9.jpg"
    assert not annotations.split("test")
    wrong = {"images": [{"id": 1, "file_name": "x.jpg"}], "annotations": [{"image_id": 2, "id": 1, "caption": "A bus"}]}
    as_json(tmp_path / "annotations/captions_val2014.json", wrong)
    assert error_of(lambda: read_annotations(dataset)).endswith("annotations[0].image_id: there is no image 2 in this file")


def test_flickr8ks_official_files(tmp_path: Path) -> None:
    tokens = "".join(f"{name}.jpg#{n}\tA {name} number {n} .\n" for name in ("a", "b", "c", "d") for n in range(5))
    (tmp_path / "Flickr8k.token.txt").write_text(f"{tokens}gone.jpg.1#0\tNo such file .\n", encoding="utf-8")
    for split, names in (("train", "a.jpg\nb.jpg\n"), ("dev", "c.jpg\n"), ("test", "d.jpg\n")):
        (tmp_path / f"Flickr_8k.{split}Images.txt").write_text(names, encoding="utf-8")
    annotations = read_annotations(Flickr8kDataset(root=tmp_path))
    assert {image: split for image, (split, _) in told(annotations).items()} == {
        "a.jpg": "train",
        "b.jpg": "train",
        "c.jpg": "val",
        "d.jpg": "test",
    }
    assert told(annotations)["c.jpg"][1] == tuple(f"A c number {n} ." for n in range(5))
    assert annotations.images["d.jpg"] == tmp_path / "Flicker8k_Dataset/d.jpg"
    as_json(tmp_path / "dataset_flickr8k.json", split_file())
    karpathy = read_annotations(Flickr8kDataset(root=tmp_path, split_file="dataset_flickr8k.json"))
    assert karpathy.images["3.jpg"] == tmp_path / "Flicker8k_Dataset/3.jpg"
    (tmp_path / "Flickr_8k.devImages.txt").write_text("c.jpg\nz.jpg\n", encoding="utf-8")
    said = error_of(lambda: read_annotations(Flickr8kDataset(root=tmp_path)))
    assert said.endswith("Flickr_8k.devImages.txt:2: z.jpg has no captions in Flickr8k.token.txt")
    (tmp_path / "Flickr8k.token.txt").write_text("a.jpg#0\tx\nb.jpg A dog\n", encoding="utf-8")
    said = error_of(lambda: read_annotations(Flickr8kDataset(root=tmp_path)))
    assert said.endswith("Flickr8k.token.txt:2: IMAGE.jpg#0, a tab and a caption are needed, not 'b.jpg A dog'")


def test_flickr30ks_token_file_has_no_splits(tmp_path: Path) -> None:
    tokens = "".join(f"{name}.jpg#0\tA thing .\n" for name in range(20))
    (tmp_path / "results_20130124.token").write_text(tokens, encoding="utf-8")
    annotations = read_annotations(Flickr30kDataset(root=tmp_path, split_file=None))
    assert (len(annotations.split("train")), len(annotations.split("val"))) == (18, 2)
    missing = error_of(lambda: read_annotations(Flickr30kDataset(root=tmp_path)))
    assert missing == f"no split file of captions at {tmp_path / 'dataset_flickr30k.json'}"


def test_the_captions_of_dialogs(tmp_path: Path) -> None:
    def dialogs(split: str, first: int) -> dict[str, Any]:
        turn = {"question": 0, "answer": 0, "answer_options": [0, 1], "gt_index": 0}
        some = [{"image_id": first + n, "caption": f"{split} {n}", "dialog": [turn, turn]} for n in range(2)]
        return {"version": "1.0", "split": split, "data": {"questions": ["is it"], "answers": ["yes", "no"], "dialogs": some}}

    for split, first in (("train", 1), ("val", 5)):
        as_json(tmp_path / f"visdial_1.0_{split}.json", dialogs(split, first))
    annotations = read_annotations(VisdialCaptionsDataset(root=tmp_path), ["train", "val"])
    assert [answers for _, answers in told(annotations).values()] == [("train 0",), ("train 1",), ("val 0",), ("val 1",)]

    rounds = [{"question": "how many", "answer": 2}]
    for split in ("train", "val"):
        said = [{"caption": text, "dialog": rounds} for text in ("a cube", "two spheres", "a cube")]
        image = {"image_index": 0, "image_filename": "x.png", "dialogs": said}
        as_json(tmp_path / f"clevr_dialog_{split}_raw.json", [image])
    annotations = read_annotations(ClevrDialogCaptionsDataset(root=tmp_path), ["train"])
    assert told(annotations) == {"train/x.png": ("train", ("a cube", "two spheres"))}
