"""Split in which the answers to each kind of question differ between train and test.

After VQA-CP (Agrawal et al. 2018, https://arxiv.org/abs/1712.00377, section 3): a model that gives frequent training answers
without using the image is wrong on the test split.
"""

import re
from collections import defaultdict
from collections.abc import Sequence, Set
from dataclasses import replace

import numpy as np
import xxhash

from vqa_rnn.answers import fold_answer, most_frequent_answer
from vqa_rnn.records import Question

# Very frequent words, which are not concepts.
_STOP_WORDS = """
a an and any are as at be been being by can could did do does for from had has have he her his how i if in into is it
its many me much my of on or our she should some than that the their them there these they this those to was we were
what when where which who whose why will with would you your
"""
STOP_WORDS = frozenset(_STOP_WORDS.split())


def kind_of(question: Question, prefix_words: int) -> str:
    """Return the kind of a question: its first words.

    Args:
        question: The question.
        prefix_words: Number of words.

    Returns:
        The words in lower case, separated by spaces.
    """
    return " ".join(_words(question.question)[:prefix_words])


def split_by_priors(questions: Sequence[Question], test_share: float, prefix_words: int) -> tuple[Question, ...]:
    """Split questions into train and test so that no kind of question has the same answer in both.

    Questions of the same kind with the same answer form a group. As in the paper, groups are assigned to test one after the
    other. Whenever test has concepts (words of a question or its answer) that train lacks, the group with the most of them is
    assigned to train. When test has its share, all other groups are assigned to train. Deviations: a kind is given by the first
    words of a question, while VQA has its own question types; groups are ordered by a hash, so that the split is always the
    same.

    Args:
        questions: Questions with answers.
        test_share: Share of the questions that are assigned to test.
        prefix_words: Number of words that define a kind.

    Returns:
        The same questions in the same order, each in ``train`` or ``test``.
    """
    groups: dict[tuple[str, str], list[int]] = defaultdict(list)
    for place, question in enumerate(questions):
        answer = fold_answer(most_frequent_answer(question.human_answers))
        groups[kind_of(question, prefix_words), answer].append(place)
    names = sorted(groups, key=_hash)
    concepts = [_concepts([questions[place] for place in groups[name]], name[1]) for name in names]
    in_test = _assign(concepts, np.array([len(groups[name]) for name in names]), test_share * len(questions))
    test = {place for name, goes in zip(names, in_test, strict=True) if goes for place in groups[name]}
    return tuple(replace(question, split="test" if place in test else "train") for place, question in enumerate(questions))


def _assign(concepts: Sequence[Set[str]], sizes: np.ndarray, wanted: float) -> list[bool]:
    """Return for each group whether it is assigned to test."""
    groups_of: dict[str, list[int]] = defaultdict(list)
    for group, words in enumerate(concepts):
        for word in words:
            groups_of[word].append(group)
    free = np.ones(len(concepts), dtype=bool)
    in_test = [False] * len(concepts)
    covers = np.zeros(len(concepts), dtype=np.int64)  # number of uncovered concepts in each group
    covered: set[str] = set()  # concepts in train
    uncovered: set[str] = set()  # concepts in test, but not in train
    num_test = 0
    for group in range(len(concepts)):
        if num_test >= wanted:
            break
        if not free[group]:
            continue
        free[group], in_test[group] = False, True
        num_test += int(sizes[group])
        for word in concepts[group] - covered - uncovered:
            uncovered.add(word)
            covers[groups_of[word]] += 1
        best = int(np.where(free, covers, 0).argmax())
        if not (free[best] and covers[best]):
            continue
        free[best] = False
        covered |= concepts[best]
        for word in concepts[best] & uncovered:
            uncovered.discard(word)
            covers[groups_of[word]] -= 1
    return in_test


def _words(text: str) -> list[str]:
    return re.findall(r"\w+(?:'\w+)?", text.lower())


def _concepts(questions: Sequence[Question], answer: str) -> frozenset[str]:
    words = {word for question in questions for word in _words(question.question)} | set(_words(answer))
    return frozenset(words - STOP_WORDS)


def _hash(name: tuple[str, str]) -> tuple[int, tuple[str, str]]:
    return xxhash.xxh64_intdigest("\0".join(name).encode()), name
