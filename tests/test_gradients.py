"""``vqa-rnn gradients``, from the command line."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from tests.conftest import configure
from vqa_rnn.batch import Batch
from vqa_rnn.benchmarks import read_annotations
from vqa_rnn.checkpoint import load_model, load_run
from vqa_rnn.cli import main
from vqa_rnn.commands.gradients import flow_of_run
from vqa_rnn.commands.shared import open_features, store_of_config
from vqa_rnn.commands.train import train
from vqa_rnn.data.collate import make_batch
from vqa_rnn.data.encoding import encode_questions
from vqa_rnn.models import VqaModel
from vqa_rnn.rnn import CELLS


def test_cells_are_measured_and_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.chdir(tmp_path)
    assert main(["gradients", "--json", "--length", "12"]) == 0
    cells = json.loads(capsys.readouterr().out)["cells"]
    assert set(cells) == {*CELLS, "elman 0.9", "elman 1.1"}
    assert {len(norms) for norms in cells.values()} == {12}
    with Image.open("gradients.png") as picture:
        assert picture.size[0] > 600
        assert len(picture.convert("RGB").getcolors(maxcolors=2**24)) > 20
    assert main(["gradients", "elman", "lstm", "--singular-value", "1.5", "--clip", "0.01", "--length", "12"]) == 0
    printed = capsys.readouterr().out
    assert "elman clipped" in printed
    assert "lstm clipped" in printed
    assert "gru" not in printed
    assert main(["gradients", "elman", "lstm", "--start", "uniform", "--length", "40", "--json"]) == 0
    drawn_small = json.loads(capsys.readouterr().out)["cells"]
    assert list(drawn_small) == ["elman", "lstm"]
    assert drawn_small["elman"][39] < 1e-6 < cells["elman"][11]


def test_what_cannot_be_measured_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    for arguments, words in (
        (["gradients", "lst"], "unknown cell 'lst': did you mean 'lstm'?"),
        (["gradients", "lstm", "--run", str(tmp_path)], "leave out cells"),
        (["gradients", "--run", str(tmp_path), "--clip", "1"], "leave out cells"),
        (["gradients", "gru", "--singular-value", "0.9"], "add elman"),
        (["gradients", "gru", "--forget-bias", "1"], "add lstm"),
        (["gradients", "--run", str(tmp_path), "--forget-bias", "1"], "leave out cells"),
        (["gradients", "elman", "--singular-value", "5", "--length", "1000"], "use a shorter --length"),
        (["gradients", "--moved", "dataset.root=x"], "give --run"),
        (["gradients", "--picture", str(tmp_path / "picture")], "name it with a format"),
        (["gradients", "--picture", str(tmp_path / "picture.xyz")], "name it with a format"),
        (["gradients", "--picture", str(tmp_path / "picture.pgf")], "known: png, pdf, svg, jpg"),
        (["gradients", "--run", str(tmp_path), "--length", "50"], "leave out cells"),
        (["gradients", "--run", str(tmp_path), "--seed", "0"], "leave out cells"),
        (["gradients", "--forget-bias", "nan"], "--forget-bias is nan"),
        (["gradients", "--seed", "9" * 30], "--seed"),
        (["gradients", "--start", "uniform", "--singular-value", "0.9"], "leave out --start uniform"),
        (["gradients", "--start", "orthogonl"], "--start"),
        (["gradients", "--clip", "0"], "--clip"),
        (["gradients", "--run", str(tmp_path / "none")], "no run folder"),
        (["gradients", "--length", "1"], "--length"),
    ):
        assert main(arguments) == 2
        assert words in capsys.readouterr().err


@pytest.mark.parametrize("pooling", ["last", "max"])
def test_a_run_is_followed_back_to_the_words_of_its_validation_questions(features: Path, pooling: str):
    config = configure(features, "training.max_epochs=1", f"model.question.pooling={pooling}", "model.question.cell=nas")
    path = train(config).path
    found = flow_of_run(path)
    assert list(found) == ["nas"]
    run = load_run(path)
    annotations = read_annotations(config.dataset, ["val"])
    questions = annotations.split("val")
    encoded = encode_questions(questions, run.tokenizer, run.answers)
    model, source = load_model(run), open_features(store_of_config(config, annotations.images, run), encoded)
    norms: dict[int, list[float]] = {}
    for row in range(len(questions)):
        batch = make_batch(encoded, torch.tensor([row]).numpy(), source)
        vectors = model.question_encoder.embedding.weight[batch.question_tokens].detach().requires_grad_()
        model.question_encoder.embedding.forward = lambda tokens, vectors=vectors: vectors  # type: ignore[method-assign]
        (gradient,) = torch.autograd.grad(model.loss(model(batch), batch), [vectors])
        length = int(batch.question_lengths[0])
        for t in range(length):
            norms.setdefault(length - 1 - t, []).append(float(gradient[0, t].norm()))
    assert found["nas"] == pytest.approx([sum(norms[d]) / len(norms[d]) for d in range(len(norms))], rel=1e-4)


def test_questions_without_a_loss_and_runs_of_two_directions_are_left_out(
    features: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    path = train(configure(features, "training.max_epochs=1")).path
    whole = flow_of_run(path)["lstm"]
    losses = VqaModel.losses

    def half(model: VqaModel, logits: torch.Tensor, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        losses_N, counts_N = losses(model, logits, batch)
        counts_N = counts_N & (torch.arange(len(counts_N)) > 0)
        return losses_N * counts_N, counts_N

    monkeypatch.setattr(VqaModel, "losses", half)
    some = flow_of_run(path)["lstm"]
    assert some != whole
    assert min(some) > 0
    both = train(configure(features, "training.max_epochs=1", "model.question.bidirectional=true", "run.name=both")).path
    assert main(["gradients", "--run", str(both)]) == 2
    assert "two directions" in capsys.readouterr().err


def test_a_run_without_questions_has_no_gradient_there(features: Path, capsys: pytest.CaptureFixture[str]):
    path = train(configure(features, "training.max_epochs=1", "model.ablate=image_only")).path
    assert main(["gradients", "--run", str(path)]) == 2
    assert "trained without the question" in capsys.readouterr().err
