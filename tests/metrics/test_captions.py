"""Metrics of captions, against the outputs of the official code and against numbers worked by hand."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vqa_rnn.metrics.captions import CaptionReferences, bleu
from vqa_rnn.metrics.intervals import corpus_intervals
from vqa_rnn.metrics.official import named_bleu

GOLDENS = json.loads(Path(__file__).with_name("caption_goldens.json").read_text(encoding="utf-8"))
SETS = {golden["name"]: golden for golden in GOLDENS["sets"]}


@pytest.mark.parametrize("golden", SETS.values(), ids=SETS)
def test_equal_to_the_official_code(golden: dict[str, Any]):
    references, candidates = CaptionReferences(golden["references"]), golden["candidates"]
    statistics = references.bleu_statistics(candidates)
    assert bleu(statistics) == pytest.approx(golden["bleu"], abs=1e-12)
    assert [bleu(row).tolist() for row in statistics] == [pytest.approx(each, abs=1e-12) for each in golden["bleu_of_each"]]
    assert references.rouge_l(candidates) == pytest.approx(golden["rouge_l"], abs=1e-12)
    assert references.cider(candidates) == pytest.approx(golden["cider"], abs=1e-12)


def test_bleu_worked_by_hand():
    references = CaptionReferences([["the cat is on the mat", "a cat"], ["two dogs run"]])
    statistics = references.bleu_statistics(["the the the cat", "two dogs"])
    # clipped: "the" counts twice, "the cat" once; 4 words are as close to 6 as to 2: the shorter
    assert statistics.tolist() == [[3, 1, 0, 0, 4, 3, 2, 1, 4, 2], [2, 1, 0, 0, 2, 1, 0, 0, 2, 3]]
    assert statistics.dtype == np.int64
    expected = [5 / 6, math.sqrt(5 / 6 * 2 / 4)]  # 6 words for 5 of references: no brevity penalty
    assert bleu(statistics)[:2] == pytest.approx(expected)
    assert bleu(statistics)[3] < 1e-3
    assert bleu(statistics[1])[:2] == pytest.approx([math.exp(1 - 3 / 2)] * 2)
    assert bleu(statistics.sum(axis=0)).tolist() == bleu(statistics).tolist()


def test_rouge_l_worked_by_hand():
    references = CaptionReferences([["police killed the gunman", "a gunman died"], ["x"]])
    # 3 of 3 words are in the first reference in this order: precision 1, recall 3/4
    expected = (1 + 1.44) * 1 * 0.75 / (0.75 + 1.44 * 1)
    assert references.rouge_l(["police the gunman", "y"]) == pytest.approx([expected, 0])


def test_cider_worked_by_hand():
    references = CaptionReferences([["a b", "a c"], ["a d"]])
    # "a" is in both images: weight log(2 / 2) = 0. All else weighs log 2, so that the cosines of orders 1 and 2 are those of
    # b and (a, b): 1 with the first reference, 0 with the second. There are no n-grams of orders 3 and 4.
    scores = references.cider(["a b", "a e"])
    assert scores == pytest.approx([10 * (1 + 0) / 2 * 2 / 4, 0])
    # one word more: order 1 is 1 / sqrt(2), order 2 too, and the penalty is that of one pair of words
    longer = 10 * 2 / math.sqrt(2) / 4 / 2 * math.exp(-1 / 72)
    assert references.cider_of([0], ["a b f"]) == pytest.approx([longer])


def test_repeated_words_are_clipped():
    references = CaptionReferences([["b"], ["d"]])
    assert references.cider(["b b", "d"]) == pytest.approx([10 / 2 / 4 * math.exp(-1 / 72), 10 / 4])


def test_candidates_of_some_images_keep_the_document_frequencies_of_all():
    golden = SETS["several images"]
    references, candidates = CaptionReferences(golden["references"]), golden["candidates"]
    images = [2, 0, 2, 1]
    given = [candidates[image] for image in images]
    assert references.cider_of(images, given) == pytest.approx([golden["cider"][image] for image in images], abs=1e-12)
    assert references.cider_of(np.array(images), given).tolist() == references.cider_of(images, given).tolist()
    assert references.cider_of([], []).tolist() == []


def test_intervals_contain_the_score_and_depend_on_the_seed_only():
    statistics = np.concatenate(
        [CaptionReferences(SETS[name]["references"]).bleu_statistics(SETS[name]["candidates"]) for name in SETS]
    )
    images = [str(place) for place in range(len(statistics))]
    intervals = corpus_intervals(statistics, named_bleu, images, samples=200)
    assert list(intervals) == ["bleu_1", "bleu_2", "bleu_3", "bleu_4"]
    for (low, high), value in zip(intervals.values(), bleu(statistics), strict=True):
        assert low < value < high
    assert corpus_intervals(statistics, named_bleu, images, samples=200) == intervals
    assert corpus_intervals(statistics, named_bleu, images, samples=200, seed=1) != intervals
    one = corpus_intervals(statistics[:1], named_bleu, images[:1], samples=3)
    assert list(one.values()) == pytest.approx(np.stack([bleu(statistics[0])] * 2, axis=1))


@pytest.mark.parametrize("name", ["cider", "rouge_l", "bleu_statistics"])
def test_there_is_one_candidate_per_image(name: str):
    with pytest.raises(ValueError, match="1 candidates for 2 images"):
        getattr(CaptionReferences([["a"], ["b"]]), name)(["a"])


@pytest.mark.parametrize(("references", "words"), [([], "without images"), ([["a"], []], "no reference")])
def test_an_image_has_a_reference(references: list[list[str]], words: str):
    with pytest.raises(ValueError, match=words):
        CaptionReferences(references)


def test_an_image_and_a_caption_belong_together():
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        CaptionReferences([["a"], ["b"]]).cider_of([0, 1], ["a"])
