"""The tokenisation of captions, against the outputs of the official program."""

import json
from pathlib import Path

import pytest

from vqa_rnn.metrics.caption_tokenizer import tokenize_caption

LINES = json.loads(Path(__file__).with_name("caption_goldens.json").read_text(encoding="utf-8"))["tokens"]


@pytest.mark.parametrize(("text", "tokens"), LINES, ids=[text[:20] or "empty" for text, _ in LINES])
def test_equal_to_the_official_program(text: str, tokens: str):
    assert " ".join(tokenize_caption(text)) == tokens


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("A man and a cannot.", "a man and a can not"),
        ("a house on Main St.", "a house on main st."),
        ("plan b.", "plan b."),
        ("plan b", "plan b"),
        ("Is it?", "is it"),
        ("Is it?!", "is it ?!"),
        ("a\tdog\nruns\u2028fast\r", "a dog runs fast"),
        ("I CAN'T. Isn'T", "i ca n't is n't"),
        ("...", ""),
    ],
)
def test_short_cuts_change_nothing(text: str, tokens: str):
    assert tokenize_caption(text) == tokens.split()


@pytest.mark.parametrize("text", ["a" * 5000, "a-" * 2500, "a.b" * 1500, "a'" * 1500, "<a " * 1500, "(1" * 1500, "1/" * 2000])
def test_odd_texts_end(text: str):
    spaceless = "".join(tokenize_caption(text)).replace("-lrb-", "(")
    assert len(spaceless) <= len(text)
    assert set(spaceless) <= set(text)
