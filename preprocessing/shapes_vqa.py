"""``shapes_vqa``: compositional questions about drawn scenes, in the file format of CLEVR.

    FOLDER/questions/CLEVR_SPLIT_questions.json   with programs, answers in all splits, and ``relational`` beside each question
    FOLDER/scenes/CLEVR_SPLIT_scenes.json         the things of each image
    FOLDER/images/SPLIT/CLEVR_SPLIT_000000.png
    FOLDER/compositional/…                        a second set, in which some pairs of colour and shape occur only in test

A question is a program, as in CLEVR; running it gives the answer. Several questions of one form are generated at a time. One of
their answers is drawn, high counts with a higher weight, and then a question with that answer, so that no form of question has
a likely answer.

In ``compositional``, the ten pairs of colour and shape in ``HELD_OUT`` do not occur in the images and questions of train and
val, and test contains only them. Each colour and each shape occurs in training.
"""

import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from preprocessing.scenes import (
    ATTRIBUTES,
    COLOURS,
    DIRECTIONS,
    PAIRS,
    SHAPES,
    Pair,
    Scene,
    Thing,
    Values,
    describe_scene,
    draw_scene,
    is_beside,
    is_clear,
    matching,
    noun_phrase,
    sample_scene,
    values_of,
)
from vqa_rnn.files import write_text
from vqa_rnn.progress import progress_bar
from vqa_rnn.records import Split

HELD_OUT: tuple[Pair, ...] = tuple(
    (colour, shape) for i, colour in enumerate(COLOURS) for j, shape in enumerate(SHAPES) if (i + j) % 4 == 0
)
"""Two colours of every shape; of every colour at least one shape, and never all."""
QUESTIONS_AN_IMAGE = 10

_TRIES = 12
_OFFICIAL = {"colour": "color"}  # CLEVR's spelling
_SIDES = {"left": "to the left of", "right": "to the right of", "above": "above", "below": "below"}


@dataclass(frozen=True, slots=True)
class SceneQuestion:
    """One question about a scene.

    Attributes:
        question: Its text.
        answer: One word.
        program: As in CLEVR: each step is a ``function`` of ``value_inputs`` and of the results of earlier steps, ``inputs``.
        relational: Whether the program goes from one thing to others by their position.
    """

    question: str
    answer: str
    program: list[dict[str, Any]]
    relational: bool


class Pick(NamedTuple):
    """A description of things by their attributes, and optionally by their position.

    Attributes:
        values: The attributes of the things.
        direction: The side of the anchor on which they lie, or None.
        anchor: The attributes of the anchor, which must match exactly one thing of the scene.
    """

    values: Values
    direction: str | None = None
    anchor: Values = ()


class Form(NamedTuple):
    """The form of a pick, before its values are drawn.

    Attributes:
        attributes: Names of the attributes of the things.
        direction: As in ``Pick``.
        anchor: Names of the attributes of the anchor.
    """

    attributes: tuple[str, ...]
    direction: str | None = None
    anchor: tuple[str, ...] = ()


def select(scene: Scene, pick: Pick) -> list[Thing] | None:
    """Return the things that a pick describes.

    Args:
        scene: The scene.
        pick: The pick.

    Returns:
        The things, possibly an empty list; None if the pick is unclear: there is not exactly one anchor, or a thing with these
        attributes lies on neither side of it.
    """
    found = matching(scene.things, pick.values)
    if pick.direction is None:
        return found
    anchors = matching(scene.things, pick.anchor)
    if len(anchors) != 1:
        return None
    others = [thing for thing in found if thing is not anchors[0]]
    if not all(is_clear(thing, anchors[0], pick.direction) for thing in others):
        return None
    return [thing for thing in others if is_beside(thing, anchors[0], pick.direction)]


def ask_about_scene(scene: Scene, count: int = QUESTIONS_AN_IMAGE, pairs: Sequence[Pair] = PAIRS) -> list[SceneQuestion]:
    """Generate questions about a scene.

    Args:
        scene: The scene.
        count: Number of questions.
        pairs: The pairs of colour and shape that may be named together.

    Returns:
        ``count`` different questions.
    """
    generator = random.Random(f"questions about {scene.key}")
    asked: dict[str, SceneQuestion] = {}
    while len(asked) < count:
        (kind,) = generator.choices(list(KINDS), weights=[weight for _, weight in KINDS.values()])
        draw = KINDS[kind][0](generator)
        found = [question for _ in range(_TRIES) if (question := draw(scene, pairs)) and question.question not in asked]
        answers = sorted({question.answer for question in found})
        if len(answers) > 1 or (answers and kind == "query attribute"):  # not if all questions have the same yes, no or count
            weights = [1 + int(answer) if answer.isdigit() else 1 for answer in answers]  # high counts are rarer
            (answer,) = generator.choices(answers, weights)
            question = generator.choice([question for question in found if question.answer == answer])
            asked[question.question] = question
    return list(asked.values())


Draw = Callable[[Scene, Sequence[Pair]], SceneQuestion | None]
"""Makes up a question of one form, or none where the values drawn make no good question."""


def _exist(generator: random.Random) -> Draw:
    def say(pick: Pick, things: Sequence[Thing]) -> tuple[str, str]:
        return f"Is there a {_words(pick)}?", "yes" if things else "no"

    return _about_picked(generator, _draw_form(generator), "exist", say)


def _count(generator: random.Random) -> Draw:
    def say(pick: Pick, things: Sequence[Thing]) -> tuple[str, str]:
        return f"How many {_words(pick, plural=True)} are there?", str(len(things))

    return _about_picked(generator, _draw_form(generator, bare=True), "count", say)


def _about_picked(
    generator: random.Random, form: Form, function: str, say: Callable[[Pick, Sequence[Thing]], tuple[str, str]]
) -> Draw:
    """Return a ``Draw`` for questions about all things of a pick: ``say`` gives text and answer, ``function`` the last step."""

    def draw(scene: Scene, pairs: Sequence[Pair]) -> SceneQuestion | None:
        pick = _fill(generator, scene, form, pairs)
        things = select(scene, pick)
        if things is None:
            return None
        program, last = _chain(pick)
        _step(program, function, [last])
        return _question(*say(pick, things), program)

    return draw


def _compare_counts(generator: random.Random) -> Draw:
    function = generator.choice(("equal_integer", "greater_than", "less_than"))
    words = {"equal_integer": "as many {} as", "greater_than": "more {} than", "less_than": "fewer {} than"}[function]
    forms = [Form((generator.choice(list(ATTRIBUTES)),)) for _ in range(2)]

    def draw(scene: Scene, pairs: Sequence[Pair]) -> SceneQuestion | None:
        first, second = (_fill(generator, scene, form, pairs) for form in forms)
        if first == second:
            return None
        counts = [len(matching(scene.things, pick.values)) for pick in (first, second)]
        holds = {
            "equal_integer": counts[0] == counts[1],
            "greater_than": counts[0] > counts[1],
            "less_than": counts[0] < counts[1],
        }
        program, last = _chain(first)
        one = _step(program, "count", [last])
        program, last = _chain(second, program)
        other = _step(program, "count", [last])
        _step(program, function, [one, other])
        text = f"Are there {words.format(_words(first, plural=True))} {_words(second, plural=True)}?"
        return _question(text, "yes" if holds[function] else "no", program)

    return draw


def _query(generator: random.Random) -> Draw:
    asked = generator.choice(list(ATTRIBUTES))
    form = _draw_form(generator, but=asked, bare=True)

    def draw(scene: Scene, pairs: Sequence[Pair]) -> SceneQuestion | None:
        pick = _fill(generator, scene, form, pairs)
        things = select(scene, pick)
        if things is None or len(things) != 1:
            return None
        program, last = _chain(pick)
        official = _OFFICIAL.get(asked, asked)
        _step(program, f"query_{official}", [_step(program, "unique", [last])])
        return _question(f"What {official} is the {_words(pick)}?", getattr(things[0], asked), program)

    return draw


def _compare_attribute(generator: random.Random) -> Draw:
    asked = generator.choice(list(ATTRIBUTES))
    attributes = [attribute for attribute in ATTRIBUTES if attribute != asked]
    forms = [generator.sample(attributes, generator.choice((1, 2))) for _ in range(2)]

    def draw(scene: Scene, pairs: Sequence[Pair]) -> SceneQuestion | None:
        one, other = generator.sample(scene.things, 2)
        alike = [thing for thing in scene.things if thing is not one and getattr(thing, asked) == getattr(one, asked)]
        if alike and generator.random() < 0.5:
            other = generator.choice(alike)
        first, second = (Pick(values_of(thing, form)) for thing, form in zip((one, other), forms, strict=True))
        if len(matching(scene.things, first.values)) > 1 or len(matching(scene.things, second.values)) > 1:
            return None
        program, last = _chain(first)
        official = _OFFICIAL.get(asked, asked)
        steps = [_step(program, f"query_{official}", [_step(program, "unique", [last])])]
        program, last = _chain(second, program)
        steps.append(_step(program, f"query_{official}", [_step(program, "unique", [last])]))
        _step(program, f"equal_{official}", steps)
        text = f"Do the {_words(first)} and the {_words(second)} have the same {official}?"
        return _question(text, "yes" if other in alike else "no", program)

    return draw


KINDS: dict[str, tuple[Callable[[random.Random], Draw], int]] = {
    "exist": (_exist, 2),
    "count": (_count, 2),
    "compare integer": (_compare_counts, 2),
    "query attribute": (_query, 3),
    "compare attribute": (_compare_attribute, 2),
}
"""What makes up a kind of question, and how often it comes."""


def _draw_form(generator: random.Random, but: str = "", *, bare: bool = False) -> Form:
    """Draw a form, which is relational with probability 0.6. With ``bare``, things beside an anchor may have no attributes."""
    attributes = [attribute for attribute in ATTRIBUTES if attribute != but]
    chosen = tuple(generator.sample(attributes, generator.choice((1, 2))))
    if generator.random() < 0.4:
        return Form(chosen)
    if bare and generator.random() < 0.4:
        chosen = ()
    anchor = generator.choice((("shape",), ("colour",), ("colour", "shape"), ("size", "shape")))
    return Form(chosen, generator.choice(list(DIRECTIONS)), anchor)


def _fill(generator: random.Random, scene: Scene, form: Form, pairs: Sequence[Pair]) -> Pick:
    """Draw the values of a form: in half of the cases those of a thing in the scene, else of a random one."""
    anchor = values_of(generator.choice(scene.things), form.anchor)
    if generator.random() < 0.5:
        return Pick(values_of(generator.choice(scene.things), form.attributes), form.direction, anchor)
    colour, shape = generator.choice(pairs)
    drawn = {"size": generator.choice(ATTRIBUTES["size"]), "colour": colour, "shape": shape}
    values = tuple((attribute, value) for attribute, value in drawn.items() if attribute in form.attributes)
    return Pick(values, form.direction, anchor)


def _words(pick: Pick, *, plural: bool = False) -> str:
    said = noun_phrase(pick.values, plural=plural)
    return f"{said} {_SIDES[pick.direction]} the {noun_phrase(pick.anchor)}" if pick.direction else said


def _step(program: list[dict[str, Any]], function: str, inputs: list[int], value: str | None = None) -> int:
    program.append({"function": function, "inputs": inputs, "value_inputs": [] if value is None else [value]})
    return len(program) - 1


def _chain(pick: Pick, program: list[dict[str, Any]] | None = None) -> tuple[list[dict[str, Any]], int]:
    """Append the steps that select the things of a pick. Return the program and the index of the last step."""
    program = [] if program is None else program
    last = _step(program, "scene", [])
    if pick.direction is not None:
        last = _step(program, "unique", [_filter(program, last, pick.anchor)])
        last = _step(program, "relate", [last], pick.direction)
    return program, _filter(program, last, pick.values)


def _filter(program: list[dict[str, Any]], last: int, values: Values) -> int:
    for attribute, value in values:
        last = _step(program, f"filter_{_OFFICIAL.get(attribute, attribute)}", [last], value)
    return last


def _question(text: str, answer: str, program: list[dict[str, Any]]) -> SceneQuestion:
    return SceneQuestion(text, answer, program, relational=any(step["function"] == "relate" for step in program))


def write_shapes_vqa(folder: Path, images: Mapping[Split, int], seed: int) -> dict[str, int]:
    """Write both parts of the data set.

    Args:
        folder: An empty folder.
        images: Number of images of each split.
        seed: Seed of all random draws.

    Returns:
        Numbers of images and questions by split: ``train_images``, …, ``compositional_test_questions``.
    """
    seen = tuple(pair for pair in PAIRS if pair not in HELD_OUT)
    every: dict[Split, Sequence[Pair]] = {"train": PAIRS, "val": PAIRS, "test": PAIRS}
    apart: dict[Split, Sequence[Pair]] = {"train": seen, "val": seen, "test": HELD_OUT}
    return _write_part(folder, images, seed, every) | _write_part(
        folder / "compositional", images, seed, apart, "compositional"
    )


def _write_part(
    folder: Path, images: Mapping[Split, int], seed: int, pairs: Mapping[Split, Sequence[Pair]], part: str = ""
) -> dict[str, int]:
    counts: dict[str, int] = {}
    with progress_bar() as progress:
        for split, number_of_images in images.items():
            name = f"{part}_{split}" if part else split
            task = progress.add_task(name, total=number_of_images, rate="")
            questions: list[dict[str, Any]] = []
            scenes: list[dict[str, Any]] = []
            (folder / "images" / split).mkdir(parents=True)
            for number in range(number_of_images):
                scene = sample_scene(seed, name, number, pairs[split])
                where = {"image_index": number, "image_filename": f"CLEVR_{split}_{number:06d}.png", "split": split}
                draw_scene(scene).save(folder / "images" / split / f"CLEVR_{split}_{number:06d}.png")
                scenes.append(where | {"objects": describe_scene(scene)})
                for asked in ask_about_scene(scene, pairs=pairs[split]):
                    questions.append(where | {"question_index": len(questions)} | asdict(asked))
                progress.update(task, advance=1)
            information = {"split": split, "seed": seed}
            for kind, records in (("questions", questions), ("scenes", scenes)):
                content = json.dumps({"info": information, kind: records})
                write_text(folder / kind / f"CLEVR_{split}_{kind}.json", content)
            counts |= {f"{name}_images": number_of_images, f"{name}_questions": len(questions)}
    return counts
