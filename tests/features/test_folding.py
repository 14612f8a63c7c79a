"""Folding batch norms: the same function, and names stay."""

import numpy as np
import pytest
import timm
import torch
import torchvision
from torch import nn

from tests.features.test_extractor import build, noise, saved
from vqa_rnn.features import extractor as extractor_module
from vqa_rnn.features.backbones.folding import fold_batch_norms
from vqa_rnn.features.extractor import images_a_pass

NETWORKS = {
    "timm, norms with activations": lambda: timm.create_model("mobilenetv3_small_050"),
    "timm, residuals": lambda: timm.create_model("resnet18"),
    "torchvision": torchvision.models.resnet18,
    "torchvision, depthwise": torchvision.models.mobilenet_v2,
    "norms before convolutions": torchvision.models.densenet121,
    "no norms": torchvision.models.squeezenet1_1,
}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_function_is_the_same(name: str) -> None:
    torch.manual_seed(0)
    model = NETWORKS[name]().eval()
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
    image = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        before = model(image)
        folded = fold_batch_norms(model, torch.zeros(1, 3, 64, 64), set())
        after = model(image)
    torch.testing.assert_close(after, before, rtol=1e-3, atol=1e-3 * float(before.abs().max()))
    left = sum(isinstance(module, nn.BatchNorm2d) for module in model.modules())
    assert folded == len(norms) - left
    assert (folded > 0) == bool(norms)
    if not name.startswith("norms before"):
        assert left == 0


class Twice(nn.Module):
    """A norm that two convolutions share, and a convolution whose output is used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.norm = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.second(self.norm(self.first(x))))


def test_what_runs_twice_is_left_alone() -> None:
    assert fold_batch_norms(Twice().eval(), torch.zeros(1, 3, 8, 8), set()) == 0


def test_a_wanted_convolution_is_left_as_it_is() -> None:
    model = timm.create_model("resnet18").eval()
    norms = sum(isinstance(module, nn.BatchNorm2d) for module in model.modules())
    assert fold_batch_norms(model, torch.zeros(1, 3, 64, 64), {model.conv1}) == norms - 1
    assert isinstance(model.bn1, nn.BatchNorm2d)


@pytest.mark.parametrize("layer", ["conv_stem", "bn1", "blocks.1", "blocks.1.0.bn1", "blocks.1.0.bn1.act", "bn2"])
def test_every_layer_gives_what_it_gave(layer: str) -> None:
    images = noise(2, 64)
    folded = build(image_size=64, layers=(layer,))
    plain = extractor_module.Extractor(folded._config, compute={"precision": "float32", "batch_rows": 2})
    assert (folded.folds_norms, plain.folds_norms) == (True, False)
    assert not any(parameter.is_inference() for parameter in folded.model.parameters())  # which CUDA cannot compute with
    expected = plain.regions(images)
    np.testing.assert_allclose(folded.regions(images), expected, rtol=1e-3, atol=1e-5 * np.abs(expected).max())


def test_a_network_that_folding_would_change_is_left_alone(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, weights = saved(torchvision.models.resnet18, tmp_path)
    fold = fold_batch_norms

    def fold_wrongly(network: nn.Module, sample: torch.Tensor, keep: set[nn.Module]) -> int:
        folded = fold(network, sample, keep)
        network.conv1.bias.data += 1
        return folded

    monkeypatch.setattr("vqa_rnn.features.backbones.layers.fold_batch_norms", fold_wrongly)
    extractor = build(library="torchvision", backbone="resnet18", weights=str(weights), layers=("layer1",), image_size=64)
    assert not extractor.folds_norms
    with torch.inference_mode():
        batch = extractor._grid(extractor.transform.pack(noise(1, 64)).views)
    assert any(isinstance(module, nn.BatchNorm2d) for module in extractor.model.modules())
    assert batch.isfinite().all()


def test_how_many_images_go_through_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extractor_module, "has_large_caches", lambda: False)
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    assert [images_a_pass(size, "float32", cpu) for size in (32, 112, 224, 448, 1000)] == [128, 32, 8, 2, 1]
    assert images_a_pass(224, "bfloat16", cpu) == 16
    assert images_a_pass(448, "float32", gpu) == 16
    monkeypatch.setattr(extractor_module, "has_large_caches", lambda: True)
    assert [images_a_pass(size, "float32", cpu) for size in (64, 224, 448)] == [128, 32, 8]
