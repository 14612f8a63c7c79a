"""Hugging Face's own models behind a session, with random weights made here: the real ones are downloads."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import vqa_rnn
from tests.bad_input import BAD_QUESTIONS, REFUSED, write
from tests.conftest import draw, train_on_drawn
from vqa_rnn.answering.huggingface import HuggingFaceSession
from vqa_rnn.cli import main
from vqa_rnn.commands import evaluate as evaluating
from vqa_rnn.errors import UserError
from vqa_rnn.huggingface import library

MARKS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]"]
WORDS = [*MARKS, "what", "colour", "is", "the", "shape", "red", "green", "blue", "yes", "no", "?", "circle"]
ANSWERS = ("red", "green", "blue", "yes", "no")


def tokenizer(folder: Path):
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(WORDS), encoding="utf-8")
    return library().BertTokenizer.from_pretrained(folder)


def make_vilt(folder: Path) -> Path:
    transformers = library()
    torch.manual_seed(0)
    config = transformers.ViltConfig(
        vocab_size=len(WORDS),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        image_size=32,
        patch_size=16,
        id2label=dict(enumerate(ANSWERS)),
        initializer_range=0.5,
    )
    transformers.ViltForQuestionAnswering(config).save_pretrained(folder)
    images = transformers.ViltImageProcessor(size={"shortest_edge": 32}, size_divisor=16)
    transformers.ViltProcessor(images, tokenizer(folder / "words")).save_pretrained(folder)
    return folder


def make_blip(folder: Path) -> Path:
    transformers = library()
    torch.manual_seed(0)
    small = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    text = {
        "vocab_size": len(WORDS),
        "encoder_hidden_size": 16,
        "bos_token_id": WORDS.index("[DEC]"),
        "sep_token_id": WORDS.index("[SEP]"),
        "pad_token_id": 0,
        "initializer_range": 0.5,
    }
    config = transformers.BlipConfig(
        text_config=small | text, vision_config=small | {"image_size": 32, "patch_size": 16, "initializer_range": 0.5}
    )
    transformers.BlipForQuestionAnswering(config).save_pretrained(folder)
    images = transformers.BlipImageProcessor(size={"height": 32, "width": 32})
    transformers.BlipProcessor(images, tokenizer(folder / "words")).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    return {"vilt": make_vilt(folder / "vilt"), "blip": make_blip(folder / "blip")}


@pytest.fixture(params=["vilt", "blip"])
def session(request: pytest.FixtureRequest, folders: dict[str, Path]) -> HuggingFaceSession:
    session = vqa_rnn.load(f"hf:{folders[request.param]}")
    assert isinstance(session, HuggingFaceSession)
    return session


def test_another_session_has_the_same_model_and_an_image_of_its_own(session: HuggingFaceSession, tmp_path: Path) -> None:
    red, blue = draw(tmp_path / "red.png", "red"), draw(tmp_path / "blue.png", "blue", "square")
    expected = session.ask(red, "what colour is the shape?")
    other = session.another()
    assert other.image is None
    assert other._model is session._model
    assert other.ask(blue, "what colour is the shape?").answers != expected.answers
    assert session.ask("what colour is the shape?").answers == expected.answers


def test_it_is_asked_as_any_session(session: HuggingFaceSession, tmp_path: Path) -> None:
    path = draw(tmp_path / "red.png", "red")
    answer = session.ask(path, "what colour is the shape?")
    assert answer.answers == session.ask("what colour is the shape?").answers
    with Image.open(path) as image:
        assert answer.answers == session.ask(np.asarray(image), "what colour is the shape?").answers
    assert 0 <= answer.probability <= 1
    assert answer.maps is None
    assert answer.image == path


def test_many_at_once_are_answered_as_one_by_one(session: HuggingFaceSession, tmp_path: Path) -> None:
    paths = [draw(tmp_path / f"{colour}.png", colour) for colour in ("red", "blue")]
    asked = [(path, question) for path in paths for question in ("what colour is the shape?", "is the shape red?")]
    together = session.ask_many(asked)
    assert [answer.answers for answer in together] == [session.ask(*each).answers for each in asked]


def test_choices_share_the_probability(session: HuggingFaceSession, tmp_path: Path) -> None:
    answer = session.ask(draw(tmp_path / "red.png", "red"), "what colour is the shape?", choices=["red", "blue", "green"])
    assert sorted(text for text, _ in answer.answers) == ["blue", "green", "red"]
    assert sum(p for _, p in answer.answers) == pytest.approx(1)


def test_vilt_gives_what_its_own_library_gives(folders: dict[str, Path], tmp_path: Path) -> None:
    transformers = library()
    path, question = draw(tmp_path / "red.png", "red"), "what colour is the shape?"
    model = transformers.ViltForQuestionAnswering.from_pretrained(folders["vilt"])
    processor = transformers.ViltProcessor.from_pretrained(folders["vilt"])
    with Image.open(path) as image:
        inputs = processor(images=image, text=question, return_tensors="pt")
    logits = model(**inputs).logits[0].detach()
    answer = vqa_rnn.load(f"hf:{folders['vilt']}").ask(path, question)
    assert answer.best == ANSWERS[int(logits.argmax())]
    assert [p for _, p in answer.answers] == pytest.approx(sorted(logits.sigmoid().tolist(), reverse=True), abs=1e-6)


def test_blip_writes_what_its_own_library_writes(folders: dict[str, Path], tmp_path: Path) -> None:
    transformers = library()
    path, question = draw(tmp_path / "red.png", "red"), "what colour is the shape?"
    model = transformers.BlipForQuestionAnswering.from_pretrained(folders["blip"])
    processor = transformers.BlipProcessor.from_pretrained(folders["blip"])
    with Image.open(path) as image:
        inputs = processor(images=image, text=question, return_tensors="pt")
    written = model.generate(**inputs, num_beams=5, max_new_tokens=20)
    text = processor.decode(written[0], skip_special_tokens=True).removeprefix("[DEC] ")  # special in the real one alone
    assert vqa_rnn.load(f"hf:{folders['blip']}").ask(path, question).best == text


def test_blips_choices_are_ranked_by_what_its_loss_says(folders: dict[str, Path], tmp_path: Path) -> None:
    transformers = library()
    path, question, choices = draw(tmp_path / "red.png", "red"), "what colour is the shape?", ["red", "blue circle"]
    model = transformers.BlipForQuestionAnswering.from_pretrained(folders["blip"])
    processor = transformers.BlipProcessor.from_pretrained(folders["blip"])
    begin, end = WORDS.index("[DEC]"), WORDS.index("[SEP]")
    log_p = []
    for choice in choices:
        tokens = processor.tokenizer(choice, add_special_tokens=False)["input_ids"]
        with Image.open(path) as image:
            inputs = processor(images=image, text=question, return_tensors="pt")
        states = model.text_encoder(
            inputs["input_ids"],
            encoder_hidden_states=model.vision_model(inputs["pixel_values"])[0],
        )[0]
        logits = model.text_decoder(torch.tensor([[begin, *tokens]]), encoder_hidden_states=states).logits[0].log_softmax(1)
        log_p.append(sum(logits[place, token].item() for place, token in enumerate([*tokens, end])))
    expected = torch.tensor(log_p).softmax(0).tolist()
    answer = vqa_rnn.load(f"hf:{folders['blip']}").ask(path, question, choices=choices)
    assert dict(answer.answers) == pytest.approx(dict(zip(choices, expected, strict=True)), abs=1e-5)


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        (["purple", "teal"], "none of the choices is an answer that this model knows"),
        (["red"], "one choice; at least two are needed"),
        (["red", "Red"], "a choice comes twice"),
    ],
)
def test_choices_that_do_not_fit(folders: dict[str, Path], tmp_path: Path, choices: Sequence[str], message: str) -> None:
    session = vqa_rnn.load(f"hf:{folders['vilt']}")
    with pytest.raises(UserError, match=message):
        session.ask(draw(tmp_path / "red.png", "red"), "what colour?", choices=choices)


def test_it_keeps_no_dialog_and_needs_an_image(session: HuggingFaceSession) -> None:
    with pytest.raises(UserError, match="there is no image yet"):
        session.ask("what colour is the shape?")
    for refused in (session.undo, session.reset, lambda: session.set_caption("a shape"), lambda: session.correct("red")):
        with pytest.raises(UserError, match="is not a dialog model"):
            refused()


def test_what_is_no_picture_and_no_question_is_refused_as_everywhere(session: HuggingFaceSession, tmp_path: Path) -> None:
    picture = draw(tmp_path / "red.png", "red")
    for question, says in BAD_QUESTIONS.values():
        with pytest.raises(UserError, match=re.escape(says)):
            session.ask(picture, question)
        with pytest.raises(UserError, match=re.escape(says)):
            session.ask_many([(picture, "what colour?"), (picture, question)])
    for name in ("bomb.png", "truncated.jpg", "photo.heic", "empty.png"):
        with pytest.raises(UserError, match=re.escape(REFUSED[name].says)):
            session.ask(write(tmp_path / "bad", name), "what colour?")


def test_a_long_question_is_cut(session: HuggingFaceSession, tmp_path: Path) -> None:
    assert session.ask(draw(tmp_path / "red.png", "red"), "a " * 1000).answers


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("hf:./gone", "hf=./gone: there is no such folder"),
        ("hf:someone/something", "cannot open hf:someone/something"),
    ],
)
def test_what_is_no_model(name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        vqa_rnn.load(name)


def test_a_model_of_another_kind_is_refused(tmp_path: Path) -> None:
    transformers = library()
    transformers.BertConfig().save_pretrained(tmp_path / "bert")
    with pytest.raises(UserError, match="is a bert model: models of vilt and blip can be asked"):
        vqa_rnn.load(f"hf:{tmp_path / 'bert'}")


def test_it_is_measured_beside_a_run(folders: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = train_on_drawn(tmp_path, "training.max_epochs=1")
    name, config = f"hf:{folders['vilt']}", str(run.path / "config.yaml")
    assert main(["evaluate", name, "--config", config, "--split", "train", "--json"]) == 0
    alone = json.loads(capsys.readouterr().out)
    annotations = vqa_rnn.read_annotations(run.config.dataset)
    answers = vqa_rnn.load(name).answer(annotations.split("train"), annotations.images)
    right = [
        answer.best in question.human_answers for answer, question in zip(answers, annotations.split("train"), strict=True)
    ]
    assert alone["metrics"]["accuracy"] == pytest.approx(np.mean(right))
    assert alone["floors"]["question_string"]["accuracy"] > 0
    report = vqa_rnn.evaluate(run.path, "train", ceiling=name)
    beside = report["ceiling_model"]
    assert (beside["name"], beside["accuracy"]) == (name, alone["metrics"]["accuracy"])
    assert beside["gain"] == pytest.approx(report["metrics"]["accuracy"] - beside["accuracy"])
    assert beside["gain_interval"][0] <= beside["gain"] <= beside["gain_interval"][1]
    assert 0 < beside["gain_p"] <= 1
    assert main(["evaluate", str(run.path), "--split", "train", "--ceiling", name]) == 0
    assert "this model over it, points" in capsys.readouterr().out
    output = tmp_path / "answers.json"
    assert main(["predict", name, "--config", config, "--split", "train", "--output", str(output)]) == 0
    assert len(json.loads(output.read_text(encoding="utf-8"))) == len(answers)


def test_a_wrong_ceiling_is_refused_before_the_run_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = train_on_drawn(tmp_path, "training.max_epochs=1")
    monkeypatch.setattr(evaluating, "measure", lambda *arguments: pytest.fail("measured"))
    for name, message in (("vilt", "is not a model of Hugging Face"), ("hf:./gone", "there is no such folder")):
        with pytest.raises(UserError, match=message):
            vqa_rnn.evaluate(run.path, "train", ceiling=name)


def test_only_the_first_process_runs_the_ceiling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = train_on_drawn(tmp_path, "training.max_epochs=1")
    monkeypatch.setattr(evaluating, "on_first", lambda work: None)  # as in the other processes
    assert "ceiling_model" not in vqa_rnn.evaluate(run.path, "train", ceiling="hf:./gone")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["evaluate", "hf:a/b"], "say with --config CONFIG"),
        (["evaluate", "runs/a", "--config", "jsonl"], "--config is for models hf:OWNER/NAME"),
        (["evaluate", "hf:a/b", "--config", "jsonl", "--ceiling", "hf:a/b"], "leave out --ceiling"),
        (["predict", "hf:a/b", "--config", "jsonl"], "give --output FILE"),
        (
            ["evaluate", "hf:a/b", "runs/a", "--ensemble", "--config", "jsonl"],
            "hf:a/b is a Hugging Face model, which cannot be",
        ),
        (["evaluate", "runs/a", "hf:a/b", "--ensemble"], "hf:a/b is a Hugging Face model, which cannot be part of an ensemble"),
        (["evaluate", "hf:a/b", "runs/a", "--config", "jsonl"], "give it alone"),
        (["predict", "hf:a/b", "--ensemble", "--config", "jsonl", "--output", "answers.json"], "give it alone"),
    ],
)
def test_wrong_combinations_are_one_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert message in capsys.readouterr().err


def test_the_prompt_and_the_command_take_it(
    folders: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = draw(tmp_path / "red.png", "red")
    assert main(["ask", f"hf:{folders['vilt']}", "--image", str(image), "--question", "what colour is the shape?"]) == 0
    assert "%" in capsys.readouterr().out
    assert main(["ask", f"hf:{folders['vilt']}", "--weights", "x.pth", "--image", str(image), "--question", "what?"]) == 2
    assert "leave --weights out" in capsys.readouterr().err
