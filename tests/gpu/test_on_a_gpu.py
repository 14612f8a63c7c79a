"""What only a GPU can show. ``scripts/gpu/check.py`` runs these and the benchmarks beside them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from preprocessing.extract_features import extract_features
from tests.conftest import configure, draw
from tests.engines.test_no_waiting import ENCODED, parts_of_a_step, trainer_of
from tests.engines.test_resume import RANDOM, assert_a_resume_equals_the_whole, equal, result
from tests.features.test_extractor import noise
from tests.models import test_history, test_model
from vqa_rnn.answering.session import Session
from vqa_rnn.batch import Batch
from vqa_rnn.checkpoint import load_model
from vqa_rnn.commands.evaluate import evaluate
from vqa_rnn.commands.train import train
from vqa_rnn.config import FeaturesConfig
from vqa_rnn.config.files import load_config
from vqa_rnn.engines.optimization import OPTIMIZERS
from vqa_rnn.features.extractor import Extractor
from vqa_rnn.features.store import open_store
from vqa_rnn.models import VqaModel
from vqa_rnn.models.heads import ANSWER_HEADS
from vqa_rnn.models.history import HISTORY_ENCODERS
from vqa_rnn.precision import set_float32_products
from vqa_rnn.records import Annotations
from vqa_rnn.rnn import CELLS

pytestmark = pytest.mark.gpu

GPU = torch.device("cuda")


@pytest.fixture(autouse=True)
def exact() -> Iterator[None]:
    """Products of float32 as a CPU computes them, and nothing left over for the next test."""
    set_float32_products("float32")
    yield
    torch.use_deterministic_algorithms(False)
    set_float32_products("float32")


def outputs(model: VqaModel, batch: Batch, device: torch.device) -> tuple[Tensor, list[Tensor]]:
    """Losses and gradients of a training step without dropout."""
    model.to(device).zero_grad()
    there = batch.to(device)
    losses, _ = model.losses(model(there), there)
    losses.sum().backward()
    return losses.detach().cpu().clone(), [p.grad.cpu().clone() for p in model.parameters() if p.grad is not None]


def without_dropout(model: VqaModel) -> VqaModel:
    """In training mode, as cuDNN gives no gradients of a recurrent network in evaluation mode."""
    model = model.float().train()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return model


def assert_as_on_a_cpu(model: VqaModel, batch: Batch) -> None:
    model = without_dropout(model)
    losses, gradients = outputs(model, batch, torch.device("cpu"))
    found, found_gradients = outputs(model, batch, GPU)
    torch.testing.assert_close(found, losses, rtol=1e-4, atol=1e-4)
    for one, other in zip(found_gradients, gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("attention", "fusion", "head"), test_model.COMBINATIONS)
def test_every_model_computes_as_on_a_cpu(attention: str, fusion: str, head: str):
    assert_as_on_a_cpu(test_model.build(attention, fusion, head), test_model.batch_of(*test_model.ALL))


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(
    "options", [{}, {"bidirectional": True, "num_layers": 2}, {"pooling": "max"}, {"pooling": "all_states"}]
)
def test_every_cell_computes_as_on_a_cpu(cell: str, options: dict[str, Any]):
    question = {"cell": cell, "embedding_size": 8, "hidden_size": 7, **options}
    model = test_model.build("top_down", "product", "classifier", question=question)
    assert_as_on_a_cpu(model, test_model.batch_of(*test_model.ALL))


@pytest.mark.parametrize("history", HISTORY_ENCODERS)
def test_every_history_computes_as_on_a_cpu(history: str):
    assert_as_on_a_cpu(test_history.build(history), test_history.batch_of(test_history.DIALOGS))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    "options",
    [
        *({"training": {"optimizer": {"name": name}}} for name in OPTIMIZERS),
        *({"history": {"name": history}} for history in HISTORY_ENCODERS),
        *({"head": {"name": head}} for head in ANSWER_HEADS),
        *({"question": {"cell": cell}} for cell in ("lstm", "gru", "mut1")),
        {"question": {"bidirectional": True, "num_layers": 2, "pooling": "mean"}},
    ],
    ids=str,
)
def test_no_step_waits_for_the_gpu(options: dict[str, Any], precision: str):
    trainer = trainer_of(
        options.get("training", {}), device=GPU, precision=precision, **{k: v for k, v in options.items() if k != "training"}
    )
    step = trainer._process_function
    parts = tuple(part.to(GPU) for part in parts_of_a_step())
    step(trainer, parts)  # the first makes the optimizer's state
    try:
        torch.cuda.set_sync_debug_mode("error")
        for _ in range(3):
            step(trainer, parts)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    trainer.state.output = step(trainer, parts)
    assert float(trainer.state.output.num_counted) == len(ENCODED)


REPEATABLE = ("run.device=cuda", "run.deterministic=true")


@pytest.mark.parametrize(("method", "step", "before"), [("_finish_step", 8, False), ("_finish_epoch", 10, True)])
def test_a_resumed_run_equals_an_uninterrupted_one(features: Path, method: str, step: int, before: bool):
    assert_a_resume_equals_the_whole(features, REPEATABLE, method, step, before=before)


def test_where_features_are_kept_changes_no_bit(features: Path):
    places = ("host", "device")
    host, device = (
        train(configure(features, *RANDOM, *REPEATABLE, f"training.features_on={place}", f"run.name={place}"))
        for place in places
    )
    assert equal(result(host.path), result(device.path))


@pytest.mark.parametrize("precision", ["auto", "tf32", "float16"])
def test_every_precision_trains_and_the_run_answers_on_the_gpu(features: Path, precision: str, tmp_path: Path):
    run = train(configure(features, "run.device=cuda", f"training.precision={precision}", "training.max_epochs=30"))
    assert run.precision == ("bfloat16" if precision == "auto" else precision)
    assert evaluate(run.path, "val")["metrics"]["accuracy"] > 0.5
    session = Session(run.path)
    session.see(draw(tmp_path / "one.png", "red"))
    answer = session.ask("what colour is it?")
    assert next(load_model(run, session._device).parameters()).is_cuda
    assert sum(probability for _, probability in answer.answers) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-3), ("bfloat16", 0.1)])
@pytest.mark.parametrize("options", [{}, {"output": "boxes", "box_method": "roi"}, {"output": "boxes", "box_method": "crop"}])
def test_features_are_those_of_a_cpu(options: dict[str, Any], precision: str, tolerance: float, tmp_path: Path):
    config = FeaturesConfig(**{"image_size": 96, "dtype": "float32", "precision": precision, **options})
    cpu, gpu = Extractor(config.model_copy(update={"precision": "float32"})), Extractor(config, "cuda")
    paths = [tmp_path / f"{number}.png" for number in range(3)]
    for path, image in zip(paths, noise(3, 96), strict=True):
        image.save(path)
    boxes = np.array([[0, 0, 48, 96], [10, 20, 90, 50]], dtype=np.float32)
    images = [cpu.transform.prepare(path, boxes) for path in paths]
    for expected, found in zip(cpu.extract(images), gpu.extract(images), strict=True):
        difference = np.abs(found.features - expected.features).mean()
        assert difference < tolerance * np.abs(expected.features).mean()


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_job_stores_what_the_extractor_gives_batch_by_batch(precision: str, tmp_path: Path):
    paths = {f"{number:02}": tmp_path / f"{number:02}.png" for number in range(22)}
    for path, image in zip(paths.values(), noise(len(paths), 96), strict=True):
        image.save(path)
    config = load_config(
        "easy_vqa",
        [f"features.store={tmp_path / 'store.h5'}", "features.batch_rows=4", f"features.precision={precision}"],
    )
    extract_features(config, Annotations(questions=(), images=paths), device="cuda")
    store, extractor = open_store(tmp_path / "store.h5"), Extractor(config.features, "cuda")
    for start in range(0, len(paths), 4):
        images = [extractor.transform.prepare(path) for path in list(paths.values())[start : start + 4]]
        expected = np.stack([regions.features for regions in extractor.extract(images)])
        np.testing.assert_array_equal(store.read(np.arange(start, start + len(images))), expected)


def test_a_loss_that_is_not_finite_leaves_everything_as_it_was():
    trainer = trainer_of({"log_steps": 4}, device=GPU)
    parts = parts_of_a_step()
    parts[1].features[0, 0, 0] = torch.nan
    with pytest.raises(Exception, match="the loss is nan at step 1: training stopped before the weights changed"):
        trainer.run([parts] * 6)
    assert trainer.state.iteration == 4


def test_gradients_go_through_nccl():
    parts = parts_of_a_step()
    model = without_dropout(test_history.build("memory")).to(GPU)
    batch = parts[0].to(GPU)
    dist.init_process_group("nccl", store=dist.HashStore(), rank=0, world_size=1)
    try:
        replica = DistributedDataParallel(model, find_unused_parameters=True, gradient_as_bucket_view=True)
        found = []
        for network in (model, replica):
            model.zero_grad()
            model.losses(network(batch), batch)[0].sum().backward()
            found.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
        for one, other in zip(*found, strict=True):
            torch.testing.assert_close(one, other)
    finally:
        dist.destroy_process_group()
