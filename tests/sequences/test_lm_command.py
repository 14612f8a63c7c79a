"""``vqa-rnn lm`` from a text file to a run, a sample and a page."""

import json
from pathlib import Path

import pytest

from tests.interruptions import check_resume, early_and_half_way
from vqa_rnn.cli import main

HELLO = (
    "text.validation_share=0",
    "model.cell=elman",
    "model.hidden_size=16",
    "training.batch_size=1",
    "training.max_epochs=60",
    "training.learning_rate=0.05",
    "training.sample_length=0",
    "training.loggers=[]",
)
SMALL = (
    "model.hidden_size=8",
    "model.dropout=0.3",
    "training.batch_size=3",
    "training.chunk_length=10",
    "training.max_epochs=3",
    "training.sample_length=20",
    "training.log_steps=1",
    "training.loggers=[]",
)


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "book.txt"
    path.write_text("the quick brown fox jumps over the lazy dog.\n" * 20, encoding="utf-8")
    return path


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main([*arguments]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ")
    return error.removeprefix("error: ")


def test_hello_is_learned_and_given_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("hello.txt").write_text("hello", encoding="utf-8")
    assert main(["lm", "train", "hello.txt", *HELLO]) == 0
    capsys.readouterr()
    assert main(["lm", "sample", "runs/hello", "--prefix", "h", "--length", "4", "--temperature", "0"]) == 0
    assert capsys.readouterr().out == "hello\n"
    assert main(["lm", "sample", "runs/hello", "--prefix", "h", "--length", "4", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"prefix": "h", "text": "hello"}, "so certain that drawing gives the same"


@pytest.mark.parametrize("extra", [(), ("text.unit=words", "model.embedding_size=6", "training.ema_decay=0.9")])
def test_an_interrupted_run_continues_bit_for_bit(
    book: Path, extra: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["lm", "train", str(book), *SMALL, *extra]
    check_resume(
        command,
        early_and_half_way,
        ("model.safetensors", "metrics.jsonl", "samples/epoch-000.txt", "samples/epoch-003.txt", "vocabulary.json"),
        monkeypatch,
    )
    scores = [json.loads(line) for line in Path("runs/whole/metrics.jsonl").read_text().splitlines()]
    assert [line["val_bits"] for line in scores if "val_bits" in line] == sorted(
        (line["val_bits"] for line in scores if "val_bits" in line), reverse=True
    ), "it learns"
    said_on_the_way = capsys.readouterr().err
    assert "saved: to continue, run the same vqa-rnn lm train command with --resume\n" in said_on_the_way
    assert "best validation: " in said_on_the_way


def test_a_page_of_units(book: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lm", "train", str(book), *SMALL]) == 0
    assert main(["lm", "neurons", "runs/book", str(book), "--unit", "3", "--unit", "5", "--length", "50"]) == 0
    page = Path("neurons.html").read_text(encoding="utf-8")
    assert page.count("<h2>") == 2
    assert capsys.readouterr().out.endswith("page: neurons.html\n")
    assert main(["lm", "neurons", "runs/book", str(book), "--unit", "3", "--length", "50", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["page"], len(found["texts"]), found["units"][0]["unit"]) == ("neurons.html", 50, 3)
    assert len(found["units"][0]["states"]) == 50
    assert said(capsys, "lm", "neurons", "runs/book", str(book), "--unit", "8") == "there is no unit 8: the units are 0 to 7"
    assert (
        said(capsys, "lm", "neurons", "runs/book", str(book), "--page", "a.png")
        == "--page a.png: give the name of an .html file"
    )


def test_what_is_wrong_is_said_in_one_line(
    book: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("latin.txt").write_bytes(b"caf\xe9 au lait")
    Path("one.txt").write_text("a", encoding="utf-8")
    Path("two.txt").write_text("abc", encoding="utf-8")
    assert said(capsys, "lm", "train", "none.txt") == "no text file at none.txt"
    assert said(capsys, "lm", "train", "latin.txt") == "latin.txt is not UTF-8 text (byte 3): convert it to UTF-8 first"
    assert said(capsys, "lm", "train", "one.txt") == "one.txt is too short: a language model needs at least two characters"
    assert "each part needs at least two" in said(capsys, "lm", "train", "two.txt")
    Path("word.txt").write_text("abcdefghijklmnopqrstuvwxyz" * 2, encoding="utf-8")
    one_word = said(capsys, "lm", "train", "word.txt", "text.unit=words")
    assert one_word == "word.txt is too short: a part of it has only one of its words"
    assert not Path("runs/word/run.json").exists()
    float16 = said(capsys, "lm", "train", str(book), "training.precision=float16", "run.device=cpu")
    assert float16.startswith("training.precision=float16 needs a GPU")
    assert "did you mean 'hidden_size'?" in said(capsys, "lm", "train", str(book), "model.hiden_size=3")
    assert main(["lm", "train", str(book), *SMALL]) == 0
    assert said(capsys, "lm", "train", str(book), *SMALL).startswith("runs/book exists: continue it with --resume")
    changed = said(capsys, "lm", "train", str(book), *SMALL, "model.hidden_size=9", "--resume")
    assert changed.startswith("runs/book was trained with model.hidden_size=8, not 9: a resume may only change text.path, ")
    assert said(capsys, "lm", "sample", "runs/none") == (
        "no run folder at runs/none: train a language model first, with vqa-rnn lm train"
    )
    prefix = said(capsys, "lm", "sample", "runs/book", "--prefix", "Ω")
    assert prefix.startswith("the prefix cannot be read: the character 'Ω' is unknown")
    assert said(capsys, "evaluate", "runs/book") == (
        "runs/book is a run of vqa-rnn lm train, which answers no questions: vqa-rnn lm --help lists what can be done with it"
    )
    book.write_text("something else, and longer. " * 20, encoding="utf-8")
    assert "has changed since runs/book began" in said(capsys, "lm", "train", str(book), *SMALL, "--resume")
    for name, value in {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost"}.items():
        monkeypatch.setenv(name, value)
    assert said(capsys, "lm", "train", str(book), *SMALL) == (
        "vqa-rnn lm train runs in one process: start it without torchrun or srun"
    )


def test_an_unknown_word_of_a_prefix_is_named(book: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lm", "train", str(book), *SMALL, "text.unit=words"]) == 0
    capsys.readouterr()
    assert main(["lm", "sample", "runs/book", "--prefix", "the zyx", "--length", "3"]) == 0
    captured = capsys.readouterr()
    assert "read as the unknown word: zyx" in captured.err
    assert captured.out.startswith("the zyx")


def test_a_run_that_answers_questions_is_no_language_model(book: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("runs/other").mkdir(parents=True)
    Path("runs/other/run.json").write_text('{"format_version": 4}', encoding="utf-8")
    assert said(capsys, "lm", "sample", "runs/other") == ("runs/other is not a language model: give a run of vqa-rnn lm train")
