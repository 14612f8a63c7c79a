"""The user's own questions in every format that people have them in, and what is said of files that are none of these."""

import csv
import gzip
import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vqa_rnn.annotations import jsonl_file
from vqa_rnn.annotations.jsonl import read_jsonl
from vqa_rnn.annotations.jsonl_line import EXAMPLE
from vqa_rnn.annotations.unchanged import changed_files, hash_files
from vqa_rnn.config import JsonlDataset
from vqa_rnn.errors import UserError
from vqa_rnn.records import SPLITS, Annotations

QUESTIONS = (
    {"image": "img/a.png", "question": "What colour, exactly?", "answer": "red; or blue"},
    {"image": "img/a.png", "question": 'Who says\n"hello"?', "answers": ["Anna", "anna", "nobody, really"], "split": "val"},
    {"image": "img/b c.png", "question": "Où est le café ?", "answer": "à gauche", "choices": ["à gauche", "à droite"]},
    {"image": "img/ü.png", "question": "Wie groß?", "answer": "4", "question_type": "how", "question_id": "q7"},
    {
        "image": "img/a.png",
        "question": "And now?",
        "caption": "Two cats.",
        "history": [{"question": "Is it big?", "answer": "no"}],
        "split": "test",
    },
)
COLUMNS = ["image", "question", "answer", "answers", "choices", "question_type", "question_id", "caption", "history", "split"]


def as_lines(questions=QUESTIONS, **options: Any) -> bytes:
    return "".join(json.dumps(question, **options) + "\n" for question in questions).encode()


def as_table(questions=QUESTIONS, columns=COLUMNS, **options: Any) -> bytes:
    text = io.StringIO()
    rows = csv.DictWriter(text, columns, **options)
    rows.writeheader()
    for question in questions:
        rows.writerow({key: value if isinstance(value, str) else json.dumps(value) for key, value in question.items()})
    return text.getvalue().encode()


def read(path: Path, content: bytes) -> Annotations:
    path.write_bytes(content)
    return read_jsonl(JsonlDataset(path=path), SPLITS)


def refusal(path: Path, content: bytes) -> str:
    with pytest.raises(UserError) as caught:
        read(path, content)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    return message.removeprefix(str(path))


FORMATS = {
    "q.jsonl": as_lines(ensure_ascii=False),
    "array.json": json.dumps(QUESTIONS).encode(),
    "pretty.json": json.dumps(QUESTIONS, indent=1, ensure_ascii=False).encode(),
    "lines.json": as_lines(),
    "array.jsonl": b"\n " + json.dumps(QUESTIONS).encode() + b" \n",
    "q.csv": as_table(),
    "excel.csv": b"\xef\xbb\xbf" + as_table(delimiter=";", lineterminator="\r\n"),
    "mac.csv": as_table(lineterminator="\r"),
    "quoted.csv": as_table(quoting=csv.QUOTE_ALL, columns=COLUMNS[::-1]),
    "q.tsv": as_table(delimiter="\t"),
    "table.txt": as_table(),
    "mark.json": b"\xef\xbb\xbf" + json.dumps(QUESTIONS).encode(),
}
FORMATS |= {f"{name}.gz": gzip.compress(FORMATS[name]) for name in ("q.jsonl", "array.json", "q.csv", "excel.csv", "q.tsv")}


@pytest.mark.parametrize("name", FORMATS)
def test_the_same_questions_come_from_every_format(tmp_path: Path, name: str):
    expected = read(tmp_path / "expected.jsonl", as_lines())
    found = read(tmp_path / name, FORMATS[name])
    assert found.questions == expected.questions
    assert found.images == expected.images
    assert len(found.questions) == len(QUESTIONS)
    assert found.questions[1].question == 'Who says\n"hello"?'


def test_a_changed_file_is_noticed_in_every_format(tmp_path: Path):
    for name, content in FORMATS.items():
        dataset = JsonlDataset(path=tmp_path / name)
        hashes = hash_files(dataset, read(tmp_path / name, content).files)
        assert changed_files(dataset, hashes) == ([], [])
        moved = JsonlDataset(path=tmp_path / "moved" / name)
        moved.path.parent.mkdir(exist_ok=True)
        dataset.path.rename(moved.path)
        assert changed_files(moved, hashes) == ([], [])
        moved.path.write_bytes(content + b" ")
        assert changed_files(moved, hashes) == ([moved.path], [])


def test_what_a_spreadsheet_leaves_behind_is_passed_over(tmp_path: Path):
    content = (
        b"\r\nImage , QUESTION,answer,split,,\r\n"
        b"a.png,What is it?, cat ,,,\r\n"
        b",,,,,\r\n"
        b"a.png,What is it?,dog,Validation,,\r\n"
        b"  \r\n"
    )
    found = read(tmp_path / "q.csv", content)
    assert [(question.human_answers, question.split) for question in found.questions] == [
        (("cat",), "train"),
        (("dog",), "val"),
    ]
    assert found.named_at == {"a.png": f"{tmp_path}/q.csv: row 3"}


def test_a_cell_is_text(tmp_path: Path):
    found = read(tmp_path / "q.csv", b"image,question,answer\na.png,Is it?,TRUE\na.png,How many?,2.0\n")
    assert [question.human_answers for question in found.questions] == [("true",), ("2.0",)]


ROW = b"a.png,What is it?,cat\n"
TABLES = {
    "no header": (ROW, ": row 1: a header is needed that names the columns, such as image,question,answer, and not a.png,What"),
    "unknown column": (
        b"imag,question,answer\n" + ROW,
        ": row 1: unknown column 'imag': did you mean 'image'? (known: answer, answer_type, ",
    ),
    "column twice": (b"image,question,answer,Answer\n", ": row 1: the column 'answer' comes twice"),
    "no questions": (
        b"image,answer\na.png,cat\n",
        ": row 1: the column 'question' is missing; a header is, for example, image,q",
    ),
    "short row": (
        b"image,question,answer\n" + ROW + b"a.png,What\n",
        ": row 3: 2 cells, where the header has 3 columns: put a cell that contains , in quotes",
    ),
    "long row": (b"image,question,answer\na.png,What, then?,cat\n", ": row 2: 4 cells, where the header has 3 columns"),
    "nameless column": (
        b",image,question,answer\n0," + ROW,
        ": row 2: column 1 has no name in the header: name it, or leave it out",
    ),
    "open quote": (b'image,question,answer\n"a.png,What?,cat\n' + ROW, ": row 2: a quote is opened and never closed"),
    "quote inside": (
        b'image,question,answer\na.png,"A "big" one?",cat\n',
        ": row 2: a quote inside of a cell: put the cell in",
    ),
    "huge cell": (
        b"image,question,answer\na.png," + b"a" * 200_000 + b",cat\n",
        ": row 2: a cell of more than 131,072 letters",
    ),
    "no rows": (b"image,question,answer\n", " holds no questions, such as {"),
    "wrong value": (
        b"image,question,answer,split\na.png,What?,cat,tset\n",
        ": row 2: split: unknown split 'tset': did you mean",
    ),
    "no answer": (b"image,question,answer\n" + ROW + b"\na.png,What?,\n", ": row 4: the answer is missing; it is optional"),
    "list without JSON": (
        b"image,question,answers\na.png,What?,red|blue\n",
        ': row 2: answers: a JSON list is needed, such as ["red", "dark red"], and not red|blue',
    ),
    "Python list": (
        b"image,question,choices,answer\na.png,What?,\"['red', 'blue']\",red\n",
        ": row 2: choices: a JSON list is needed, such as [\"red\", \"blue\"], and not ['red', 'blue']",
    ),
    "JSON text": (
        b'image,question,answer,history\na.png,What?,a,"""no"""\n',
        ': row 2: history: a JSON list is needed, such as [{"question": "Is it big?", "answer": "no"}], and not "no"',
    ),
    "wrong list": (b'image,question,answers\na.png,What?,"[""a"", null]"\n', ": row 2: answers[1]: a text is needed, not null"),
    "id twice": (
        b"image,question,answer,question_id\na.png,What?,a,x\na.png,What?,b,x\n",
        ": row 3: the question id 'x' comes twice, first at ",
    ),
    "Latin-1": (
        "image,question,answer\na.png,Où?,là\n".encode("latin-1"),
        ":2: not UTF-8 text (a byte 0xF9): save the file as",
    ),
    "NUL byte": (
        b"image,question,answer\na.png,What?,c\0t\n",
        ":2: a character of code 0, which no text has: save the file as U",
    ),
    "half a character": (
        b"image,question,answer\na.png,What?,\xed\xa0\x80\n",
        ":2: not UTF-8 text (a byte 0xED): save the file as UTF-8",
    ),
    "blank": (b"\n\n \n", " holds no questions, such as {"),
}


@pytest.mark.parametrize(("content", "expected"), TABLES.values(), ids=TABLES)
def test_a_wrong_table_is_refused_with_its_row(tmp_path: Path, content: bytes, expected: str):
    assert refusal(tmp_path / "q.csv", content).startswith(expected)
    assert refusal(tmp_path / "q.csv.gz", gzip.compress(content)).startswith(expected)


PLAIN = {"image": "a.png", "question": "What is it?", "answer": "cat"}
ITEM = json.dumps(PLAIN)
ARRAYS = {
    "wrong item": (json.dumps([PLAIN, {**PLAIN, "split": 3}]), ": item 2: split: a text is needed, not a number"),
    "no object": (json.dumps([PLAIN, "cat"]), f": item 2: a JSON object is needed, such as {EXAMPLE}, and not a text"),
    "arrays": ("[[1]]", ": item 1: a JSON object is needed, such as"),
    "cut in an item": (
        f"[{ITEM},\n{ITEM[:30]}",
        ": item 2: the file ends in the middle of this object: copy or write the file again",
    ),
    "cut in a number": (f'[{ITEM}, {{"image": 3', ": item 2: the file ends in the middle of this object"),
    "cut after an item": (f"[{ITEM}\n", ": item 1: the file ends after it: ] is missing"),
    "cut after a comma": (f"[{ITEM}, ", ": item 2: the file ends in the middle of this object"),
    "no comma": (f"[{ITEM}\n{ITEM}]", ": item 1: a comma or ] is needed after it, and not {"),
    "comma at the end": (f"[{ITEM},\n]", f": item 2: not a JSON object, such as {EXAMPLE}: Expecting value at line 2 column 1"),
    "bracket alone": ("[", ": item 1: the file ends in the middle of this object"),
    "not JSON": ("[{'image': 1}]", ": item 1: not a JSON object, such as"),
    "NaN": ('[{"image": NaN}]', ": item 1: NaN is no JSON: write a number or a text, or leave the record out"),
    "key twice": ('[{"image": 1, "image": 2}]', ": item 1: the key 'image' comes twice"),
    "deep": ("[" * 100_000, ": item 1: not a JSON object"),
    "goes on": (
        f"[{ITEM}]\n[{ITEM}]",
        " continues after the end of its array: put all questions into one array, or write an object a line",
    ),
    "empty array": ("[ ]", " holds no questions, such as {"),
    "half a character": (
        f'[{ITEM}, {{"image": "\\ud800"}}]',
        ": item 2: image: half of a character (a lone surrogate, \\ud800)",
    ),
    "NUL byte": (f"[\n{ITEM},\0]", ":2: a character of code 0, which no text has: save the file as UTF-8"),
    "official file": (
        json.dumps({"info": {}, "questions": [PLAIN]}),
        " is one JSON object with a list under 'questions': an array of questions is needed, [{…}, {…}], or an object a line",
    ),
    "pretty official file": (
        json.dumps({"questions": [PLAIN]}, indent=1),
        ":1: a JSON object spans several lines: write",
    ),
    "one object": (json.dumps(PLAIN, indent=1), ":1: a JSON object spans several lines: write each on one, as jq -c ."),
    "one object begun on a line": ('{ "image": "a.png",\n "question": "q" }', ":1: a JSON object spans several lines"),
    "text": ("not json", f":1: not a JSON object, such as {EXAMPLE}: Expecting value at column 1"),
}


@pytest.mark.parametrize(("content", "expected"), ARRAYS.values(), ids=ARRAYS)
def test_a_wrong_array_is_refused_with_its_item(tmp_path: Path, content: str, expected: str):
    assert refusal(tmp_path / "q.json", content.encode()).startswith(expected)


PACKED = gzip.compress(as_lines(), mtime=0)
FILES = {
    "gzip without .gz": ("q.jsonl", PACKED, " is compressed by gzip: call it q.jsonl.gz, or unpack it"),
    ".gz without gzip": ("q.jsonl.gz", as_lines(), " is not compressed by gzip, though its name ends in .gz: call it q.jsonl"),
    "cut gzip": ("q.jsonl.gz", PACKED[:-20], " is cut off: what gzip compressed ends in the middle; copy it again"),
    "gzip of which nothing is left": (
        "q.jsonl.gz",
        PACKED[:5],
        " is cut off: what gzip compressed ends in the middle; copy it",
    ),
    "damaged gzip": ("q.jsonl.gz", PACKED[:-8] + bytes(8), " is damaged: gzip cannot unpack it (CRC check failed"),
    "gzip of nothing": ("q.json.gz", gzip.compress(b""), " holds no questions, such as {"),
    "empty gz": ("q.json.gz", b"", " holds no questions, such as {"),
    "empty": ("q.csv", b"", " holds no questions, such as {"),
    "byte order mark alone": ("q.csv", b"\xef\xbb\xbf", " holds no questions, such as {"),
    "Unicode text of Excel": (
        "q.txt",
        as_table(delimiter="\t").decode().encode("utf-16"),
        " is UTF-16 text: save it as UTF-8, ",
    ),
    "UTF-16 in gzip": ("q.csv.gz", gzip.compress("image,question".encode("utf-16")), " is UTF-16 text: save it as UTF-8, in a"),
    "UTF-16 without a mark": ("q.jsonl", as_lines().decode().encode("utf-16-be"), " is UTF-16 text: save it as UTF-8, in a sp"),
    "Excel": ("q.xlsx", b"PK\x03\x04....", " is a spreadsheet (.xlsx) or a zip archive: save the sheet as CSV UTF-8"),
    "Parquet": ("q.parquet", b"PAR1....", " is a Parquet file: write its rows as JSON lines"),
    "xz": ("q.jsonl.xz", b"\xfd7zXZ\0....", " is compressed by xz: unpack it, or compress it by gzip"),
    "Latin-1": ("q.jsonl", as_lines() + b'{"image": "caf\xe9"}\n', ":6: not UTF-8 text (a byte 0xE9): save the file as UTF-8"),
    "NUL byte": ("q.jsonl", as_lines() + b"\0", ":6: a character of code 0, which no text has: save the file as UTF-8"),
}


@pytest.mark.parametrize(("name", "content", "expected"), FILES.values(), ids=FILES)
def test_a_file_of_another_kind_is_named_with_what_to_do(tmp_path: Path, name: str, content: bytes, expected: str):
    assert refusal(tmp_path / name, content).startswith(expected)


def test_what_is_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(jsonl_file, "LONGEST_LINE", 2**20)
    monkeypatch.setattr(jsonl_file, "LARGEST_ARRAY", 2**20)
    long = json.dumps({**PLAIN, "question": "a" * 2**20}).encode()
    assert refusal(tmp_path / "q.jsonl", long) == ":1: a line of more than 1 MB: a record is written on one line"
    assert refusal(tmp_path / "q.json.gz", gzip.compress(b"[" + long)).startswith(
        " is a JSON array of more than 1 MB: write an"
    )


def test_blanks_before_the_first_question_do_not_hide_it(tmp_path: Path):
    found = read(tmp_path / "q.jsonl", b"\xef\xbb\xbf" + b"\n" * 10_000 + as_lines())
    assert found.named_at["img/ü.png"] == f"{tmp_path}/q.jsonl:10004"


MEASURE = """
import resource, sys
from pathlib import Path
from vqa_rnn.annotations.jsonl_file import read_records
from vqa_rnn.annotations.jsonl_line import QUESTIONS
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(sum(1 for _ in read_records(Path(sys.argv[1]), QUESTIONS).values))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.parametrize(
    ("name", "line", "pack"),
    [
        ("q.jsonl", ITEM + "\n", bytes),
        ("q.csv", 'a.png,"What\nis it?",cat\n', bytes),
        ("q.jsonl.gz", ITEM + "\n", gzip.compress),
    ],
    ids=["lines", "rows", "gzip"],
)
def test_lines_and_rows_are_read_one_at_a_time(tmp_path: Path, name: str, line: str, pack: Callable[[bytes], bytes]):
    times = 8 * 2**20 // len(line)
    header = "" if name.startswith("q.jsonl") else "image,question,answer\n"
    (tmp_path / name).write_bytes(pack((header + line * times).encode()))
    measured = subprocess.run([sys.executable, "-c", MEASURE, tmp_path / name], capture_output=True, text=True, check=True)
    number, grown = map(int, measured.stdout.split())
    assert number == times
    assert grown < 2_000  # KB, where the file has 8,000


def gives_questions_or_one_error(path: Path, content: bytes) -> None:
    try:
        assert read(path, content).questions
    except UserError as error:
        message = str(error)
    else:
        return
    assert message.startswith(str(path))
    assert "\n" not in message


CELL = st.text(alphabet='ab,;\t"\n\r |[]{}:é\0\ud800', max_size=12)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.lists(CELL, min_size=1, max_size=4), max_size=3), st.sampled_from(["image,question,answer\n", ""]))
def test_random_tables_give_questions_or_one_error(tmp_path: Path, rows: list[list[str]], header: str):
    text = header + "\n".join(",".join(row) for row in rows)
    gives_questions_or_one_error(tmp_path / "q.csv", text.encode(errors="surrogatepass"))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.sampled_from(list(FORMATS)), st.integers(0, 400), st.binary(max_size=3), st.booleans())
def test_a_damaged_file_gives_questions_or_one_error(tmp_path: Path, name: str, place: int, piece: bytes, cut: bool):
    content = FORMATS[name]
    gives_questions_or_one_error(tmp_path / name, content[:place] + piece + (b"" if cut else content[place + len(piece) :]))
