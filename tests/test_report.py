"""The page about runs."""

import re
from pathlib import Path

import pytest

import vqa_rnn
from tests.conftest import configure, draw_questions
from vqa_rnn.checkpoint import Run
from vqa_rnn.cli import main
from vqa_rnn.commands import report as reporting
from vqa_rnn.commands.report import report
from vqa_rnn.errors import UserError


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Run]:
    """One that sees images, and one that does not."""
    questions = draw_questions(tmp_path_factory.mktemp("report"))
    shared = (f"features.store={questions.parent}/features.h5", "dataset.validation_fraction=0.5")
    config = configure(questions, *shared, "training.max_epochs=12", "run.name=sees")
    blind = configure(questions, *shared, "training.max_epochs=2", "model.ablate=question_only", "run.name=<blind>")
    vqa_rnn.preprocess(config)
    return vqa_rnn.train(config), vqa_rnn.train(blind)


def text_of(page: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", page[page.index("<body>") :]).split())


def test_a_page_has_what_evaluate_measures_and_needs_no_network(runs: tuple[Run, Run], tmp_path: Path):
    page = report([runs[0].path], tmp_path / "one.html", "val").read_text()
    measured = vqa_rnn.evaluate(runs[0].path, "val")
    text = text_of(page)
    low, high = measured["intervals"]["accuracy"]
    assert f"accuracy {100 * measured['metrics']['accuracy']:.1f}% {100 * low:.1f}% to {100 * high:.1f}%" in text
    assert f"most frequent answer of the question {100 * measured['floors']['question_string']['accuracy']:.1f}%" in text
    assert page.count("<svg") == 3  # loss, validation, calibration
    assert "data:image/png;base64," in page
    links = re.findall(r"(?:src|href)\s*=\s*[\"']([^\"']*)", page)
    assert [link for link in links if not link.startswith(("data:", "#"))] == []
    assert "Right, and most sure" in text


def test_a_mean_rank_is_not_a_percentage(runs: tuple[Run, Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    original = reporting.summarise

    def with_ranks(*arguments):
        summary = original(*arguments)
        return summary | {
            "metrics": summary["metrics"] | {"mean_rank": 1.0},
            "intervals": summary["intervals"] | {"mean_rank": [1.0, 1.25]},
        }

    monkeypatch.setattr(reporting, "summarise", with_ranks)
    text = text_of(report([runs[1].path], tmp_path / "ranks.html", "val").read_text())
    assert "mean_rank 1.00 1.00 to 1.25" in text
    assert "Question encoder lstm of size 16 over word vectors" in text


def test_examples_are_what_they_are_called(runs: tuple[Run, Run], tmp_path: Path):
    page = report([runs[1].path], tmp_path / "blind.html", "val").read_text()
    assert "&lt;blind&gt;" in page
    parts = re.split(r"<h3>", page)
    for title, allowed in (("Right, and most sure", "right"), ("Wrong, and most sure", "wrong")):
        part = next(part for part in parts if part.startswith(title))
        assert set(re.findall(r'<div class="(right|wrong)">', part)) == {allowed}
    assert "Most frequent errors" in page


def test_several_runs_are_compared(runs: tuple[Run, Run], tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    output = tmp_path / "two.html"
    assert main(["report", str(runs[0].path), str(runs[1].path), "--split", "val", "--output", str(output)]) == 0
    assert "it works offline" in capsys.readouterr().out
    text = text_of(output.read_text())
    assert "to sees 95% interval" in text
    assert re.search(r"\d+ questions that only sees answers right, and &lt;blind&gt; does not", text)
    assert "the other:" in text


def test_runs_that_make_no_ensemble_are_compared(runs: tuple[Run, Run], tmp_path: Path):
    config = runs[0].config
    head = config.model.head.model_copy(update={"loss": "sigmoid"})
    other = config.model_copy(
        update={
            "model": config.model.model_copy(update={"head": head}),
            "run": config.run.model_copy(update={"name": "sigmoid"}),
        }
    )
    vqa_rnn.train(other)
    page = report([runs[0].path, other.run.folder / "sigmoid"], tmp_path / "two.html", "val")
    assert "sigmoid" in text_of(page.read_text())


def test_what_cannot_be_reported_is_one_line(runs: tuple[Run, Run], tmp_path: Path):
    with pytest.raises(UserError, match=r"give the name of an \.html file"):
        report([runs[0].path], tmp_path / "report.pdf")
    with pytest.raises(UserError, match="a run comes twice"):
        report([runs[0].path, runs[0].path], tmp_path / "x.html", "val")
    with pytest.raises(UserError, match="no run folder"):
        report([tmp_path / "none"], tmp_path / "x.html", "val")
    assert not (tmp_path / "x.html").exists()
