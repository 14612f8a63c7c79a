"""``vqa-rnn export --onnx``: a file that answers as torch does, whatever the model is made of, or none at all."""

import contextlib
import importlib.util
import io
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch import Tensor, nn

import vqa_rnn
from tests.conftest import draw_questions, train_on_drawn
from tests.models.test_attention import OPTIONS as ATTENTION_OPTIONS
from tests.models.test_model import FUSION_OPTIONS, REASONING_OPTIONS, SIZES, build
from vqa_rnn.checkpoint import Run
from vqa_rnn.cli import main
from vqa_rnn.commands import onnx_file
from vqa_rnn.commands.export import export
from vqa_rnn.commands.onnx_card import onnx_snippet
from vqa_rnn.commands.onnx_file import COMPARED, TRACED, compare_graph, draw_inputs, write_graph
from vqa_rnn.errors import UserError
from vqa_rnn.models.attention import ATTENTIONS
from vqa_rnn.models.fusion import FUSIONS
from vqa_rnn.models.plain import PlainModel
from vqa_rnn.models.reasoning import REASONING
from vqa_rnn.models.text_encoder import EncodedTexts

HAS_ONNX = all(importlib.util.find_spec(name) for name in onnx_file.PACKAGES)
needs_onnx = pytest.mark.skipif(not HAS_ONNX, reason='needs pip install "vqa-rnn[onnx]"')
ASKED = "Which shape is it?"
BAG_OF_WORDS = ("model.question.alone=true", "model.question.pooling=mean")  # exported in half the time
D, H = 6, 8


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train_on_drawn(tmp_path_factory.mktemp("onnx"), "training.max_epochs=3", "model.question.bidirectional=true")


@pytest.fixture
def image(run: Run) -> Path:
    return run.path.parents[1] / "images" / "3.png"


def snippet_of(folder: Path, image: Path | str) -> str:
    """The lines of Python in the section about the file, with a folder and an image."""
    section = (folder / "README.md").read_text().partition("## model.onnx")[2]
    (code,) = re.findall(r"```python\n(.*?)```", section, flags=re.DOTALL)
    return code.replace("THIS FOLDER", str(folder)).replace("photo.jpg", str(image))


def execute(code: str) -> tuple[str, dict[str, Any]]:
    names: dict[str, Any] = {}
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(code, names)
    return printed.getvalue(), names


@needs_onnx
def test_the_card_says_how_to_ask_the_file(run: Run, image: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    (run.path / "calibration.json").write_text(
        json.dumps({"temperature": 2.5, "threshold": None, "weights_sha256": vqa_rnn.files.file_hash(run.model_path)})
    )
    try:
        assert main(["export", str(run.path), str(tmp_path / "model"), "--onnx"]) == 0
    finally:
        (run.path / "calibration.json").unlink()
    told = capfd.readouterr()
    assert told.err.count("\n") == 1  # and nothing of the exporter's
    assert re.match(
        r"model.onnx: \d+ random and 2 real questions, probabilities differ from torch's by \de-\d\d at most", told.err
    )
    assert told.out.count("\n") == 1
    folder = tmp_path / "model"
    assert {path.name for path in tmp_path.iterdir()} == {"model"}
    assert "calibrated with a temperature of 2.5" in (folder / "README.md").read_text()
    assert not list(folder.glob("*.data"))  # the weights are in the file

    printed, names = execute(snippet_of(folder, image))
    session = vqa_rnn.load(folder)
    answer = session.ask(image, run.examples[0])
    best, probability = printed.split()
    assert best == answer.best
    assert float(probability) == pytest.approx(answer.probability, abs=1e-5)
    about = names["model"].get_modelmeta().custom_metadata_map
    assert about["features_fingerprint"] == run.features["fingerprint"]
    assert about["made_by"] == f"vqa-rnn {vqa_rnn.__version__}"

    several = {
        "features": np.concatenate([names["inputs"]["features"]] * 2),
        "region_mask": np.concatenate([names["inputs"]["region_mask"]] * 2),
        "image_index": np.array([1, 0, 1]),
        "tokens": np.array(
            [[2, 3, 4, 5, 1, 1, 1, 1, 2], [3, 0, 0, 0, 0, 0, 0, 0, 0], [*run.tokenizer.encode([ASKED])[0], *[0] * 5]]
        ),
        "lengths": np.array([9, 1, 4]),
    }
    together = names["model"].run(None, several)[0]
    expected = dict(session.ask(ASKED, top=10).answers)
    assert dict(zip(names["answers"], together[2].tolist(), strict=True)) == pytest.approx(expected, abs=1e-5)


@needs_onnx
def test_a_model_over_a_grid_has_a_fixed_number_of_regions(tmp_path: Path):
    reasoning = ("model.reasoning={name: film, hidden_size: 16, num_blocks: 2, joint_size: 16}", "model.geometry=true")
    parts = ("model.attention={name: none}", "model.fusion={name: none}", *reasoning)
    run = train_on_drawn(tmp_path, "training.max_epochs=1", *BAG_OF_WORDS, *parts)
    folder = export(run.path, tmp_path / "model", onnx=True)
    image = tmp_path / "images" / "0.png"
    printed, names = execute(snippet_of(folder, image))
    assert printed.split()[0] == vqa_rnn.load(folder).ask(image, run.examples[0]).best
    num_regions = names["inputs"]["features"].shape[1]
    assert names["inputs"]["boxes"].shape == (1, num_regions, 4)
    assert f"there are always {num_regions} regions" in (folder / "README.md").read_text()
    inputs = {each.name: each.shape for each in names["model"].get_inputs()}
    assert inputs["features"][1:] == [num_regions, run.sizes.feature_size]
    assert isinstance(inputs["features"][0], str)  # any number of images
    assert all(isinstance(axis, str) for axis in inputs["tokens"])  # any number of questions and words


@needs_onnx
def test_a_model_that_chooses(tmp_path: Path):
    path = draw_questions(tmp_path)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    colours, shapes = ["red", "green", "blue", "yellow"], ["circle", "square"]
    for line in lines:
        line["choices"] = colours if line["answer"] in colours else shapes
    folder = tmp_path / "chooses"
    (folder / "images").parent.mkdir()
    shutil.move(tmp_path / "images", folder / "images")
    written = "".join(json.dumps(line) + "\n" for line in lines)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.conftest.draw_questions", lambda _: path.with_name("chooses") / "questions.jsonl")
        (folder / "questions.jsonl").write_text(written)
        run = train_on_drawn(folder, "training.max_epochs=1", *BAG_OF_WORDS, "model.head={name: choice}")
    exported = export(run.path, tmp_path / "model", onnx=True)
    image = folder / "images" / "1.png"
    code = snippet_of(exported, image)
    choices = ["red", "dark blue"]
    assert f"choices = {json.dumps(choices)}" in code
    printed, _ = execute(code)
    answer = vqa_rnn.load(exported).ask(image, run.examples[0], choices=choices)
    *best, probability = printed.split()
    assert " ".join(best) == answer.best
    assert float(probability) == pytest.approx(answer.probability, abs=1e-5)


class Parts(nn.Module):
    """Every attention and reasoning network on the same question and image; or every fusion."""

    def __init__(self, parts: list[nn.Module], *, fuse: bool) -> None:
        super().__init__()
        self.words = nn.Embedding(SIZES.vocabulary_size, H, padding_idx=0)
        self.parts, self.fuse = nn.ModuleList(parts), fuse

    def forward(
        self, features: Tensor, region_mask: Tensor, image_index: Tensor, tokens: Tensor, lengths: Tensor
    ) -> tuple[Tensor, ...]:
        words = self.words(tokens)
        vectors = words.sum(dim=1) / lengths[:, None]
        if self.fuse:
            images = features.mean(dim=1)
            found = [part(vectors, images, image_index) for part in self.parts]
            return tuple(found)
        questions = EncodedTexts(vectors, words, torch.arange(tokens.shape[1]) < lengths[:, None])
        given = [part(features, region_mask, questions, image_index) for part in self.parts]
        tensors = [each for one in given for each in one if isinstance(each, Tensor)]
        return tuple(each + 0 for each in tensors)  # an input that is passed on is no output of its own


def attentions() -> list[nn.Module]:
    made = []
    for name, part in ATTENTIONS.items():
        words = {"word_size": H} if part.reads_words else {}
        fewer = {key: 2 for key in ATTENTION_OPTIONS[name] if key.startswith("num_")}
        made.append(part(D, H, **words, **ATTENTION_OPTIONS[name] | fewer))
        if name == "recurrent":
            made.append(part(D, H, **ATTENTION_OPTIONS[name] | fewer, hard=True))
    return made


def reasoning_networks() -> list[nn.Module]:
    own = {"relation": {"num_layers": 2}, "word_attention": {"cell": "gru"}, "film": {"num_blocks": 1}}
    made = []
    for name, part in REASONING.items():
        words = {"word_size": H} if part.reads_words else {}
        made.append(part(D, H, **words, **REASONING_OPTIONS[name] | own.get(name, {})))
    return made


def fusions() -> list[nn.Module]:
    own: dict[str, dict[str, Any]] = {
        "product": {"activation": "modulate"},
        "mfb": {"factors": 3},
        "mfh": {"factors": 3, "order": 2},
        "image": {},
    }
    sized = {name: {} if name == "image" else {"hidden_size": 10} for name in FUSIONS}
    return [part(H, D, **sized[name], **FUSION_OPTIONS.get(name, {}), **own.get(name, {})) for name, part in FUSIONS.items()]


@needs_onnx
@pytest.mark.parametrize(
    ("parts", "fuse", "count"),
    [(attentions, False, len(ATTENTIONS) + 1), (reasoning_networks, False, len(REASONING)), (fusions, True, len(FUSIONS))],
    ids=["attentions", "reasoning", "fusions"],
)
def test_every_part_computes_the_same(parts: Any, fuse: bool, count: int, tmp_path: Path):
    torch.manual_seed(0)
    module = Parts(parts(), fuse=fuse).eval()
    assert len(module.parts) == count
    plain = PlainModel(build("none", "product", "classifier"))  # whose inputs are these
    generator = np.random.default_rng(0)
    write_graph(module, draw_inputs(plain, SIZES.vocabulary_size, TRACED, generator), tmp_path / "parts.onnx")
    cases = [draw_inputs(plain, SIZES.vocabulary_size, sizes, generator) for sizes in COMPARED]
    compare_graph(module, tmp_path / "parts.onnx", cases)


def changed_config(run: Run, folder: Path, change: dict[str, Any]) -> Path:
    shutil.copytree(run.path, folder)
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config["model"].update(change)
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    return folder


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"head": {"name": "generative"}}, "it writes its answers word by word (model.head.name=generative)"),
        ({"history": {"name": "memory"}}, "it reads a dialog (model.history.name=memory)"),
    ],
    ids=["generative", "dialog"],
)
def test_what_does_not_export_is_one_line(
    run: Run, change: dict[str, Any], why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    other = changed_config(run, tmp_path / "other", change)
    assert main(["export", str(other), str(tmp_path / "new"), "--onnx"]) == 2
    assert capsys.readouterr().err == f"error: {other} cannot become model.onnx: {why}; leave --onnx out\n"
    assert {path.name for path in tmp_path.iterdir()} == {"other"}


def test_a_package_that_is_missing_is_one_line(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "onnxscript" else find(name))
    assert main(["export", str(run.path), str(tmp_path / "new"), "--onnx"]) == 2
    assert capsys.readouterr().err == 'error: --onnx needs onnx, onnxscript, onnxruntime: pip install "vqa-rnn[onnx]"\n'
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_answers_otherwise_is_not_left(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def differ(module: nn.Module, path: Path, cases: Any) -> float:
        assert path.read_text() == "written"
        raise ArithmeticError("onnxruntime gives other numbers than torch, by 0.2")

    monkeypatch.setattr(onnx_file, "write_graph", lambda module, inputs, path, *rest: path.write_text("written"))
    monkeypatch.setattr(onnx_file, "compare_graph", differ)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    with pytest.raises(UserError, match=r"cannot become model.onnx: onnxruntime gives other numbers than torch, by 0.2$"):
        export(run.path, tmp_path / "new", onnx=True)
    assert list(tmp_path.iterdir()) == []


def test_an_exporter_that_fails_is_one_line(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def fail(*arguments: Any, **options: Any) -> None:
        raise RuntimeError("step 2 of 3 failed\nfor many reasons") from ValueError("\nthere is no such operator\nhere")

    monkeypatch.setattr(torch.onnx, "export", fail)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    with pytest.raises(UserError, match=r"cannot become model.onnx: there is no such operator$"):
        export(run.path, tmp_path / "new", onnx=True)
    assert list(tmp_path.iterdir()) == []


@needs_onnx
def test_features_from_a_store_and_choices_of_regions(run: Run, tmp_path: Path):
    """Where no backbone makes the features of an image, the card reads them from a store."""
    boxes = replace(
        run, config=run.config.model_copy(update={"features": run.config.features.model_copy(update={"output": "boxes"})})
    )
    words = {"embedding_size": 8, "alone": True, "pooling": "mean"}
    plain = PlainModel(build("none", "product", "choice", {"choices": "regions"}, question=words)).eval()
    generator = np.random.default_rng(0)
    write_graph(plain, draw_inputs(plain, SIZES.vocabulary_size, TRACED, generator), tmp_path / "model.onnx")
    cases = [draw_inputs(plain, SIZES.vocabulary_size, sizes, generator) for sizes in COMPARED]
    assert compare_graph(plain, tmp_path / "model.onnx", cases) < 1e-6
    with torch.no_grad():
        plain.model.question_encoder.word_vectors.weight += 0.1
    with pytest.raises(ArithmeticError, match=r"other numbers than torch, by \d\.\de-\d\d$"):
        compare_graph(plain, tmp_path / "model.onnx", cases)
    code = "\n".join(onnx_snippet(boxes, plain))
    shutil.copyfile(run.path / "tokenizer.json", tmp_path / "tokenizer.json")
    store = vqa_rnn.open_store(run.path.parents[1] / "features.h5")
    code = code.replace("THIS FOLDER", str(tmp_path)).replace("features.h5", str(store.path))
    code = code.replace("IMAGE ID", store.image_ids[0])
    code = code.replace(".astype(np.float32)", ".astype(np.float32)[:, :, :6]")  # the model above reads 6 numbers
    printed, names = execute(code)
    assert printed.split()[0] in ("0", "1")
    assert names["inputs"]["region_mask"].all()
    assert names["probabilities"].sum() == pytest.approx(1, abs=1e-6)
