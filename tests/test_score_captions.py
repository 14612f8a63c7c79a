"""`vqa-rnn score captions`."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from tests.test_architecture import run_python
from vqa_rnn.cli import main
from vqa_rnn.commands.score.captions import score_captions
from vqa_rnn.errors import UserError

TEXTS = {1: ["a cat on a mat", "the cat"], 2: ["a dog runs"], 3: ["two birds"], 4: ["a red car"], 5: ["an old house"]}
GIVEN = {1: "A cat on a mat.", 2: "a dog", 3: "two birds", 4: "a blue car", 5: ""}


def result_records(captions: dict[Any, str]) -> list[dict[str, Any]]:
    return [{"image_id": image, "caption": caption} for image, caption in captions.items()]


def reference_records(texts: dict[Any, list[str]]) -> dict[str, Any]:
    pairs = [(image, text) for image, captions in texts.items() for text in captions]
    annotations = [{"image_id": image, "id": number, "caption": text} for number, (image, text) in enumerate(pairs)]
    return {"images": [{"id": image} for image in texts], "annotations": annotations, "info": {}, "licenses": []}


RESULTS, REFERENCES = result_records(GIVEN), reference_records(TEXTS)


def put(folder: Path, results: Any = RESULTS, references: Any = REFERENCES) -> tuple[Path, Path]:
    paths = folder / "results.json", folder / "references.json"
    for path, content in zip(paths, (results, references), strict=True):
        path.write_text(json.dumps(content), encoding="utf-8")
    return paths


def error_of(folder: Path, **contents: Any) -> str:
    with pytest.raises(UserError) as caught:
        score_captions(*put(folder, **contents))
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_file_worked_by_hand(tmp_path: Path):
    report = score_captions(*put(tmp_path))
    assert list(report) == [
        *("benchmark", "num_images", "num_references", "bleu_1", "bleu_2", "bleu_3", "bleu_4", "rouge_l", "cider"),
        *("intervals", "signature"),
    ]
    assert (report["benchmark"], report["num_images"], report["num_references"]) == ("captions", 5, 6)
    # 11 of 12 words match; the closest references have 5 + 3 + 2 + 3 + 3 words
    assert report["bleu_1"] == pytest.approx(11 / 12 * math.exp(1 - 16 / 12))
    f = [1, 2.44 * 2 / 3 / (2 / 3 + 1.44), 1, 2 / 3, 0]
    assert report["rouge_l"] == pytest.approx(sum(f) / 5)
    names = ["bleu_1", "bleu_2", "bleu_3", "bleu_4", "rouge_l", "cider"]
    assert list(report["intervals"]) == names
    assert all(report["intervals"][name][0] <= report[name] <= report["intervals"][name][1] for name in names)
    assert report["signature"].startswith("captions|tokens:ptb3.4.1|cider:d|frequencies:references|n:5|version:")


def test_perfect_captions(tmp_path: Path):
    texts = {str(number): [f"picture {number} shows a thing {number}"] for number in range(6)}
    report = score_captions(*put(tmp_path, result_records({i: t[0] for i, t in texts.items()}), reference_records(texts)))
    assert [report[name] for name in ("bleu_1", "bleu_4", "rouge_l", "cider")] == pytest.approx([1, 1, 1, 10], abs=1e-6)


def test_the_order_of_the_records_does_not_matter(tmp_path: Path):
    turned = {**REFERENCES, "images": REFERENCES["images"][::-1], "annotations": REFERENCES["annotations"][::-1]}
    report, other = score_captions(*put(tmp_path)), score_captions(*put(tmp_path, RESULTS[::-1], turned))
    for name in ("bleu_1", "bleu_4", "rouge_l", "cider"):
        assert other[name] == pytest.approx(report[name], abs=1e-12)


def test_few_images_have_no_interval(tmp_path: Path):
    few = {image: TEXTS[image] for image in (1, 2)}
    report = score_captions(*put(tmp_path, RESULTS[:2], reference_records(few)))
    assert set(report["intervals"].values()) == {None}


WRONG = {
    "missing images": (
        {"results": RESULTS[:1]},
        ["results.json: 4 of the 5 images of", "references.json have no caption (2, 3, 4, …)", "captioned images alone"],
    ),
    "an image twice": ({"results": [*RESULTS, RESULTS[0]]}, ["results.json: 1 image answered more than once (1)"]),
    "an unknown image": ({"results": [*RESULTS, {"image_id": 9, "caption": "x"}]}, ["results.json: 1 image unknown (9)"]),
    "an id as text": ({"results": [{"image_id": "1", "caption": "x"}, *RESULTS[1:]]}, ["results.json: 1 image unknown (1)"]),
    "no results": ({"results": []}, ["results.json: the list is empty", '{"image_id": 1, "caption": "a cat"}']),
    "results as an object": ({"results": {}}, ["caption result file", "results.json: expected `array`, got `object`"]),
    "a caption that is no text": (
        {"results": [{"image_id": 1, "caption": None}]},
        ["results.json: [0].caption: expected `str`, got `null`"],
    ),
    "a result without its caption": ({"results": [{"image_id": 1}]}, ["[0]: the key 'caption' is missing"]),
    "references as a list": (
        {"references": []},
        ["caption annotation file", "references.json: expected `object`, got `array`"],
    ),
    "no images": ({"references": {"images": [], "annotations": []}}, ["references.json: images: the list is empty"]),
    "no captions of an image": (
        {"references": {**REFERENCES, "annotations": REFERENCES["annotations"][:2]}},
        ["references.json: 4 images without a reference caption (2, 3, 4, …)"],
    ),
    "an image listed twice": (
        {"references": {**REFERENCES, "images": [*REFERENCES["images"], {"id": 2}]}},
        ["references.json: 1 image listed twice (2)"],
    ),
    "a caption id twice": (
        {"references": {**REFERENCES, "annotations": [*REFERENCES["annotations"], REFERENCES["annotations"][0]]}},
        ["references.json: 1 caption id used twice (0)"],
    ),
    "a caption of another image": (
        {"references": {**REFERENCES, "images": REFERENCES["images"][:4]}},
        ["references.json: 1 caption of an image that is not in the file (5)"],
    ),
}


@pytest.mark.parametrize(("contents", "words"), WRONG.values(), ids=WRONG)
def test_a_wrong_file_is_refused_in_one_line(tmp_path: Path, contents: dict[str, Any], words: list[str]):
    message = error_of(tmp_path, **contents)
    assert [word for word in words if word not in message] == [], message


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    paths = [str(path) for path in put(tmp_path)]
    assert main(["score", "captions", *paths, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report == score_captions(*map(Path, paths))
    assert main(["score", "captions", *paths]) == 0
    table = capsys.readouterr().out
    assert "captions: 5 images, 6 references" in table
    assert f"{100 * report['bleu_4']:.2f}%" in table
    assert f" {report['cider']:.2f} " in table
    assert main(["score", "captions", paths[0], str(tmp_path / "none.json")]) == 2
    assert "error: no caption annotation file at" in capsys.readouterr().err


def test_torch_is_not_loaded():
    code = "import sys, vqa_rnn.commands.score.captions\nprint('torch' in sys.modules)"
    assert run_python(code) == "False"


def test_a_subset_of_the_references_is_scored_on_request(tmp_path: Path):
    some = {image: GIVEN[image] for image in (1, 3)}
    said = error_of(tmp_path, results=result_records(some))
    assert said.endswith("have no caption (2, 4, 5): caption them too, or score the captioned images alone with --subset")
    report = score_captions(*put(tmp_path, results=result_records(some)), subset=True)
    alone = score_captions(*put(tmp_path, result_records(some), reference_records({image: TEXTS[image] for image in some})))
    assert report == alone
    assert report["num_images"] == 2
