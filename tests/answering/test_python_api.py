"""What ``import vqa_rnn`` gives."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import vqa_rnn
from tests.conftest import train_on_drawn
from vqa_rnn.answering.session import Session
from vqa_rnn.checkpoint import Run
from vqa_rnn.errors import UserError

STUB = Path(vqa_rnn.__file__).with_suffix(".pyi")
COLOUR = "What colour is it?"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that looks at pictures with attention."""
    return train_on_drawn(tmp_path_factory.mktemp("api"), "training.max_epochs=3")


def picture(run: Run) -> Path:
    return run.path.parent.parent / "images" / "0.png"


def test_every_public_name_is_there_and_documented():
    listed = [name for node in ast.parse(STUB.read_text()).body if isinstance(node, ast.ImportFrom) for name in node.names]
    names = {alias.name for alias in listed}
    assert set(vqa_rnn.__all__) >= names
    for name in names:
        part = getattr(vqa_rnn, name)
        assert name.isupper() or part.__doc__, name
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = vqa_rnn.no_such_name


def test_the_import_loads_nothing_heavy():
    code = "import sys, vqa_rnn; print(sorted({'torch', 'numpy', 'h5py', 'PIL', 'pydantic'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_an_image_may_be_a_path_bytes_a_picture_or_an_array(run: Run):
    session = vqa_rnn.load(str(run.path))
    assert isinstance(session, Session)
    path = picture(run)
    with Image.open(path) as image:
        image.load()
    array = np.asarray(image)
    expected = session.ask(path, COLOUR)
    assert expected.best == expected.answers[0][0] == str(expected)
    assert expected.probability == expected.answers[0][1]
    for source in (
        str(path),
        path.read_bytes(),
        image,
        array,
        array / 255,
        np.dstack([array, np.full((64, 64), 255, np.uint8)]),
    ):
        session.see(source)
        found = session.ask(COLOUR)
        assert found.answers == expected.answers
        assert found.image is source


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (np.zeros((4, 4, 2), np.uint8), r"an array of shape \(4, 4, 2\) is no image"),
        (np.zeros(4, np.uint8), r"an array of shape \(4,\) is no image"),
        (np.zeros((0, 4), np.uint8), "is no image"),
        (np.full((4, 4), 2.0), "floats is an image where all are from 0 to 1"),
        (np.full((4, 4), np.nan), "floats is an image where all are from 0 to 1"),
        (np.zeros((4, 4), np.int64), "an array of int64 is no image: give uint8"),
        (b"no picture", "<10 bytes> is not an image"),
        ("nowhere.png", "no image at nowhere.png"),
    ],
)
def test_what_is_no_image_is_refused_and_the_one_before_stays(run: Run, source: object, says: str):
    session = vqa_rnn.load(run.path)
    session.see(picture(run))
    with pytest.raises(UserError, match=says):
        session.see(source)  # type: ignore[arg-type]
    assert session.image == picture(run)
    assert session.ask(COLOUR).answers


def test_a_question_comes_alone_or_with_an_image(run: Run):
    session = vqa_rnn.load(run.path)
    for asked in ((), (picture(run), COLOUR, COLOUR)):
        with pytest.raises(TypeError, match="ask takes a question, or an image and a question"):
            session.ask(*asked)  # type: ignore[call-overload]
    with pytest.raises(UserError, match="the question must be a text, not PosixPath"):
        session.ask(picture(run))  # type: ignore[call-overload]
    assert session.image is None


def test_where_it_looked_comes_with_the_answer(run: Run):
    answer = vqa_rnn.load(run.path).ask(picture(run), COLOUR)
    assert answer.maps is not None
    assert answer.boxes is not None
    assert answer.maps.shape == (1, 16)
    assert answer.maps.sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert answer.boxes.shape == (16, 4)
    assert answer.boxes[5].tolist() == [0.25, 0.25, 0.5, 0.5]


def test_many_questions_at_once_are_answered_as_one_by_one(run: Run):
    session = vqa_rnn.load(run.path)
    folder = picture(run).parent
    asked = [(folder / f"{number}.png", question) for number in (0, 1, 2, 1) for question in (COLOUR, "Which shape?")]
    for choices in (None, ["red", "blue", "circle"]):
        together = session.ask_many(asked, choices=choices)
        for answer, (image, question) in zip(together, asked, strict=True):
            alone = vqa_rnn.load(run.path).ask(image, question, choices=choices)
            assert [text for text, _ in answer.answers] == [text for text, _ in alone.answers]
            assert [p for _, p in answer.answers] == pytest.approx([p for _, p in alone.answers], abs=1e-5)
            assert answer.maps == pytest.approx(alone.maps, abs=1e-5)
            assert answer.image == image
    assert session.image is None


def test_many_questions_are_answered_as_they_were_measured(run: Run):
    vqa_rnn.evaluate(run.path, "train")
    measured = json.loads((run.path / "evaluation/train_predictions.json").read_text(encoding="utf-8"))
    annotations = vqa_rnn.read_annotations(run.config.dataset)
    answers = vqa_rnn.load(run.path).answer(annotations.split("train"), annotations.images)
    assert [answer.best for answer in answers] == [row["answer"] for row in measured]
    assert [answer.probability for answer in answers] == pytest.approx([row["probability"] for row in measured], abs=1e-4)


def test_dialogs_are_answered_at_once_with_their_histories(talker: Run):
    annotations = vqa_rnn.read_annotations(talker.config.dataset)
    questions = annotations.split("val")
    session = vqa_rnn.load(talker.path)
    answers = session.answer(questions, annotations.images)
    vqa_rnn.evaluate(talker.path, "val")
    measured = json.loads((talker.path / "evaluation/val_predictions.json").read_text(encoding="utf-8"))
    assert [answer.best for answer in answers] == [row["answer"] for row in measured]
    assert session.rounds == ()


@pytest.mark.parametrize(
    ("questions", "says"), [([("a.png", " ")], "the question is empty"), ([("a.png", "What?")], "no image")]
)
def test_one_bad_question_among_many_is_refused(run: Run, questions: list[tuple[str, str]], says: str):
    with pytest.raises(UserError, match=says):
        vqa_rnn.load(run.path).ask_many([(picture(run), COLOUR), *questions])


def test_a_model_without_attention_is_explained_by_what_it_loses(tmp_path_factory: pytest.TempPathFactory):
    run = train_on_drawn(tmp_path_factory.mktemp("mean"), "model.attention.name=none", "training.max_epochs=10")
    session = vqa_rnn.load(run.path)
    image = np.full((64, 64, 3), 128, np.uint8)
    image[4:28, 36:60] = 220, 30, 30
    answer = session.ask(image, COLOUR)
    assert answer.maps is None
    explained = vqa_rnn.explain(session, answer)
    assert explained.look == "occlusion"
    assert explained.answers == answer.answers
    covered = image.copy()
    covered[9:18, 46:55] = image.reshape(-1, 3).mean(axis=0).astype(int)  # row 1, column 5 of 7 x 7
    lost = answer.probability - dict(session.ask(covered, COLOUR, top=100).answers)[answer.best]
    assert explained.maps[0, 12] == pytest.approx(max(0, lost), abs=1e-5)
    assert vqa_rnn.explain(session, explained) is explained
    assert explained.pictures()[1].size == (64, 64)


def test_words_are_weighed_beside_the_regions(tmp_path_factory: pytest.TempPathFactory):
    options = ("model.attention.name=none", "model.fusion.name=none", "model.reasoning.name=mac", "training.max_epochs=1")
    run = train_on_drawn(tmp_path_factory.mktemp("mac"), *options)
    answer = vqa_rnn.load(run.path).ask(picture(run), "What colour is zzz?")
    assert answer.words == ("What", "colour", "is", "zzz")
    assert answer.word_maps.shape == (answer.maps.shape[0], 4)
    assert answer.word_maps.sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert answer._repr_html_().count("rgba(68,114,168") == 4 * len(answer.word_maps)


def test_unknown_words_have_their_nearest(run: Run):
    answer = vqa_rnn.load(run.path).ask(picture(run), "What color is zzz?")
    assert answer.unknown_words == ("color", "zzz")
    assert answer.nearest_words == ("colour", None)


def test_the_end_of_a_long_question_is_not_read(run: Run):
    session = vqa_rnn.load(run.path)
    assert session.ask(picture(run), "What colour is it?").unread == ""
    answer = session.ask(f"What colour is it{' now' * run.tokenizer.max_tokens} or then?")
    assert answer.unread == "now now now now or then?"
    assert answer.notes[-1] == "the question is too long for this model, which did not read its end: now now now now or then?"
    assert answer.notes[-1] in answer._repr_html_()
    assert answer.to_dict()["unread"] == answer.unread


def test_a_history_in_place_of_the_rounds(talker: Run):
    session = vqa_rnn.load(talker.path)
    path = Path(talker.config.dataset.path).parent / "images" / "0.png"
    answer = session.ask(path, "What did you say last?", history=[("What colour is it?", "blue")])
    session.see(path)
    session.rounds = (vqa_rnn.Round("What colour is it?", "blue"),)
    assert session.ask("What did you say last?").answers == answer.answers
    assert [turn.question for turn in session.rounds] == ["What colour is it?", "What did you say last?"]


def test_a_run_without_history_refuses_one(run: Run):
    with pytest.raises(UserError, match="is not a dialog model"):
        vqa_rnn.load(run.path).ask(picture(run), COLOUR, history=[("What is it?", "a cat")])


def test_runs_are_measured_by_their_path_as_text(run: Run, tmp_path: Path):
    assert 0 <= vqa_rnn.evaluate(str(run.path), "val")["metrics"]["accuracy"] <= 1
    assert vqa_rnn.predict(str(run.path), "val", str(tmp_path / "val.json")).num_questions == 2


def test_parts_serve_in_a_model_of_ones_own():
    encoder = vqa_rnn.RecurrentNetwork("gru", 8, 16)
    attention = vqa_rnn.TopDownAttention(32, 16, hidden_size=12)
    fusion = vqa_rnn.ProductFusion(16, 32, hidden_size=10, activation="tanh")
    words, regions = torch.randn(3, 5, 8), torch.randn(2, 9, 32)
    _, state = encoder(words, torch.tensor([5, 3, 1]))
    questions = vqa_rnn.EncodedTexts.without_words(encoder.last_output(state))
    attended = attention(regions, torch.ones(2, 9, dtype=torch.bool), questions, torch.tensor([0, 1, 1]))
    assert fusion(attended.question, attended.image, attended.image_index).shape == (3, 10)
