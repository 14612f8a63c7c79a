"""Generated dialogs about drawn scenes, whose later questions need the earlier rounds.

What the words refer to:

- *it* is the first thing of the caption, until a round describes another thing ("what size is the blue square", "what is at the
  top left"); then it is that thing. After a round has referred to another thing through the history ("the other one"), *it* is
  not used until a thing is described again. *That colour* is the colour of *it*.
- *the other one* is the second thing of the caption. It is used only while *it* is the first and no other thing was mentioned.
- *the thing you were told of first* and *second* are the things of the caption.
- *the star we talked about* is the only star that was mentioned, if the picture has several.
- *them* are the things that the last "how many … are there" counted. After other questions about several things it is not used.

A question **needs history** if, for the same picture and question, it could be about something else and then have another
answer. All questions that refer back need history, and no others. The **distance** of a question is the number of rounds since
the thing or things that it is about were introduced; the caption is round 0.

An answer is a function of question, referent and scene. ``dialog_answers`` has the answers and the other choices.
"""

import random
from collections.abc import Callable, Collection, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import permutations
from typing import NamedTuple

from preprocessing.dialog_answers import ANSWERS, PLACES, WORDINGS, Answer, draw_choices
from preprocessing.scenes import (
    ATTRIBUTES,
    COLOURS,
    DIRECTIONS,
    PAIRS,
    SHAPES,
    SIZES,
    Scene,
    Thing,
    Values,
    is_beside,
    is_clear,
    matching,
    noun_phrase,
    values_of,
)

NUM_ROUNDS = 10

_ASKED_OF_A_THING = {"colour": 4, "shape": 4, "size": 2, "place": 1}  # weights: colour and shape are revealed more often
_SIDES = {"left": "left of", "right": "right of", "above": "above", "below": "below"}


@dataclass(frozen=True, slots=True)
class Turn:
    """One round.

    Attributes:
        question: The question without a question mark, as in VisDial.
        answer: The true answer.
        choices: ``NUM_CHOICES`` different answers including the true one, in random order.
        needs_history: Whether the picture and the question alone leave the referent, and with it the answer, open.
        coreference_distance: Number of rounds since the referent was introduced; 0 if the question itself describes it.
    """

    question: str
    answer: Answer
    choices: tuple[Answer, ...]
    needs_history: bool
    coreference_distance: int


@dataclass(frozen=True, slots=True)
class SceneDialog:
    """A dialog about a scene.

    Attributes:
        caption: Describes one or two things.
        turns: ``NUM_ROUNDS`` rounds.
        graded: 0-based index of the round whose choices have graded relevance.
    """

    caption: str
    turns: tuple[Turn, ...]
    graded: int


# --- What has been said so far -------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Talk:
    """State of a dialog while it is generated."""

    scene: Scene
    generator: random.Random
    first: Thing
    second: Thing | None
    may_change: bool  # whether rounds may describe further things
    it: Thing | None
    it_since: int = 0
    them: Values | None = None  # description of what was counted
    them_since: int = 0
    number: int = 0  # number of the current round, from 1
    named: dict[Thing, int] = field(default_factory=dict)  # mentioned things, with the round of the first mention
    told: dict[Thing, set[str]] = field(default_factory=dict)  # attributes of each that the text reveals
    asked: set[Hashable] = field(default_factory=set)

    def name(self, thing: Thing, attributes: Iterable[str]) -> None:
        """Record that a thing was mentioned and which of its attributes were revealed."""
        self.named.setdefault(thing, self.number)
        self.told.setdefault(thing, set()).update(attributes)

    def pick_out(self, thing: Thing, attributes: Iterable[str]) -> None:
        """Record that a thing was described: from now on it is *it*."""
        self.name(thing, attributes)
        self.it, self.it_since = thing, self.number

    def point_at(self, thing: Thing) -> None:
        """Record a reference through the history. If it is to another thing, *it* would be ambiguous and is not used."""
        if thing is not self.it:
            self.it = None

    def count(self, values: Values | None) -> None:
        """Record a question about several things: from now on they are *them*. With None, *them* is not used."""
        self.them, self.them_since = values, self.number


class _Reference(NamedTuple):
    """Words that refer to a thing through the history."""

    words: str
    thing: Thing
    since: int  # the round that introduced it
    candidates: Sequence[Thing]  # what the same words could mean in another dialog about the same picture


def _nothing() -> None:
    """Do nothing: the update for questions that refer to no thing."""


class _Asked(NamedTuple):
    """A question, its true answer, and its answers if it were about something else."""

    question: str
    answer: Answer
    then: Callable[[], None] = _nothing  # updates the dialog once it is asked
    otherwise: Sequence[Answer | None] = ()
    since: int | None = None  # the round that introduced its referent; None if the question describes it
    about: Thing | None = None


class _Query(NamedTuple):
    """A question about a thing that is still to be named."""

    question: str  # with {} for the thing
    answer: Callable[[Thing], Answer | None]  # None if it cannot be asked about the thing
    attributes: tuple[str, ...] = ()  # attributes that the answer reveals
    landmark: tuple[Thing, tuple[str, ...]] | None = None  # another thing that the question describes, by these attributes


def make_dialog(scene: Scene) -> SceneDialog:
    """Generate a dialog.

    Args:
        scene: The scene that it is about.

    Returns:
        The dialog; it depends only on the scene.
    """
    generator = random.Random(f"dialog about {scene.key}")
    talk, caption = _open(scene, generator)
    turns = []
    for number in range(1, NUM_ROUNDS + 1):
        talk.number = number
        asked = _next(talk)
        turns.append(
            Turn(
                asked.question,
                asked.answer,
                draw_choices(asked.answer, scene, generator),
                needs_history=any(answer != asked.answer for answer in asked.otherwise),
                coreference_distance=0 if asked.since is None else number - asked.since,
            )
        )
    return SceneDialog(caption, tuple(turns), generator.randrange(NUM_ROUNDS))


def _open(scene: Scene, generator: random.Random) -> tuple[_Talk, str]:
    first, second = generator.sample(scene.things, 2)
    is_pair = generator.random() < 0.5
    talk = _Talk(scene, generator, first, second if is_pair else None, may_change=generator.random() < 0.75, it=first)
    said = [_describe(talk, thing) for thing in ((first, second) if is_pair else (first,))]
    for thing, (_, attributes) in zip((first, second), said, strict=False):
        talk.name(thing, attributes)
    return talk, f"a {said[0][0]} " + (f"together with a {said[1][0]}" if is_pair else "among other things")


def _describe(talk: _Talk, thing: Thing) -> tuple[str, tuple[str, ...]]:
    """Return a short description that fits only this thing of the scene, and the attributes that it uses."""
    sets = [("colour",), ("shape",), ("colour", "shape"), ("size", "shape"), ("size", "colour"), tuple(ATTRIBUTES)]
    fitting = [chosen for chosen in sets if len(matching(talk.scene.things, values_of(thing, chosen))) == 1]
    weights = [(0, 12, 2, 0)[len(chosen)] for chosen in fitting]
    (chosen,) = talk.generator.choices(fitting, weights) if any(weights) else [fitting[0]]
    return noun_phrase(values_of(thing, chosen)), chosen


def _next(talk: _Talk) -> _Asked:
    """Ask a new question, which refers back in about half of the rounds."""
    table = _BACKWARD if talk.generator.random() < _backward_share(talk.number) else _FORWARD
    for i in range(200):
        makers = table if i < 12 else _BACKWARD | _FORWARD
        (name,) = talk.generator.choices(list(makers), weights=[weight for _, weight in makers.values()])
        asked = makers[name][0](talk)
        if asked is None:
            continue
        key = (asked.question, asked.about)
        if key not in talk.asked and (asked.since is None or any(answer != asked.answer for answer in asked.otherwise)):
            talk.asked.add(key)
            asked.then()
            return asked
    raise AssertionError("unreachable: a scene has more questions than a dialog has rounds")


# --- Questions that refer back -------------------------------------------------------------------------------------------


def _ask_about_it(talk: _Talk) -> _Asked | None:
    if talk.it is None:
        return None
    reference = _Reference("it", talk.it, talk.it_since, talk.scene.things)
    kinds = [_attribute, _is_of_value, _is_of_size, _lies, _another, _is_beside_named, _neighbour]
    (make,) = talk.generator.choices(kinds, weights=[14, 3, 1, 1, 2, 1, 0.6])
    query = make(talk, talk.it)
    return None if query is None else _refer(talk, reference, query)


def _ask_about_told(talk: _Talk) -> _Asked | None:
    """Ask about a thing of the caption, by its order there."""
    things = [talk.first] + ([talk.second] if talk.second else [])
    i = talk.generator.randrange(len(things))
    words = f"the thing you were told of {('first', 'second')[i]}"
    return _ask_by(talk, _Reference(words, things[i], 0, talk.scene.things))


def _ask_about_other(talk: _Talk) -> _Asked | None:
    """Ask about the second thing of the caption, if no other thing was mentioned."""
    if talk.second is None or talk.it is not talk.first or len(talk.named) > 2:
        return None
    if talk.generator.random() < 0.3:
        return _is_beside_other(talk, talk.first, talk.second)
    return _ask_by(talk, _Reference("the other one", talk.second, 0, talk.scene.things))


def _ask_about_named(talk: _Talk) -> _Asked | None:
    """Ask about the only mentioned thing of its shape, if the picture has several."""
    thing = talk.generator.choice(list(talk.named))
    alike = matching(talk.scene.things, values_of(thing, ("shape",)))
    if "shape" not in talk.told[thing] or len(alike) == 1 or sum(other in talk.named for other in alike) > 1:
        return None
    return _ask_by(talk, _Reference(f"the {thing.shape} we talked about", thing, talk.named[thing], alike))


def _ask_about_them(talk: _Talk) -> _Asked | None:
    if talk.them is None:
        return None
    them = tuple(matching(talk.scene.things, talk.them))
    groups = [tuple(matching(talk.scene.things, values)) for values in [(), *_single_values()]]
    groups = [group for group in groups if len(group) > 1]
    if talk.generator.random() < 0.25:
        size = talk.generator.choice(them).size
        if "size" in dict(talk.them) or (any(thing.size != size for thing in them) and talk.generator.random() < 0.7):
            return None  # the answer would be no far more often

        def are_all(group: Sequence[Thing]) -> Answer:
            return ANSWERS["check", "all of size"][all(thing.size == size for thing in group)]

        otherwise = [are_all(group) for group in groups]
        return _Asked(f"are all of them {size}", are_all(them), otherwise=otherwise, since=talk.them_since)
    own = dict(talk.them)
    by_count: dict[int, list[tuple[str, str]]] = {}
    for ((attribute, value),) in _single_values():
        if attribute not in own:
            by_count.setdefault(len(matching(them, ((attribute, value),))), []).append((attribute, value))
    count = talk.generator.choice(sorted(by_count))
    attribute, value = talk.generator.choice(by_count[count])

    def how_many(group: Sequence[Thing]) -> Answer:
        return ANSWERS["count", 2][len(matching(group, ((attribute, value),)))]

    said = noun_phrase(((attribute, value),), plural=True) if attribute == "shape" else value
    otherwise = [how_many(group) for group in groups]
    return _Asked(WORDINGS["count"][2][0].format(said), how_many(them), otherwise=otherwise, since=talk.them_since)


def _refer(talk: _Talk, reference: _Reference, query: _Query) -> _Asked | None:
    answer = query.answer(reference.thing)
    if answer is None:
        return None

    def then() -> None:
        talk.name(reference.thing, query.attributes)
        talk.point_at(reference.thing)
        if query.landmark:
            talk.name(*query.landmark)

    otherwise = [query.answer(thing) for thing in reference.candidates]
    return _Asked(query.question.format(reference.words), answer, then, otherwise, reference.since, reference.thing)


def _ask_by(talk: _Talk, reference: _Reference) -> _Asked | None:
    (make,) = talk.generator.choices([_attribute, _is_of_value, _is_of_size, _lies], weights=[12, 3, 1, 1])
    query = make(talk, reference.thing)
    return None if query is None else _refer(talk, reference, query)


def _attribute(talk: _Talk, thing: Thing, said: Collection[str] = ()) -> _Query | None:
    """Ask for an attribute that neither the earlier text nor the question itself reveals."""
    unknown = [attribute for attribute in _ASKED_OF_A_THING if attribute not in {*said, *talk.told.get(thing, ())}]
    if not unknown:
        return None
    weights = [_ASKED_OF_A_THING[attribute] for attribute in unknown]
    (attribute,), i = talk.generator.choices(unknown, weights), talk.generator.randrange(2)
    return _Query(WORDINGS[attribute][i][0], lambda other: ANSWERS[attribute, i][getattr(other, attribute)], (attribute,))


def _is_of_value(talk: _Talk, thing: Thing) -> _Query | None:
    """Ask whether the thing has a given colour or shape: its own, or that of another thing."""
    attribute = talk.generator.choice(("colour", "shape"))
    own = getattr(thing, attribute)
    others = sorted({getattr(other, attribute) for other in talk.scene.things} - {own})
    if not others or attribute in talk.told[thing]:
        return None
    value = own if talk.generator.random() < 0.5 else talk.generator.choice(others)
    words = f"is {{}} a {value}" if attribute == "shape" else f"is {{}} {value}"
    return _Query(
        words,
        lambda other: ANSWERS["check", f"is of {attribute}"][getattr(other, attribute) == value],
        (attribute,) if value == own else (),
    )


def _is_of_size(talk: _Talk, thing: Thing) -> _Query | None:
    if "size" in talk.told[thing]:
        return None
    size = talk.generator.choice(list(SIZES))
    return _Query(f"is {{}} {size}", lambda other: ANSWERS["check", f"is {size}"][other.size == size], ("size",))


def _lies(talk: _Talk, thing: Thing) -> _Query | None:
    if "place" in talk.told[thing]:
        return None
    direction = talk.generator.choice(list(DIRECTIONS))
    half = {"above": "upper", "below": "lower"}.get(direction, direction)
    part = {"above": "top", "below": "bottom"}.get(direction, direction)
    return _Query(
        f"is {{}} in the {half} half", lambda other: ANSWERS["check", f"lies {direction}"][part in other.place.split()]
    )


def _another(talk: _Talk, thing: Thing) -> _Query | None:
    attribute = talk.generator.choice(("colour", "shape"))

    def answer(other: Thing) -> Answer:
        alike = len(matching(talk.scene.things, values_of(other, (attribute,))))
        return ANSWERS["check", f"another of {attribute}"][alike > 1]

    return _Query(f"is there another one of that {attribute}", answer)


def _is_beside_named(talk: _Talk, thing: Thing) -> _Query | None:
    """Ask whether the thing lies on one side of another thing, which the question describes."""
    other = talk.generator.choice(talk.scene.things)
    direction = talk.generator.choice(list(DIRECTIONS))
    if other is thing or not is_clear(thing, other, direction):
        return None
    said, attributes = _describe(talk, other)

    def answer(some: Thing) -> Answer | None:
        return None if some is other else _side(some, other, direction)

    return _Query(f"is {{}} {_SIDES[direction]} the {said}", answer, landmark=(other, attributes))


def _is_beside_other(talk: _Talk, thing: Thing, other: Thing) -> _Asked | None:
    direction = talk.generator.choice(list(DIRECTIONS))
    answer = _side(thing, other, direction)
    if answer is None:
        return None
    otherwise = [_side(one, another, direction) for one, another in permutations(talk.scene.things, 2)]
    return _Asked(f"is it {_SIDES[direction]} the other one", answer, otherwise=otherwise, since=0, about=thing)


def _side(thing: Thing, other: Thing, direction: str) -> Answer | None:
    if not is_clear(thing, other, direction):
        return None
    return ANSWERS["check", f"is {direction}"][is_beside(thing, other, direction)]


def _neighbour(talk: _Talk, thing: Thing) -> _Query | None:
    """Ask for the colour or shape of the only other thing on one side of the thing."""
    direction = talk.generator.choice(list(DIRECTIONS))
    attribute, i = talk.generator.choice(("colour", "shape")), talk.generator.randrange(2)

    def answer(some: Thing) -> Answer | None:
        others = [other for other in talk.scene.things if other is not some]
        there = [other for other in others if is_beside(other, some, direction)]
        if len(there) != 1 or not all(is_clear(other, some, direction) for other in others):
            return None
        return ANSWERS[attribute, i][getattr(there[0], attribute)]

    return _Query(WORDINGS[attribute][i][0].format(f"the only one {_SIDES[direction]} {{}}"), answer)


# --- Questions that stand alone ------------------------------------------------------------------------------------------


def _ask_described(talk: _Talk) -> _Asked | None:
    """Ask for an attribute of a thing that the question describes. The thing becomes *it*."""
    thing = talk.generator.choice(talk.scene.things)
    if not talk.may_change or thing is talk.it:
        return None
    said, attributes = _describe(talk, thing)
    query = _attribute(talk, thing, attributes)
    answer = query and query.answer(thing)
    if query is None or answer is None:
        return None
    then = partial(talk.pick_out, thing, (*attributes, *query.attributes))
    return _Asked(query.question.format(f"the {said}"), answer, then, about=thing)


def _ask_corner(talk: _Talk) -> _Asked | None:
    """Ask what lies in a quarter of the picture that contains a single thing. The thing becomes *it*."""
    place = talk.generator.choice(PLACES)
    there = [thing for thing in talk.scene.things if thing.place == place]
    if not talk.may_change or len(there) != 1 or there[0] is talk.it:
        return None
    i = talk.generator.randrange(2)
    answer = ANSWERS["description", i][values_of(there[0], ATTRIBUTES)]
    then = partial(talk.pick_out, there[0], _ASKED_OF_A_THING)
    return _Asked(WORDINGS["description"][i][0].format(place), answer, then, about=there[0])


def _ask_any(talk: _Talk) -> _Asked | None:
    attributes = talk.generator.choice((("colour",), ("shape",), ("colour", "shape")))
    there = sorted({values_of(thing, attributes) for thing in talk.scene.things})
    wanted = talk.generator.random() < 0.5
    absent = [values for values in _DESCRIBED[attributes] if values not in there]
    if not absent:
        return None
    values = talk.generator.choice(there if wanted else absent)
    name = "both" if len(attributes) == 2 else attributes[0]
    said = noun_phrase(values, plural=True)
    question = {"colour": f"is anything {values[0][1]}", "shape": f"do you see any {said}", "both": f"are there any {said}"}[
        name
    ]
    then = _nothing if name == "colour" else partial(talk.count, None)
    return _Asked(question, ANSWERS["check", f"any of {name}"][wanted], then)


def _ask_count(talk: _Talk) -> _Asked | None:
    by_count: dict[int, list[Values]] = {}
    for values in [(), *_single_values()]:
        by_count.setdefault(len(matching(talk.scene.things, values)), []).append(values)
    counts = sorted(by_count)
    (count,) = talk.generator.choices(counts, weights=[1 if count == 0 else 2 for count in counts])
    i = talk.generator.randrange(2)
    values = talk.generator.choice(by_count[count])
    then = partial(talk.count, values if count > 1 else None)
    return _Asked(WORDINGS["count"][i][0].format(noun_phrase(values, plural=True)), ANSWERS["count", i][count], then)


def _ask_more(talk: _Talk) -> _Asked | None:
    counts = {shape: len(matching(talk.scene.things, (("shape", shape),))) for shape in SHAPES}
    wanted = talk.generator.random() < 0.5
    fitting = [(one, other) for one, other in permutations(SHAPES, 2) if (counts[one] > counts[other]) is wanted]
    fitting = [(one, other) for one, other in fitting if counts[one] + counts[other]]
    if not fitting:
        return None
    one, other = (noun_phrase((("shape", shape),), plural=True) for shape in talk.generator.choice(fitting))
    answer = ANSWERS["check", "more of shape"][wanted]
    return _Asked(f"are there more {one} than {other}", answer, partial(talk.count, None))


def _single_values() -> list[Values]:
    return [((attribute, value),) for attribute, values in ATTRIBUTES.items() for value in values]


_DESCRIBED: dict[tuple[str, ...], list[Values]] = {
    ("colour",): [(("colour", colour),) for colour in COLOURS],
    ("shape",): [(("shape", shape),) for shape in SHAPES],
    ("colour", "shape"): [(("colour", colour), ("shape", shape)) for colour, shape in PAIRS],
}

Maker = Callable[[_Talk], _Asked | None]
_BACKWARD: dict[str, tuple[Maker, float]] = {
    "it": (_ask_about_it, 8),
    "told": (_ask_about_told, 4),
    "other": (_ask_about_other, 3),
    "named": (_ask_about_named, 2),
    "them": (_ask_about_them, 2.5),
}
_FORWARD: dict[str, tuple[Maker, float]] = {
    "described": (_ask_described, 5),
    "corner": (_ask_corner, 3),
    "any": (_ask_any, 3),
    "count": (_ask_count, 2.5),
    "more": (_ask_more, 0.7),
}


def _backward_share(number: int) -> float:
    """Return the probability that a round first tries to refer back. It rises with the round, for longer distances.

    If that fails, for example because there is nothing to refer to, the round asks a question of either kind.
    """
    return 0.38 + 0.045 * number
