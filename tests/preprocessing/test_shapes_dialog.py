"""Dialogs about drawn scenes: a listener who reads nothing but the text and looks at the scene answers them the same way."""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from preprocessing.dialog_answers import ANSWERS, relevance
from preprocessing.dialogs import SceneDialog, Turn, make_dialog
from preprocessing.scenes import COLOURS, SHAPES, SIDE, SIZES, sample_scene
from preprocessing.shapes_dialog import JUDGED_EVERY, write_shapes_dialog
from tests.preprocessing.contents import contents
from vqa_rnn.annotations.visdial import read_visdial
from vqa_rnn.cli import main
from vqa_rnn.config import VisdialDataset
from vqa_rnn.records import SPLITS, Split

IMAGES: dict[Split, int] = {"train": 40, "val": 12, "test": 12}
Thing = dict[str, Any]
SIDES = {"left of": (0, -1), "right of": (0, 1), "above": (1, -1), "below": (1, 1)}
REFERENCE = r"(it|the thing you were told of \w+|the other one|the \w+ we talked about|the .+?)"


def described(things: list[Thing], words: str) -> list[Thing]:
    *adjectives, noun = words.split()
    noun = re.sub(r"(?<=ss)es$|(?<!s)s$", "", noun)
    wanted = {word for word in [*adjectives, noun] if word not in ("thing", "all")}
    return [thing for thing in things if wanted <= {thing["size"], thing["color"], thing["shape"]}]


def place(thing: Thing) -> str:
    x, y = thing["pixel_coords"]
    return f"{'top' if y < SIDE / 2 else 'bottom'} {'left' if x < SIDE / 2 else 'right'}"


def beside(thing: Thing, other: Thing, side: str) -> bool | None:
    """Whether a thing lies on that side of another; None where it hangs on a few pixels."""
    axis, sign = SIDES[side]
    offset = sign * (thing["pixel_coords"][axis] - other["pixel_coords"][axis])
    return None if abs(offset) < 12 else offset > 0


def about_thing(things: list[Thing], question: str, thing: Thing, other: Thing | None) -> str | None:
    """Answer a question about ``{}``, which is that thing; ``[]`` is another."""
    direct = {
        "what colour is {}": thing["color"],
        "which colour does {} have": f"it is {thing['color']}",
        "what shape is {}": f"a {thing['shape']}",
        "which shape does {} have": f"it is a {thing['shape']}",
        "what size is {}": thing["size"],
        "how big is {}": f"it is {thing['size']}",
        "where is {}": f"at the {place(thing)}",
        "in which part of the picture is {}": f"in the {place(thing)} part",
    }
    if question in direct:
        return str(direct[question])
    if match := re.fullmatch(r"(.+) the only one (left of|right of|above|below) \{\}(.*)", question):
        sides = [(one, beside(one, thing, match[2])) for one in things if one is not thing]
        there = [one for one, is_there in sides if is_there]
        if len(there) != 1 or any(is_there is None for _, is_there in sides):
            return None
        return about_thing(things, f"{match[1]} {{}}{match[3]}", there[0], None)
    if match := re.fullmatch(r"is \{\} (left of|right of|above|below) \[\]", question):
        assert other is not None
        is_so = None if other is thing else beside(thing, other, match[1])
        words = {"left of": "to the left", "right of": "to the right"}
        opposite = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}[match[1]]
        said = words.get(match[1], match[1]), words.get(opposite, opposite)
        return None if is_so is None else f"yes, it is {said[0]}" if is_so else f"no, it is {said[1]}"
    if match := re.fullmatch(r"is \{\} in the (\w+) half", question):
        part = {"upper": "top", "lower": "bottom"}.get(match[1], match[1])
        opposite = {"left": "right", "right": "left", "upper": "lower", "lower": "upper"}[match[1]]
        return f"yes, in the {match[1]} half" if part in place(thing).split() else f"no, in the {opposite} half"
    if match := re.fullmatch(r"is there another one of that (colour|shape)", question):
        attribute = {"colour": "color"}.get(match[1], match[1])
        count = sum(one[attribute] == thing[attribute] for one in things)
        return "yes, there is another" if count > 1 else "no, it is the only one"
    match = re.fullmatch(r"is \{\} (a )?(\w+)", question)
    assert match, question
    if match[2] in SIZES:
        return f"{'yes' if match[2] == thing['size'] else 'no'}, it is {thing['size']}"
    one = " one" if match[1] else ""
    return f"yes, it is{one}" if match[2] in (thing["color"], thing["shape"]) else f"no, it is not{one}"


def about_several(question: str, them: list[Thing]) -> str:
    if match := re.fullmatch(r"are all of them (\w+)", question):
        is_so = all(thing["size"] == match[1] for thing in them)
        return "yes, all of them are" if is_so else "no, not all of them are"
    match = re.fullmatch(r"how many of them are (\w+)", question)
    assert match, question
    words = match[1] if match[1].rstrip("es") in [shape.rstrip("es") for shape in SHAPES] else f"{match[1]} things"
    return f"{len(described(them, words)) or 'none'} of them"


@dataclass(frozen=True)
class Heard:
    answer: str
    distance: int
    otherwise: set[str | None]


class Listener:
    """Answers the questions of one dialog in order, and keeps in mind what was talked of."""

    def __init__(self, things: list[Thing], caption: str) -> None:
        match = re.fullmatch(r"a (.+?) (?:among other things|together with a (.+))", caption)
        assert match
        self.things = things
        self.told = [self.only(words) for words in match.groups() if words]
        self.it: Thing | None = self.told[0]
        self.since, self.number = 0, 0
        self.them: list[Thing] | None = None
        self.them_since = 0
        self.talked = [(thing, 0) for thing in self.told]

    def only(self, words: str) -> Thing:
        (thing,) = described(self.things, words)
        return thing

    def hear(self, question: str) -> Heard:
        self.number += 1
        return self.scene_question(question) or self.question_about_them(question) or self.question_about_one(question)

    def scene_question(self, question: str) -> Heard | None:
        if match := re.fullmatch(r"how many (?!of them)(.+) (are there|do you see)", question):
            group = described(self.things, match[1])
            self.them, self.them_since = group if len(group) > 1 else None, self.number
            return Heard(f"{'i count ' if 'see' in match[2] else ''}{len(group) or 'none'}", 0, set())
        if match := re.fullmatch(r"what (?:is|do you see) at the (\w+ \w+)", question):
            (thing,) = [thing for thing in self.things if place(thing) == match[1]]
            self.pick(thing)
            said = f"a {thing['size']} {thing['color']} {thing['shape']}"
            return Heard(f"i see {said}" if "see" in question else said, 0, set())
        if match := re.fullmatch(r"is anything (\w+)", question):
            is_so = described(self.things, f"{match[1]} things")
            return Heard("yes, something is" if is_so else "no, nothing is", 0, set())
        if match := re.fullmatch(r"do you see any (\w+)", question):
            self.them = None
            return Heard("yes, i do" if described(self.things, match[1]) else "no, i do not", 0, set())
        if match := re.fullmatch(r"are there any (.+)", question):
            self.them = None
            return Heard("yes, there are" if described(self.things, match[1]) else "no, there are not", 0, set())
        if match := re.fullmatch(r"are there more (\w+) than (\w+)", question):
            self.them = None
            is_so = len(described(self.things, match[1])) > len(described(self.things, match[2]))
            return Heard("yes, there are more" if is_so else "no, there are not more", 0, set())
        return None

    def question_about_them(self, question: str) -> Heard | None:
        if "of them" not in question:
            return None
        assert self.them is not None, question
        kinds = [*(f"{value} things" for value in [*COLOURS, *SIZES]), *SHAPES, "things"]
        groups = [group for words in kinds if len(group := described(self.things, words)) > 1]
        otherwise: set[str | None] = {about_several(question, group) for group in groups}
        return Heard(about_several(question, self.them), self.number - self.them_since, otherwise)

    def question_about_one(self, question: str) -> Heard:
        for pattern in (
            r"(is there another one of that) (?:colour|shape)",
            r"is there (another one)",
            rf"is {REFERENCE} (?:(?:left of|right of|above|below) .+|in the \w+ half|a \w+|(?!of|we|you|thing)\w+)",
            rf"what (?:colour|shape|size) is (?:the only one (?:left of|right of|above|below) )?{REFERENCE}",
            rf"which (?:colour|shape) does (?:the only one (?:left of|right of|above|below) )?{REFERENCE} have",
            rf"how big is {REFERENCE}",
            rf"(?:where|in which part of the picture) is {REFERENCE}",
        ):
            if match := re.fullmatch(pattern, question):
                break
        else:
            raise AssertionError(question)
        if match[1].startswith("is there"):
            return self.refer(question, "it")
        return self.refer(question.replace(match[1], "{}", 1), match[1])

    def refer(self, question: str, words: str) -> Heard:
        candidates = self.things
        landmark = re.fullmatch(r"is \{\} (left of|right of|above|below) the (.+)", question)
        other: Thing | None = None
        if landmark:
            question = f"is {{}} {landmark[1]} []"
            other = self.told[1] if landmark[2] == "other one" else self.only(landmark[2])
        if words == "it":
            assert self.it is not None, "nothing is called it without having been picked out"
            thing, since = self.it, self.since
        elif match := re.fullmatch(r"the thing you were told of (first|second)", words):
            thing, since = self.told[("first", "second").index(match[1])], 0
        elif words == "the other one":
            assert self.it is self.told[0]
            assert len(self.talked) == 2
            thing, since = self.told[1], 0
        elif match := re.fullmatch(r"the (\w+) we talked about", words):
            candidates = described(self.things, match[1])
            assert len(candidates) > 1, "or there would be no need to say which"
            ((thing, since),) = [(one, number) for one, number in self.talked if one["shape"] == match[1]]
        else:
            thing = self.only(words.removeprefix("the "))
            self.pick(thing)
            answer = about_thing(self.things, question, thing, other)
            assert answer is not None
            return Heard(answer, 0, set())
        if self.it is not thing:
            self.it = None
        if landmark and landmark[2] == "other one":
            since = 0
            otherwise = {about_thing(self.things, question, one, two) for one, two in permutations(self.things, 2)}
        else:
            otherwise = {about_thing(self.things, question, one, other) for one in candidates}
            if other is not None:
                self.talk_of(other)
        answer = about_thing(self.things, question, thing, other)
        assert answer is not None, "what is asked can be answered"
        return Heard(answer, self.number - since, otherwise)

    def pick(self, thing: Thing) -> None:
        self.talk_of(thing)
        self.it, self.since = thing, self.number

    def talk_of(self, thing: Thing) -> None:
        if all(thing is not other for other, _ in self.talked):
            self.talked.append((thing, self.number))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shapes_dialog")
    write_shapes_dialog(folder, IMAGES, seed=0)
    return folder


@pytest.fixture(scope="module")
def many() -> list[SceneDialog]:
    return [make_dialog(sample_scene(7, "train", number)) for number in range(800)]


def turns(dialogs: list[SceneDialog]) -> Iterator[Turn]:
    for dialog in dialogs:
        yield from dialog.turns


def read(folder: Path, split: str) -> Iterator[tuple[list[Thing], dict[str, Any], list[dict[str, Any]]]]:
    """The things of each dialog, the dialog, and its rounds with texts in place of numbers."""
    data = json.loads((folder / f"visdial_1.0_{split}.json").read_text())["data"]
    scenes = {scene["image_id"]: scene["objects"] for scene in json.loads((folder / f"scenes_{split}.json").read_text())}
    for dialog in data["dialogs"]:
        rounds = [
            {
                **turn,
                "question": data["questions"][turn["question"]],
                "answer": data["answers"][turn["answer"]],
                "answer_options": [data["answers"][option] for option in turn["answer_options"]],
            }
            for turn in dialog["dialog"]
        ]
        yield scenes[dialog["image_id"]], dialog, rounds


def test_a_listener_gives_the_same_answers(made: Path):
    for split in SPLITS:
        for things, dialog, rounds in read(made, split):
            listener = Listener(things, dialog["caption"])
            for turn in rounds:
                heard = listener.hear(turn["question"])
                assert heard.answer == turn["answer"], (dialog["image_id"], turn["question"])
                assert heard.distance == turn["coreference_distance"], (dialog["image_id"], turn["question"])
                assert turn["needs_history"] is (len(heard.otherwise) > 1)
                assert turn["needs_history"] is (heard.distance > 0)


def is_right(things: list[Thing], question: str, answer: str, option: str) -> bool:
    """Whether a person could take an option that is not the truth for right too."""
    described_as = re.fullmatch(r"(?:i see )?a (?:(small|large) )?(\w+) (\w+)", option)
    if described_as:
        shown = described(things, " ".join(word for word in described_as.groups() if word))
        asked = re.fullmatch(r"what (?:is|do you see) at the (\w+ \w+)", question)
        return bool([thing for thing in shown if place(thing) == asked[1]] if asked else shown)
    is_number = re.fullmatch(r"(?:i count )?(none|\d)(?: of them)?", option)
    if answer.startswith(("yes,", "no,")):
        if option.startswith(answer[:3]) or (is_number and re.search(r"any|more|another|all of them", question)):
            return True
        if re.search("of them| of the | above | below ", question) or option.startswith(("yes,", "no,")):
            return False
        return any(question.split()[-1] in values and option.split()[-1] in values for values in (COLOURS, SHAPES, SIZES))
    if number := re.fullmatch(r"(?:i count )?(none|\d)(?: of them)?", answer):
        return number[1] in option.split()
    if "top" in answer or "bottom" in answer:
        return answer.removeprefix("at the ").removeprefix("in the ").removesuffix(" part") in option
    return option.split()[-1] == answer.split()[-1]


def test_no_decoy_is_right(made: Path):
    for split in SPLITS:
        for things, _, rounds in read(made, split):
            for turn in rounds:
                options = turn["answer_options"]
                assert len(options) == len(set(options)) == 100
                assert options[turn["gt_index"]] == turn["answer"]
                decoys = [option for option in options if option != turn["answer"]]
                wrong = [option for option in decoys if is_right(things, turn["question"], turn["answer"], option)]
                assert wrong == [], (turn["question"], turn["answer"])


def test_decoys_are_of_the_kind_of_the_answer(many: list[SceneDialog]):
    for turn in turns(many[:100]):
        alike = sum(choice.kind == turn.answer.kind and choice.wording == turn.answer.wording for choice in turn.choices)
        assert (
            alike
            >= {"check": 2, "size": 2, "place": 4, "shape": 5, "count": 7, "colour": 8, "description": 60}[turn.answer.kind]
        )
        checks = [choice for choice in turn.choices if choice.kind == "check"]
        assert [len({choice.wording for choice in checks}), len(checks)] == [1, 2]


def test_the_reader_serves_all_splits(made: Path):
    annotations = read_visdial(VisdialDataset(root=made), SPLITS)
    assert Counter(question.split for question in annotations.questions) == {split: 10 * n for split, n in IMAGES.items()}
    assert all(question.human_answers and question.correct_choice is not None for question in annotations.questions)
    for path in annotations.images.values():
        with Image.open(path) as image:
            assert image.size == (SIDE, SIDE)
    graded = [question for question in annotations.split("val") if question.relevance]
    assert len(graded) == IMAGES["val"]
    for question in graded:
        assert question.correct_choice is not None
        assert [i for i, grade in enumerate(question.relevance) if grade == 1.0] == [question.correct_choice]


def test_a_tenth_of_the_training_dialogs_has_graded_relevance_too(made: Path):
    dataset = VisdialDataset(root=made, train_dense_file="visdial_1.0_train_dense_sample.json")
    graded = [question for question in read_visdial(dataset, ["train"]).questions if question.relevance]
    assert len(graded) == IMAGES["train"] // JUDGED_EVERY > 0
    for question in graded:
        assert question.correct_choice is not None
        assert [i for i, grade in enumerate(question.relevance) if grade == 1.0] == [question.correct_choice]


def test_the_withheld_file_is_as_the_official_one(made: Path):
    dataset = VisdialDataset(root=made, test_file="visdial_1.0_test_withheld.json")
    questions = read_visdial(dataset, ["test"]).questions
    assert len(questions) == IMAGES["test"]
    assert all(question.human_answers == () and question.correct_choice is None for question in questions)
    whole = {question.question_id: question for question in read_visdial(VisdialDataset(root=made), ["test"]).questions}
    dense = json.loads((made / "visdial_1.0_test_dense_annotations.json").read_text())
    assert {f"{record['image_id']}-{record['round_id'] - 1}" for record in dense} == {q.question_id for q in questions}
    for question in questions:
        assert question.history == whole[question.question_id].history
        assert question.choices == whole[question.question_id].choices


def test_grades_are_the_share_of_what_both_say():
    said = {answer.text: answer for answers in ANSWERS.values() for answer in answers.values()}
    truth = said["a small red star"]
    grades = {text: relevance(said[text], truth) for text in ("a small red star", "a small red circle", "red", "a star", "2")}
    assert grades == {"a small red star": 1.0, "a small red circle": 0.5, "red": 0.333, "a star": 0.333, "2": 0.0}
    assert relevance(said["at the top left"], said["at the top right"]) == 0.333
    assert relevance(said["yes, i do"], said["no, i do not"]) == 0.0


def test_half_the_rounds_need_history_at_all_distances(many: list[SceneDialog]):
    asked = list(turns(many))
    assert 0.42 < sum(turn.needs_history for turn in asked) / len(asked) < 0.58
    distances = Counter(turn.coreference_distance for turn in asked)
    assert set(distances) == set(range(11))
    assert all(distances[distance] > 0.015 * len(asked) for distance in range(1, 9))


def test_answers_are_varied_and_balanced(many: list[SceneDialog]):
    asked = list(turns(many))
    answers = Counter(turn.answer.text for turn in asked)
    assert len(answers) > 180
    assert answers.most_common(1)[0][1] < 0.06 * len(asked)
    for check in ("any of colour", "any of shape", "any of both", "more of shape", "is of colour", "is of shape"):
        said = Counter(turn.answer.text for turn in asked if turn.answer.wording == check)
        assert max(said.values()) < 0.5 * said.total() + 2 * said.total() ** 0.5
    places = Counter(turn.choices.index(turn.answer) for turn in asked)
    assert max(places.values()) < 0.02 * len(asked)


def test_choices_alone_give_little_away(many: list[SceneDialog]):
    """Ways of guessing from the choices: by how often each is true, of all and where it is offered, and by which are there."""
    learned, rest = list(turns(many[:600])), list(turns(many[600:]))
    true = Counter(turn.answer.text for turn in learned)
    offered = Counter(choice.text for turn in learned for choice in turn.choices)
    by_check: dict[str, Counter[str]] = defaultdict(Counter)
    for turn in learned:
        by_check[check_of(turn)][turn.answer.text] += 1

    def accuracy(score: Any) -> float:
        return sum(max(turn.choices, key=lambda c: (score(turn, c.text), c.text)) == turn.answer for turn in rest) / len(rest)

    assert accuracy(lambda turn, text: true[text]) < 0.15
    assert accuracy(lambda turn, text: true[text] / offered[text]) < 0.25
    assert accuracy(lambda turn, text: by_check[check_of(turn)][text]) < 0.25
    by_question: dict[str, Counter[str]] = defaultdict(Counter)
    for turn in learned:
        by_question[turn.question][turn.answer.text] += 1
    assert accuracy(lambda turn, text: by_question[turn.question][text]) < 0.45


def check_of(turn: Turn) -> str:
    return next(str(choice.wording) for choice in turn.choices if choice.kind == "check")


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path):
    few: dict[Split, int] = {"train": 3, "val": 2, "test": 2}
    for name, seed in (("one", 5), ("again", 5), ("other", 6)):
        write_shapes_dialog(tmp_path / name, few, seed)
    same = ["answers.txt", "visdial_1.0_train_dense_sample.json"]  # nothing is judged of so few
    assert contents(tmp_path / "one") == contents(tmp_path / "again")
    shared = set(contents(tmp_path / "one").items()) & set(contents(tmp_path / "other").items())
    assert sorted(name for name, _ in shared) == same
    said = {text for _, _, turns in read(tmp_path / "one", "train") for turn in turns for text in turn["answer_options"]}
    assert said <= set((tmp_path / "one/answers.txt").read_text().splitlines())


def test_a_dialog_does_not_depend_on_how_many_there_are(tmp_path: Path):
    for name, count in (("few", 2), ("more", 4)):
        write_shapes_dialog(tmp_path / name, {"train": count, "val": 1, "test": 1}, seed=0)
    few, more = (list(read(tmp_path / name, "train")) for name in ("few", "more"))
    for one, other in zip(few, more, strict=False):
        assert (one[0], one[1]["caption"]) == (other[0], other[1]["caption"])
        assert [(turn["question"], turn["answer_options"]) for turn in one[2]] == [
            (turn["question"], turn["answer_options"]) for turn in other[2]
        ]


def test_the_command_says_what_is_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.chdir(tmp_path)
    assert main(["generate", "shapes_dialog", "--images", "4"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "Next: vqa-rnn preprocess shapes_dialog"
    made = contents(tmp_path / "data/shapes_dialog")
    assert main(["generate", "shapes_dialog", "--images", "4", "--folder", "my place", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["counts"] == {
        **{"train_images": 4, "train_rounds": 40, "val_images": 1, "val_rounds": 10},
        **{"test_images": 1, "test_rounds": 10},
    }
    assert {key: report[key] for key in ("dataset", "folder", "seed")} == {
        "dataset": "shapes_dialog",
        "folder": "my place",
        "seed": 0,
    }
    assert contents(tmp_path / "my place") == made
    assert main(["generate", "shapes_vqa", "--images", "2", "--folder", "my place", "--overwrite"]) == 0
    said = capsys.readouterr().out
    assert said.splitlines()[-1] == "Next: vqa-rnn preprocess shapes_vqa dataset.root='my place'"
    assert not (tmp_path / "my place/train2014").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "my place"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["shapes_dialogs"], "unknown generated data set 'shapes_dialogs': did you mean 'shapes_dialog'?"),
        (["shapes_dialog", "--folder", "made"], "made already exists: give another --folder, or --overwrite to replace it"),
        (["shapes_vqa", "--folder", "mine", "--overwrite"], "mine exists and was not generated: give another --folder"),
        (["shapes_vqa", "--folder", "mine/notes.txt/here"], "cannot write mine/notes.txt/here"),
        (["shapes_vqa", "--folder", "."], "--folder . has no name"),
        (["shapes_vqa", "--images", "0"], "Invalid value for '--images'"),
    ],
)
def test_what_is_in_the_way_is_said_in_one_line(
    arguments: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("mine")
    (tmp_path / "made").mkdir()
    (tmp_path / "made/generated.json").write_text("{}")
    assert main(["generate", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {said}")
    assert error.count("\n") == 1
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["generated.json", "made", "mine", "notes.txt"]


def test_a_stopped_job_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert main(["generate", "shapes_dialog", "--images", "2"]) == 0
    before = contents(tmp_path)

    def stop(scene: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("preprocessing.shapes_dialog.make_dialog", stop)
    assert main(["generate", "shapes_dialog", "--images", "2", "--overwrite"]) == 130
    assert contents(tmp_path) == before
