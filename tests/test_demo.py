"""The demo, whole but for the number of epochs."""

import json
import re
import shutil
from pathlib import Path

import pytest
from PIL import Image

from vqa_rnn.cli import main
from vqa_rnn.commands import demo


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    full = demo.load_config
    monkeypatch.setattr(demo, "load_config", lambda name, overrides: full(name, [*overrides, "training.max_epochs=2"]))


def test_demo(short: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["demo"]) == 0
    story = capsys.readouterr().out
    assert "9,673 questions" in story
    assert "vqa-rnn ask runs/demo" in story
    with Image.open("demo.png") as picture:
        assert picture.width > 600
    assert {path.name for path in tmp_path.iterdir()} == {"demo.png", "features", "runs"}

    assert main(["evaluate", "runs/demo", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["num_questions"] == 9673
    assert report["metrics"]["accuracy"] > 0.9
    assert 0.66 < report["floors"]["question_string"]["accuracy"] < 0.68
    assert report["floors"]["images_shuffled"]["accuracy"] < 0.7

    import easy_vqa

    image = easy_vqa.get_test_image_paths()[0]
    assert main(["ask", "runs/demo", "--image", image, "--question", "what color is the shape?", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert set(answer) == {"question", "answers", "is_sure", "unknown_words", "unread", "seconds"}
    assert answer["answers"][0]["answer"] == "red"

    shutil.copy(image, "some.png")
    (block,) = re.findall(r"```python\n(.*?)```", (Path(__file__).parents[1] / "README.md").read_text(), flags=re.DOTALL)
    exec(block, {})
    assert capsys.readouterr().out.startswith("red ")
    with Image.open("where.png") as picture:
        assert picture.height > picture.width

    assert main(["demo"]) == 2
    assert capsys.readouterr().err.startswith("error: runs/demo exists")
