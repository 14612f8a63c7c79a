"""Answers: the official normalisation, answer scores and the answer vocabulary.

Training targets (``answer_scores``) and the metric (``score_answer``) follow the same rule. A question with one human answer is
scored by comparison. A question with several is scored by the official VQA accuracy (Antol et al. 2015, eq. in section 4), as
the evaluation script of 2021 computes it, quirks included. ``consensus_score`` also has the rule from before March 2021, which
results published until then used.
"""

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Literal

from vqa_rnn.errors import UserError
from vqa_rnn.files import read_json, write_json

# Number words, articles, contractions and punctuation of the official VQA evaluation script
# (https://github.com/GT-Vision-Lab/VQA, BSD licence). They must match the script, quirks included.
_TABLES = json.loads(resources.files("vqa_rnn").joinpath("vqa_normalisation.json").read_text(encoding="utf-8"))
_CONTRACTIONS: dict[str, str] = _TABLES["contractions"]
_NUMBER_WORDS: dict[str, str] = _TABLES["number_words"]
_ARTICLES = frozenset(_TABLES["articles"])
_MARKS: list[str] = _TABLES["punctuation"]
_DIGIT_COMMA_DIGIT = re.compile(r"(\d)(,)(\d)")
_PERIOD = re.compile(r"(?!<=\d)(\.)(?!\d)")  # the official pattern, including its mistyped look-behind
_ANY_MARK = re.compile("[" + re.escape("".join(_MARKS) + ".") + "]")
_MOST_PERIODS = int(re.UNICODE)  # the script passes this flag as the number of substitutions
_CACHED = 1 << 18  # distinct texts; answers repeat within and across questions

_SENTENCE_ENDS = " .,;:!?…"
_QUOTES = {('"', '"'), ("'", "'"), ("“", "”"), ("‘", "’"), ("«", "»"), ("„", "“")}

Rule = Literal["2021", "2015"]


@lru_cache(maxsize=_CACHED)
def normalise_vqa(answer: str) -> str:
    """Normalise an answer as the official VQA evaluation does: punctuation, then number words, articles, contractions.

    Args:
        answer: Any text.

    Returns:
        The normalised text; empty if nothing is left, as for ``"the"``.
    """
    words = (_NUMBER_WORDS.get(word, word) for word in _strip_punctuation(answer).lower().split())
    return " ".join(_CONTRACTIONS.get(word, word) for word in words if word not in _ARTICLES)


@lru_cache(maxsize=_CACHED)
def _strip_punctuation(answer: str) -> str:
    if not _ANY_MARK.search(answer):
        return answer
    has_number_comma = _DIGIT_COMMA_DIGIT.search(answer) is not None
    text = answer
    for mark in _MARKS:
        beside_space = f"{mark} " in answer or f" {mark}" in answer
        text = text.replace(mark, "" if beside_space or has_number_comma else " ")
    return _PERIOD.sub("", text, count=_MOST_PERIODS)


@lru_cache(maxsize=_CACHED)
def _flatten(answer: str) -> str:
    return answer.replace("\n", " ").replace("\t", " ").strip()


def _flatten_and_normalise(answer: str) -> str:
    return normalise_vqa(_flatten(answer))


@dataclass(frozen=True)
class ConsensusRule:
    """The text forms in which an official script compares answers.

    Attributes:
        agreed: Form of the human answers that decides whether they all agree; used for the comparison if they do.
        differing: Form of the human answers if they differ.
        answer_to_agreed: Form of the scored answer if the human answers agree.
        answer_to_differing: Form of the scored answer if the human answers differ.
    """

    agreed: Callable[[str], str]
    differing: Callable[[str], str]
    answer_to_agreed: Callable[[str], str]
    answer_to_differing: Callable[[str], str]


RULES: dict[Rule, ConsensusRule] = {
    "2021": ConsensusRule(_flatten, _flatten_and_normalise, _flatten, _flatten_and_normalise),
    "2015": ConsensusRule(str, _strip_punctuation, _flatten_and_normalise, _flatten_and_normalise),
}


def fold_answer(answer: str) -> str:
    """Convert an answer to Unicode form NFKC, lower case and single spaces, the form in which single answers are compared.

    Args:
        answer: Any text.

    Returns:
        The folded text.
    """
    if not answer.isascii():
        answer = unicodedata.normalize("NFKC", answer)
    return " ".join(answer.lower().split())


def fold_own_answer(answer: str) -> str:
    """Fold an answer that a user wrote, and strip surrounding quotes and the punctuation at its end.

    Args:
        answer: Any text, such as ``"Red."``.

    Returns:
        The folded text, such as ``red``. ``3.5``, ``-1`` and ``it's`` are kept, and so is a text that is all punctuation.
    """
    folded = fold_answer(answer)
    bare = folded.rstrip(_SENTENCE_ENDS)
    while len(bare) > 1 and (bare[0], bare[-1]) in _QUOTES:
        bare = bare[1:-1].strip().rstrip(_SENTENCE_ENDS)
    return bare or folded


def score_answer(answer: str, human_answers: Sequence[str]) -> float:
    """Score one answer against the human answers.

    Args:
        answer: The answer to score.
        human_answers: If there is one, the score is 1 if both are equal after folding, else 0. If there are several, it is
            the mean over all ways to leave one person out of min(1, matches among the others / 3); texts are normalised
            unless all people gave the same answer.

    Returns:
        The score, from 0 to 1.

    Raises:
        ValueError: There are no human answers.
    """
    if len(human_answers) == 1:
        return float(fold_answer(answer) == fold_answer(human_answers[0]))
    return consensus_score(answer, human_answers)


def consensus_score(
    answer: str, human_answers: Sequence[str], rule: Rule = "2021", identities: Sequence[Hashable] | None = None
) -> float:
    """Score one answer by the official VQA accuracy, for any number of human answers.

    The score is the mean over people of min(1, matches among the others / 3). Under the 2021 rule, both sides are normalised
    unless all people gave the same answer. Under the 2015 rule, the scored answer is always normalised, and the human answers
    only lose their punctuation, and only if they differ.

    Args:
        answer: The answer to score.
        human_answers: The human answers, at least one.
        rule: The official script to follow.
        identities: For each human answer, what distinguishes its record besides the text: the number and the confidence of
            the answer. The script defines "the others" as all records that differ from this one, so people with equal
            records are left out together. None if all records are distinct.

    Returns:
        The score, from 0 to 1.

    Raises:
        ValueError: There are no human answers.
    """
    if not human_answers:
        raise ValueError("an answer cannot be scored without human answers")
    forms = RULES[rule]
    humans, differ = _compared(human_answers, forms)
    said = forms.answer_to_differing(answer) if differ else forms.answer_to_agreed(answer)
    if identities is None:
        return leave_one_out(humans.count(said), len(humans))
    return _leave_equals_out(said, humans, identities)


@lru_cache(maxsize=1 << 10)
def leave_one_out(matches: int, people: int) -> float:
    """Compute the mean over people of min(1, matches among the others / 3), in closed form.

    Args:
        matches: Number of people who gave the scored answer.
        people: Number of people.

    Returns:
        The score, from 0 to 1.
    """
    left_out_agrees = matches * min(1.0, (matches - 1) / 3)
    left_out_differs = (people - matches) * min(1.0, matches / 3)
    return (left_out_agrees + left_out_differs) / people


def answer_scores(human_answers: Sequence[str]) -> dict[str, float]:
    """Return all answers that score above 0 for a question, with their scores.

    Args:
        human_answers: The human answers; may be empty.

    Returns:
        Score by answer, in order of first occurrence. The answers are in the form in which they are compared.
    """
    if len(human_answers) <= 1:
        return {fold_answer(answer): 1.0 for answer in human_answers}
    humans, _ = _compared(human_answers, RULES["2021"])
    scores = {answer: leave_one_out(humans.count(answer), len(humans)) for answer in dict.fromkeys(humans)}
    return {answer: score for answer, score in scores.items() if score > 0}


def most_frequent_answer(human_answers: Sequence[str]) -> str:
    """Return the most frequent human answer to a question.

    Args:
        human_answers: The human answers, at least one.

    Returns:
        The answer in the form in which it is compared. Of equally frequent answers, the first.
    """
    if len(human_answers) == 1:
        return fold_answer(human_answers[0])
    humans, _ = _compared(human_answers, RULES["2021"])
    return Counter(humans).most_common(1)[0][0]


def _compared(human_answers: Sequence[str], forms: ConsensusRule) -> tuple[list[str], bool]:
    """Return the human answers in the form in which they are compared, and whether they differ."""
    humans = list(map(forms.agreed, human_answers))
    differ = len(set(humans)) > 1
    return (list(map(forms.differing, human_answers)) if differ else humans), differ


def _leave_equals_out(said: str, humans: list[str], identities: Sequence[Hashable]) -> float:
    """Compute the score of ``leave_one_out`` if people with equal records are left out together."""
    matches, people = humans.count(said), len(humans)
    records = Counter(zip(humans, identities, strict=True))
    left_out_agrees = sum(equal * min(1.0, (matches - equal) / 3) for (human, _), equal in records.items() if human == said)
    return (left_out_agrees + (people - matches) * min(1.0, matches / 3)) / people


@lru_cache(maxsize=_CACHED)
def answer_forms(answer: str) -> tuple[str, ...]:
    """Return the forms in which an answer may occur in an answer vocabulary: folded, or normalised as in VQA.

    Args:
        answer: Any text.

    Returns:
        One or two texts.
    """
    return tuple(dict.fromkeys((fold_answer(answer), _flatten_and_normalise(answer))))


class AnswerVocabulary:
    """The answer classes of the classifier head, the most frequent first.

    Attributes:
        answers: The texts of the classes; class i is ``answers[i]``.
    """

    def __init__(self, answers: Sequence[str]) -> None:
        """Create a vocabulary from its answers.

        Args:
            answers: Distinct texts; class i is ``answers[i]``.
        """
        self.answers = tuple(answers)
        self._ids = {answer: i for i, answer in enumerate(self.answers)}

    def __len__(self) -> int:
        return len(self.answers)

    @classmethod
    def build(
        cls, human_answers: Iterable[Sequence[str]], min_count: int = 1, max_answers: int | None = None
    ) -> "AnswerVocabulary":
        """Count the most frequent human answer of each training question, and keep the most common ones.

        Published systems count in the same way: Antol et al. 2015 for their 1,000 answers, the bottom-up top-down model for
        answers to at least nine questions.

        Args:
            human_answers: The human answers of each training question.
            min_count: Drop answers that are the most frequent one of fewer questions than this.
            max_answers: Keep at most this many; None keeps all.

        Returns:
            The vocabulary. Equally common answers are in alphabetical order.
        """
        counts = Counter(most_frequent_answer(answers) for answers in human_answers if answers)
        kept = [answer for answer, count in counts.items() if count >= min_count]
        kept.sort(key=lambda answer: (-counts[answer], answer))
        return cls(kept[:max_answers])

    def targets(self, human_answers: Sequence[str]) -> dict[int, float]:
        """Return the classes that score above 0 for a question.

        Args:
            human_answers: The human answers; may be empty.

        Returns:
            Score by class; empty if no answer is in the vocabulary.
        """
        scores = answer_scores(human_answers)
        return {self._ids[answer]: score for answer, score in scores.items() if answer in self._ids}

    def class_of(self, answer: str) -> int | None:
        """Return the class of an answer.

        Args:
            answer: Any text, such as a choice.

        Returns:
            The class of the first of its ``answer_forms`` that is in the vocabulary; None if none is.
        """
        return next((self._ids[form] for form in answer_forms(answer) if form in self._ids), None)

    def save(self, path: Path) -> None:
        """Write the answers as a JSON list.

        Args:
            path: The file.
        """
        write_json(path, list(self.answers))

    @classmethod
    def load(cls, path: Path) -> "AnswerVocabulary":
        """Read a vocabulary that ``save`` wrote.

        Args:
            path: The file.

        Returns:
            The vocabulary.

        Raises:
            UserError: The file is missing or is not a JSON list of strings.
        """
        answers = read_json(path, "answer vocabulary")
        if not isinstance(answers, list) or not all(isinstance(answer, str) for answer in answers):
            raise UserError(f"{path} is not an answer vocabulary: a JSON list of texts is needed")
        return cls(answers)
