"""A run that was trained on weights from a hub is asked with a file of the same weights."""

import shutil
from pathlib import Path

import pytest
import torch
import torchvision

from tests.conftest import configure, everything
from tests.features.test_extractor import saved
from vqa_rnn.answering.session import Session
from vqa_rnn.checkpoint import Run, load_run
from vqa_rnn.commands.preprocess import preprocess
from vqa_rnn.commands.shared import store_of_config
from vqa_rnn.commands.train import train
from vqa_rnn.errors import UserError
from vqa_rnn.files import read_json, write_json

# resnet50's are cut out of 232 pixels and not of 256, which a file of weights does not say
OPTIONS = ("features.library=torchvision", "features.backbone=resnet50", "features.layers=[layer1]", "features.resize=crop")


@pytest.fixture
def run(own_questions: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A run on weights of the hub, which lie beside it as ``weights.pth``."""
    monkeypatch.chdir(own_questions.parent)
    model, _ = saved(torchvision.models.resnet50, own_questions.parent)
    with monkeypatch.context() as online:
        online.setattr("torchvision.models._api.load_state_dict_from_url", lambda *_, **__: model.state_dict())
        config = configure(own_questions, "training.max_epochs=1", "features.weights=hub", *OPTIONS)
        preprocess(config)
        return train(config)


def offline(*_: object, **__: object) -> None:
    raise OSError("no network")


def test_the_name_of_the_weights_travels_from_store_to_run(run: Run):
    assert store_of_config(run.config, {}).weights == "ResNet50_Weights.IMAGENET1K_V2"
    assert load_run(run.path).features["weights"] == "ResNet50_Weights.IMAGENET1K_V2"
    assert run.features["transform"]["crop_share"] == 224 / 232


def test_a_file_of_the_weights_serves_where_the_hub_is_out_of_reach(run: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", offline)
    with pytest.raises(UserError, match="cannot get resnet50: no network"):
        Session(run.path)
    session = Session(run.path, "weights.pth")
    session.see(Path("images/0.png"))
    assert session.ask("What colour is it?").answers
    store = store_of_config(run.config, {})
    (row,) = [row for image, row in store.row_of.items() if image.endswith("0.png")]
    difference = session._seen.features - everything(store)[row]
    assert abs(difference).max() <= 1e-3 * abs(everything(store)[row]).max()


def test_other_weights_are_refused_with_the_name_of_those_of_training(run: Run):
    torch.manual_seed(9)
    torch.save(torchvision.models.resnet50().state_dict(), "other.pth")
    with pytest.raises(UserError, match=r"give the weights of training \(ResNet50_Weights\.IMAGENET1K_V2\) with --weights"):
        Session(run.path, "other.pth")


def test_a_run_of_an_older_version_is_refused(run: Run):
    copy = shutil.copytree(run.path, run.path.with_name("older"))
    description = read_json(copy / "run.json", "run")
    del description["features"]["transform"]["intensity"]
    description["features"]["fingerprint"] = "0123456789abcdef"
    write_json(copy / "run.json", description)
    with pytest.raises(UserError, match=r"\(transform differ\): an older version made them; run vqa-rnn preprocess and train"):
        Session(copy, "weights.pth")
