"""``model.geometry`` needs to know where regions lie: boxes, or a square grid of an image."""

import json
from pathlib import Path

import h5py
import pytest

from tests.conftest import configure
from vqa_rnn.commands.shared import store_of_config
from vqa_rnn.commands.train import train
from vqa_rnn.errors import UserError
from vqa_rnn.features.store import create_store

GEOMETRY = "model.geometry=true"
ADVICE = "make features with features.output=grid or boxes, or set model.geometry=false"


def refusal(call, *arguments) -> str:
    with pytest.raises(UserError) as caught:
        call(*arguments)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_the_cells_of_a_grid_need_no_boxes(features: Path):
    config = configure(features, GEOMETRY, "training.max_epochs=1")
    assert store_of_config(config, {}).num_regions_max == 16
    train(config)


@pytest.mark.parametrize("option", ["features.output=pooled", "features.library=none"])
def test_one_region_without_a_place_is_refused(own_questions: Path, option: str):
    text = refusal(configure, own_questions, option, "model.attention.name=none", GEOMETRY)
    assert text == f"command line: {option} gives one region per image: set model.geometry=false (given: true)"


@pytest.mark.parametrize(("output", "num_regions"), [("boxes", 36), ("grid", 35)])
def test_regions_that_are_no_grid_are_refused(features: Path, output: str, num_regions: int):
    config = configure(features)
    grid = store_of_config(config, {})
    attributes = {key: value for key, value in grid.attributes.items() if key != "format_version"}
    attributes["transform"] = {**attributes["transform"], "output": output, "box_method": "roi"}
    path = features.parent / "detected.h5"
    create_store(path, grid.image_ids, num_regions=num_regions, feature_size=8, dtype="float16", attributes=attributes).finish()
    with h5py.File(path) as file:
        assert json.loads(file.attrs["transform"])["output"] == output
    options = (f"features.store={path}", f"features.output={output}")
    store_of_config(configure(features, *options), {})
    text = refusal(store_of_config, configure(features, *options, GEOMETRY), {})
    assert f"{path} has {num_regions} regions without boxes" in text
    assert text.endswith(ADVICE)
    convolves = (*options, "model.attention.name=none", "model.fusion.name=none", "model.reasoning.name=film")
    text = refusal(store_of_config, configure(features, *convolves), {})
    assert text.startswith(f"model.reasoning.name=film has kernels of 3 x 3, and {path} has no square grid of regions")
    store_of_config(configure(features, *convolves, "model.reasoning.kernel_size=1"), {})
