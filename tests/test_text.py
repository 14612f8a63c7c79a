"""Words and token ids."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vqa_rnn.errors import UserError
from vqa_rnn.text import PADDING_ID, UNKNOWN_ID, WordTokenizer, same_words, split_words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("What colour is it?", ["what", "colour", "is", "it"]),
        ("", []),
        ("   \t\n ", []),
        ("?!… —", []),
        ("don't", ["don", "'t"]),
        ("it’s", ["it", "'s"]),
        (
            "they'll 'quote' dogs' 90's l'image o'clock",
            ["they", "'ll", "quote", "dogs", "90", "'s", "l", "image", "o", "clock"],
        ),
        ("t-shirt", ["t", "shirt"]),
        ("garbage_bin", ["garbage", "bin"]),
        ("a+b=c", ["a", "b", "c"]),
        ("3.5", ["3.5"]),
        ("1,000 feet", ["1,000", "feet"]),
        ("+1 -1 (−2) x=-3", ["+1", "-1", "-2", "x", "-3"]),
        ("3-4, 5 - 6", ["3", "4", "5", "6"]),
        (".5 -.5 3. a.b", [".5", "-.5", "3", "a", "b"]),
        ("2nd 3.5m 10am", ["2nd", "3.5m", "10am"]),
        ("5€", ["5", "€"]),
        ("25%", ["25"]),
        ("ﬁsh", ["fish"]),
        ("Ｗｈａｔ", ["what"]),
        ("x²", ["x2"]),
        ("a\u00a0b\u3000c", ["a", "b", "c"]),
        ("tab\tnew\nline", ["tab", "new", "line"]),
        ("e\u0301t\u00e9", ["été"]),
        ("NAÏVE Café", ["naïve", "café"]),
        ("日本語 東京。", ["日", "本", "語", "東", "京"]),
        ("图中有几把椅子？", ["图", "中", "有", "几", "把", "椅", "子"]),
        ("ตัวเก้า", ["ตั", "ว", "เ", "ก้", "า"]),
        ("한국어 의자", ["한국어", "의자"]),
        ("🙂 ok", ["🙂", "ok"]),
        ("[PAD] [UNK]", ["pad", "unk"]),
    ],
)
def test_splitting(text: str, words: list[str]):
    assert split_words(text) == words


def test_texts_of_the_same_words_are_found():
    assert same_words(["+1", "-1", "1", "yes", "no"]) == []
    assert same_words(["t-shirt", "hat", "T shirt", "t_shirt"]) == [("t-shirt", "T shirt"), ("t-shirt", "t_shirt")]
    assert same_words(["?", "!"]) == [("?", "!")]


def build(*texts: str, min_count: int = 1, max_tokens: int = 64) -> WordTokenizer:
    return WordTokenizer.build(texts, min_count=min_count, max_tokens=max_tokens)


def test_ids_go_by_frequency_and_then_by_the_alphabet():
    tokenizer = build("the cat", "the dog", "the cow")
    assert tokenizer.vocabulary_size == 6
    assert tokenizer.encode(["the cat cow dog"]) == [[2, 3, 4, 5]]


def test_a_text_counts_as_often_as_it_comes():
    tokenizer = build("dog", "dog", "ant bee", "dog")
    assert tokenizer.encode(["dog ant bee"]) == [[2, 3, 4]]


def test_the_vocabulary_does_not_depend_on_the_order_of_texts():
    texts = ["what is it", "is it red", "red or blue", "it"]
    one, two = build(*texts), build(*reversed(texts))
    assert one.encode(texts) == two.encode(texts)


def test_rare_words_become_the_unknown_word():
    tokenizer = build("red red blue", "red green green", min_count=2)
    assert tokenizer.vocabulary_size == 4
    assert tokenizer.encode(["red blue green"]) == [[2, UNKNOWN_ID, 3]]


@pytest.mark.parametrize("text", ["", "   ", "?!", "zebra"])
def test_a_text_without_known_words_is_one_unknown_word(text: str):
    assert build("cat").encode([text]) == [[UNKNOWN_ID]]


def test_case_and_punctuation_do_not_matter():
    assert build("What colour is it?").encode(["what, COLOUR is -it-"]) == [[4 + 1, 2, 3, 4]]


def test_words_that_spell_padding_are_plain_words():
    tokenizer = build("pad unk [PAD] [UNK]")
    assert tokenizer.encode(["[PAD] [UNK] pad unk"]) == [[2, 3, 2, 3]]


def test_long_texts_are_cut():
    tokenizer = build("a b c d e", max_tokens=3)
    assert tokenizer.encode(["a b c d e", "e"]) == [[2, 3, 4], [6]]


@pytest.mark.parametrize(
    ("text", "unread"), [("a b c", ""), ("A b, c?", ""), ("a b c  d e? ", "d e?"), ("", ""), ("é ü x zzz", "zzz")]
)
def test_what_is_cut_off_a_text(text: str, unread: str):
    assert build("a b c d e", max_tokens=3).unread(text) == unread


def test_of_a_long_round_the_question_is_cut_and_the_answer_stays():
    tokenizer = build("a b c d e", max_tokens=3)
    rounds = [("a b c d", "e"), ("a b", "c d e"), ("a", "b c d e"), ("a", "b"), ("", "e"), ("?", "!")]
    assert [ids for ids, _ in tokenizer.encode_rounds(rounds)] == [[2, 3, 6], [4, 5, 6], [3, 4, 5], [2, 3], [6], [UNKNOWN_ID]]
    assert [length for _, length in tokenizer.encode_rounds(rounds)] == [2, 0, 0, 1, 0, 0]
    assert tokenizer.encode_rounds([]) == []


def test_encoding_nothing_gives_nothing():
    assert build("cat").encode([]) == []


def test_unknown_words_come_once_and_in_order():
    tokenizer = build("is it red")
    assert tokenizer.unknown_words("Is the ZEBRA, the zebra red or purple?") == ["the", "zebra", "or", "purple"]
    assert tokenizer.unknown_words("it is red!") == []
    assert tokenizer.unknown_words("") == []


def test_saving_and_loading_changes_nothing(tmp_path: Path):
    tokenizer = build("what colour is it ?", "ﬁsh don't", "a b c d", max_tokens=3)
    path = tmp_path / "deep" / "tokenizer.json"
    tokenizer.save(path)
    loaded = WordTokenizer.load(path)
    texts = ["What colour is it?", "fish", "", "unheard of", "a b c d", "DON'T"]
    assert loaded.encode(texts) == tokenizer.encode(texts)
    assert loaded.max_tokens == 3
    assert loaded.vocabulary_size == tokenizer.vocabulary_size
    assert loaded.unknown_words("fish and chips") == ["and", "chips"]


def test_words_come_back_from_their_ids():
    tokenizer = build("what colour is the cat ?")
    assert tokenizer.decode(tokenizer.encode(["What COLOUR, is it?"])[0]) == "what colour is [UNK]"
    assert tokenizer.decode([]) == ""
    written = build("it's 3.5, isn't it?")
    assert written.decode(written.encode(["it's 3.5, isn't it?"])[0]) == "it's 3.5 isn't it"
    with pytest.raises(ValueError, match="token id 7 is out of range: the largest is 6"):
        tokenizer.decode([2, 7])


def test_saving_twice_writes_the_same_bytes(tmp_path: Path):
    tokenizer = build("what colour is it ?")
    tokenizer.save(tmp_path / "one.json")
    WordTokenizer.load(tmp_path / "one.json").save(tmp_path / "two.json")
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"model": 5}', b"\xff\xfe"])
def test_a_damaged_file_is_refused_by_name(tmp_path: Path, content: bytes):
    path = tmp_path / "tokenizer.json"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"cannot read the tokenizer .*tokenizer\.json"):
        WordTokenizer.load(path)


def test_a_missing_file_is_refused_by_name(tmp_path: Path):
    with pytest.raises(UserError, match=r"tokenizer .*nowhere\.json"):
        WordTokenizer.load(tmp_path / "nowhere.json")


@given(st.lists(st.text(max_size=30), max_size=5), st.text(max_size=30))
def test_any_text_encodes_to_known_ids(texts: list[str], asked: str):
    tokenizer = WordTokenizer.build(texts, min_count=1, max_tokens=4)
    for ids in tokenizer.encode([*texts, asked]):
        assert 1 <= len(ids) <= 4
        assert all(PADDING_ID < token < tokenizer.vocabulary_size for token in ids)
    for text in texts:
        assert tokenizer.unknown_words(text) == []
        assert (UNKNOWN_ID in tokenizer.encode([text])[0]) == (split_words(text) == [])
