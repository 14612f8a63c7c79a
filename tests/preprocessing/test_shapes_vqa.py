"""Compositional questions about drawn scenes: their truth by a reader of the text, their balance, their files."""

import json
import re
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest

from preprocessing.scenes import COLOURS, PAIRS, SHAPES, sample_scene
from preprocessing.shapes_vqa import HELD_OUT, SceneQuestion, ask_about_scene, write_shapes_vqa
from tests.preprocessing.contents import contents
from vqa_rnn.annotations.clevr import read_clevr
from vqa_rnn.config import ClevrDataset
from vqa_rnn.records import SPLITS, Split

SIDES = {"to the left of": (0, -1), "to the right of": (0, 1), "above": (1, -1), "below": (1, 1)}
IMAGES: dict[Split, int] = {"train": 30, "val": 6, "test": 10}
Objects = list[dict[str, Any]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shapes_vqa")
    write_shapes_vqa(folder, IMAGES, seed=0)
    return folder


def described(objects: Objects, words: str) -> Objects:
    """What a phrase such as "small red things" is true of."""
    *adjectives, noun = words.split()
    noun = re.sub(r"(?<=ss)es$|(?<!s)s$", "", noun)
    wanted = [word for word in [*adjectives, noun] if word != "thing"]
    return [thing for thing in objects if set(wanted) <= {thing["size"], thing["color"], thing["shape"]}]


def picked(objects: Objects, words: str) -> Objects:
    """What a phrase is true of, such as "red things above the star"; the margin is checked on the way."""
    relation = re.fullmatch(r"(.+?) (to the left of|to the right of|above|below) the (.+)", words)
    if not relation:
        return described(objects, words)
    axis, sign = SIDES[relation[2]]
    (anchor,) = described(objects, relation[3])
    others = [thing for thing in described(objects, relation[1]) if thing is not anchor]
    offsets = [sign * (thing["pixel_coords"][axis] - anchor["pixel_coords"][axis]) for thing in others]
    assert all(abs(offset) >= 12 for offset in offsets), "nothing asked for hangs on a few pixels"
    return [thing for thing, offset in zip(others, offsets, strict=True) if offset > 0]


def answer(objects: Objects, question: str) -> str:
    """Answer a question from its text."""

    def found(pattern: str) -> list[str] | None:
        match = re.fullmatch(pattern, question)
        return list(match.groups()) if match else None

    if words := found(r"Is there a (.+)\?"):
        return "yes" if picked(objects, words[0]) else "no"
    if words := found(r"How many (.+) are there\?"):
        return str(len(picked(objects, words[0])))
    if words := found(r"Are there (as many|more|fewer) (.+) (?:as|than) (.+)\?"):
        one, other = len(described(objects, words[1])), len(described(objects, words[2]))
        return "yes" if {"as many": one == other, "more": one > other, "fewer": one < other}[words[0]] else "no"
    if words := found(r"What (color|shape|size) is the (.+)\?"):
        (thing,) = picked(objects, words[1])
        return str(thing[words[0]])
    words = found(r"Do the (.+) and the (.+) have the same (color|shape|size)\?")
    assert words, question
    (one,), (other,) = described(objects, words[0]), described(objects, words[1])
    assert one is not other
    return "yes" if one[words[2]] == other[words[2]] else "no"


@pytest.mark.parametrize("part", ["", "compositional"])
def test_the_reader_serves_all_splits(made: Path, part: str):
    annotations = read_clevr(ClevrDataset(root=made / part), SPLITS)
    assert Counter(question.split for question in annotations.questions) == {split: 10 * n for split, n in IMAGES.items()}
    assert all(path.is_file() for path in annotations.images.values())
    assert all(question.human_answers for question in annotations.questions)
    kinds = {question.question_type for question in annotations.questions}
    assert kinds == {"exist", "count", "compare integer", "query attribute", "compare attribute"}


@pytest.mark.parametrize("part", ["", "compositional"])
def test_answers_are_true(made: Path, part: str):
    for split in IMAGES:
        questions = json.loads((made / part / f"questions/CLEVR_{split}_questions.json").read_text())["questions"]
        scenes = json.loads((made / part / f"scenes/CLEVR_{split}_scenes.json").read_text())["scenes"]
        objects = {scene["image_filename"]: scene["objects"] for scene in scenes}
        for record in questions:
            assert answer(objects[record["image_filename"]], record["question"]) == record["answer"], record
            is_relational = any(words in record["question"] for words in SIDES)
            assert record["relational"] is is_relational
            assert any(step["function"] == "relate" for step in record["program"]) is is_relational
            assert all(place < i for i, step in enumerate(record["program"]) for place in step["inputs"])


def test_pairs_of_test_are_never_met_in_training(made: Path):
    shown: dict[str, set[tuple[str, str]]] = {}
    for split in IMAGES:
        content = json.loads((made / f"compositional/scenes/CLEVR_{split}_scenes.json").read_text())
        shown[split] = {(thing["color"], thing["shape"]) for scene in content["scenes"] for thing in scene["objects"]}
    assert shown["test"] == set(HELD_OUT)
    assert not (shown["train"] | shown["val"]) & set(HELD_OUT)
    text = (made / "compositional/questions/CLEVR_train_questions.json").read_text()
    assert not any(f"{colour} {shape}" in text for colour, shape in HELD_OUT)
    seen = set(PAIRS) - set(HELD_OUT)
    assert {colour for colour, _ in seen} == set(COLOURS)
    assert {shape for _, shape in seen} == set(SHAPES)


@pytest.fixture(scope="module")
def asked() -> list[list[SceneQuestion]]:
    return [ask_about_scene(sample_scene(3, "train", number)) for number in range(500)]


def test_no_answer_is_likely(asked: list[list[SceneQuestion]]):
    questions = [question for about_one in asked for question in about_one]
    by_kind: dict[str, Counter[str]] = defaultdict(Counter)
    for question in questions:
        by_kind[f"{question.program[-1]['function']} {question.relational}"][question.answer] += 1
    for kind, answers in by_kind.items():
        most = answers.most_common(1)[0][1] / answers.total()
        chance = {"query_color": 1 / 8, "query_shape": 1 / 5, "count": 0.35}.get(kind.split()[0], 0.5)
        assert most < chance + 4 * (chance * (1 - chance) / answers.total()) ** 0.5 + 0.08, (kind, answers)
    relational = sum(question.relational for question in questions) / len(questions)
    assert 0.25 < relational < 0.6
    assert max(Counter(question.answer for question in questions).values()) < 0.4 * len(questions)


def test_the_text_of_a_question_says_little_about_its_answer(asked: list[list[SceneQuestion]]):
    """Counted on most of the scenes, the most frequent answer of each question string on the rest."""
    seen: dict[str, Counter[str]] = defaultdict(Counter)
    for question in (question for about_one in asked[:350] for question in about_one):
        seen[question.question][question.answer] += 1
    known = [question for about_one in asked[350:] for question in about_one if question.question in seen]
    right = sum(seen[question.question].most_common(1)[0][0] == question.answer for question in known)
    assert len(known) > 600
    assert right / len(known) < 0.52


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path):
    few: dict[Split, int] = {"train": 3, "val": 1, "test": 1}
    for name, seed in (("one", 5), ("again", 5), ("other", 6)):
        write_shapes_vqa(tmp_path / name, few, seed)
    assert contents(tmp_path / "one") == contents(tmp_path / "again")
    assert not set(contents(tmp_path / "one").values()) & set(contents(tmp_path / "other").values())
