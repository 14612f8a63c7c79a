"""How often training texts count."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.official import draw_visdial
from vqa_rnn.annotations.visdial import read_visdial
from vqa_rnn.config import TextConfig, VisdialDataset
from vqa_rnn.data.vocabulary import build_answers, build_tokenizer, vocabulary_texts
from vqa_rnn.records import Question, Round
from vqa_rnn.text import split_words

SAMPLE = Path(__file__).parents[3] / "shared" / "data" / "visdial_sample" / "visdial_1.0_val_sample.json"


def ask(question_id: str, text: str, **more: Any) -> Question:
    return Question(question_id=question_id, image_id="A", question=text, split="train", **more)


def dialog(name: str, caption: str, *rounds: tuple[str, str], asked: tuple[int, ...], **more: Any) -> list[Question]:
    """Records of the rounds that are asked, each after all that came before."""
    history = tuple(Round(*each) for each in rounds)
    return [
        ask(
            f"{name}-{number}",
            history[number].question,
            caption=caption,
            history=history[:number],
            dialog_id=name,
            round_index=number,
            human_answers=(history[number].answer,),
            **more,
        )
        for number in asked
    ]


def test_a_question_counts_once_and_its_answer_does_not():
    questions = [ask("1", "is it red", human_answers=("yes",)), ask("2", "is it red", human_answers=("no",)), ask("3", "why")]
    assert Counter(vocabulary_texts(questions)) == {"is it red": 2, "why": 1}


@pytest.mark.parametrize("asked", [(0, 1, 2), (2,), (2, 0), (1, 2)])
def test_a_dialog_counts_once_whichever_rounds_are_asked(asked: tuple[int, ...]):
    rounds = (("is it red", "yes"), ("is it big", "no"), ("why", "because"))
    questions = dialog("d", "a caption", *rounds, asked=asked)
    assert Counter(vocabulary_texts(questions)) == Counter(["a caption", *(text for pair in rounds for text in pair)])


def test_two_dialogs_count_twice_and_a_choice_once_in_all():
    rounds = (("is it red", "yes"), ("is it big", "no"))
    both = [
        q
        for name in "de"
        for q in dialog(name, "a caption", *rounds, asked=(0, 1), choices=("yes", "no", "maybe"), correct_choice=0)
    ]
    counts = Counter(vocabulary_texts(both))
    assert counts["a caption"] == counts["is it red"] == counts["is it big"] == 2
    assert counts["maybe"] == 1
    assert counts["yes"] == 2 * 2 + 1, "the correct choice of both rounds of both dialogs, and a choice"


def test_an_answer_that_is_withheld_counts_for_nothing():
    (question,) = dialog("d", "a caption", ("why", "because"), asked=(0,))
    withheld = ask("d-0", "why", caption="a caption", dialog_id="d", round_index=0)
    assert set(vocabulary_texts([withheld])) == {"a caption", "why"}
    assert set(vocabulary_texts([question])) == {"a caption", "why", "because"}


def test_a_word_of_the_first_round_is_no_more_frequent_than_one_of_the_last():
    rounds = [(f"question{n}", f"answer{n}") for n in range(10)]
    questions = dialog("d", "caption", *rounds, asked=tuple(range(10)))
    assert build_tokenizer(questions, TextConfig(min_count=2)).vocabulary_size == 2
    assert build_tokenizer(questions, TextConfig(min_count=1)).vocabulary_size == 2 + 21


def literal_count(file: Path) -> Counter[str]:
    """The words of an official file: captions, questions and answers as they come, and each option that is offered once."""
    data = json.loads(file.read_text(encoding="utf-8"))["data"]
    counts: Counter[str] = Counter()
    offered: set[int] = set()
    for dialog in data["dialogs"]:
        counts.update(split_words(dialog["caption"]))
        for turn in dialog["dialog"]:
            counts.update(split_words(data["questions"][turn["question"]]))
            counts.update(split_words(data["answers"][turn["answer"]]))
            offered.update(turn["answer_options"])
    for option in {data["answers"][number] for number in offered}:
        counts.update(split_words(option))
    return counts


@pytest.mark.parametrize("min_count", [1, 2, 5])
@pytest.mark.parametrize(
    "sample", [False, pytest.param(True, marks=pytest.mark.skipif(not SAMPLE.is_file(), reason="no sample"))]
)
def test_the_vocabulary_of_an_official_file_is_that_of_a_literal_count(tmp_path: Path, sample: bool, min_count: int):
    if sample:
        dataset, file = VisdialDataset(root=SAMPLE.parent, train_file=SAMPLE.name, val_file=SAMPLE.name), SAMPLE
    else:
        draw_visdial(tmp_path)
        dataset, file = VisdialDataset(root=tmp_path), tmp_path / "visdial_1.0_train.json"
    questions = read_visdial(dataset, ["train"]).questions
    counts = literal_count(file)
    words = sorted((word for word in counts if counts[word] >= min_count), key=lambda word: (-counts[word], word))
    tokenizer = build_tokenizer(questions, TextConfig(min_count=min_count))
    assert [tokenizer.decode([number]) for number in range(2, tokenizer.vocabulary_size)] == words


def test_answers_are_counted_by_the_most_frequent_one_of_a_question():
    several = ("cat",) * 6 + ("dog",) * 4
    questions = [ask(str(n), "what", human_answers=several) for n in range(9)]
    assert build_answers(questions, TextConfig(min_answer_count=9)).answers == ("cat",)
    assert build_answers(questions[:8], TextConfig(min_answer_count=9)).answers == ()
