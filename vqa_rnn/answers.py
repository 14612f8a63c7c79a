"""Answers: the official normalisation, how an answer is scored, and the answer vocabulary.

Training targets and the metric come from one function, ``score_answer``. A question with one human answer is scored by
comparison; one with several by the official VQA accuracy (Antol et al. 2015, eq. in section 4; the evaluation script of
2021, whose quirks are kept).
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from importlib import resources
from pathlib import Path

from vqa_rnn.errors import UserError
from vqa_rnn.files import read_json, write_json

# Number words, articles, contractions and marks of the official VQA evaluation script
# (https://github.com/GT-Vision-Lab/VQA, BSD licence): data that must match, quirks included.
_TABLES = json.loads(resources.files("vqa_rnn").joinpath("vqa_normalisation.json").read_text(encoding="utf-8"))
_CONTRACTIONS: dict[str, str] = _TABLES["contractions"]
_NUMBER_WORDS: dict[str, str] = _TABLES["number_words"]
_ARTICLES = frozenset(_TABLES["articles"])
_MARKS: list[str] = _TABLES["punctuation"]
_DIGIT_COMMA_DIGIT = re.compile(r"(\d)(,)(\d)")
_PERIOD = re.compile(r"(?!<=\d)(\.)(?!\d)")  # the official pattern, its mistyped look-behind included
_MOST_PERIODS = int(re.UNICODE)  # the script passes this flag as the number of substitutions


def normalise_vqa(answer: str) -> str:
    """Normalise an answer as the official VQA evaluation does: punctuation, then number words, articles, contractions.

    Args:
        answer: Any text.

    Returns:
        The normalised text; empty if nothing is left ("the").
    """
    has_number_comma = _DIGIT_COMMA_DIGIT.search(answer) is not None
    text = answer
    for mark in _MARKS:
        beside_space = f"{mark} " in answer or f" {mark}" in answer
        text = text.replace(mark, "" if beside_space or has_number_comma else " ")
    text = _PERIOD.sub("", text, count=_MOST_PERIODS)
    words = (_NUMBER_WORDS.get(word, word) for word in text.lower().split())
    return " ".join(_CONTRACTIONS.get(word, word) for word in words if word not in _ARTICLES)


def fold_answer(answer: str) -> str:
    """Put an answer in lower case with single spaces: the form in which single answers are compared.

    Args:
        answer: Any text.

    Returns:
        The folded text.
    """
    return " ".join(answer.lower().split())


def score_answer(answer: str, human_answers: Sequence[str]) -> float:
    """Score one answer against what people answered.

    Args:
        answer: The answer to score.
        human_answers: One text: equal after folding scores 1, else 0. Several: the mean over all ways to leave one
            person out of min(1, matches among the others / 3); texts are normalised unless all people said the same.

    Returns:
        A fraction.

    Raises:
        ValueError: There are no human answers.
    """
    if not human_answers:
        raise ValueError("an answer cannot be scored without human answers")
    if len(human_answers) == 1:
        return float(fold_answer(answer) == fold_answer(human_answers[0]))
    humans, normalised = _comparable(human_answers)
    answer = _flatten(answer)
    return _consensus(normalise_vqa(answer) if normalised else answer, humans)


def answer_scores(human_answers: Sequence[str]) -> dict[str, float]:
    """Every answer that scores above 0 for a question, in the form in which it does, with its score.

    Args:
        human_answers: What people answered; may be empty.

    Returns:
        Answer to score, in order of first mention.
    """
    if len(human_answers) <= 1:
        return {fold_answer(answer): 1.0 for answer in human_answers}
    humans, _ = _comparable(human_answers)
    scores = {answer: _consensus(answer, humans) for answer in dict.fromkeys(humans)}
    return {answer: score for answer, score in scores.items() if score > 0}


def _flatten(answer: str) -> str:
    return answer.replace("\n", " ").replace("\t", " ").strip()


def _comparable(human_answers: Sequence[str]) -> tuple[list[str], bool]:
    """Human answers in the form they are compared in, and whether that is the normalised one (people differ)."""
    humans = [_flatten(answer) for answer in human_answers]
    differ = len(set(humans)) > 1
    return ([normalise_vqa(answer) for answer in humans], True) if differ else (humans, False)


def _consensus(answer: str, humans: list[str]) -> float:
    matches, people = humans.count(answer), len(humans)
    left_out_agrees = matches * min(1.0, (matches - 1) / 3)
    left_out_differs = (people - matches) * min(1.0, matches / 3)
    return (left_out_agrees + left_out_differs) / people


class AnswerVocabulary:
    """The classes of the classifier head, the most frequent first.

    Attributes:
        answers: Their texts; class i is ``answers[i]``.
    """

    def __init__(self, answers: Sequence[str]) -> None:
        """Number the answers.

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
        """Keep the answers that earn most on the training questions.

        Args:
            human_answers: The human answers of each training question.
            min_count: An answer must earn at least this much, summed over the questions.
            max_answers: Keep at most this many; None keeps all.

        Returns:
            The vocabulary; ties in alphabetical order.
        """
        earned: Counter[str] = Counter()
        for answers in human_answers:
            earned.update(answer_scores(answers))  # type: ignore[arg-type]  # Counter adds fractions as well
        kept = [answer for answer, total in earned.items() if total >= min_count - 1e-9]
        kept.sort(key=lambda answer: (-earned[answer], answer))
        return cls(kept[:max_answers])

    def targets(self, human_answers: Sequence[str]) -> dict[int, float]:
        """The classes that score for a question.

        Args:
            human_answers: What people answered; may be empty.

        Returns:
            Class to score; empty if no answer is in the vocabulary.
        """
        scores = answer_scores(human_answers)
        return {self._ids[answer]: score for answer, score in scores.items() if answer in self._ids}

    def save(self, path: Path) -> None:
        """Write the answers as a JSON list.

        Args:
            path: The file.
        """
        write_json(path, list(self.answers))

    @classmethod
    def load(cls, path: Path) -> "AnswerVocabulary":
        """Read answers that ``save`` wrote.

        Args:
            path: The file.

        Returns:
            The vocabulary.

        Raises:
            UserError: The file is missing or is not a list of texts.
        """
        answers = read_json(path, "answer vocabulary")
        if not isinstance(answers, list) or not all(isinstance(answer, str) for answer in answers):
            raise UserError(f"{path} is not an answer vocabulary: a JSON list of texts is needed")
        return cls(answers)
