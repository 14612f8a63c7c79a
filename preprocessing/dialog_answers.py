"""Answers of generated dialogs: a few hundred texts, their relevance, and the choices of a round.

One of 100 choices is right:

- For each kind of answer, the choices contain all values in one wording, or none of them; *yes* and *no* occur once each. The
  choices therefore do not reveal what is asked.
- Kinds that have another right value are left out: numbers, for example, if the question is "is anything red".
- A description ("a small red star") that is true of the scene is a choice only if a description is asked for. It is then left
  out if it is true of the thing that is asked about, unless it is the answer.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from preprocessing.scenes import ATTRIBUTES, COLOURS, MOST_THINGS, SHAPES, SIZES, Scene, Thing, noun_phrase, values_of

NUM_CHOICES = 100

PLACES = ("top left", "top right", "bottom left", "bottom right")
_SAME_IN_ALL = ("colour", "shape", "size", "place", "count")

WORDINGS: dict[str, tuple[tuple[str, str], ...]] = {
    "colour": (("what colour is {}", "{}"), ("which colour does {} have", "it is {}")),
    "shape": (("what shape is {}", "a {}"), ("which shape does {} have", "it is a {}")),
    "size": (("what size is {}", "{}"), ("how big is {}", "it is {}")),
    "place": (("where is {}", "at the {}"), ("in which part of the picture is {}", "in the {} part")),
    "count": (
        ("how many {} are there", "{}"),
        ("how many {} do you see", "i count {}"),
        ("how many of them are {}", "{} of them"),
    ),
    "description": (("what is at the {}", "a {}"), ("what do you see at the {}", "i see a {}")),
}
"""How each kind of thing is asked for, and what is said then."""


class Check(NamedTuple):
    """A kind of yes/no question.

    Attributes:
        yes: The positive answer.
        no: The negative answer.
        covers: Kinds of answers that might be right too.
        weight: Its approximate relative frequency.
    """

    yes: str
    no: str
    covers: tuple[str, ...]
    weight: int


CHECKS = {
    "is of colour": Check("yes, it is", "no, it is not", ("colour",), 7),
    "is of shape": Check("yes, it is one", "no, it is not one", ("shape",), 10),
    "is small": Check("yes, it is small", "no, it is large", ("size",), 5),
    "is large": Check("yes, it is large", "no, it is small", ("size",), 6),
    "lies left": Check("yes, in the left half", "no, in the right half", ("place",), 4),
    "lies right": Check("yes, in the right half", "no, in the left half", ("place",), 4),
    "lies above": Check("yes, in the upper half", "no, in the lower half", ("place",), 4),
    "lies below": Check("yes, in the lower half", "no, in the upper half", ("place",), 4),
    "is left": Check("yes, it is to the left", "no, it is to the right", ("place",), 6),
    "is right": Check("yes, it is to the right", "no, it is to the left", ("place",), 6),
    "is above": Check("yes, it is above", "no, it is below", ("place",), 6),
    "is below": Check("yes, it is below", "no, it is above", ("place",), 6),
    "another of colour": Check("yes, there is another", "no, it is the only one", ("colour", "count"), 15),
    "another of shape": Check("yes, there is another", "no, it is the only one", ("shape", "count"), 18),
    "all of size": Check("yes, all of them are", "no, not all of them are", ("size", "count"), 4),
    "any of colour": Check("yes, something is", "no, nothing is", ("colour", "count"), 42),
    "any of shape": Check("yes, i do", "no, i do not", ("shape", "count"), 42),
    "any of both": Check("yes, there are", "no, there are not", ("colour", "shape", "count"), 42),
    "more of shape": Check("yes, there are more", "no, there are not more", ("shape", "count"), 33),
}


@dataclass(frozen=True, slots=True)
class Answer:
    """One of the few hundred answers.

    Attributes:
        text: Its text.
        kind: ``colour``, ``shape``, ``size``, ``place``, ``count``, ``check`` or ``description``.
        wording: Index of the wording of its kind; for a check, the name of the check.
        claims: What it states, as pairs of name and value.
    """

    text: str
    kind: str
    wording: int | str
    claims: frozenset[tuple[str, Any]]


def _answers() -> dict[tuple[str, int | str], dict[Any, Answer]]:
    """Return all answers, by kind and wording, then by value."""
    table: dict[tuple[str, int | str], dict[Any, Answer]] = {}
    values: dict[str, Sequence[Any]] = {**ATTRIBUTES, "place": PLACES, "count": range(MOST_THINGS + 1)}
    for kind in _SAME_IN_ALL:
        for i, (_, wording) in enumerate(WORDINGS[kind]):
            table[kind, i] = {
                value: Answer(wording.format(value or "none"), kind, i, _claims(kind, value)) for value in values[kind]
            }
    things = [Thing(shape, colour, size, 0, 0, 0) for size in SIZES for colour in COLOURS for shape in SHAPES]
    described = [values_of(thing, ATTRIBUTES) for thing in things] + [values_of(thing, ("colour", "shape")) for thing in things]
    for i, (_, wording) in enumerate(WORDINGS["description"]):
        table["description", i] = {
            said: Answer(wording.format(noun_phrase(said)), "description", i, frozenset(said))
            for said in dict.fromkeys(described)
        }
    for name, check in CHECKS.items():
        table["check", name] = {
            True: Answer(check.yes, "check", name, frozenset({("check", True)})),
            False: Answer(check.no, "check", name, frozenset({("check", False)})),
        }
    return table


def _claims(kind: str, value: Any) -> frozenset[tuple[str, Any]]:
    if kind == "place":
        return frozenset(zip(("vertical", "horizontal"), value.split(), strict=True))
    return frozenset({(kind, value)})


ANSWERS = _answers()
"""All answers, by kind and wording (of a check: its name), then by value."""


def relevance(answer: Answer, truth: Answer) -> float:
    """Grade an answer.

    Args:
        answer: A choice.
        truth: The true answer.

    Returns:
        The share of the claims of the two answers that both make, rounded to three digits: 1 for the truth, 0.5 for a small red
        star instead of a small red circle, 1/3 for a small red star instead of red, 0 for yes instead of no.
    """
    return round(len(answer.claims & truth.claims) / len(answer.claims | truth.claims), 3)


def draw_choices(truth: Answer, scene: Scene, generator: random.Random) -> tuple[Answer, ...]:
    """Draw the choices of a question: the true answer and wrong answers (decoys).

    Args:
        truth: The true answer.
        scene: The scene that is asked about.
        generator: Generator for all random draws.

    Returns:
        ``NUM_CHOICES`` different answers, in random order.
    """
    check = truth.wording if truth.kind == "check" else _draw_check(generator, truth.kind)
    choices = list(ANSWERS["check", check].values())
    for kind in _SAME_IN_ALL:
        wording = truth.wording if kind == truth.kind else generator.randrange(len(WORDINGS[kind]))
        if kind == truth.kind or kind not in CHECKS[str(check)].covers:
            choices += ANSWERS[kind, wording].values()
    wanted = NUM_CHOICES - len(choices)
    described = truth.kind == "description"
    wording = truth.wording if described else generator.randrange(2)
    shown = [values_of(thing, said) for thing in scene.things for said in (ATTRIBUTES, ("colour", "shape"))]
    if described:
        shown_here = [truth.claims, frozenset(truth.claims - {claim for claim in truth.claims if claim[0] == "size"})]
        near = [ANSWERS["description", wording][values] for values in dict.fromkeys(shown)]
        near = [truth] + [answer for answer in near if answer.claims not in shown_here]
        choices += near
        wanted -= len(near)
    pool = [answer for values, answer in ANSWERS["description", wording].items() if values not in shown]
    choices += generator.sample(pool, wanted)
    generator.shuffle(choices)
    return tuple(choices)


def _draw_check(generator: random.Random, kind: str) -> str:
    """Draw a yes/no question that could have been asked instead, whose answers become choices.

    The kinds that it leaves out must not include ``kind``; for a description they must include shapes.
    """
    names = [name for name, check in CHECKS.items() if _leaves(check, kind)]
    (name,) = generator.choices(names, weights=[CHECKS[name].weight for name in names])
    return name


def _leaves(check: Check, kind: str) -> bool:
    return "shape" in check.covers if kind == "description" else kind not in check.covers  # "a star" fits a small red star
