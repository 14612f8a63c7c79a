"""The official VQA accuracy (Antol et al. 2015, https://arxiv.org/abs/1505.00468), by the script of 2021 or of 2015."""

from collections.abc import Callable, Hashable, Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from vqa_rnn.answers import RULES, Rule, consensus_score, leave_one_out

Scores = NDArray[np.float64]
Codes = NDArray[np.int64]


def consensus_scores(
    answers: Sequence[str],
    human_answers: Sequence[Sequence[str]],
    rule: Rule = "2021",
    identities: Sequence[Sequence[Hashable] | None] | None = None,
) -> Scores:
    """Score one answer per question against the human answers.

    Args:
        answers: (N,) the answers to score.
        human_answers: (N,) the human answers of each question, as in the official file.
        rule: Year of the official script.
        identities: (N,) for each question, what distinguishes human answers with equal texts (see ``consensus_score``); None
            if all are distinct, as they are by default.

    Returns:
        (N,) fractions.

    Raises:
        ValueError: A question has no human answers.
    """
    people = np.fromiter(map(len, human_answers), dtype=np.int64, count=len(human_answers))
    if (people == 0).any():
        raise ValueError("an answer cannot be scored without human answers")
    if not answers:
        return np.zeros(0)
    matches = _matches(answers, human_answers, people, rule)
    scores = np.fromiter(map(leave_one_out, matches.tolist(), people.tolist()), dtype=np.float64, count=len(answers))
    for i, identity in enumerate(identities or ()):
        if identity is not None:
            scores[i] = consensus_score(answers[i], human_answers[i], rule, identity)
    return scores


def _matches(answers: Sequence[str], human_answers: Sequence[Sequence[str]], people: NDArray[np.int64], rule: Rule) -> Codes:
    """Count the (N,) people who gave the scored answer. Each distinct text is normalised once, then compared as a number."""
    forms, known = RULES[rule], dict[str, int]()
    humans, said = _Texts(list(chain.from_iterable(human_answers))), _Texts(answers)
    starts = np.cumsum(people) - people
    agreed = humans.numbers(forms.agreed, known)
    differ = np.add.reduceat(agreed != np.repeat(agreed[starts], people), starts, dtype=np.int64) > 0
    compared = np.where(np.repeat(differ, people), humans.numbers(forms.differing, known), agreed)
    scored = np.where(differ, said.numbers(forms.answer_to_differing, known), said.numbers(forms.answer_to_agreed, known))
    return np.add.reduceat(compared == np.repeat(scored, people), starts, dtype=np.int64)


class _Texts:
    """Many texts with few distinct ones."""

    def __init__(self, texts: Sequence[str]) -> None:
        place = {text: i for i, text in enumerate(dict.fromkeys(texts))}
        self._distinct = list(place)
        self._which = np.fromiter(map(place.__getitem__, texts), dtype=np.int64, count=len(texts))

    def numbers(self, form: Callable[[str], str], known: dict[str, int]) -> Codes:
        """Return the (N,) numbers of the texts after applying ``form``. New results are added to ``known``."""
        of_distinct = [known.setdefault(form(text), len(known)) for text in self._distinct]
        return np.array(of_distinct, dtype=np.int64)[self._which]


def mean_by_type(scores: Scores, kinds: Sequence[str]) -> dict[str, float]:
    """Compute the mean score of each kind of question.

    Args:
        scores: (N,) scores.
        kinds: (N,) the kind of each question.

    Returns:
        Mean by kind, in alphabetical order.
    """
    names = sorted(set(kinds))
    number = {name: i for i, name in enumerate(names)}
    kind = np.fromiter((number[name] for name in kinds), dtype=np.int64, count=len(kinds))
    means = np.bincount(kind, weights=scores, minlength=len(names)) / np.bincount(kind, minlength=len(names))
    return {name: float(mean) for name, mean in zip(names, means, strict=True)}
