"""``vqa-rnn seq2seq`` from pairs of texts to a run, translations, a picture and an evaluation."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.interruptions import check_resume, early_and_half_way
from vqa_rnn.cli import main
from vqa_rnn.commands.seq2seq.evaluate import scores_by_length

SMALL = (
    "model.embedding_size=4",
    "model.encoder.hidden_size=6",
    "model.dropout=0.3",
    "training.batch_size=8",
    "training.max_epochs=3",
    "training.log_steps=1",
    "training.learning_rate=0.01",
    "training.loggers=[]",
)
STRINGS = ("data.num_symbols=3", "data.max_length=4", "data.num_train=40", "data.num_val=10", "data.num_test=5")
LEARNED = (
    *STRINGS,
    "data.min_length=3",
    "data.num_train=36",
    "data.num_test=8",
    "model.embedding_size=8",
    "model.encoder.cell=gru",
    "model.encoder.hidden_size=32",
    "training.batch_size=4",
    "training.max_epochs=16",
    "training.learning_rate=0.02",
    "training.keep=last",
    "training.loggers=[]",
)
FRENCH = "".join(f"le chat numéro {number}\tcat number {number}\n" for number in range(30))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pairs.tsv").write_text(FRENCH, encoding="utf-8")
    return tmp_path


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main([*arguments]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ")
    return error.removeprefix("error: ")


def test_strings_are_reversed_and_the_alignment_is_drawn(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["seq2seq", "train", "reversal", *LEARNED]) == 0
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines()[-1] == (
        "runs/reversal is trained. Evaluate it: vqa-rnn seq2seq evaluate runs/reversal    "
        "Translate: vqa-rnn seq2seq translate runs/reversal TEXT"
    )
    assert main(["seq2seq", "evaluate", "runs/reversal", "--split", "train", "--by-length", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["data"], report["split"], report["counts"]) == ("reversal", "train", {"pairs": 36, "sources": 36})
    assert report["metrics"]["exact_match"] > 0.9
    low, high = report["intervals"]["exact_match"]
    assert low <= report["metrics"]["exact_match"] <= high
    assert [(row["from"], row["to"]) for row in report["by_length"]] == [(3, 3), (4, 4)]
    assert sum(row["num_pairs"] for row in report["by_length"]) == 36
    assert 0 < report["floors"]["copy_of_source"]["exact_match"] < 0.5, "palindromes"
    assert report["floors"]["most_frequent_target"]["exact_match"] == pytest.approx(1 / 36)
    assert report["floors"]["most_frequent_target"]["interval"][0] == 0
    assert report == json.loads(Path("runs/reversal/evaluation/train.json").read_text())
    rows = json.loads(Path("runs/reversal/evaluation/train_predictions.json").read_text())
    assert [row["scores"]["exact_match"] for row in rows] == [row["answer"] == row["target"] for row in rows]
    assert np.mean([row["scores"]["exact_match"] for row in rows]) == report["metrics"]["exact_match"]
    assert main(["seq2seq", "translate", "runs/reversal", "abc", "cab", "--beam", "4", "--json"]) == 0
    beam = json.loads(capsys.readouterr().out)["translations"]
    assert main(["seq2seq", "translate", "runs/reversal", "abc", "cab", "--json"]) == 0
    greedy = json.loads(capsys.readouterr().out)["translations"]
    assert [each["source"] for each in beam] == ["abc", "cab"]
    assert all(wide["log_p"] >= one["log_p"] for wide, one in zip(beam, greedy, strict=True))
    assert main(["seq2seq", "translate", "runs/reversal", " abc ", "--attention", "alignment.png"]) == 0
    assert capsys.readouterr().out == greedy[0]["target"] + "\n"
    picture = np.asarray(Image.open("alignment.png").convert("L"))
    assert picture.min() < 30
    assert picture.shape[0] > 100


@pytest.mark.parametrize(
    ("data", "extra"),
    [
        ("sorting", (*STRINGS, "model.attention.name=none")),
        ("dates", ("data.num_train=40", "data.num_val=10", "model.attention.name=luong", "training.ema_decay=0.9")),
        ("pairs.tsv", ("data.unit=words", "training.select_by=loss")),
    ],
)
def test_an_interrupted_run_continues_bit_for_bit(
    data: str, extra: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["seq2seq", "train", data, *SMALL, *extra]
    check_resume(command, early_and_half_way, ("model.safetensors", "metrics.jsonl", "vocabulary.json"), monkeypatch)
    lines = [json.loads(line) for line in Path("runs/whole/metrics.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines if "loss" in line]
    third = len(losses) // 3
    assert sum(losses[-third:]) < sum(losses[:third]), "it learns"
    name = "loss" if data == "pairs.tsv" else "exact_match"
    assert len([line for line in lines if f"val_{name}" in line]) == 3
    assert f"best validation: {'loss ' if name == 'loss' else '0.00% exact'}" in capsys.readouterr().err


def test_a_file_of_words_is_evaluated_where_it_is_now(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["seq2seq", "train", "pairs.tsv", *SMALL, "data.unit=words", "data.test_share=0.1"]) == 0
    Path("pairs.tsv").rename("moved.tsv")
    assert said(capsys, "seq2seq", "evaluate", "runs/pairs") == "no file of pairs at pairs.tsv"
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert main(["seq2seq", "evaluate", "runs/pairs", "data.path=moved.tsv", "--split", "test", "--by-length"]) == 0
    captured = capsys.readouterr()
    assert 'BLEU is left out, because sacrebleu is not installed: pip install "vqa-rnn[captions]"' in captured.err
    assert "seq2seq, pairs, test split, 3 pairs, 3 sources (too" in captured.out
    assert "copy of the source" in captured.out
    assert main(["seq2seq", "translate", "runs/pairs", "le chien numéro 7"]) == 0
    assert "read as the unknown word: chien" in capsys.readouterr().err
    other = said(capsys, "seq2seq", "evaluate", "runs/pairs", "data.path=moved.tsv", "data.unit=characters")
    assert other.startswith(
        "runs/pairs was trained with data.unit=words, not characters: this command may only change data.path"
    )
    Path("moved.tsv").write_text(FRENCH + "un\tone\n", encoding="utf-8")
    assert "has changed since runs/pairs began" in said(capsys, "seq2seq", "evaluate", "runs/pairs", "data.path=moved.tsv")


def test_bleu_is_that_of_sacrebleu(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("sacrebleu", reason='pip install "vqa-rnn[captions]"')
    assert main(["seq2seq", "train", "pairs.tsv", *SMALL]) == 0
    capsys.readouterr()
    assert main(["seq2seq", "evaluate", "runs/pairs", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert 0 <= report["metrics"]["bleu"] <= 1
    assert "tok:13a" in report["bleu_signature"]
    assert report["split"] == "val", "there is no test split"
    assert main(["seq2seq", "evaluate", "runs/pairs"]) == 0
    assert report["bleu_signature"] in capsys.readouterr().out


def test_lengths_are_put_into_at_most_twenty_rows() -> None:
    lengths = np.array([1, 1, 2, 41, 60])
    rows = scores_by_length(np.array([1.0, 0.0, 1.0, 0.0, 1.0]), lengths, list("abcde"))
    assert [(row["from"], row["to"], row["num_pairs"]) for row in rows] == [(1, 3, 3), (40, 42, 1), (58, 60, 1)]
    assert [row["exact_match"] for row in rows] == [pytest.approx(2 / 3), 0.0, 1.0]


def test_what_is_wrong_is_said_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    Path("empty.tsv").write_text("\n \n", encoding="utf-8")
    Path("latin.tsv").write_bytes(b"caf\xe9\tcoffee")
    Path("spaces.tsv").write_text("un\tone\ndeux two\n", encoding="utf-8")
    Path("three.tsv").write_text("un\tone\t1\n", encoding="utf-8")
    Path("half.tsv").write_text("un\tone\ndeux\t \n", encoding="utf-8")
    for file, message in {
        "empty.tsv": "empty.tsv is empty: write one pair per line, a source, a tab and a target",
        "latin.tsv": "latin.tsv is not UTF-8 text (byte 3): convert it to UTF-8 first",
        "spaces.tsv": "spaces.tsv:2: 0 tabs: write a source, one tab and a target",
        "three.tsv": "three.tsv:1: 2 tabs: write a source, one tab and a target",
        "half.tsv": "half.tsv:2: the target is empty",
    }.items():
        assert said(capsys, "seq2seq", "train", file) == message
    none = "no file at none.tsv: give a file of pairs, or reversal, sorting or dates"
    assert said(capsys, "seq2seq", "train", "none.tsv") == none
    assert "every pair has more than data.max_length=3 characters" in said(
        capsys, "seq2seq", "train", "pairs.tsv", "data.max_length=3"
    )
    assert said(capsys, "seq2seq", "train", "revesal").startswith("unknown data 'revesal': did you mean 'reversal'?")
    few = said(capsys, "seq2seq", "train", "sorting", "data.max_length=2")
    assert few.startswith("command line: data: 23,000 different strings are too many: 702 exist, and at most half")
    many = said(capsys, "seq2seq", "train", "sorting", "data.symbols=digits", "data.num_symbols=11")
    assert many.startswith("command line: data: num_symbols=11 is too many: there are 10 digits")
    dates = said(capsys, "seq2seq", "train", "dates", "data.num_train=40000")
    assert "43,000 different dates are too many: there are 36,525 from 1950 to 2049" in dates
    dot = said(capsys, "seq2seq", "train", "dates", "model.attention.name=luong", "model.attention.score=dot")
    assert "the encoder has 256, the decoder 128: set attention.score=general or decoder.hidden_size=256" in dot
    assert "did you mean 'bahdanau'?" in said(capsys, "seq2seq", "train", "dates", "model.attention.name=badanau")
    assert not Path("runs").exists()
    train = ["seq2seq", "train", "pairs.tsv", *SMALL, "training.max_epochs=1", "model.attention.name=none"]
    assert main([*train, "data.max_length=16"]) == 0
    assert "pairs.tsv: left out 20 pairs with more than data.max_length=16 characters" in capsys.readouterr().err
    assert main([*train, "--overwrite"]) == 0
    translate = ("seq2seq", "translate", "runs/pairs")
    assert said(capsys, *translate, "Ω").startswith("the character 'Ω' of 'Ω' is unknown: it does not occur in the pairs")
    assert said(capsys, *translate, "le", " ") == "a text is empty: give at least one character"
    long = said(capsys, *translate, "le chat " * 13)
    assert long.endswith("is too long: it has 103 characters, and this model reads at most 100")
    assert said(capsys, *translate, "le", "--attention", "a.txt").startswith("--attention a.txt: give the name of a .png")
    assert (
        said(capsys, *translate, "le", "un", "--attention", "a.png") == "--attention draws one text: give one TEXT instead of 2"
    )
    assert said(capsys, *translate, "le", "--attention", "a.png").startswith("this model has no attention to draw")
    assert not Path("a.png").exists()
    assert said(capsys, "seq2seq", "evaluate", "runs/pairs", "--split", "test") == (
        "runs/pairs has no test split: give --split train or --split val"
    )
    assert said(capsys, "seq2seq", "evaluate", "runs/none") == (
        "no run folder at runs/none: train a sequence-to-sequence model first, with vqa-rnn seq2seq train"
    )
    assert said(capsys, "lm", "sample", "runs/pairs").startswith("runs/pairs is not a language model")
    changed = said(capsys, *train, "model.dropout=0.4", "--resume")
    assert changed.startswith("runs/pairs was trained with model.dropout=0.3, not 0.4: a resume may only change data.path, ")


def test_runs_on_the_same_pairs_are_compared(capsys: pytest.CaptureFixture[str]) -> None:
    for cell in ("lstm", "gru"):
        extra = (f"model.encoder.cell={cell}", f"run.name={cell}", "training.max_epochs=1")
        assert main(["seq2seq", "train", "reversal", *SMALL, *STRINGS, *extra]) == 0
        capsys.readouterr()
        assert main(["seq2seq", "evaluate", f"runs/{cell}", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["split"] == "test", "the default, as there is one"
    assert report["signature"].startswith("seq2seq|data:reversal|unit:characters|metric:exact_match|split:test|n:5|version:")
    assert main(["compare", "runs/lstm", "runs/gru", "--json"]) == 0
    compared = json.loads(capsys.readouterr().out)
    assert compared["counts"] == {"pairs": 5, "sources": 5}
    found = compared["runs"]["runs/gru"]["exact_match"]
    assert (found["value"], found["interval"]) == (report["metrics"]["exact_match"], report["intervals"]["exact_match"])
    assert set(found) == {"value", "interval", "difference", "difference_interval", "p"}
    assert main(["compare", "runs/lstm", "runs/gru"]) == 0
    assert "exact_match, test split, 5 pairs, 5 sources" in capsys.readouterr().out
    assert (
        main(["seq2seq", "train", "reversal", *SMALL, *STRINGS, "run.name=seed1", "run.seed=1", "training.max_epochs=1"]) == 0
    )
    assert main(["seq2seq", "evaluate", "runs/seed1"]) == 0
    assert main(["compare", "runs/lstm", "runs/seed1"]) == 0, "another seed of training, on the same pairs"
    other = ("run.name=other", "data.seed=1", "training.max_epochs=1")
    assert main(["seq2seq", "train", "reversal", *SMALL, *STRINGS, *other]) == 0
    assert main(["seq2seq", "evaluate", "runs/other"]) == 0
    assert said(capsys, "compare", "runs/lstm", "runs/other") == "runs/other was evaluated on other pairs than runs/lstm"
