"""A compiled backbone gives the features of one that is not."""

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision

from preprocessing.extract_features import extract_features
from tests.features.test_extractor import build, noise, saved
from tests.preprocessing.test_extract_features import config_for, draw_pictures, numbered
from vqa_rnn.features.store import open_store


@pytest.mark.slow
def test_features_are_the_same_whatever_the_number_of_images():
    layers = ("blocks.1", "blocks.3")
    plain = build(layers=layers, image_size=64, batch_rows=3)
    compiled = build(layers=layers, image_size=64, batch_rows=3, compile=True)
    assert compiled.compute == {**plain.compute, "compiled": True}
    assert compiled.fingerprint == plain.fingerprint
    compiler = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    for count in (3, 1, 2):
        expected = plain.regions(noise(count, 64))
        np.testing.assert_allclose(compiled.regions(noise(count, 64)), expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == compiler  # nothing was compiled anew


def test_a_layer_before_one_that_works_in_place_is_kept_as_it_was(tmp_path: Path):
    _, weights = saved(torchvision.models.squeezenet1_1, tmp_path)
    options = {"library": "torchvision", "backbone": "squeezenet1_1", "weights": str(weights), "image_size": 64}
    options["layers"] = ("features.0",)  # the next is a relu in place
    expected = build(**options).regions(noise(1, 64))
    assert (expected < 0).any()
    found = build(**options, compile=True, batch_rows=1).regions(noise(1, 64))
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


def test_without_a_compiler_it_goes_on_uncompiled(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture):
    monkeypatch.setattr(torch, "compile", lambda *_, **__: 1 / 0)
    with caplog.at_level(logging.WARNING):
        extractor = build(layers=("blocks.1",), compile=True)
    assert not extractor.compiled
    assert "tf_efficientnet_lite0 is not compiled: division by zero" in caplog.text
    assert np.isfinite(extractor.regions(noise(1))).all()


def test_a_store_says_that_it_was_compiled_and_is_gone_on_with_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    annotations = draw_pictures(tmp_path / "images", numbered(9))
    extract_features(config_for(tmp_path / "plain.h5", dtype="float32"), annotations)
    extract_features(config_for(tmp_path / "compiled.h5", dtype="float32", compile=True), annotations)
    plain, compiled = open_store(tmp_path / "plain.h5"), open_store(tmp_path / "compiled.h5")
    assert compiled.attributes["compute"] == {**plain.attributes["compute"], "compiled": True}
    expected = plain.read(np.arange(9))
    np.testing.assert_allclose(compiled.read(np.arange(9)), expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())
    report = extract_features(config_for(tmp_path / "compiled.h5", dtype="float32"), annotations)  # no other store
    assert report.num_done == 0
