import json
import os
import pickle
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import h5py
import pytest
import timm
import torch

from tests.conftest import draw
from vqa_rnn.cli import main

RECIPE = [
    "jsonl",
    "dataset.path=questions.jsonl",
    "features.store=features.h5",
    "features.image_size=32",
    "features.layers=[blocks.1]",
    "features.precision=float32",
    "model.question.embedding_size=8",
    "model.question.hidden_size=8",
    "model.attention.hidden_size=8",
    "model.fusion.hidden_size=8",
    "training.max_epochs=1",
    "training.precision=float32",
    "evaluation.bootstrap_samples=10",
    "run.device=cpu",
]
CHOICE = ["model.head.name=choice", "run.name=choice"]
PREPROCESS, TRAIN = ["preprocess", *RECIPE], ["train", *RECIPE, "run.name=new"]
RESUME = ["train", *RECIPE, "run.name=open", "--resume"]
ASK = ["ask", "runs/open", "--image", "images/0.png", "--question"]


def line(**changes) -> dict:
    return {
        "image": "images/0.png",
        "question": "What colour is it?",
        "answer": "red",
        "choices": ["red", "blue"],
    } | changes


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with pictures, questions, their features and two runs: ``open`` classifies, ``choice`` chooses."""
    folder = tmp_path_factory.mktemp("made")
    lines = []
    for i in range(6):
        colour = ("red", "blue")[i % 2]
        draw(folder / "images" / f"{i}.png", colour)
        lines.append(line(image=f"images/{i}.png", answer=colour))
    (folder / "questions.jsonl").write_text("".join(json.dumps(each) + "\n" for each in lines), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(PREPROCESS) == 0
        assert main(["train", *RECIPE, "run.name=open"]) == 0
        assert main(["train", *RECIPE, *CHOICE]) == 0
    return folder


@pytest.fixture
def place(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "place"
    shutil.copytree(made, folder)
    monkeypatch.chdir(folder)
    return folder


def snapshot(folder: Path) -> dict[str, bytes | None]:
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


@pytest.fixture
def refuse(place: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a command that must be refused: exit code 2, one line on stderr, no warning, every file as it was."""

    def run(arguments: list[str], leaves: tuple[str, ...] = ()) -> str:
        before = snapshot(place.parent)
        capsys.readouterr()
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("ignore")
            warnings.filterwarnings("always", category=UserWarning)
            code = main(arguments)
        output = capsys.readouterr()
        assert code == 2, output.err
        assert output.out == ""
        assert output.err.startswith("error: ")
        assert output.err.endswith("\n")
        assert len(output.err.splitlines()) == 1
        assert len(output.err) > len("error: \n")
        assert not warned
        after = snapshot(place.parent)
        for name in leaves:
            after.pop(f"place/{name}", None)
        assert after == before
        return output.err

    return run


class Spiteful:
    def __reduce__(self):
        return os.mkdir, ("executed",)


def add_line(**changes) -> Callable[[], None]:
    def change() -> None:
        add_text(json.dumps(line(**changes)))()

    return change


def add_text(text: str) -> Callable[[], None]:
    def change() -> None:
        with Path("questions.jsonl").open("a", encoding="utf-8") as file:
            file.write(text + "\n")

    return change


def drop_answer() -> None:
    add_text(json.dumps({key: value for key, value in line().items() if key != "answer"}))()


def add_line_of_a_new_image() -> None:
    draw(Path("images/new.png"), "red")
    add_line(image="images/new.png")()


def truncate(name: str) -> Callable[[], None]:
    def change() -> None:
        path = Path(name)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    return change


def write(name: str, text: str) -> Callable[[], None]:
    def change() -> None:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(text, encoding="utf-8")

    return change


def remove(name: str) -> Callable[[], None]:
    return lambda: Path(name).unlink()


def write_pickle(name: str) -> Callable[[], None]:
    return lambda: Path(name).write_bytes(pickle.dumps({"model": Spiteful(), "trainer": 1}))


def save_pickle(name: str) -> Callable[[], None]:
    return lambda: torch.save({"model": Spiteful(), "trainer": 1}, name)


def save_tensors(name: str) -> Callable[[], None]:
    return lambda: torch.save({"weight": torch.zeros(3)}, name)


def set_attribute(name: str, value: object) -> Callable[[], None]:
    def change() -> None:
        with h5py.File("features.h5", "r+") as file:
            file.attrs[name] = value
            del file.attrs["head_hash"]  # as in a store of an earlier version

    return change


def name_an_image_twice() -> None:
    with h5py.File("features.h5", "r+") as file:
        file["image_id"][1] = "images/0.png"


def set_run_format() -> None:
    path = Path("runs/open/run.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), "format_version": 99}), encoding="utf-8")


def save_other_backbone_weights() -> None:
    torch.save(timm.create_model("tf_efficientnet_lite0").state_dict(), "other.pth")


def take_weights_of_another_run() -> None:
    shutil.copy("runs/choice/model.safetensors", "runs/open/model.safetensors")


def nothing() -> None:
    pass


USAGE = {
    "unknown_command": (["trian", "jsonl"], ["trian", "train"]),
    "unknown_option": (["train", "jsonl", "--resum"], ["--resum", "--resume"]),
    "missing_argument": (["evaluate"], ["RUN"]),
    "wrong_option_value": (["ask", "runs/open", "--top", "0"], ["--top"]),
    "unknown_recipe": (["train", "jsonll"], ["'jsonll'", "did you mean 'jsonl'"]),
    "missing_config_file": (["train", "mine.yaml"], ["mine.yaml"]),
    "override_without_value": ([*TRAIN, "training.max_epochs"], ["'training.max_epochs'", "section.key=value"]),
    "override_without_key": ([*TRAIN, "=5"], ["'=5'", "section.key=value"]),
    "override_that_is_not_yaml": ([*TRAIN, "training.max_epochs=[1"], ["training.max_epochs=[1"]),
    "override_with_unknown_reference": ([*TRAIN, "run.name=${nothing}"], ["run.name=${nothing}"]),
    "unknown_key": ([*TRAIN, "training.max_epoch=3"], ["'max_epoch'", "did you mean 'max_epochs'", "training"]),
    "unknown_section": ([*TRAIN, "trainin.max_epochs=3"], ["'trainin'", "did you mean 'training'"]),
    "unknown_fusion": ([*TRAIN, "model.fusion.name=prodct"], ["fusion", "'prodct'", "did you mean 'product'"]),
    "unknown_dataset": ([*TRAIN, "dataset.name=daqar"], ["dataset", "'daqar'", "did you mean 'daquar'"]),
    "unknown_cell_of_an_optional_network": (
        [*TRAIN, "model.head.name=choice", "model.head.cell=lstmm"],
        [
            "model.head.cell",
            "did you mean 'lstm'?",
            "(known: elman, gru, gru_reset_before, highway, lstm, mut1, mut2, mut3, nas, residual)",
        ],
    ),
    "unknown_choice": ([*TRAIN, "features.resize=crp"], ["features.resize", "'crp'", "did you mean 'crop'"]),
    "wrong_type": ([*TRAIN, "training.max_epochs=many"], ["training.max_epochs", "integer", "'many'"]),
    "out_of_range": ([*TRAIN, "training.max_epochs=0"], ["training.max_epochs", "greater than or equal to 1"]),
    "profile_that_ends_before_it_begins": ([*TRAIN, "training.profile_steps=[30,20]"], ["training.profile_steps", "[20, 30]"]),
    "name_for_a_section": ([*TRAIN, "training.optimizer=sgd"], ["did you mean training.optimizer.name=sgd?"]),
    "float16_without_a_gpu": (
        [*TRAIN, "training.precision=float16"],
        ["training.precision=float16", "GPU", "bfloat16"],
    ),
    "value_for_a_section": ([*TRAIN, "training=5"], ["training", "5"]),
    "seed_below_zero": ([*TRAIN, "run.seed=-1"], ["run.seed", "-1"]),
    "seed_beyond_measure": ([*TRAIN, "run.seed=4294967296"], ["run.seed", "4294967296"]),
    "history_where_there_is_none": (
        [*TRAIN, "model.history.name=memory"],
        ["no training question has a caption or a history for model.history.name=memory", "set model.history.name=none"],
    ),
    "predict_over_other_files": (
        ["predict", "runs/open", "--split", "val", "--output", "questions.jsonl"],
        ["only .json and .txt files are overwritten: give another name"],
    ),
    "predict_into_a_folder": (["predict", "runs/open", "--split", "val", "--output", "."], ["--output .", "folder"]),
    "unknown_device": ([*TRAIN, "run.device=abacus"], ["run.device=abacus"]),
    "unknown_backbone": (
        [*PREPROCESS, "features.store=new.h5", "features.backbone=tf_efficientnet_lit0"],
        ["did you mean 'tf_efficientnet_lite0'"],
    ),
    "unknown_layer": (
        [*PREPROCESS, "features.store=new.h5", "features.layers=[block.1]"],
        ["'block.1'", "did you mean 'blocks.1'"],
    ),
    "no_run_folder": (["evaluate", "runs/opne"], ["no run folder at runs/opne"]),
    "not_a_run_folder": (["evaluate", "images"], ["images is not a run folder", "run.json"]),
    "ask_a_folder_that_is_no_run": (["ask", "images", *ASK[2:], "What?"], ["images is not a run folder"]),
    "unknown_split": (["evaluate", "runs/open", "--split", "tst"], ["'tst'", "did you mean 'test'"]),
    "split_without_questions": (["evaluate", "runs/open", "--split", "test"], ["test split"]),
    "gain_over_a_run_with_images": (
        ["evaluate", "runs/open", "--question-only", "runs/choice"],
        ["runs/choice", "model.ablate=question_only"],
    ),
    "existing_run": (["train", *RECIPE, "run.name=open"], ["runs/open exists", "--resume", "--overwrite", "run.name"]),
    "resume_and_overwrite": ([*RESUME, "--overwrite"], ["--resume", "--overwrite"]),
    "resume_without_run": ([*RESUME, "run.name=none"], ["no run folder at runs/none"]),
    "resume_with_other_model": ([*RESUME, "training.learning_rate=0.5"], ["training.learning_rate", "0.5"]),
    "overwrite_what_is_no_run": (
        ["train", *RECIPE, "run.folder=.", "run.name=images", "--overwrite"],
        ["images exists and is not a run folder"],
    ),
    "missing_store": ([*TRAIN, "features.store=none.h5"], ["no feature store at none.h5", "vqa-rnn preprocess"]),
    "store_of_another_layer": ([*TRAIN, "features.layers=[blocks.2]"], ["features.h5", "blocks.1", "blocks.2"]),
    "store_of_another_backbone": (
        [*TRAIN, "features.backbone=resnet18"],
        ["features.h5", "timm/tf_efficientnet_lite0", "timm/resnet18"],
    ),
    "store_of_another_size": ([*PREPROCESS, "features.image_size=64"], ["features.h5", "image_size=32", "64"]),
    "store_of_another_normalisation": ([*TRAIN, "features.mean=[0,0,0]"], ["features.h5", "mean"]),
    "store_that_is_a_folder": ([*PREPROCESS, "features.store=images"], ["images"]),
    "store_inside_a_file": ([*PREPROCESS, "features.store=questions.jsonl/x.h5"], ["questions.jsonl/x"]),
    "run_inside_a_file": ([*TRAIN, "run.folder=questions.jsonl"], ["questions.jsonl/new"]),
    "missing_weights": (
        [*PREPROCESS, "features.store=new.h5", "features.weights=none.pth"],
        ["no weights at none.pth"],
    ),
    "question_without_image": (["ask", "runs/open", "--question", "What colour is it?"], ["--image"]),
    "empty_question": ([*ASK, ""], ["the question is empty"]),
    "question_of_a_mark_alone": ([*ASK, " ? "], ["the question is empty"]),
    "question_with_a_byte_that_is_no_text": ([*ASK, "caf\udce9?"], ["the question has a byte that is not UTF-8 text (0xE9)"]),
    "choice_with_a_byte_that_is_no_text": (
        [*ASK, "What?", "--choice", "a", "--choice", "\udce9"],
        ["choice number 2 has a byte that is not UTF-8 text (0xE9)"],
    ),
    "image_of_a_long_name": (["ask", "runs/open", "--image", "a" * 300, "--question", "What?"], ["a" * 300, "too long"]),
    "choices_of_the_same_words": (
        ["ask", "runs/choice", *ASK[2:], "What?", "--choice", "t-shirt", "--choice", "T shirt"],
        ["'t-shirt' and 'T shirt' are the same words"],
    ),
    "one_choice": ([*ASK, "What colour?", "--choice", "red"], ["at least two"]),
    "same_choice_twice": ([*ASK, "What colour?", "--choice", "red", "--choice", "Red "], ["twice"]),
    "choices_unknown_to_the_classifier": (
        [*ASK, "What?", "--choice", "cat", "--choice", "dog"],
        ["none of the choices"],
    ),
    "no_choices_for_a_choice_head": (["ask", "runs/choice", *ASK[2:], "What colour?"], ["at least two"]),
    "missing_image": (["ask", "runs/open", "--image", "no.png", "--question", "What?"], ["no image at no.png"]),
    "missing_backbone_weights": ([*ASK, "What?", "--weights", "none.pth"], ["--weights none.pth: there is no such file"]),
}


@pytest.mark.parametrize(("arguments", "words"), USAGE.values(), ids=USAGE)
def test_a_wrong_command_is_refused_in_one_line(refuse, arguments: list[str], words: list[str]) -> None:
    text = refuse(arguments)
    assert [word for word in words if word not in text] == [], text


QUESTIONS = {
    "missing": (remove("questions.jsonl"), ["no file of questions at questions.jsonl", "dataset.path"]),
    "malformed": (add_text('{"image": "images/0.png", '), ["questions.jsonl:7", "JSON"]),
    "not_an_object": (add_text('["images/0.png"]'), ["questions.jsonl:7", "object", "list"]),
    "not_utf8": (lambda: Path("questions.jsonl").write_bytes(b'{"image": "\xff\xfe"}'), ["questions.jsonl", "UTF-8"]),
    "empty": (write("questions.jsonl", ""), ["questions.jsonl holds no questions, such as"]),
    "unknown_key": (add_line(anser="red"), ["questions.jsonl:7", "'anser'", "did you mean 'answer'"]),
    "empty_question": (add_line(question=" "), ["questions.jsonl:7", "question is empty"]),
    "one_choice": (add_line(choices=["red"]), ["questions.jsonl:7", "1 distinct choices", "at least two"]),
    "no_choices": (add_line(choices=[]), ["questions.jsonl:7", "0 distinct choices", "at least two"]),
    "same_choice_twice": (add_line(choices=["red", "blue", "Red"]), ["questions.jsonl:7", "choice comes twice"]),
    "answer_not_among_choices": (add_line(answer="green"), ["questions.jsonl:7", "'green'", "choices"]),
    "no_answer": (drop_answer, ["questions.jsonl:7", "answer"]),
    "unknown_split": (add_line(split="eval"), ["questions.jsonl:7", "split 'eval': did you mean 'val'?"]),
    "question_id_twice": (
        add_text("\n".join(json.dumps(line(question_id="x", image=f"images/{n}.png")) for n in range(2))),
        ["questions.jsonl:8", "'x' comes twice, first at questions.jsonl:7"],
    ),
}


@pytest.mark.parametrize("command", [PREPROCESS, TRAIN], ids=["preprocess", "train"])
@pytest.mark.parametrize(("change", "words"), QUESTIONS.values(), ids=QUESTIONS)
def test_wrong_questions_are_refused_with_file_and_line(refuse, command: list[str], change, words: list[str]) -> None:
    change()
    text = refuse(command)
    assert [word for word in words if word not in text] == [], text


DAMAGED = {
    "truncated": (truncate("images/3.png"), "images/3.png"),
    "text": (write("images/note.jpg", "no picture"), "images/note.jpg"),
    "missing": (remove("images/3.png"), "images/3.png"),
}


@pytest.mark.parametrize(("change", "name"), DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_image_stops_preprocessing_and_leaves_no_finished_store(refuse, change, name: str) -> None:
    change()
    add_line(image=name)()
    assert name in refuse([*PREPROCESS, "features.store=new.h5"], leaves=("new.partial.h5",))
    assert not Path("new.h5").exists()


@pytest.mark.parametrize(("change", "name"), DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_image_cannot_be_asked_about(refuse, change, name: str) -> None:
    change()
    assert name in refuse(["ask", "runs/open", "--image", name, "--question", "What colour is it?"])


FILES = {
    "image_without_features": (add_line_of_a_new_image, TRAIN, ["features.h5", "images/new.png", "vqa-rnn preprocess"]),
    "choice_head_without_choices": (
        lambda: add_text(json.dumps({k: v for k, v in line().items() if k != "choices"}))(),
        [*TRAIN, "model.head.name=choice"],
        ["question images/0.png: what colour is it?", "has 0 choices"],
    ),
    "store_that_is_text": (write("features.h5", "features"), TRAIN, ["features.h5", "HDF5"]),
    "store_of_a_newer_format": (set_attribute("format_version", 99), TRAIN, ["features.h5", "99", "newer vqa-rnn"]),
    "preprocess_a_newer_format": (set_attribute("format_version", 99), PREPROCESS, ["features.h5", "99"]),
    "store_with_an_image_twice": (name_an_image_twice, TRAIN, ["features.h5", "'images/0.png' comes twice"]),
    "unfinished_store": (
        lambda: Path("features.h5").rename("features.partial.h5"),
        TRAIN,
        ["features.partial.h5 is unfinished", "vqa-rnn preprocess"],
    ),
    "evaluate_with_other_features": (
        set_attribute("fingerprint", "f" * 16),
        ["evaluate", "runs/open"],
        ["features.h5", "runs/open"],
    ),
    "resume_with_other_features": (set_attribute("fingerprint", "f" * 16), RESUME, ["features.h5", "runs/open"]),
    "ask_with_other_features": (save_other_backbone_weights, [*ASK, "What?", "--weights", "other.pth"], ["runs/open"]),
    "backbone_weights_that_are_a_pickle": (
        write_pickle("bad.pth"),
        [*PREPROCESS, "features.store=new.h5", "features.weights=bad.pth"],
        ["cannot read weights from bad.pth"],
    ),
    "run_of_a_newer_format": (set_run_format, ["evaluate", "runs/open"], ["runs/open", "99", "newer vqa-rnn"]),
    "run_with_malformed_description": (
        write("runs/open/run.json", "{"),
        ["evaluate", "runs/open"],
        ["runs/open/run.json", "JSON"],
    ),
    "run_with_empty_description": (
        write("runs/open/run.json", "{}"),
        ["evaluate", "runs/open"],
        ["runs/open/run.json", "format_version"],
    ),
    "run_with_damaged_config": (
        write("runs/open/config.yaml", "model: ["),
        ["evaluate", "runs/open"],
        ["runs/open/config.yaml"],
    ),
    "run_without_config": (remove("runs/open/config.yaml"), [*ASK, "What?"], ["runs/open/config.yaml"]),
    "run_without_tokenizer": (remove("runs/open/tokenizer.json"), [*ASK, "What?"], ["runs/open/tokenizer.json"]),
    "run_with_wrong_answers": (write("runs/open/answers.json", "{}"), [*ASK, "What?"], ["runs/open/answers.json"]),
    "run_without_weights": (
        remove("runs/open/model.safetensors"),
        [*ASK, "What?"],
        ["runs/open has no model.safetensors"],
    ),
    "weights_that_are_a_pickle": (
        write_pickle("runs/open/model.safetensors"),
        [*ASK, "What?"],
        ["runs/open/model.safetensors", "not a safetensors file"],
    ),
    "weights_that_are_cut": (
        truncate("runs/open/model.safetensors"),
        ["evaluate", "runs/open"],
        ["runs/open/model.safetensors", "damaged"],
    ),
    "weights_of_another_model": (
        take_weights_of_another_run,
        ["evaluate", "runs/open"],
        ["runs/open/model.safetensors does not fit"],
    ),
    "checkpoint_that_is_a_pickle": (
        write_pickle("runs/open/checkpoints/step-00000001.pt"),
        RESUME,
        ["runs/open/checkpoints/step-00000001.pt", "not a checkpoint"],
    ),
    "checkpoint_that_is_a_torch_pickle": (
        save_pickle("runs/open/checkpoints/step-00000001.pt"),
        RESUME,
        ["runs/open/checkpoints/step-00000001.pt", "not a checkpoint"],
    ),
    "checkpoint_of_something_else": (
        save_tensors("runs/open/checkpoints/step-00000001.pt"),
        RESUME,
        ["runs/open/checkpoints/step-00000001.pt", "not a checkpoint"],
    ),
    "checkpoint_that_is_cut": (
        truncate("runs/open/checkpoints/step-00000001.pt"),
        RESUME,
        ["runs/open/checkpoints/step-00000001.pt", "not a checkpoint"],
    ),
    "missing_data_set_folder": (
        write("mine.yaml", "dataset: {name: daquar, root: rooms}"),
        ["preprocess", "mine.yaml"],
        ["no data set folder at rooms", "dataset.root"],
    ),
    "unknown_key_in_a_file": (
        write("mine.yaml", "training: {max_epoch: 3}"),
        ["train", "mine.yaml"],
        ["mine.yaml", "'max_epoch'", "did you mean 'max_epochs'"],
    ),
    "unknown_fusion_in_a_file": (
        write("mine.yaml", "model: {fusion: {name: prodct}}"),
        ["train", "mine.yaml"],
        ["mine.yaml", "'prodct'", "did you mean 'product'"],
    ),
    "config_that_is_not_yaml": (write("mine.yaml", "training: [1"), ["train", "mine.yaml"], ["mine.yaml", "YAML"]),
    "config_that_is_a_list": (write("mine.yaml", "[training]"), ["train", "mine.yaml"], ["mine.yaml", "sections"]),
    "config_that_is_a_word": (write("mine.yaml", "training"), ["train", "mine.yaml"], ["mine.yaml"]),
    "config_based_on_itself": (write("mine.yaml", "base: mine.yaml"), ["train", "mine.yaml"], ["mine.yaml", "base"]),
}


@pytest.mark.parametrize(("change", "arguments", "words"), FILES.values(), ids=FILES)
def test_a_wrong_file_is_refused_and_never_executed(refuse, change, arguments: list[str], words: list[str]) -> None:
    change()
    text = refuse(arguments)
    assert [word for word in words if word not in text] == [], text
    assert not Path("executed").exists()


def test_a_mistake_on_the_command_line_is_not_blamed_on_the_recipe(refuse) -> None:
    assert "default.yaml" not in refuse([*TRAIN, "training.max_epoch=3"])


def test_debug_shows_the_traceback(place: Path, capsys) -> None:
    assert main(["--debug", "evaluate", "runs/none"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("Traceback")
    assert lines[-1].startswith("error: no run folder at runs/none")


def test_no_command_shows_the_help_and_no_error(place: Path, capsys) -> None:
    main([])
    output = capsys.readouterr()
    assert "Usage" in output.out + output.err
    assert "error:" not in output.err


def test_resuming_a_finished_run_trains_no_further(place: Path) -> None:
    kept = ("runs/open/metrics.jsonl", "runs/open/model.safetensors")
    before = [Path(name).read_bytes() for name in kept]
    assert main(RESUME) == 0
    assert [Path(name).read_bytes() for name in kept] == before
