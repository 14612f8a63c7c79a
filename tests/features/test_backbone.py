"""Which weights a backbone has, what images it wants, and how a vision transformer sees another size or grid than its own."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
import torchvision
from PIL import Image
from timm.data import create_transform
from torchvision.models import ResNet101_Weights, VisionTransformer

from tests.features.test_extractor import build, cells, close, noise, normalised, refusal, saved
from vqa_rnn.config import FeaturesConfig
from vqa_rnn.config.files import list_recipes, load_config
from vqa_rnn.features.backbones import Backbone, load_backbone

HALF = (0.5, 0.5, 0.5)


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A picture of 300 x 200 random pixels."""
    path = tmp_path_factory.mktemp("photo") / "photo.png"
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (200, 300, 3), np.uint8)).save(path)
    return path


@pytest.fixture
def downloads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """No download: torchvision's weights are zeros, timm's random. Lists what was asked for."""
    asked: list[str] = []

    def torchvision_download(url: str, *_: object, **__: object) -> dict[str, torch.Tensor]:
        asked.append(url)
        with torch.device("meta"):
            state = torchvision.models.get_model(Path(url).name.split("-")[0]).state_dict()
        return {name: torch.zeros(value.shape, dtype=value.dtype) for name, value in state.items()}

    def timm_download(model: torch.nn.Module, pretrained_cfg: dict, **_: object) -> None:
        asked.append(f"{pretrained_cfg['architecture']}.{pretrained_cfg['tag']}")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", torchvision_download)
    monkeypatch.setattr("timm.models._builder.load_pretrained", timm_download)
    return asked


def backbone(library: str, name: str, weights: str, size: int = 224):
    return load_backbone(FeaturesConfig(library=library, backbone=name, weights=weights, image_size=size))


@pytest.mark.parametrize(
    ("library", "name", "weights", "recorded"),
    [
        ("torchvision", "squeezenet1_1", "hub", "SqueezeNet1_1_Weights.IMAGENET1K_V1"),
        ("torchvision", "resnet50", "hub", "ResNet50_Weights.IMAGENET1K_V2"),
        ("torchvision", "resnet50", "hub:IMAGENET1K_V1", "ResNet50_Weights.IMAGENET1K_V1"),
        ("timm", "resnet50", "hub", "resnet50.a1_in1k"),
        ("timm", "resnet50", "hub:tv_in1k", "resnet50.tv_in1k"),
        ("timm", "resnet50.gluon_in1k", "hub", "resnet50.gluon_in1k"),
        ("timm", "resnet50.gluon_in1k", "hub:gluon_in1k", "resnet50.gluon_in1k"),
    ],
)
def test_weights_of_the_hub_are_taken_and_recorded_by_name(downloads, library, name, weights, recorded):
    assert backbone(library, name, weights).weights == recorded
    (asked,) = downloads
    if library == "timm":
        assert asked == recorded
    else:
        assert asked == torchvision.models.get_weight(recorded).url


@pytest.mark.parametrize(
    ("library", "name", "weights", "says"),
    [
        ("torchvision", "resnet101", "hub:IMAGENET1K_V3", "did you mean 'IMAGENET1K_V"),
        ("torchvision", "resnet101", "hub:V9", "unknown weights 'V9' (known: IMAGENET1K_V1, IMAGENET1K_V2)"),
        ("torchvision", "vgg16", "hub:", "unknown weights '' (known: IMAGENET1K_FEATURES, IMAGENET1K_V1)"),
        ("timm", "resnet50", "hub:tv_in2k", "did you mean 'tv_in1k'"),
        ("timm", "resnet50.gluon_in1k", "hub:tv_in1k", "name different weights"),
    ],
)
def test_an_unknown_name_of_weights_is_refused_with_the_known_ones(downloads, library, name, weights, says):
    text = refusal(backbone, library, name, weights)
    assert says in text
    assert name in text
    assert not downloads


def test_a_file_of_weights_is_recorded_by_its_name_and_the_fingerprint_holds_its_content_alone(tmp_path: Path):
    _, path = saved(torchvision.models.squeezenet1_1, tmp_path)
    other = path.rename(tmp_path / "renamed.pth")
    options = {"library": "torchvision", "backbone": "squeezenet1_1", "layers": ("features.4",)}
    as_torch = build(weights=str(other), **options)
    as_safetensors = build(weights=str(tmp_path / "weights.safetensors"), **options)
    assert (as_torch.weights, as_safetensors.weights) == ("renamed.pth", "weights.safetensors")
    assert as_torch.fingerprint == as_safetensors.fingerprint
    assert build().weights.startswith("efficientnet-lite0")


def test_recipes_name_the_weights_of_the_hub():
    weights = {name: load_config(name).features.weights for name in list_recipes()}
    assert {name for name in weights if weights[name] == "hub:IMAGENET1K_V1"} >= {"clevr", "visdial", "vqa"}
    assert weights["visual7w"] == "hub:IMAGENET1K_FEATURES"  # VGG-16's own Caffe weights
    assert set(weights.values()) == {"package", "hub:IMAGENET1K_V1", "hub:IMAGENET1K_FEATURES", "hub:COCO_V1"}


def test_the_preset_of_named_weights_is_theirs(downloads):
    preset = backbone("torchvision", "resnet101", "hub:IMAGENET1K_V1").network.preset
    assert (preset.interpolation, preset.crop_share) == ("bilinear", 224 / 256)
    assert backbone("torchvision", "resnet101", "hub:IMAGENET1K_V2").network.preset.crop_share == 224 / 232
    assert list(preset.mean) == [0.485, 0.456, 0.406]
    preset = backbone("timm", "resnet50", "hub:a1_in1k").network.preset
    assert (preset.interpolation, preset.crop_share) == ("bicubic", 0.95)
    preset = backbone("timm", "resnet50", "hub:tv_in1k").network.preset
    assert (preset.interpolation, preset.crop_share) == ("bilinear", 0.875)


def as_pixels(transformed: torch.Tensor, mean, std) -> np.ndarray:
    """Undo the normalisation of a transform."""
    pixels = transformed.permute(1, 2, 0).double().numpy() * np.array(std) + np.array(mean)
    return np.rint(pixels * 255).astype(np.uint8)


@pytest.mark.parametrize("weights", ResNet101_Weights)
def test_the_middle_is_cut_out_as_torchvision_does(downloads, photo: Path, weights: ResNet101_Weights):
    extractor = build(
        library="torchvision",
        backbone="resnet101",
        weights=f"hub:{weights.name}",
        layers=("conv1",),
        image_size=224,
        resize="crop",
    )
    preset = weights.transforms()
    with Image.open(photo) as image:
        expected = as_pixels(preset(image), preset.mean, preset.std)
    np.testing.assert_array_equal(np.asarray(extractor.transform.load(photo)), expected)
    transform = extractor.description["transform"]
    assert (transform["interpolation"], transform["crop_share"]) == ("bilinear", 224 / preset.resize_size[0])


@pytest.mark.parametrize("size", [224, 96])
def test_the_middle_is_cut_out_as_timm_does(photo: Path, size: int):
    extractor = build(layers=("conv_stem",), image_size=size, resize="crop")
    config = timm.data.resolve_data_config({}, model=timm.create_model("tf_efficientnet_lite0"))
    transform = create_transform(**{**config, "input_size": (3, size, size)})
    with Image.open(photo) as image:
        expected = as_pixels(transform(image), HALF, HALF)
    np.testing.assert_array_equal(np.asarray(extractor.transform.load(photo)), expected)
    assert extractor.description["transform"]["crop_share"] == 0.875


def test_the_share_that_is_cut_out_may_be_set(photo: Path):
    whole = build(layers=("conv_stem",), resize="crop", crop_share=1).transform.load(photo)
    with Image.open(photo) as image:
        expected = image.resize((48, 32), Image.Resampling.BICUBIC).crop((8, 0, 40, 32))
    np.testing.assert_array_equal(np.asarray(whole), np.asarray(expected))
    with pytest.raises(ValueError, match="crop_share is for resize=crop"):
        build(crop_share=0.5)


@pytest.mark.parametrize("resize", ["squash", "pad"])
def test_images_are_scaled_with_the_interpolation_of_the_backbone(photo: Path, tmp_path: Path, resize: str):
    _, path = saved(torchvision.models.squeezenet1_1, tmp_path)
    options = {"library": "torchvision", "backbone": "squeezenet1_1", "weights": str(path), "layers": ("features.0",)}
    with Image.open(photo) as image:
        inner = {"squash": (32, 32), "pad": (32, 21)}[resize]
        scaled = {method: np.asarray(image.resize(inner, method)) for method in Image.Resampling}

    def middle(extractor) -> np.ndarray:
        pixels = np.asarray(extractor.transform.load(photo))
        return pixels if resize == "squash" else pixels[6:27] if (pixels[5] == 128).all() else pixels[5:26]

    bilinear = build(resize=resize, **options)
    np.testing.assert_array_equal(middle(bilinear), scaled[Image.Resampling.BILINEAR])
    assert bilinear.description["transform"]["interpolation"] == "bilinear"
    np.testing.assert_array_equal(middle(build(resize=resize)), scaled[Image.Resampling.BICUBIC])  # the embedded default
    lanczos = build(resize=resize, interpolation="lanczos", **options)
    np.testing.assert_array_equal(middle(lanczos), scaled[Image.Resampling.LANCZOS])
    assert "crop_share" not in lanczos.description["transform"]


def register(monkeypatch: pytest.MonkeyPatch, name: str, make: Callable[[], torch.nn.Module]) -> None:
    """Let torchvision know a small vision transformer, as its own are large."""
    monkeypatch.setitem(torchvision.models._api.BUILTIN_MODELS, name, lambda weights=None, progress=True: make())


def tiny_torchvision(image_size: int = 64) -> VisionTransformer:
    return VisionTransformer(image_size, patch_size=16, num_layers=2, num_heads=2, hidden_dim=8, mlp_dim=8)


def with_positions(model: torch.nn.Module) -> torch.nn.Module:
    """Large position embeddings: they start near zero, and what happens to them would not be seen."""
    positions = model.encoder.pos_embedding if isinstance(model, VisionTransformer) else model.pos_embed
    torch.nn.init.normal_(positions)
    return model


def test_a_vision_transformer_of_timm_takes_other_sizes_than_its_own(tmp_path: Path):
    name = "vit_tiny_patch16_224"
    model, path = saved(lambda: with_positions(timm.create_model(name)), tmp_path)
    options = {"backbone": name, "weights": str(path), "layers": ("blocks.1",)}
    small, native = build(image_size=64, **options), build(image_size=224, **options)
    assert (small.num_regions, native.num_regions) == (16, 196)
    assert small.description["weights_sha256"] == native.description["weights_sha256"]
    images = noise(2, 64)
    resized = timm.create_model(name, img_size=64).eval()  # timm resamples positions when it loads
    resized.load_state_dict(timm.models.vision_transformer.checkpoint_filter_fn(model.state_dict(), resized))
    with torch.inference_mode():
        (expected,) = resized.forward_intermediates(normalised(images, HALF, HALF), indices=[1], intermediates_only=True)
    close(small.regions(images), cells(expected))
    images = noise(1, 224)
    with torch.inference_mode():
        (expected,) = model.forward_intermediates(normalised(images, HALF, HALF), indices=[1], intermediates_only=True)
    close(native.regions(images), cells(expected))


def test_a_swin_transformer_takes_other_sizes_than_its_own(tmp_path: Path):
    name = "swin_tiny_patch4_window7_224"
    _, path = saved(lambda: timm.create_model(name), tmp_path)
    extractor = build(backbone=name, weights=str(path), layers=("layers.1",), image_size=64)
    assert (extractor.num_regions, extractor.feature_size) == (8 * 8, 192)
    assert np.isfinite(extractor.regions(noise(1, 64))).all()
    # a grid of 96 x 96 cells of 96 numbers: only the network knows which side is which
    extractor = build(backbone=name, weights=str(path), layers=("layers.0",), image_size=384)
    image = noise(1, 384)
    with torch.inference_mode():
        expected = extractor.model.layers[0](extractor.model.patch_embed(normalised(image)))
    assert expected.shape == (1, 96, 96, 96)
    close(extractor.regions(image), expected.flatten(1, 2).numpy())


def test_a_vision_transformer_of_torchvision_takes_other_sizes_than_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    register(monkeypatch, "tiny_vit", tiny_torchvision)
    model, path = saved(lambda: with_positions(tiny_torchvision()), tmp_path)
    layer = "encoder.layers.encoder_layer_0"
    options = {"library": "torchvision", "backbone": "tiny_vit", "weights": str(path), "layers": (layer,)}

    def by_hand(network: VisionTransformer, images: list[Image.Image]) -> np.ndarray:
        with torch.inference_mode():
            patches = network._process_input(normalised(images))
            tokens = torch.cat([network.class_token.expand(len(images), -1, -1), patches], dim=1)
            return network.encoder.layers.encoder_layer_0(tokens + network.encoder.pos_embedding)[:, 1:].numpy()

    native = build(image_size=64, **options)
    close(native.regions(noise(2, 64)), by_hand(model, noise(2, 64)))
    large = build(image_size=96, **options)
    assert large.num_regions == 36
    resized = tiny_torchvision(96).eval()
    state = torchvision.models.vision_transformer.interpolate_embeddings(96, 16, dict(model.state_dict()))
    resized.load_state_dict(state)
    close(large.regions(noise(2, 96)), by_hand(resized, noise(2, 96)))
    text = refusal(build, image_size=70, **options)
    assert "tiny_vit cannot take images of features.image_size=70" in text
    assert "16" in text


def shades(side: int) -> Image.Image:
    """Patches of 16 x 16 pixels, each lighter than the one before it in reading order."""
    values = (np.arange(side * side) * 255 // (side * side)).astype(np.uint8).reshape(side, side)
    return Image.fromarray(values.repeat(16, 0).repeat(16, 1)[:, :, None].repeat(3, 2))


def plant(model: torch.nn.Module) -> torch.nn.Module:
    """Let every token be what its patch is on average: blocks add nothing, and prefix tokens are far from all of them."""
    for name, tensor in model.state_dict().items():
        tensor.zero_()
        if name == "patch_embed.proj.weight":
            tensor.fill_(1 / (3 * 256))
        elif name in ("cls_token", "reg_token"):
            tensor.fill_(1000)
    return model


def planted(size: int, tmp_path: Path) -> np.ndarray:
    """The regions of ``shades`` from a vision transformer with 16 tokens before those of the patches."""
    path = tmp_path / "planted.pth"
    torch.save(plant(timm.create_model("vit_tiny_registers_224")).state_dict(), path)
    extractor = build(backbone="vit_tiny_registers_224", weights=str(path), layers=("blocks.0",), image_size=size)
    return extractor.regions([shades(size // 16)])[0, :, 0]


@pytest.fixture
def registers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A vision transformer of timm with 15 registers and a class token."""
    make = timm.create_model

    def create_model(name: str, **options) -> torch.nn.Module:
        if name == "vit_tiny_registers_224":
            return make("vit_tiny_patch16_224", reg_tokens=15, depth=1, **options)
        return make(name, **options)

    is_model = timm.is_model
    monkeypatch.setattr(timm, "create_model", create_model)
    monkeypatch.setattr(timm, "is_model", lambda name: name == "vit_tiny_registers_224" or is_model(name))


@pytest.mark.parametrize("size", [112, 224, 64])
def test_patches_come_in_reading_order_however_many_tokens_come_before(registers, tmp_path: Path, size: int):
    found = planted(size, tmp_path)
    assert len(found) == (size // 16) ** 2  # 7 x 7 patches and 16 tokens are 65, which is nearly 8 x 8
    assert (np.diff(found) > 0).all()
    expected = np.asarray(shades(size // 16))[::16, ::16, 0].ravel() / 127.5 - 1
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_patches_that_are_no_square_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    _, path = saved(lambda: timm.create_model("test_vit"), tmp_path)
    options = {"backbone": "test_vit", "weights": str(path), "image_size": 160}
    assert build(layers=("patch_embed",), **options).num_regions == 100  # before the class token is put in front

    def with_three_prefix_tokens(config: FeaturesConfig) -> Backbone:  # in truth it is one
        backbone = load_backbone(config)
        return replace(backbone, network=replace(backbone.network, num_prefix_tokens=3))

    monkeypatch.setattr("vqa_rnn.features.backbones.layers.load_backbone", with_three_prefix_tokens)
    text = refusal(build, layers=("blocks.0",), **options)
    assert "blocks.0 of test_vit gives 101 tokens; 101 - 3 for class and registers is not a square number" in text


@pytest.mark.parametrize("output", ["grid", "pooled"])
def test_a_grid_finer_than_that_of_the_layer_is_refused(output: str):
    text = refusal(build, image_size=64, layers=("blocks.3",), grid_size=5, output=output)
    assert "features.grid_size=5, but blocks.3 of tf_efficientnet_lite0 gives 4 x 4 cells at features.image_size=64" in text
    assert build(image_size=64, layers=("blocks.3",), grid_size=4).num_regions == 16
    # of several layers the finest counts, as they are brought to one grid
    assert build(image_size=64, layers=("blocks.3", "blocks.1"), grid_size=16).num_regions == 256
    assert "gives 16 x 16 cells" in refusal(build, image_size=64, layers=("blocks.3", "blocks.1"), grid_size=17)
