"""WUPS, on a small WordNet in WordNet's own file format."""

import subprocess
import sys
import zipfile
from pathlib import Path

import nltk.data
import pytest

from vqa_rnn.errors import UserError
from vqa_rnn.metrics.wups import WordNet, down_weighted, equality, score_answers, split_answers

# Each sense: its words, and the senses above it.
SENSES: dict[str, tuple[list[str], list[str]]] = {
    "entity": (["entity"], []),
    "object": (["object", "thing"], ["entity"]),
    "furniture": (["furniture"], ["object"]),
    "seat": (["seat"], ["furniture"]),
    "chair": (["chair"], ["seat"]),
    "sofa": (["sofa", "couch"], ["seat"]),
    "table": (["table"], ["furniture"]),
    "lamp": (["lamp"], ["furniture"]),
    "bin": (["garbage_bin", "trash_can"], ["object"]),
    "child": (["child"], ["entity"]),
    "slope": (["bank"], ["object"]),
    "institution": (["bank"], ["entity"]),
    "colour": (["red"], []),  # a root of its own: no path leads to the others
}
LICENCE = "  1 This is made up. WordNet 3.0 Copyright 2006 by nobody.  \n  2 Every line of it begins with two spaces.  \n"


def write_wordnet(folder: Path) -> Path:
    """Write the noun files: lines are found by their byte offset, which each states in eight digits."""
    folder.mkdir(parents=True, exist_ok=True)

    def line(sense: str, offset: dict[str, int]) -> str:
        words, above = SENSES[sense]
        named = " ".join(f"{word} 0" for word in words)
        pointers = "".join(f" @ {offset[name]:08d} n 0000" for name in above)
        return f"{offset[sense]:08d} 03 n {len(words):02x} {named} {len(above):03d}{pointers} | what {sense} is  \n"

    nowhere = dict.fromkeys(SENSES, 0)
    offset, position = {}, len(LICENCE)
    for sense in SENSES:
        offset[sense] = position
        position += len(line(sense, nowhere))
    (folder / "data.noun").write_text(LICENCE + "".join(line(sense, offset) for sense in SENSES), encoding="ascii")

    senses_of: dict[str, list[str]] = {}
    for sense, (words, _) in SENSES.items():
        for word in words:
            senses_of.setdefault(word, []).append(f"{offset[sense]:08d}")
    index = [f"{word} n {len(of)} 1 @ {len(of)} 0 {' '.join(of)}  \n" for word, of in sorted(senses_of.items())]
    (folder / "index.noun").write_text(LICENCE + "".join(index), encoding="ascii")
    (folder / "noun.exc").write_text("children child\n", encoding="ascii")
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_wordnet(tmp_path_factory.mktemp("wordnet"))


@pytest.fixture(scope="module")
def wordnet(folder: Path) -> WordNet:
    return WordNet(folder)


@pytest.mark.parametrize(
    ("word", "other", "similarity"),
    [
        # 2 x depth of what they share / (depth of one + depth of the other), the root at depth 1
        ("chair", "sofa", 2 * 4 / (5 + 5)),
        ("chair", "couch", 0.8),
        ("chair", "seat", 2 * 4 / (5 + 4)),
        ("chair", "table", 2 * 3 / (5 + 4)),
        ("chair", "lamp", 2 * 3 / (5 + 4)),
        ("garbage_bin", "chair", 2 * 2 / (3 + 5)),
        ("chair", "garbage_bin", 0.5),
        ("chair", "child", 2 * 1 / (5 + 2)),
        ("garbage_bin", "trash_can", 1.0),  # two words of one sense
        ("sofa", "couch", 1.0),
        ("chairs", "chair", 1.0),  # WordNet's own rules find the singular
        ("children", "child", 1.0),  # and its list of exceptions
        ("bank", "furniture", 2 * 2 / (3 + 3)),  # the slope: nearer than the institution
        ("red", "chair", 0.0),  # no path
        ("red", "red", 1.0),
        ("42", "42", 1.0),  # equal words need no sense
        ("42", "chair", 0.0),
        ("chair", "qwerty", 0.0),
        ("", "chair", 0.0),
        ("Chair", "chair", 1.0),  # looked up in lower case
        ("garbage bin", "garbage_bin", 0.0),  # as written
        ("красный", "chair", 0.0),
    ],
)
def test_similarities_worked_by_hand(wordnet: WordNet, word: str, other: str, similarity: float):
    assert wordnet.similarity(word, other) == pytest.approx(similarity, abs=1e-12)


def test_below_the_threshold_a_tenth_counts(wordnet: WordNet):
    at = {threshold: down_weighted(wordnet.similarity, threshold) for threshold in (0.9, 0.8, 0.0)}
    assert at[0.9]("chair", "sofa") == pytest.approx(0.08)
    assert at[0.8]("chair", "sofa") == pytest.approx(0.8)
    assert at[0.0]("chair", "child") == pytest.approx(2 / 7)
    assert at[0.9]("sofa", "couch") == 1
    assert at[0.9]("42", "chair") == 0


def test_sets_of_answers_worked_by_hand(wordnet: WordNet):
    similarity = wordnet.similarity
    assert score_answers(["chair"], ["sofa", "table"], similarity) == pytest.approx(0.8 * 2 / 3)  # every truth must be met
    assert score_answers(["sofa", "table"], ["chair"], similarity) == pytest.approx(0.8 * 2 / 3)  # every answer must fit
    assert score_answers(["chair", "table"], ["table", "chair"], similarity) == 1
    assert score_answers(["chair", "chair"], ["chair"], similarity) == 1
    assert score_answers(["sofa", "table"], ["couch", "chair"], similarity) == pytest.approx(min(2 / 3, 0.8))
    strict = down_weighted(similarity, 0.9)
    assert score_answers(["sofa", "table"], ["couch", "chair"], strict) == pytest.approx(min(1 * 0.2 / 3, 1 * 0.08))


def test_accuracy_of_sets_is_the_same_with_equality():
    assert score_answers(["chair", "table"], ["table", "chair"], equality) == 1
    assert score_answers(["chair"], ["table", "chair"], equality) == 0
    assert score_answers(["chair", "table"], ["chair"], equality) == 0
    assert score_answers(["Chair"], ["chair"], equality) == 0


def test_no_answers_fit_no_truths_alone():
    assert score_answers([], [], equality) == 1
    assert score_answers([], ["chair"], equality) == 0
    assert score_answers(["chair"], [], equality) == 0


def test_answers_are_separated_by_commas():
    assert split_answers("book, scissor ,paper") == ["book", "scissor", "paper"]
    assert split_answers(" garbage_bin ") == ["garbage_bin"]
    assert split_answers("") == [""]


def test_word_pairs_are_looked_up_once(folder: Path, monkeypatch: pytest.MonkeyPatch):
    wordnet = WordNet(folder)
    assert wordnet.similarity("chair", "sofa") == wordnet.similarity("chair", "sofa")
    monkeypatch.setattr(wordnet, "_senses", lambda word: pytest.fail("looked up again"))
    assert wordnet.similarity("chair", "sofa") == pytest.approx(0.8)


def test_the_version_is_read(folder: Path, tmp_path: Path):
    assert WordNet(folder).version == "3.0"
    other = write_wordnet(tmp_path / "other")
    for name in ("data.noun", "index.noun"):
        (other / name).write_text((other / name).read_text().replace("WordNet 3.0", "Wordless_30"))
    assert WordNet(other).version == "unknown"


def test_other_parts_of_speech_and_the_list_of_lexicographer_files_are_not_needed(folder: Path):
    assert sorted(path.name for path in folder.iterdir()) == ["data.noun", "index.noun", "noun.exc"]


@pytest.mark.parametrize("missing", ["data.noun", "index.noun", "noun.exc"])
def test_a_folder_without_wordnet_is_refused(tmp_path: Path, missing: str):
    (write_wordnet(tmp_path) / missing).unlink()
    with pytest.raises(UserError) as caught:
        WordNet(tmp_path)
    message = str(caught.value)
    assert f"--wordnet {tmp_path}: there is no {missing} in it" in message
    assert "nltk.downloader wordnet" in message
    assert "\n" not in message


def test_without_wordnet_one_line_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(nltk.data, "path", [str(tmp_path)])
    with pytest.raises(UserError) as caught:
        WordNet()
    message = str(caught.value)
    assert message.startswith("WUPS needs WordNet")
    assert "python -m nltk.downloader wordnet" in message
    assert "--wordnet FOLDER" in message
    assert "\n" not in message


@pytest.mark.parametrize("packed", [False, True])
def test_nltks_own_data_are_found_unpacked_or_packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packed: bool):
    monkeypatch.setattr(nltk.data, "path", [str(tmp_path / "nowhere"), str(tmp_path)])
    folder = write_wordnet(tmp_path / "corpora" / "wordnet")
    if packed:
        with zipfile.ZipFile(tmp_path / "corpora" / "wordnet.zip", "w") as archive:
            for path in folder.iterdir():
                archive.write(path, f"wordnet/{path.name}")
        for path in folder.iterdir():
            path.unlink()
    assert WordNet().similarity("chair", "sofa") == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("index.noun", "chair n 1", "chair n x"),
        ("index.noun", "chair n 1", "chair n 2"),
        ("data.noun", "what chair is", "what | is"),
        ("data.noun", "what seat is", "what a long seat is"),  # all later lines are moved
        ("data.noun", "\n", ""),
    ],
)
def test_damaged_files_are_one_line(tmp_path: Path, name: str, old: str, new: str):
    path = write_wordnet(tmp_path) / name
    content = path.read_text()
    assert old in content
    path.write_text(content.replace(old, new))
    with pytest.raises(UserError, match=r"^WordNet in .* is damaged or in another format: [^\n]+$"):
        WordNet(tmp_path).similarity("chair", "sofa")


def test_bytes_that_are_not_text_are_refused(tmp_path: Path):
    (write_wordnet(tmp_path) / "index.noun").write_bytes(b"\xff\xfe\n")
    with pytest.raises(UserError, match="damaged"):
        WordNet(tmp_path)


def test_the_other_metrics_do_not_load_nltk():
    code = (
        "import sys, vqa_rnn.metrics.visdial, vqa_rnn.commands.score.visdial, vqa_rnn.annotations.daquar, vqa_rnn.cli.score\n"
        "print([name for name in ('nltk', 'torch', 'ignite') if name in sys.modules])\n"
        "import vqa_rnn.commands.score.daquar\n"
        "print([name for name in ('nltk', 'torch', 'ignite') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert result.stdout.split("\n")[:2] == ["[]", "['nltk']"]
