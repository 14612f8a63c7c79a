"""Composing, checking and printing configs."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from vqa_rnn.config import ClassifierHead, ConcatFusion, Config, DaquarDataset, ProductFusion, run_path, store_path
from vqa_rnn.config.files import config_changes, config_yaml, list_recipes, load_config, recipes_folder, validate_config
from vqa_rnn.errors import UserError


def write(path: Path, text: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return str(path)


def message_of(source: str, *overrides: str) -> str:
    with pytest.raises(UserError) as caught:
        load_config(source, overrides)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (
            ["model.head.loss=sigmoid", "model.head.label_smoothing=0.1"],
            "model.head: label_smoothing is for loss=softmax; loss=sigmoid does not use it",
        ),
        (
            ["model.head={name: mlp_choice, label_smoothing: 0.1}"],
            "model.head: label_smoothing is for loss=softmax; loss=sigmoid does not use it",
        ),
        (
            ["model.head={name: choice, loss: sigmoid, label_smoothing: 0.1}"],
            "model.head: label_smoothing is for loss=softmax; loss=sigmoid does not use it",
        ),
        (
            ["model.head.hidden_size=null", "model.head.dropout=0.5"],
            "model.head: dropout is for the hidden layer, and hidden_size=null leaves it out: set one of them",
        ),
        (
            ["model.head.unknown_answers=zero_target"],
            "model.head: unknown_answers=zero_target needs loss=sigmoid: a softmax needs a correct answer",
        ),
        (
            ["features.output=pooled", "model.attention.name=stacked"],
            "features.output=pooled gives one region per image: there is nothing to attend to; set model.attention.name=none "
            "(given: stacked)",
        ),
        (
            ["features.library=none", "model.attention.name=none", "model.geometry=true"],
            "features.library=none gives one region per image: set model.geometry=false (given: true)",
        ),
        (
            ["training.batch_size=8", "training.accumulation=9"],
            "training: accumulation=9 cuts a batch of batch_size=8 into empty parts",
        ),
        (
            ["training.schedule={name: steps, milestones: [10, 5]}"],
            "training.schedule.milestones: milestones must be in increasing order (given: [10, 5])",
        ),
        (
            ["training.schedule={name: steps, milestones: [5, 5]}"],
            "training.schedule.milestones: milestones must be in increasing order (given: [5, 5])",
        ),
        (["features.layers=nope"], "features.layers: a list is needed, as in features.layers=[…], not 'nope'"),
        (["features.mean=1"], "features.mean: a list of 3 is needed, as in features.mean=[…,…,…], not 1"),
        (["features.mean=[0.1,0.2]"], "features.mean: a list of 3 is needed, as in features.mean=[…,…,…], not [0.1, 0.2]"),
        (
            ["training.optimizer={name: sgd, momentum: 0, nesterov: true}"],
            "training.optimizer: nesterov needs a momentum above 0",
        ),
        (["dataset.fold=2"], "dataset: fold=2 needs folds, the number of parts"),
        (
            ["model.attention.name=bilinear", "model.history.name=memory"],
            "model: attention.name=bilinear reads only the words of the question and would ignore the history: set "
            "history.name=none, or take another attention",
        ),
        (
            ["model.attention.name=co_attention", "model.question.pooling=attention"],
            "model: attention.name=co_attention weighs the words by itself and ignores "
            "question.pooling=attention: set question.pooling=last",
        ),
        (
            ["features.output=pooled", "model.attention.name=none", "model.fusion.name=none", "model.reasoning.name=film"],
            "features.output=pooled gives one region per image: there is nothing to reason about; set "
            "model.reasoning.name=none (given: film)",
        ),
        (
            ["model.attention.name=top_down", "model.reasoning.name=mac"],
            "model: reasoning.name=mac stands in for attention and fusion: set model.attention.name=none and "
            "model.fusion.name=none",
        ),
        (
            ["model.fusion.name=none"],
            "model: fusion.name=none needs a reasoning network: set model.reasoning.name, or another model.fusion.name",
        ),
        (
            ["model.reasoning={name: mcan, hidden_size: 100, num_heads: 8}"],
            "model.reasoning: hidden_size=100 cannot be cut into num_heads=8 heads",
        ),
        (
            ["model.reasoning={name: film, kernel_size: 2}"],
            "model.reasoning.kernel_size: the kernel size must be odd, such as 1 or 3 (given: 2)",
        ),
        (
            ["model.fusion.name=mcb", "model.ablate=question_only"],
            "model: fusion.name=mcb has no weights, so that ablate=question_only would make its output zero: use another "
            "fusion",
        ),
        (
            ["model.fusion={name: sum, hidden_size: null}"],
            "model: fusion.name=sum with hidden_size=null needs attention.name=bilinear, whose vectors have the same size",
        ),
        (
            ["model.fusion={name: block, factor_size: 10, pieces: 3}"],
            "model.fusion: factor_size=10 cannot be cut into pieces=3 equal pieces",
        ),
    ],
)
def test_an_option_that_would_be_ignored_is_refused(overrides: list[str], expected: str):
    assert message_of("easy_vqa", *overrides) == f"command line: {expected}"


@pytest.fixture
def empty(tmp_path: Path) -> str:
    return write(tmp_path / "empty.yaml", "")


def test_an_empty_file_gives_the_defaults(empty: str):
    config = load_config(empty)
    assert config.run.name == "empty"
    assert set(config_changes(Config(), config)) == {"run.name"}


def test_a_base_is_overlaid_by_what_the_file_says(tmp_path: Path):
    write(tmp_path / "base.yaml", "training: {max_epochs: 3, batch_size: 7}\n")
    config = load_config(write(tmp_path / "top.yaml", "base: base.yaml\ntraining: {batch_size: 9}\n"))
    assert (config.training.max_epochs, config.training.batch_size) == (3, 9)


def test_bases_nest_across_folders_and_recipes(tmp_path: Path):
    write(tmp_path / "a.yaml", "base: easy_vqa\ntraining: {max_epochs: 3}\n")
    write(tmp_path / "deep" / "b.yaml", "base: ../a.yaml\ntext: {max_tokens: 11}\n")
    config = load_config(write(tmp_path / "c.yaml", "base: deep/b.yaml\n"))
    assert (config.training.max_epochs, config.text.max_tokens) == (3, 11)
    assert config.features.layers == load_config("easy_vqa").features.layers == ("blocks.3",)


@pytest.mark.parametrize("names", [("a",), ("a", "b"), ("a", "b", "c")], ids=["itself", "two files", "three files"])
def test_bases_in_a_circle_are_refused(tmp_path: Path, names: tuple[str, ...]):
    for name, base in zip(names, names[1:] + names[:1], strict=True):
        write(tmp_path / f"{name}.yaml", f"base: {base}.yaml\n")
    assert "form a cycle" in message_of(str(tmp_path / "a.yaml"))


def test_a_base_twice_without_a_circle_is_fine(tmp_path: Path):
    write(tmp_path / "base.yaml", "training: {max_epochs: 3}\n")
    write(tmp_path / "x" / "base.yaml", "base: ../base.yaml\ntext: {max_tokens: 5}\n")
    config = load_config(write(tmp_path / "y" / "top.yaml", "base: ../x/base.yaml\n"))
    assert (config.training.max_epochs, config.text.max_tokens) == (3, 5)


def test_overrides_come_last_and_in_order(tmp_path: Path):
    source = write(tmp_path / "a.yaml", "training: {max_epochs: 3}\n")
    config = load_config(source, ["training.max_epochs=4", "training.max_epochs=5", "training.clip_norm=null"])
    assert config.training.max_epochs == 5
    assert config.training.clip_norm is None


def test_an_override_takes_yaml_lists_maps_and_text_with_an_equals_sign(empty: str):
    config = load_config(
        empty,
        [
            "features.layers=[layer3, layer4]",
            "model.question={hidden_size: 12, bidirectional: true}",
            "dataset.name=jsonl",
            "dataset.path=a=b.jsonl",
        ],
    )
    assert config.features.layers == ("layer3", "layer4")
    assert (config.model.question.hidden_size, config.model.question.bidirectional) == (12, True)
    assert config.model_dump(mode="json")["dataset"]["path"] == "a=b.jsonl"


def test_a_changed_name_replaces_its_node():
    config = load_config("easy_vqa", ["model.fusion.name=concat", "dataset.name=daquar", "model.fusion.hidden_size=33"])
    assert config.model.fusion == ConcatFusion(hidden_size=33)
    assert config.dataset == DaquarDataset()
    assert config.model.attention == load_config("easy_vqa").model.attention


def test_a_base_of_another_kind_leaves_no_options_behind(tmp_path: Path):
    write(tmp_path / "base.yaml", "dataset: {name: easy_vqa, multiple_choice: true, split_seed: 5}\n")
    config = load_config(write(tmp_path / "top.yaml", "base: base.yaml\ndataset: {name: daquar}\n"))
    assert config.dataset == DaquarDataset()


def test_fields_alone_keep_the_kind():
    before = load_config("easy_vqa")
    after = load_config("easy_vqa", ["model.fusion.dropout=0.25", "model.head={hidden_size: 9}"])
    assert isinstance(before.model.fusion, ProductFusion)
    assert after.model.fusion == before.model.fusion.model_copy(update={"dropout": 0.25})
    assert isinstance(after.model.head, ClassifierHead)
    assert after.model.head.hidden_size == 9


def test_naming_the_same_kind_keeps_its_options():
    config = load_config("easy_vqa", ["model.fusion.name=product", "model.fusion.dropout=0.5"])
    assert isinstance(config.model.fusion, ProductFusion)
    assert config.model.fusion.hidden_size == 256


def test_the_name_of_the_run_is_a_label_and_not_a_kind(tmp_path: Path):
    source = write(tmp_path / "a.yaml", "run: {seed: 7, folder: elsewhere}\n")
    config = load_config(source, ["run.name=mine"])
    assert (config.run.name, config.run.seed, config.run.folder) == ("mine", 7, Path("elsewhere"))


@pytest.mark.parametrize(
    ("source", "name"), [("easy_vqa", "easy_vqa"), ("easy_vqa/choice", "easy_vqa-choice"), ("jsonl", "jsonl")]
)
def test_a_run_is_named_after_its_recipe(source: str, name: str):
    config = load_config(source)
    assert config.run.name == name
    assert run_path(config) == Path("runs") / name


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("trainin.max_epochs=3", ["section 'trainin'", "did you mean 'training'"]),
        ("training.max_epoch=3", ["key in training 'max_epoch'", "did you mean 'max_epochs'"]),
        ("model.fusion.hiden_size=3", ["key in model.fusion 'hiden_size'", "did you mean 'hidden_size'"]),
        ("model.question.hidden=3", ["key in model.question 'hidden'", "did you mean 'hidden_size'"]),
        ("dataset.multiple_choise=true", ["key in dataset 'multiple_choise'", "did you mean 'multiple_choice'"]),
        ("model.fusion.name=prodct", ["fusion 'prodct'", "did you mean 'product'", "concat"]),
        ("model.attention.name=topdown", ["attention 'topdown'", "did you mean 'top_down'", "none"]),
        ("model.head.name=clasifier", ["head 'clasifier'", "did you mean 'classifier'", "choice"]),
        ("dataset.name=daqar", ["dataset 'daqar'", "did you mean 'daquar'", "easy_vqa", "jsonl"]),
        ("features.library=tim", ["features.library 'tim'", "did you mean 'timm'", "torchvision"]),
        ("features.resize=sqash", ["features.resize 'sqash'", "did you mean 'squash'"]),
        ("training.precision=bf16", ["training.precision 'bf16'", "bfloat16"]),
        ("model.ablate=question", ["model.ablate 'question'", "did you mean 'question_only'"]),
        ("model.question.cell=lstmm", ["model.question.cell 'lstmm'", "did you mean 'lstm'"]),
        ("model.history.name=late", ["history 'late'", "did you mean 'late_fusion'", "none"]),
    ],
)
def test_a_misspelt_name_gets_the_nearest_one(override: str, words: list[str]):
    message = message_of("easy_vqa", override)
    assert "unknown" in message
    assert [word for word in words if word not in message] == []


@pytest.mark.parametrize(
    "override",
    [
        "training.batch_size=0",
        "training.max_epochs=-1",
        "training.learning_rate=0",
        "training.learning_rate=.nan",
        "training.learning_rate=.inf",
        "training.weight_decay=-0.1",
        "training.schedule.warmup_fraction=1",
        "training.clip_norm=0",
        "training.ema_decay=1",
        "dataset.validation_fraction=0",
        "dataset.validation_fraction=1",
        "dataset.folds=1",
        "model.fusion.dropout=1",
        "model.feature_dropout=-0.5",
        "model.question.num_layers=0",
        "features.image_size=1",
        "features.std=[0, 1, 1]",
        "features.layers=[]",
        "text.max_tokens=0",
        "text.max_answers=1",
        "evaluation.bootstrap_samples=9",
    ],
)
def test_a_value_out_of_range_is_refused(override: str):
    key = override.partition("=")[0]
    message = message_of("easy_vqa", override)
    assert key in message
    assert "(given: " in message


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (
            ["model.question.cell=gru", "model.question.forget_bias=1"],
            ["forget_bias is for cell=lstm", "gru has no forget gate"],
        ),
        (["model.head.name=generative", "model.head.bidirectional=true"], ["a decoder writes", "cannot be bidirectional"]),
        (["model.head.name=generative", "model.head.first_state=learned"], ["needs another conditioning"]),
        (["model.head.name=choice", "model.head.choices=regions", "model.head.cell=gru"], ["cell is for choices=texts"]),
        (["learning_rate=0.1"], ["unknown section 'learning_rate': did you mean training.learning_rate?"]),
        (["training.learning_rat=0.1"], ["(known: learning_rate, transformer_rate, "]),
        (
            ["model.head.name=choice", "model.head.choices=regions", "model.head.num_layers=1"],
            ["num_layers is for choices=texts"],
        ),
        (
            ["model.history.name=memory", "model.history.cell=gru", "model.question.pooling=all_states"],
            ["all_states", "leave out history.cell"],
        ),
    ],
)
def test_a_recurrent_network_that_cannot_be_is_refused(overrides: list[str], words: list[str]):
    message = message_of("easy_vqa", *overrides)
    assert [word for word in words if word not in message] == []
    assert "\n" not in message


def test_a_fold_that_does_not_exist_is_refused():
    message = message_of("easy_vqa", "dataset.folds=3", "dataset.fold=3")
    assert "fold 3 does not exist" in message
    assert "0 to 2" in message
    assert load_config("easy_vqa", ["dataset.folds=3", "dataset.fold=2"]).dataset.fold == 2


@pytest.mark.parametrize(
    "override",
    [
        "training.max_epochs=many",
        "training.max_epochs=1.5",
        "training.max_epochs=[1]",
        "training.max_epochs=null",
        "training.max_epochs.deep=1",
        "features.layers=bn2",
        "features.layers.0=bn2",
        "features.layers[0]=bn2",
        "features.mean=[0.5, 0.5]",
        "model.question.bidirectional=perhaps",
        "dataset=easy_vqa",
        "training=5",
        "training=null",
        "model=[1, 2]",
        "model.fusion=product",
    ],
)
def test_a_value_of_the_wrong_type_is_refused(override: str):
    section = override.partition("=")[0].partition(".")[0]
    assert section in message_of("easy_vqa", override)


@pytest.mark.parametrize("override", ["training.max_epochs", "=5", "--max-epochs=5", ""])
def test_what_is_no_override_is_refused_with_an_example(override: str):
    message = message_of("easy_vqa", override)
    assert f"'{override}'" in message
    assert "section.key=value" in message


@pytest.mark.parametrize("value", ["[", "{a: ", "${nowhere}", "'open"])
def test_a_value_that_cannot_be_read_names_the_override(value: str):
    assert f"features.layers={value}" in message_of("easy_vqa", f"features.layers={value}")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("training: {max_epochs: 3", "as YAML"),
        ("\t- a", "as YAML"),
        ("training: {max_epochs: 1}\ntraining: {max_epochs: 2}", "as YAML"),
        ("--- {}\n--- {}\n", "as YAML"),
        ("training: {max_epochs: '${nowhere}'}", "as YAML"),
        ("dataset: !!python/object/apply:os.getcwd []", "as YAML"),
        ("5", "as YAML"),
        ("- a\n- b\n", "not list"),
        ("just words", "just words"),
        ("base: nope.yaml", "nope.yaml"),
        ("1: 2", "1"),
    ],
)
def test_a_file_that_is_no_config_is_refused(tmp_path: Path, text: str, words: str):
    assert words in message_of(write(tmp_path / "bad.yaml", text))


def test_a_file_that_is_not_utf8_is_refused(tmp_path: Path):
    (tmp_path / "bad.yaml").write_bytes(b"\xff\xfe\x00a")
    assert "bad.yaml" in message_of(str(tmp_path / "bad.yaml"))


def test_an_error_names_the_file(tmp_path: Path):
    source = write(tmp_path / "mine.yaml", "training: {max_epoch: 3}\n")
    assert message_of(source).startswith(f"{source}: ")


def test_an_unknown_recipe_gets_the_nearest_one_and_a_missing_file_its_path(tmp_path: Path):
    message = message_of("esy_vqa")
    assert "unknown config 'esy_vqa'" in message
    assert "did you mean 'easy_vqa'" in message
    assert str(tmp_path / "no.yaml") in message_of(str(tmp_path / "no.yaml"))


def test_every_recipe_is_listed_by_the_name_that_loads_it():
    names = list_recipes()
    assert names == sorted(names)
    assert {"easy_vqa", "easy_vqa/choice", "jsonl"} <= set(names)
    assert len(names) == len(list(recipes_folder().rglob("*.yaml")))


def read_back(config: Config, tmp_path: Path, *, comments: bool) -> Config:
    return load_config(write(tmp_path / "printed.yaml", config_yaml(config, comments=comments)))


@pytest.mark.parametrize("comments", [True, False])
@pytest.mark.parametrize("recipe", list_recipes())
def test_a_printed_recipe_reads_back_to_an_equal_config(recipe: str, comments: bool, tmp_path: Path):
    config = load_config(recipe)
    assert read_back(config, tmp_path, comments=comments) == config


@pytest.mark.parametrize("comments", [True, False])
@pytest.mark.parametrize(
    "overrides",
    [
        ["features.layers=['4']"],
        ["features.layers=['null', 'layer4']"],
        ["features.layers=['a: b', 'c, d', '#e']"],
        ["features.mean=[0.485, 0.456, 1e-7]"],
        ["dataset.name=jsonl", "dataset.path='my photos/questions #2: all.jsonl'"],
        ["dataset.name=jsonl", f"dataset.path='{'a folder with spaces/' * 8}q.jsonl'"],
        ["run.name='2024'"],
        ["run.name='null'"],
        ["run.name=naïve-日本"],
        ["training.learning_rate=1e-5", "training.patience=null", "training.ema_decay=0.999"],
    ],
    ids=[
        "layer number",
        "layer null",
        "layer marks",
        "mean",
        "path marks",
        "long path",
        "digits",
        "null",
        "ü",
        "training",
    ],
)
def test_awkward_values_read_back(overrides: list[str], comments: bool, tmp_path: Path):
    config = load_config("easy_vqa", overrides)
    assert config_changes(config, read_back(config, tmp_path, comments=comments)) == {}


def test_a_printed_config_says_what_every_option_means():
    text = config_yaml(load_config("easy_vqa"), comments=True)
    options = [line for line in text.splitlines() if line.strip()]
    bare = [line.strip() for line in options if "  # " not in line]
    assert [line for line in bare if not line.startswith("name:")] == []


def test_a_config_is_frozen():
    config = Config()
    with pytest.raises(ValidationError, match="frozen"):
        config.training.max_epochs = 3  # type: ignore[misc]
    with pytest.raises(ValidationError, match="frozen"):
        config.run = config.run  # type: ignore[misc]


def test_changes_are_told_by_dotted_key():
    old = load_config("easy_vqa")
    new = load_config("easy_vqa", ["training.max_epochs=9", "model.head.name=choice", "features.layers=[a, b]"])
    changes = config_changes(old, new)
    assert changes["training.max_epochs"] == (7, 9)
    assert changes["model.head.name"] == ("classifier", "choice")
    assert changes["model.head.hidden_size"] == (256, None)
    assert changes["features.layers"] == (["blocks.3"], ["a", "b"])
    assert {key.rpartition(".")[0] for key in changes} == {"training", "model.head", "features"}
    assert config_changes(old, old) == {}


@pytest.mark.parametrize(
    "override",
    [
        "features.layers=[blocks.4]",
        "features.image_size=96",
        "features.output=pooled",
        "features.grid_size=2",
        "features.dtype=float32",
        "features.resize=pad",
        "features.mean=[0, 0, 0]",
        "features.backbone=resnet50",
        "features.weights=hub",
        "dataset.name=daquar",
    ],
)
def test_what_changes_features_changes_the_store(override: str):
    mean = "model.attention.name=none"  # goes with every output
    assert store_path(load_config("easy_vqa", [mean, override])) != store_path(load_config("easy_vqa", [mean]))


@pytest.mark.parametrize(
    "override",
    [
        "features.precision=float32",
        "features.batch_rows=3",
        "features.skip_damaged=true",
        "training.max_epochs=3",
        "dataset.multiple_choice=true",
        "run.seed=4",
    ],
)
def test_what_leaves_features_alone_keeps_the_store(override: str):
    assert store_path(load_config("easy_vqa", [override])) == store_path(load_config("easy_vqa"))


def test_stores_of_two_folders_differ_and_a_given_store_is_taken():
    one, two = (load_config("jsonl", [f"dataset.path={folder}/q.jsonl"]) for folder in ("one", "two"))
    assert store_path(one) != store_path(two)
    assert store_path(load_config("jsonl", ["features.store=my/store.h5"])) == Path("my/store.h5")


def test_a_mapping_is_checked_with_the_place_it_comes_from():
    with pytest.raises(UserError, match=r"^runs/x/config\.yaml: unknown section 'modle': did you mean 'model'\?"):
        validate_config({"modle": {}}, "runs/x/config.yaml", Config)
