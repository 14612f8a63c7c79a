"""`vqa-rnn score vqa` and `vqa-rnn score visual7w`."""

import json
import logging
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.annotations.mutations import mutations
from vqa_rnn import __version__
from vqa_rnn.cli import main
from vqa_rnn.commands.score.visual7w import score_visual7w
from vqa_rnn.commands.score.vqa import score_vqa
from vqa_rnn.errors import UserError

GOLDENS = json.loads((Path(__file__).parent / "data" / "goldens_vqa.json").read_text(encoding="utf-8"))


def write(path: Path, content: Any) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content, ensure_ascii=False).encode())
    return path


def people(answers: list[str], **more: Any) -> list[dict[str, Any]]:
    return [{"answer": answer, "answer_confidence": "yes", "answer_id": i, **more} for i, answer in enumerate(answers, 1)]


def vqa_files(cases: list[dict[str, Any]]) -> dict[str, Any]:
    """The three files of some cases, each in another order."""
    questions = [{"question_id": c["question_id"], "image_id": c["question_id"] // 3, "question": "?"} for c in cases]
    annotations = [
        {
            "question_id": case["question_id"],
            "image_id": case["question_id"] // 3,
            "question_type": case["question_type"],
            "answer_type": case["answer_type"],
            "multiple_choice_answer": "yes",
            "answers": people(case["human_answers"]),
        }
        for case in cases
    ]
    return {
        "questions": {"data_subtype": "val2014", "questions": questions},
        "annotations": {"annotations": annotations[::-1]},
        "results": [{"question_id": c["question_id"], "answer": c["answer"]} for c in cases[1:] + cases[:1]],
    }


CASES = [
    {"question_id": i, "question_type": kind, "answer_type": answer_type, "human_answers": humans, "answer": answer}
    for i, kind, answer_type, humans, answer in [
        (31, "what is", "other", ["cat"] * 3 + ["dog"] * 7, "Cat"),  # 0.9 under both rules
        (32, "is the", "yes/no", ["yes"] * 10, "yes."),  # 2021: 0; 2015: 1
        (61, "what is", "other", ["été"] * 9 + ["hiver"], "été"),  # 1 under both rules
        (62, "how many", "number", ["2"] * 10, "3"),  # 0 under both rules
    ]
]


@pytest.fixture
def put(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Write the files of ``CASES`` into the working folder, some of them with other contents."""
    monkeypatch.chdir(tmp_path)

    def write_all(**contents: Any) -> None:
        for name, content in {**vqa_files(CASES), **contents}.items():
            write(tmp_path / f"{name}.json", content)

    return write_all


VQA = ["score", "vqa", "--questions", "questions.json", "--annotations", "annotations.json", "--results", "results.json"]
VISUAL7W = ["score", "visual7w", "--dataset", "dataset.json", "--results", "results.json"]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Run a command; gives the JSON it prints, or the text of a table."""

    def command(arguments: list[str]) -> Any:
        logger = logging.getLogger()
        before = logger.handlers[:]
        code = main(arguments)
        logger.handlers[:] = before
        output = capsys.readouterr()
        assert code == 0, output.err
        assert all(
            line.endswith("not among the choices of their question: counted as wrong") for line in output.err.splitlines()
        )
        return json.loads(output.out) if "--json" in arguments else output.out

    return command


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a command that must be refused: exit code 2, one line on stderr."""

    def command(arguments: list[str]) -> str:
        code = main(arguments)
        output = capsys.readouterr()
        assert code == 2, output.err
        assert output.out == ""
        assert len(output.err.splitlines()) == 1
        assert output.err.startswith("error: ")
        return output.err.removeprefix("error: ").rstrip("\n")

    return command


@pytest.mark.parametrize("rule", ["2021", "2015"])
def test_totals_equal_the_official_script(put: Callable[..., None], run: Callable[..., Any], rule: str):
    put(**vqa_files(GOLDENS["cases"]))
    report = run([*VQA, "--rule", rule, "--json"])
    wanted = GOLDENS[f"accuracy_{rule}"]
    assert 100 * report["accuracy"] == pytest.approx(wanted["overall"], abs=1e-9)
    for ours, theirs in {"per_question_type": "perQuestionType", "per_answer_type": "perAnswerType"}.items():
        assert {kind: 100 * value for kind, value in report[ours].items()} == pytest.approx(wanted[theirs], abs=1e-9)


def test_the_whole_report(put: Callable[..., None], run: Callable[..., Any]):
    put()
    report = run([*VQA, "--json"])
    low, high = report["intervals"]["accuracy"]
    assert low <= report["accuracy"] <= high
    assert report == {
        "benchmark": "vqa",
        "rule": "2021",
        "num_questions": 4,
        "accuracy": pytest.approx(1.9 / 4),
        "intervals": {"accuracy": [low, high]},
        "per_answer_type": pytest.approx({"number": 0.0, "other": 0.95, "yes/no": 0.0}),
        "per_question_type": pytest.approx({"how many": 0.0, "is the": 0.0, "what is": 0.95}),
        "signature": f"vqa|rule:2021|split:val2014|n:4|version:{__version__}",
    }


def test_the_rule_of_2015(put: Callable[..., None], run: Callable[..., Any]):
    put()
    report = run([*VQA, "--rule", "2015", "--json"])
    assert report["accuracy"] == pytest.approx(2.9 / 4)
    assert report["signature"] == f"vqa|rule:2015|split:val2014|n:4|version:{__version__}"


def test_the_table(put: Callable[..., None], run: Callable[..., Any]):
    put()
    shown = run(VQA)
    for words in ("rule of 2021", "4 questions", "47.50%", "yes/no", "95.00%", "how many", "vqa|rule:2021|split:val2014|n:4"):
        assert words in shown


def test_intervals_are_drawn_by_image(put: Callable[..., None], run: Callable[..., Any]):
    """Two images of the same mean: whatever is drawn, the mean stays."""
    humans = ["yes"] * 10
    cases = [
        {"question_id": i, "question_type": "is", "answer_type": "yes/no", "human_answers": humans, "answer": answer}
        for i, answer in [(30, "yes"), (31, "no"), (60, "yes"), (61, "no")]
    ]
    put(**vqa_files(cases))
    assert run([*VQA, "--json"])["intervals"] == {"accuracy": [0.5, 0.5]}


def test_people_without_numbers_whose_records_are_equal_are_left_out_together(
    put: Callable[..., None], run: Callable[..., Any]
):
    files = vqa_files(CASES)
    for annotation in files["annotations"]["annotations"]:
        annotation["answers"] = [{"answer": person["answer"]} for person in annotation["answers"]]
    put(**files)
    # cat: 7 others see three cats, the cats see none; été: one other sees nine; nobody else is right
    assert run([*VQA, "--json"])["accuracy"] == pytest.approx((0.7 + 0.1) / 4)


def test_without_a_subtype_the_signature_names_no_split(put: Callable[..., None], run: Callable[..., Any]):
    put(questions={"questions": vqa_files(CASES)["questions"]["questions"]})
    assert run([*VQA, "--json"])["signature"] == f"vqa|rule:2021|n:4|version:{__version__}"


def test_missing_answers_are_an_error_or_wrong(put: Callable[..., None], run: Callable[..., Any], refused: Callable[..., str]):
    put(results=[{"question_id": 61, "answer": "été"}, {"question_id": 31, "answer": "cat"}])
    assert refused(VQA) == "results.json: 2 questions missing (32, 62); --allow-missing counts them as wrong"
    report = run([*VQA, "--allow-missing", "--json"])
    assert (report["num_questions"], report["num_answered"]) == (4, 2)
    assert report["accuracy"] == pytest.approx(1.9 / 4)
    assert report["per_answer_type"]["yes/no"] == 0
    assert "4 questions, 2 answered" in " ".join(run([*VQA, "--allow-missing"]).split())
    put(results=[])
    assert run([*VQA, "--allow-missing", "--json"])["accuracy"] == 0


RESULTS = vqa_files(CASES)["results"]


@pytest.mark.parametrize(
    ("contents", "words"),
    [
        ({"results": [*RESULTS, RESULTS[0]]}, "results.json: 1 question answered more than once (32)"),
        ({"results": [*RESULTS, {"question_id": 7, "answer": "x"}]}, "results.json: 1 question unknown (7)"),
        ({"results": [*RESULTS[:3], {"question_id": 31}]}, "VQA result file results.json: [3]: the key 'answer' is missing"),
        (
            {"results": [*RESULTS[:3], {"question_id": 31, "answer": 2}]},
            "VQA result file results.json: [3].answer: expected `str`, got `int`",
        ),
        (
            {"results": [*RESULTS[:3], {"question_id": "31", "answer": "2"}]},
            "VQA result file results.json: [3].question_id: expected `int`, got `str`",
        ),
        ({"results": {}}, "VQA result file results.json: expected `array`, got `object`"),
        ({"results": b'[{"question_id": 31, "ans'}, "VQA result file results.json is not valid JSON: it ends in the middle"),
        ({"questions": b"{}"}, "VQA question file questions.json: the key 'questions' is missing"),
        (
            {"annotations": {"annotations": []}},
            "VQA question file questions.json: questions[0].question_id: 4 questions (31, 32, 61, …) are not answered in "
            "annotations.json",
        ),
    ],
)
def test_wrong_files_are_refused(put: Callable[..., None], refused: Callable[..., str], contents: dict[str, Any], words: str):
    put(**contents)
    assert refused(VQA) == words


def test_missing_files_and_wrong_options_are_refused(put: Callable[..., None], refused: Callable[..., str]):
    put()
    assert refused([*VQA[:-1], "gone.json"]) == "no VQA result file at gone.json"
    assert "2020" in refused([*VQA, "--rule", "2020"])


def test_multiple_choice_answers_must_be_among_the_choices(
    put: Callable[..., None], run: Callable[..., Any], refused: Callable[..., str]
):
    files = vqa_files(CASES)
    for question in files["questions"]["questions"]:
        question["multiple_choices"] = ["yes", "cat", "été", "3"]
    put(**files)
    assert refused(VQA) == "results.json: 2 answers not among the choices (31 'Cat', 32 'yes.')"
    answers = {31: "cat", 32: "yes", 61: "été", 62: "3"}
    put(**{**files, "results": [{"question_id": i, "answer": answer} for i, answer in answers.items()]})
    assert run([*VQA, "--json"])["accuracy"] == pytest.approx(2.9 / 4)  # by what ten people said, not by the one true choice
    put(**{**files, "results": [{"question_id": 31, "answer": "dog"}]})
    assert refused([*VQA, "--allow-missing"]) == "results.json: 1 answer not among the choices (31 'dog')"


def dataset(answers: dict[int, Any], *, split: str = "test") -> dict[str, Any]:
    pairs = [
        {
            "qa_id": i,
            "image_id": i // 10,
            "question": "?",
            "answer": answer,
            "multiple_choices": [],
            "type": ("who", "how")[i % 2],
        }
        for i, answer in answers.items()
    ]
    images = {pair["image_id"]: [p for p in pairs if p["image_id"] == pair["image_id"]] for pair in pairs}
    return {"images": [{"image_id": i, "split": split, "qa_pairs": inner} for i, inner in images.items()]}


def results(answers: dict[int, Any]) -> list[dict[str, Any]]:
    return [{"qa_id": i, "candidates": [{"answer": a}, {"answer": "x"}], "question": "?"} for i, a in answers.items()]


TOLD = {10: "A cat.", 11: "Two.", 21: "Été."}
GUESSED = {21: "été.", 10: "a CAT.", 11: "Two"}


def test_telling(put: Callable[..., None], run: Callable[..., Any]):
    put(dataset=dataset(TOLD), results=results(GUESSED))
    report = run([*VISUAL7W, "--json"])
    low, high = report["intervals"]["accuracy"]
    assert low <= 2 / 3 <= high
    assert report == {
        "benchmark": "visual7w",
        "split": "test",
        "num_questions": 3,
        "accuracy": pytest.approx(2 / 3),
        "intervals": {"accuracy": [low, high]},
        "per_type": {"how": 0.5, "who": 1.0},
        "signature": f"visual7w|task:telling|split:test|n:3|version:{__version__}",
    }
    shown = run(VISUAL7W)
    for words in ("visual7w: 3 questions", "66.67%", "how", "50.00%", "visual7w|task:telling"):
        assert words in shown


def test_a_submission_of_the_other_task_is_refused(put: Callable[..., None], refused: Callable[..., str]):
    put(dataset=dataset(TOLD), results=results(dict.fromkeys(GUESSED, 105)))
    said = refused([*VISUAL7W, "--json"])
    assert "none of the 3 answers is a choice of its question" in said
    assert "another task?" in said


def test_pointing_compares_box_ids_as_text(put: Callable[..., None], run: Callable[..., Any]):
    put(dataset=dataset({10: 105, 11: 106, 21: 107}, split="val"), results=results({10: 105, 11: "106", 21: 10}))
    report = run([*VISUAL7W, "--split", "val", "--json"])
    assert report["accuracy"] == pytest.approx(2 / 3)
    assert report["signature"] == f"visual7w|task:pointing|split:val|n:3|version:{__version__}"


def test_missing_choices_are_an_error_or_wrong(put: Callable[..., None], run: Callable[..., Any], refused: Callable[..., str]):
    put(dataset=dataset({**TOLD, 22: "None"}), results=results({10: "A cat.", 21: "no"}))
    assert refused(VISUAL7W) == "results.json: 2 questions missing (11, 22); --allow-missing counts them as wrong"
    report = run([*VISUAL7W, "--allow-missing", "--json"])
    assert (report["num_questions"], report["num_answered"], report["accuracy"]) == (4, 2, 0.25)


@pytest.mark.parametrize(
    ("contents", "words"),
    [
        ({"results": results({**GUESSED, 5: "x"})}, "results.json: 1 question unknown (5)"),
        (
            {"results": results(GUESSED) + results({10: "x"})},
            "results.json: 1 question answered more than once (10)",
        ),
        (
            {"results": [*results(GUESSED)[:2], {"qa_id": 11, "candidates": []}]},
            "Visual7W result file results.json: [2].candidates: the list is empty; one answer is needed",
        ),
        (
            {"results": [{"qa_id": 11, "candidates": ["Two."]}]},
            "Visual7W result file results.json: [0].candidates[0]: expected `object`, got `str`",
        ),
        (
            {"results": [{"qa_id": 11, "candidates": [{"answer": 1.5}]}]},
            "Visual7W result file results.json: [0].candidates[0].answer: expected `int | str`, got `float`",
        ),
        (
            {"results": [{"qa_id": 11}]},
            "Visual7W result file results.json: [0]: the key 'candidates' is missing",
        ),
        ({"dataset": dataset(TOLD, split="val")}, "dataset.json: no questions in the split 'test'"),
        ({"dataset": dataset({**TOLD, 22: None})}, "dataset.json: 1 of 4 answers are withheld in the split 'test'"),
        ({"dataset": {"images": []}}, "Visual7W file dataset.json: images: the list is empty; at least one question is needed"),
        ({"dataset": b"{"}, "Visual7W file dataset.json is not valid JSON: it ends in the middle"),
    ],
)
def test_wrong_visual7w_files_are_refused(
    put: Callable[..., None], refused: Callable[..., str], contents: dict[str, Any], words: str
):
    put(**{"dataset": dataset(TOLD), "results": results(GUESSED), **contents})
    assert refused(VISUAL7W) == words


MANY = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
FILES = vqa_files(CASES)


def attempt(score: Callable[[], dict[str, Any]]) -> None:
    try:
        report = score()
    except UserError as error:
        message = str(error)
    else:
        assert 0 <= report["accuracy"] <= 1
        return
    assert message


@MANY
@given(results=st.just(FILES["results"]) | mutations(FILES["results"]), annotations=mutations(FILES["annotations"]))
def test_no_vqa_files_however_wrong_get_another_error(tmp_path: Path, results: Any, annotations: bytes):
    paths = [
        write(tmp_path / f"{name}.json", content)
        for name, content in {"q": FILES["questions"], "a": annotations, "r": results}.items()
    ]
    attempt(lambda: score_vqa(*paths, rule="2015"))


@MANY
@given(submitted=mutations(results(GUESSED)), truth=st.just(dataset(TOLD)) | mutations(dataset(TOLD)))
def test_no_visual7w_files_however_wrong_get_another_error(tmp_path: Path, submitted: bytes, truth: Any):
    attempt(lambda: score_visual7w(write(tmp_path / "d.json", truth), write(tmp_path / "r.json", submitted)))


@pytest.mark.parametrize("module", ["vqa", "visual7w"])
def test_scoring_loads_neither_torch_nor_ignite(module: str):
    code = f"import sys, vqa_rnn.commands.score.{module}\nprint([m for m in ('torch', 'ignite') if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert result.stdout == "[]\n"
