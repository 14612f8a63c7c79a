"""``vqa-rnn demo``: easy-VQA, from images to answers."""

import time
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from vqa_rnn.answering.answer import Answer
from vqa_rnn.answering.pictures import draw
from vqa_rnn.answering.session import Session
from vqa_rnn.benchmarks import read_annotations
from vqa_rnn.commands.evaluate import evaluate
from vqa_rnn.commands.preprocess import preprocess
from vqa_rnn.commands.tables import print_evaluation, print_extraction
from vqa_rnn.commands.train import train
from vqa_rnn.config import run_path
from vqa_rnn.config.files import load_config
from vqa_rnn.errors import UserError
from vqa_rnn.records import Question

Asked = tuple[Path, Question, Answer]


def demo(folder: Path = Path(), *, overwrite: bool = False) -> Path:
    """Preprocess, train, evaluate and ask on easy-VQA, and print what each step does.

    Args:
        folder: The folder of ``features/``, ``runs/demo`` and ``demo.png``.
        overwrite: Replace an earlier demo run.

    Returns:
        The run folder.
    """
    console = Console()
    started = time.perf_counter()

    def say(text: str) -> None:
        seconds = time.perf_counter() - started
        console.print(f"\n[bold]{seconds:5.1f} s[/bold]  {escape(text)}", highlight=False, soft_wrap="\n" in text)

    overrides = [
        "run.name=demo",
        f"run.folder={folder / 'runs'}",
        f"features.store={folder / 'features' / 'demo.h5'}",
    ]
    config = load_config("easy_vqa", overrides)
    if run_path(config).exists() and not overwrite:
        raise UserError(f"{run_path(config)} exists: run vqa-rnn demo --overwrite, or choose another place with --folder")
    say(
        "easy-VQA: 5,000 drawings of one coloured shape, 48,248 questions about them, 13 answers. First a CNN that was "
        f"trained on photographs ({config.features.backbone}) turns every image into region features, once."
    )
    print_extraction(preprocess(config), console)
    say(
        "Now the model is trained: an LSTM reads the question, attention weighs the regions by the question, both are "
        "multiplied, and a classifier picks the answer. A tenth of the training images is held out to select the best epoch."
    )
    run = train(config, overwrite=overwrite)
    say("Evaluation on the test images, which were not used so far. Below the model: floors, which do not see the image.")
    report = evaluate(run.path)
    print_evaluation(report, console)
    say("Three questions about test images, asked the way you would ask:")
    asked = _ask_three(run.path)
    for image, question, answer in asked:
        text, probability = answer.answers[0]
        console.print(f"  {image.name}: {question.question}  [bold]{text}[/bold] ({100 * probability:.1f}%)", highlight=False)
    picture = folder / "demo.png"
    draw([answer for _, _, answer in asked], picture)
    image = asked[0][0]
    say(
        f"Done. The pictures with their answers are in {picture}. Try next:\n"
        f"  vqa-rnn ask {run.path} --image {image}\n"
        f"  vqa-rnn evaluate {run.path} --json\n"
        f"  vqa-rnn train easy_vqa features.store={config.features.store} model.ablate=question_only run.name=blind\n"
        f"  vqa-rnn evaluate {run.path} --question-only runs/blind     (what the image is worth)\n"
        "  vqa-rnn train jsonl --print-config   (your own images: see the README)"
    )
    return run.path


def _ask_three(path: Path) -> list[Asked]:
    """Ask one question of each kind, about three test images."""
    session = Session(path)
    annotations = read_annotations(session.run.config.dataset, ["test"])
    asked: list[Asked] = []
    for kind in ("colour", "shape", "yes/no"):
        used = {question.image_id for _, question, _ in asked}
        question = next(q for q in annotations.questions if q.answer_type == kind and q.image_id not in used)
        image = annotations.images[question.image_id]
        session.see(image)
        asked.append((image, question, session.ask(question.question, top=3)))
    return asked
