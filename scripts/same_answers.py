"""Check that every way of asking gives the same answers with the same probabilities.

    python scripts/same_answers.py runs/demo --questions 500
    python scripts/same_answers.py runs/demo --python other/.venv/bin/python --page http://127.0.0.1:7860

The reference is ``vqa-rnn evaluate``. It is compared with: ``vqa_rnn.load``, one question at a time and many at once; ``vqa-rnn
ask``, one process per image; the prompt through a pipe; an exported folder, opened by ``--python`` (default: this Python); and
the endpoint of ``vqa-rnn serve``, if ``--page`` gives its address. Each row has the number of different answers and the largest
difference of a probability. The exit code is 1 if an answer differs, or a probability differs by more than 1e-4.
"""

import vqa_rnn  # imported before torch, as it sets how threads wait

# isort: split

import argparse
import itertools
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from vqa_rnn.cli import print_error
from vqa_rnn.errors import UserError
from vqa_rnn.files import read_json

LARGEST = 1e-4
Asked = list[tuple[Path, str]]
Found = list[tuple[str, float]]  # the best answer and its probability


def evaluated(run: Path, split: str, count: int) -> tuple[Asked, Found]:
    """Return the first questions of a split, with the answers of ``evaluate``."""
    config = vqa_rnn.load_run(run).config
    annotations = vqa_rnn.read_annotations(config.dataset)
    questions = {question.question_id: question for question in annotations.questions}
    path = run / "evaluation" / f"{split}_predictions.json"
    if not path.is_file():
        raise UserError(f"{run} was not evaluated on its {split} split: run vqa-rnn evaluate {run} --split {split}")
    rows = read_json(path, "evaluation")[:count]
    asked = [(annotations.images[row["image_id"]], questions[row["question_id"]].question) for row in rows]
    return asked, [(row["answer"], row["probability"]) for row in rows]


def by_python(run: Path, asked: Asked) -> Found:
    """Ask one question after the other with ``vqa_rnn.load``."""
    session = vqa_rnn.load(run)
    return [(answer.best, answer.probability) for answer in itertools.starmap(session.ask, asked)]


def at_once(run: Path, asked: Asked) -> Found:
    """Ask in batches with ``vqa_rnn.load``."""
    return [(answer.best, answer.probability) for answer in vqa_rnn.load(run).ask_many(asked)]


def by_command(run: Path, asked: Asked) -> Found:
    """Ask with ``vqa-rnn ask``, one process per image."""
    found: Found = []
    for image, group in itertools.groupby(asked, key=lambda pair: pair[0]):
        options = [option for _, question in group for option in ("--question", question)]
        answer = json.loads(_run([sys.executable, "-m", "vqa_rnn", "ask", str(run), "--image", str(image), *options, "--json"]))
        found += [_best(each) for each in answer.get("rounds", [answer])]
    return found


def by_pipe(run: Path, asked: Asked, python: str = sys.executable) -> Found:
    """Ask through a pipe to the prompt."""
    lines = []
    for image, group in itertools.groupby(asked, key=lambda pair: pair[0]):
        lines += [f"/image {image.resolve()}", *(question for _, question in group)]
    output = _run([python, "-m", "vqa_rnn", "ask", str(run), "--json"], "\n".join(lines) + "\n")
    return [_best(json.loads(line)) for line in output.splitlines()]


def exported(run: Path, asked: Asked, python: str) -> Found:
    """Export the run and ask the exported folder in another environment."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "model"
        _run([sys.executable, "-m", "vqa_rnn", "export", str(run), str(target)])
        return by_pipe(target, asked, python)


def by_page(url: str, asked: Asked) -> Found:
    """Ask the endpoint of the page."""
    from gradio_client import Client, handle_file

    client = Client(url, verbose=False)
    return [_best(client.predict(handle_file(image), question, None, "", None, api_name="/ask")) for image, question in asked]


def _best(answer: dict) -> tuple[str, float]:
    if "error" in answer:
        raise UserError(answer["error"])
    return answer["answers"][0]["answer"], answer["answers"][0]["probability"]


def _run(command: Sequence[str], lines: str | None = None) -> str:
    done = subprocess.run(command, input=lines, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError(f"{' '.join(command[1:4])} ended with {done.returncode}: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="an evaluated run")
    parser.add_argument("--split", default="test", choices=["val", "test"])
    parser.add_argument("--questions", type=int, default=500, help="how many")
    parser.add_argument("--python", default=sys.executable, help="of the environment that opens the exported folder")
    parser.add_argument("--page", help="where vqa-rnn serve runs with this model")
    options = parser.parse_args(arguments)
    run = options.run
    ways: dict[str, Callable[[Asked], Found]] = {
        "vqa_rnn.load, one by one": lambda asked: by_python(run, asked),
        "vqa_rnn.load, many at once": lambda asked: at_once(run, asked),
        "vqa-rnn ask": lambda asked: by_command(run, asked),
        "the prompt, piped": lambda asked: by_pipe(run, asked),
        "an exported folder": lambda asked: exported(run, asked, options.python),
    }
    if options.page:
        ways["the page"] = lambda asked: by_page(options.page, asked)
    table = Table("way of asking", "questions", "other answers", "largest difference of a probability")
    worst = 0.0
    try:
        asked, expected = evaluated(run, options.split, options.questions)
        for name, way in ways.items():
            found = way(asked)
            others = sum(one != other for (one, _), (other, _) in zip(found, expected, strict=True))
            largest = max(abs(one - other) for (_, one), (_, other) in zip(found, expected, strict=True))
            table.add_row(name, str(len(found)), str(others), f"{largest:.1e}")
            worst = max(worst, largest, float(others))
    except UserError as error:
        return print_error(error)
    Console().print(table)
    return int(worst > LARGEST)


if __name__ == "__main__":
    sys.exit(main())
