"""VQA-RAD's and SLAKE's official files."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from tests.annotations.mutations import mutations
from vqa_rnn.annotations.slake import read_slake
from vqa_rnn.annotations.vqa_rad import read_vqa_rad
from vqa_rnn.benchmarks import read_annotations
from vqa_rnn.config import SlakeDataset, VqaRadDataset
from vqa_rnn.errors import UserError
from vqa_rnn.records import Annotations, Split

SHARED = Path(__file__).parents[3] / "shared" / "data"


def changed(given: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in (given | changes).items() if value is not ...}


def rad(**changes: Any) -> dict[str, Any]:
    given = {"qid": 1, "image_name": "synpic1.jpg", "question": "Is it?", "answer": "Yes", "answer_type": "CLOSED"}
    return changed(given | {"question_type": "PRES", "phrase_type": "freeform", "image_organ": "HEAD"}, changes)


def slake(**changes: Any) -> dict[str, Any]:
    given = {"qid": 1, "img_name": "xmlab1/source.jpg", "question": "Is it?", "answer": "Yes", "answer_type": "CLOSED"}
    return changed(given | {"content_type": "Organ", "q_lang": "en", "triple": "['vhead', '_', '_']"}, changes)


def write(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def rad_folder(folder: Path, **files: Any) -> VqaRadDataset:
    for name, content in files.items():
        write(folder / f"{name}.json", content)
    return VqaRadDataset(root=folder)


def slake_folder(folder: Path, language: str = "en", **files: Any) -> SlakeDataset:
    for name, content in files.items():
        write(folder / f"{name}.json", content)
    return SlakeDataset(root=folder, language=language)  # type: ignore[arg-type]  # checked there


def test_the_quirks_of_vqa_rad(tmp_path: Path):
    content = [
        rad(answer_type="CLOSED ", question_type="PRES, POS", phrase_type="para"),
        rad(qid=2, answer=4, answer_type="OPEN", question_type="Other"),
        rad(qid="3", answer=" left lung\n", phrase_type=...),
    ]
    annotations = read_vqa_rad(rad_folder(tmp_path, trainset=content), ["train", "val", "test"])
    first, second, third = annotations.questions
    assert (first.question_id, first.image_id, first.split) == ("1", "synpic1.jpg", "train")
    assert (first.answer_type, first.question_type, first.phrasing) == ("closed", "PRES, POS", "para")
    assert (second.human_answers, second.answer_type, second.question_type) == (("4",), "open", "OTHER")
    assert (third.human_answers, third.phrasing) == (("left lung",), None)
    assert annotations.images == {"synpic1.jpg": tmp_path / "images" / "synpic1.jpg"}


def test_validation_of_vqa_rad_is_cut_by_image_or_by_question(tmp_path: Path):
    content = [rad(qid=n, image_name=f"synpic{n % 4}.jpg") for n in range(40)]
    folder = rad_folder(tmp_path, trainset=content, testset=[rad(qid=99)])
    for cut, shares_images in (("image", False), ("question", True)):
        dataset = folder.model_copy(update={"validation_cut": cut, "validation_fraction": 0.25})
        found = read_annotations(dataset)
        train, val = ({question.image_id for question in found.split(split)} for split in ("train", "val"))
        assert len(found.split("val")) == 10
        assert bool(train & val) == shares_images


def test_vqa_rad_as_its_authors_publish_it(tmp_path: Path):
    records = [rad(), rad(qid=2, phrase_type="test_para"), rad(qid=3, phrase_type="test_freeform", answer=...)]
    write(tmp_path / "VQA_RAD Dataset Public.json", records)
    (tmp_path / "VQA_RAD Image Folder").mkdir()
    annotations = read_vqa_rad(VqaRadDataset(root=tmp_path), ["train", "test"])
    assert [(question.split, question.phrasing) for question in annotations.questions] == [
        ("train", "freeform"),
        ("test", "para"),
        ("test", "freeform"),
    ]
    assert annotations.images["synpic1.jpg"].parent.name == "VQA_RAD Image Folder"
    assert len(annotations.files) == 1
    rad_folder(tmp_path, trainset=[rad(qid=9)])  # most papers' files come first
    assert [question.question_id for question in read_vqa_rad(VqaRadDataset(root=tmp_path), ["train", "test"]).questions] == [
        "9"
    ]


@pytest.mark.parametrize(("language", "ids"), [("en", ["1"]), ("zh", ["2"]), ("both", ["1", "2"])])
def test_slake_in_either_language(tmp_path: Path, language: str, ids: list[str]):
    chinese = slake(qid=2, question="这是什么模态？", answer="核磁共振", q_lang="zh", answer_type="OPEN")
    annotations = read_slake(slake_folder(tmp_path, language, train=[slake(), chinese]), ["train", "test"])
    assert [question.question_id for question in annotations.questions] == ids
    last = annotations.questions[-1]
    assert (last.answer_type, last.language) == (("closed", "en") if language == "en" else ("open", "zh"))
    assert last.question_type == "Organ"
    assert annotations.images == {"xmlab1/source.jpg": tmp_path / "imgs" / "xmlab1" / "source.jpg"}


@pytest.mark.parametrize("name", ["validate", "validation"])
def test_slake_has_a_validation_file_under_either_name(tmp_path: Path, name: str):
    dataset = slake_folder(tmp_path, train=[slake()], test=[slake(qid=3, answer=...)], **{name: [slake(qid=2)]})
    annotations = read_annotations(dataset)
    assert [question.split for question in annotations.questions] == ["train", "val", "test"]
    assert annotations.cut_splits == frozenset()
    assert annotations.split("test")[0].human_answers == ()


BOTH_WRONG: list[tuple[dict[str, Any], str]] = [
    ({"question": ...}, r"\[1\]: the key 'question' is missing"),
    ({"question": " ?"}, r"\[1\]\.question is empty"),
    ({"answer": ...}, r"\[1\]: the key 'answer' is missing; only test questions"),
    ({"answer": " "}, r"\[1\]: the key 'answer' is empty"),
    ({"answer_type": "MAYBE"}, r"\[1\]\.answer_type: OPEN or CLOSED is needed, not 'MAYBE'"),
    ({"answer_type": 1}, r"\[1\]\.answer_type: expected `str`"),
    ({"answer": ["Yes"]}, r"\[1\]\.answer: expected"),
]
Reader = Callable[[Path, Any, Sequence[Split]], Annotations]


def read_rad_content(folder: Path, content: Any, splits: Sequence[Split]) -> Annotations:
    return read_vqa_rad(rad_folder(folder, trainset=content), splits)


def read_slake_content(folder: Path, content: Any, splits: Sequence[Split]) -> Annotations:
    return read_slake(slake_folder(folder, train=content), splits)


@pytest.mark.parametrize(("changes", "said"), BOTH_WRONG)
@pytest.mark.parametrize(("read", "make", "name"), [(read_rad_content, rad, "trainset"), (read_slake_content, slake, "train")])
def test_what_is_wrong_is_refused_with_file_record_and_key(
    tmp_path: Path, read: Reader, make: Callable[..., dict[str, Any]], name: str, changes: dict[str, Any], said: str
):
    with pytest.raises(UserError, match=said) as caught:
        read(tmp_path, [make(), make(**{"qid": 2} | changes)], ["train"])
    assert f"{name}.json" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_other_languages_and_missing_files_are_refused(tmp_path: Path):
    with pytest.raises(UserError, match=r"\[0\]\.q_lang: en or zh is needed, not 'de'"):
        read_slake_content(tmp_path, [slake(q_lang="de")], ["train"])
    with pytest.raises(UserError, match=r"train\.json has no question in dataset\.language=zh: it holds en"):
        read_slake(slake_folder(tmp_path, "zh", train=[slake()]), ["train"])
    with pytest.raises(UserError, match=r"no SLAKE questions at .*validate\.json: .*vqa-rnn datasets download slake"):
        read_slake(SlakeDataset(root=tmp_path), ["train", "val"])
    with pytest.raises(UserError, match=r"no VQA-RAD questions at .*trainset\.json: .*dataset\.root"):
        read_vqa_rad(VqaRadDataset(root=tmp_path), ["train"])
    with pytest.raises(UserError, match="has no train questions"):
        read_rad_content(tmp_path, [], ["train"])


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=mutations([rad(), rad(qid=2, answer=3)]))
def test_a_spoilt_file_of_vqa_rad_gives_one_line(tmp_path: Path, content: bytes):
    (tmp_path / "trainset.json").write_bytes(content)
    _one_line(lambda: read_vqa_rad(VqaRadDataset(root=tmp_path), ["train"]), "trainset.json")


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=mutations([slake(), slake(qid=2, q_lang="zh")]))
def test_a_spoilt_file_of_slake_gives_one_line(tmp_path: Path, content: bytes):
    (tmp_path / "train.json").write_bytes(content)
    _one_line(lambda: read_slake(SlakeDataset(root=tmp_path, language="both"), ["train"]), "train.json")


def _one_line(read: Callable[[], Annotations], name: str) -> None:
    said = name
    try:
        read()
    except UserError as error:
        said = str(error)
    assert "\n" not in said
    assert name in said


@pytest.mark.skipif(not (SHARED / "vqa_rad").is_dir(), reason="VQA-RAD is not here")
def test_vqa_rad_itself():
    annotations = read_annotations(VqaRadDataset(root=SHARED / "vqa_rad", validation_cut="image"))
    counts = {split: len(annotations.split(split)) for split in ("train", "val", "test")}  # type: ignore[arg-type]
    assert (counts["train"] + counts["val"], counts["test"]) == (3064, 451)
    assert Counter(question.answer_type for question in annotations.split("test")) == {"closed": 272, "open": 179}
    assert {question.phrasing for question in annotations.questions} == {"freeform", "para", "frame"}
    assert not {q.image_id for q in annotations.split("train")} & {q.image_id for q in annotations.split("val")}
    assert all(path.is_file() for path in annotations.images.values())


@pytest.mark.skipif(not (SHARED / "slake").is_dir(), reason="SLAKE is not here")
def test_slake_itself():
    annotations = read_annotations(SlakeDataset(root=SHARED / "slake"))
    assert [len(annotations.split(split)) for split in ("train", "val", "test")] == [4917, 1053, 1061]  # type: ignore[arg-type]
    assert all(path.is_file() for path in annotations.images.values())
    assert all(question.human_answers for question in annotations.split("val"))
