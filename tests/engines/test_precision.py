"""In what training computes where the config leaves it open."""

import logging
from pathlib import Path

import pytest
import torch

from tests.conftest import configure
from vqa_rnn import precision
from vqa_rnn.commands.train import train
from vqa_rnn.precision import PRODUCTS_FOR_BFLOAT16, Precision, auto_precision


@pytest.mark.parametrize(
    ("device", "capabilities", "products", "chosen"),
    [
        ("cpu", {"amx_bf16": True}, PRODUCTS_FOR_BFLOAT16, "bfloat16"),
        ("cpu", {"amx_bf16": True}, PRODUCTS_FOR_BFLOAT16 - 1, "float32"),
        ("cpu", {"avx512_bf16": True}, PRODUCTS_FOR_BFLOAT16, "float32"),
        ("cpu", {}, PRODUCTS_FOR_BFLOAT16, "float32"),
    ],
)
def test_auto_on_a_cpu_goes_by_its_units_and_the_model(
    device: str, capabilities: dict[str, bool], products: int, chosen: Precision, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(precision, "_capabilities", lambda: capabilities)
    precision.has_matrix_units.cache_clear()
    try:
        assert auto_precision(torch.device(device), products) == chosen
    finally:
        precision.has_matrix_units.cache_clear()


@pytest.mark.parametrize(("size", "large"), [(2 * 2**20, True), (2**20, False), (None, False)])
def test_caches_are_large_from_two_megabytes_a_core(size: int | None, large: bool, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(precision, "_capabilities", lambda: {} if size is None else {"l2_cache_size": size})
    precision.has_large_caches.cache_clear()
    try:
        assert precision.has_large_caches() is large
    finally:
        precision.has_large_caches.cache_clear()


@pytest.mark.parametrize("native", ["bfloat16", "float32"])
def test_auto_on_a_gpu_is_bfloat16_where_it_has_it(native: Precision, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(precision, "native_precision", lambda device: native)
    assert auto_precision(torch.device("cuda"), 1) == native


def test_auto_trains_a_small_model_in_float32_on_a_cpu_that_has_bfloat16(features: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(precision, "has_matrix_units", lambda: True)
    run = train(configure(features, "training.precision=auto", "training.max_epochs=1", "run.device=cpu"))
    assert run.precision == "float32"


def test_a_precision_that_the_processor_has_not_is_taken_and_said_to_be_slow(
    features: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr("vqa_rnn.commands.computing.native_precision", lambda device: "float32")
    with caplog.at_level(logging.WARNING, "vqa_rnn"):
        run = train(configure(features, "training.precision=bfloat16", "training.max_epochs=1"))
    assert run.precision == "bfloat16"
    assert [record.getMessage() for record in caplog.records if "many times faster" in record.getMessage()] != []
