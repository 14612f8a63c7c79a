"""``training.mirror``: features of mirrored images, and questions about them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from tests.conftest import configure
from tests.engines.test_resume import RANDOM, Killed, equal, result, stop_at
from vqa_rnn.annotations.mirrored import MIRRORED, with_mirrored
from vqa_rnn.checkpoint import load_run
from vqa_rnn.cli import main
from vqa_rnn.commands.preprocess import preprocess
from vqa_rnn.commands.train import train
from vqa_rnn.commands.training_data import build_vocabularies
from vqa_rnn.config import Config
from vqa_rnn.data.sampler import QuestionSampler
from vqa_rnn.errors import UserError
from vqa_rnn.features.store import open_store
from vqa_rnn.features.transform import Transform
from vqa_rnn.records import Annotations, Question


def halves(path: Path) -> None:
    """Black on the left, white on the right."""
    pixels = np.zeros((40, 60, 3), dtype=np.uint8)
    pixels[:, 30:] = 255
    Image.fromarray(pixels).save(path)


def test_features_are_those_of_a_mirrored_file(own_questions: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(own_questions.parent)
    for path in Path("images").iterdir():
        with Image.open(path) as image:
            picture = np.array(image)
        picture[:, :20] = 255  # so that a mirror changes it
        Image.fromarray(picture).save(path)
    config = configure(own_questions, "training.mirror=true", "dataset.validation_fraction=0.4")
    plain = preprocess(configure(own_questions, "features.store=plain.h5"))
    report = preprocess(config)
    store = open_store(report.store)
    mirrored = [image_id for image_id in store.image_ids if image_id.endswith(MIRRORED)]
    assert len(mirrored) == 10
    assert report.num_done == 10 + len(mirrored)
    for path in Path("images").iterdir():
        with Image.open(path) as image:
            ImageOps.mirror(image).save(path)
    flipped = open_store(preprocess(configure(own_questions, "features.store=flipped.h5")).store)
    before = open_store(plain.store)
    for image_id in mirrored:
        own = image_id.removesuffix(MIRRORED)
        expected = flipped.read(flipped.rows([own]))
        np.testing.assert_allclose(store.read(store.rows([image_id])), expected, atol=2e-2)
        assert np.abs(expected - before.read(before.rows([own]))).max() > 0.1


def test_boxes_are_mirrored_with_the_image(tmp_path: Path):
    halves(tmp_path / "a.png")
    transform = Transform(32, "squash", Image.Resampling.BILINEAR, 1.0, "auto", "crop")
    boxes = np.array([[0, 10, 15, 30], [30, 0, 60, 40]], dtype=np.float32)
    plain = transform.prepare(tmp_path / "a.png", boxes)
    mirrored = transform.prepare(tmp_path / "a.png", boxes, mirror=True)
    np.testing.assert_allclose(mirrored.boxes[1:], [[0.75, 0.25, 1, 0.75], [0, 0, 0.5, 1]])
    for number in (1, 2):  # the same thing is in a box as before
        assert np.array(plain.views[number]).mean() == np.array(mirrored.views[number]).mean()
    assert np.array(mirrored.views[0])[16, 0, 0] == 255
    assert boxes[0, 0] == 0  # what was given stays


def test_a_run_reads_both_and_answers_plain_images(own_questions: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    monkeypatch.chdir(own_questions.parent)
    lines = own_questions.read_text().replace("What colour is it?", "What colour is left?")
    own_questions.write_text(lines)
    config = configure(own_questions, *RANDOM, "training.mirror=true")
    preprocess(configure(own_questions))
    with pytest.raises(
        UserError, match=r"has no features of 9 of the images asked about .*\(mirrored\).*: run vqa-rnn preprocess"
    ):
        train(config)
    assert preprocess(config).num_done == 10  # those that were there are taken over
    seen = []
    original = QuestionSampler.__iter__

    def watch(self):
        for parts in original(self):
            seen.append((self._mirror, [question for part in parts for question in part.tolist()]))
            yield parts

    with monkeypatch.context() as patch:
        patch.setattr(QuestionSampler, "__iter__", watch)
        run = train(config)
    learned = [question for mirrors, questions in seen if mirrors for question in questions]
    assert len(learned) == 3 * 18  # an epoch is as long as without
    assert {question >= 18 for question in learned} == {True, False}
    assert "18 training questions and 2 validation questions" in (run.path / "log.txt").read_text()
    assert "left" in run.tokenizer.words
    capsys.readouterr()
    assert main(["evaluate", str(run.path), "--split", "val", "--json"]) == 0


def test_words_and_answers_are_counted_once():
    questions = [
        Question(
            question_id=str(n), image_id=str(n), question=f"word{n} left", split="train", human_answers=(f"answer{n % 3}",)
        )
        for n in range(4)
    ]
    both = with_mirrored(
        Annotations(questions=tuple(questions), images={str(n): Path() for n in range(4)}), ("train",)
    ).questions
    config = Config.model_validate({"text": {"min_count": 2, "min_answer_count": 2}})
    with pytest.raises(UserError, match="at least two distinct answers"):
        build_vocabularies(config, both)
    tokenizer, _ = build_vocabularies(Config.model_validate({"text": {"min_count": 2}}), both)
    assert tokenizer.words[2:] == ["left"]


def test_a_resumed_run_sees_the_same_mirror_images(own_questions: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(own_questions.parent)
    options = (*RANDOM, "training.mirror=true", "training.refit=2")
    preprocess(configure(own_questions, *options))
    whole = train(configure(own_questions, *options, "run.name=whole"))
    stopped = configure(own_questions, *options, "run.name=stopped")
    with monkeypatch.context() as patch:
        stop_at(patch, "_finish_step", 7, before=False)
        with pytest.raises(Killed):
            train(stopped)
    assert equal(result(train(stopped, resume=True).path), result(whole.path))
    assert "20 training questions and 0 validation questions" in (load_run(whole.path).path / "log.txt").read_text()


def test_mirrored_features_cannot_be_imported():
    with pytest.raises(
        ValueError, match=r"training\.mirror needs features of mirrored images, and features\.library=none makes"
    ):
        Config.model_validate(
            {"training": {"mirror": True}, "features": {"library": "none"}, "model": {"attention": {"name": "none"}}}
        )


def test_every_fold_finds_its_mirrored_images(own_questions: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(own_questions.parent)
    preprocess(configure(own_questions, "training.mirror=true", "dataset.folds=3"))
    for fold in range(2):
        options = ("training.mirror=true", "dataset.folds=3", f"dataset.fold={fold}", "training.max_epochs=1")
        train(configure(own_questions, *options, f"run.name=fold{fold}"))
