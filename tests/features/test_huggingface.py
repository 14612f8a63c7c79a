"""Backbones of Hugging Face's transformers: built here with random weights, saved as the hub would have them, and read back."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import BertConfig, BertModel

from tests.features.test_extractor import close, noise, refusal
from vqa_rnn.config import FeaturesConfig
from vqa_rnn.features.extractor import Extractor

SIDE, PATCH = 32, 8
SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}


def clip() -> nn.Module:
    vision = {**SMALL, "intermediate_size": 32, "image_size": SIDE, "patch_size": PATCH}
    text = {**SMALL, "intermediate_size": 32, "vocab_size": 50}
    return transformers.CLIPModel(transformers.CLIPConfig(text_config=text, vision_config=vision))


def siglip() -> nn.Module:
    vision = {**SMALL, "intermediate_size": 32, "image_size": SIDE, "patch_size": PATCH}
    text = {**SMALL, "intermediate_size": 32, "vocab_size": 50}
    return transformers.SiglipModel(transformers.SiglipConfig(text_config=text, vision_config=vision))


def dinov2() -> nn.Module:
    config = transformers.Dinov2WithRegistersConfig(**SMALL, image_size=SIDE, patch_size=PATCH, num_register_tokens=4)
    return transformers.Dinov2WithRegistersModel(config)


def convnext() -> nn.Module:
    return transformers.ConvNextModel(transformers.ConvNextConfig(hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1]))


def resnet() -> nn.Module:
    config = transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1])
    return transformers.ResNetModel(config)


PROCESSORS: dict[str, Callable[[], object]] = {
    "clip": lambda: transformers.CLIPImageProcessor(size={"shortest_edge": 36}, crop_size={"height": SIDE, "width": SIDE}),
    "siglip": lambda: transformers.SiglipImageProcessor(size={"height": SIDE, "width": SIDE}),
    "dinov2": lambda: transformers.BitImageProcessor(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}),
    "convnext": lambda: transformers.ConvNextImageProcessor(size={"shortest_edge": 64}, crop_pct=0.8),
    "resnet": lambda: transformers.ConvNextImageProcessor(size={"shortest_edge": 64}, crop_pct=0.875),
}
MODELS = {"clip": clip, "siglip": siglip, "dinov2": dinov2, "convnext": convnext, "resnet": resnet}
LAST_GRID = {
    "clip": "encoder.layers.1",
    "siglip": "post_layernorm",
    "dinov2": "layernorm",
    "convnext": "encoder.stages.3",
    "resnet": "encoder.stages.3",
}
TRANSFORMERS = ("clip", "siglip", "dinov2")


def save_model(kind: str, folder: Path, change: Callable[[nn.Module], object] = lambda model: None) -> nn.Module:
    """Make a folder as it is on the hub: configuration, weights, and how images are prepared."""
    torch.manual_seed(0)
    model = MODELS[kind]().eval()
    for module in model.modules():  # statistics and weights that tell apart what is done with them
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    change(model)
    model.save_pretrained(folder)
    PROCESSORS[kind]().save_pretrained(folder)
    return getattr(model, "vision_model", model)


def build(folder: Path, **options) -> Extractor:
    base = {"library": "transformers", "backbone": str(folder), "weights": "hub", "dtype": "float32", "precision": "float32"}
    return Extractor(FeaturesConfig(**{**base, **options}))


def by_hand(extractor: Extractor, model: nn.Module, images: list[Image.Image], **options) -> torch.Tensor:
    """What the model itself makes of images that its processor need not scale."""
    transform = extractor.description["transform"]
    mean, std = (torch.tensor(transform[name]).view(1, 3, 1, 1) for name in ("mean", "std"))
    pixels = torch.stack([torch.from_numpy(np.asarray(image).copy()) for image in images]).permute(0, 3, 1, 2) / 255
    with torch.inference_mode():
        return model(pixel_values=(pixels - mean) / std, **options).last_hidden_state


@pytest.mark.parametrize("kind", MODELS)
def test_features_are_those_of_the_model_itself(kind: str, tmp_path: Path):
    model = save_model(kind, tmp_path / kind)
    extractor = build(tmp_path / kind)
    assert extractor.layers == (LAST_GRID[kind],)
    assert extractor.weights == kind  # the name of the folder
    size = extractor.image_size
    expected = by_hand(extractor, model, noise(2, size))
    if expected.dim() == 4:
        expected = expected.flatten(2).transpose(1, 2)
    if kind == "siglip":  # which gives its last hidden state after the norm, and has no class token
        assert expected.shape[1] == extractor.num_regions == (SIDE // PATCH) ** 2
    close(extractor.regions(noise(2, size)), expected[:, -extractor.num_regions :].numpy())
    assert extractor.folds_norms == (kind == "resnet")


@pytest.mark.parametrize(
    ("kind", "size", "crop_share", "interpolation"),
    [
        ("clip", 32, 32 / 36, "bicubic"),
        ("siglip", 32, 1.0, "bicubic"),
        ("dinov2", 32, 1.0, "bicubic"),
        ("convnext", 64, 0.8, "bicubic"),
    ],
)
def test_images_are_prepared_as_its_own_processor_does(
    kind: str, size: int, crop_share: float, interpolation: str, tmp_path: Path
):
    save_model(kind, tmp_path / kind)
    extractor = build(tmp_path / kind, resize="crop")
    transform, processor = extractor.description["transform"], PROCESSORS[kind]()
    assert (transform["image_size"], transform["crop_share"], transform["interpolation"]) == (size, crop_share, interpolation)
    assert transform["mean"] == list(processor.image_mean)
    assert transform["std"] == list(processor.image_std)
    if kind in ("clip", "dinov2", "convnext"):  # SigLIP's processor ignores the shape of the image
        photo = tmp_path / "photo.png"
        smooth = Image.fromarray(np.random.default_rng(0).integers(0, 256, (6, 9, 3), np.uint8))
        smooth.resize((90, 60), Image.Resampling.BICUBIC).save(photo)
        theirs = processor(images=Image.open(photo), return_tensors="np")["pixel_values"][0].transpose(1, 2, 0)
        theirs = (theirs * transform["std"] + transform["mean"]) * 255
        ours = np.asarray(extractor.transform.load(photo)).astype(float)
        assert np.abs(ours - theirs).mean() < 1.5  # of 255: theirs is computed by torch


def plant(model: nn.Module) -> None:
    """Let every token be what its patch is on average: blocks add nothing, and prefix tokens are far from all of them."""
    for name, parameter in model.named_parameters():
        parameter.data.zero_()
        if name.endswith(("patch_embedding.weight", "patch_embeddings.projection.weight")):
            parameter.data.fill_(1 / (3 * PATCH * PATCH))
        elif name.endswith(("class_embedding", "cls_token", "register_tokens")):
            parameter.data.fill_(1000)
        elif name.endswith("pre_layrnorm.bias"):
            parameter.data.zero_()
        elif name.endswith("pre_layrnorm.weight"):
            parameter.data.fill_(1)


@pytest.mark.parametrize("kind", TRANSFORMERS)
def test_patches_come_row_by_row_without_class_and_registers(kind: str, tmp_path: Path):
    save_model(kind, tmp_path / kind, plant)
    size, side = 2 * SIDE, 2 * SIDE // PATCH  # another size than its own: position embeddings are resampled
    layer = "embeddings" if kind == "clip" else {"siglip": "encoder.layers.0", "dinov2": "encoder.layer.0"}[kind]
    extractor = build(tmp_path / kind, image_size=size, layers=(layer,))
    values = (np.arange(side * side) * 255 // (side * side)).astype(np.uint8).reshape(side, side)
    shades = Image.fromarray(values.repeat(PATCH, 0).repeat(PATCH, 1)[:, :, None].repeat(3, 2))
    found = extractor.regions([shades])[0, :, 0]
    assert found.shape == (side * side,)
    assert (np.diff(found) > 0).all()
    assert found.max() < 500  # no prefix among them


@pytest.mark.parametrize("kind", ["clip", "siglip", "dinov2"])
def test_position_embeddings_are_resampled_for_another_size(kind: str, tmp_path: Path):
    model = save_model(kind, tmp_path / kind)
    extractor = build(tmp_path / kind, image_size=48)
    options = {} if kind == "dinov2" else {"interpolate_pos_encoding": True}
    expected = by_hand(extractor, model, noise(1, 48), **options)
    assert extractor.num_regions == 36
    close(extractor.regions(noise(1, 48)), expected[:, -36:].numpy())
    assert "the image size must be a multiple of its patch size, 8 pixels" in refusal(build, tmp_path / kind, image_size=50)


def test_a_folder_that_was_moved_holds_the_same_backbone(tmp_path: Path):
    save_model("siglip", tmp_path / "here" / "siglip")
    before = build(tmp_path / "here" / "siglip").description
    (tmp_path / "here").rename(tmp_path / "there")
    assert build(tmp_path / "there" / "siglip").description == before
    assert before["backbone"] == "transformers/siglip"


def test_a_convolutional_network_takes_any_size(tmp_path: Path):
    save_model("convnext", tmp_path / "convnext")
    assert build(tmp_path / "convnext", image_size=70).num_regions == 4


def test_weights_from_a_file_go_into_the_half_that_sees(tmp_path: Path):
    model = save_model("clip", tmp_path / "clip")
    torch.save(model.state_dict(), tmp_path / "eyes.pth")
    (tmp_path / "clip" / "model.safetensors").unlink()
    extractor = build(tmp_path / "clip", weights=str(tmp_path / "eyes.pth"))
    assert extractor.weights == "eyes.pth"
    close(extractor.regions(noise(1, SIDE)), by_hand(extractor, model, noise(1, SIDE))[:, 1:].numpy())


@pytest.mark.parametrize("kind", MODELS)
def test_the_file_of_a_folder_gives_the_same_weights_as_the_folder(tmp_path: Path, kind: str):
    """Its entries may have names of an earlier version of transformers, and it may hold more than is used."""
    save_model(kind, tmp_path / kind)
    whole = build(tmp_path / kind)
    from_file = build(tmp_path / kind, weights=str(tmp_path / kind / "model.safetensors"))
    assert from_file.description["weights_sha256"] == whole.description["weights_sha256"]
    assert from_file.weights == "model.safetensors"


def test_the_head_of_a_classifier_is_left_out(tmp_path: Path):
    settings = transformers.ViTConfig(**SMALL, intermediate_size=32, image_size=SIDE, patch_size=PATCH)
    transformers.ViTForImageClassification(settings).save_pretrained(tmp_path)
    PROCESSORS["siglip"]().save_pretrained(tmp_path)
    path = tmp_path / "model.safetensors"
    assert any(name.startswith("classifier.") for name in load_file(path))
    builds = build(tmp_path), build(tmp_path), build(tmp_path, weights=str(path))
    assert len({each.description["weights_sha256"] for each in builds}) == 1  # transformers adds a pooler of random numbers


def test_a_file_that_lacks_an_entry_is_refused(tmp_path: Path):
    save_model("dinov2", tmp_path)
    path = tmp_path / "model.safetensors"
    state = load_file(path)
    state.pop("layernorm.weight")
    save_file(state, path)
    assert "does not fit the backbone" in refusal(build, tmp_path, weights=str(path))
    assert "its weights lack 1 entries, the first is layernorm.weight" in refusal(build, tmp_path)
    assert f"features.backbone={tmp_path} features.weights=hub" in refusal(build, tmp_path, weights=str(tmp_path))


def test_what_cannot_see_is_refused(tmp_path: Path):
    settings = transformers.BertConfig(**SMALL, intermediate_size=32, vocab_size=50)
    transformers.BertModel(settings).save_pretrained(tmp_path / "bert")
    PROCESSORS["siglip"]().save_pretrained(tmp_path / "bert")
    assert "a BertModel does not take images alone" in refusal(build, tmp_path / "bert")


def test_a_folder_that_lacks_a_file_or_is_not_there_is_refused_in_one_line(tmp_path: Path):
    for missing in ("preprocessor_config.json", "config.json", "model.safetensors"):
        folder = tmp_path / missing
        save_model("siglip", folder)
        (folder / missing).unlink()
        text = refusal(build, folder)
        assert str(folder) in text
        assert "features.weights=FILE" not in text
        assert "\n" not in text
        assert ("no image processor (preprocessor_config.json)" in text) == (missing == "preprocessor_config.json")


@pytest.mark.parametrize("name", ["./nothing", "/nothing/here", "a/b/c", "../nothing"])
def test_a_path_where_nothing_is_is_not_asked_of_the_hub(name: str):
    assert refusal(build, name).startswith(f"features.backbone={name}: there is no such folder")


def test_a_name_of_the_hub_has_an_owner():
    text = refusal(build, "clip-vit-base-patch32")
    assert "there is no such folder (ask: --weights FOLDER" in text
    assert "a name on the hub has its owner in it" in text
    assert "cannot get nobody/nothing" in refusal(build, "nobody/nothing")


def test_a_model_of_text_is_refused(tmp_path: Path):
    BertModel(BertConfig(vocab_size=10, hidden_size=16, num_hidden_layers=1, num_attention_heads=2)).save_pretrained(tmp_path)
    assert "a BertModel does not take images alone" in refusal(build, tmp_path)


def test_the_weights_of_a_folder_are_called_hub(tmp_path: Path):
    save_model("siglip", tmp_path)
    assert "use features.weights=hub (of a folder: the weights in it)" in refusal(build, tmp_path, weights="package")


class Evil:
    def __reduce__(self):
        return (Path("ran").touch, ())


def test_pickled_weights_run_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    save_model("siglip", tmp_path / "siglip")
    (tmp_path / "siglip" / "model.safetensors").unlink()
    with (tmp_path / "siglip" / "pytorch_model.bin").open("wb") as file:
        pickle.dump({"weight": Evil()}, file)
    refusal(build, tmp_path / "siglip")
    assert not Path("ran").exists()


def test_code_that_comes_with_a_model_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    save_model("siglip", tmp_path / "siglip")
    (tmp_path / "siglip" / "evil.py").write_text("import pathlib; pathlib.Path('ran').touch()", encoding="utf-8")
    path = tmp_path / "siglip" / "config.json"
    settings = json.loads(path.read_text())
    settings |= {"model_type": "evil", "auto_map": {"AutoConfig": "evil.Config", "AutoModel": "evil.Model"}}
    path.write_text(json.dumps(settings), encoding="utf-8")
    refusal(build, tmp_path / "siglip")
    assert not Path("ran").exists()
