"""Example images for the page, from the data set that a run was trained on."""

from dataclasses import dataclass
from pathlib import Path

from vqa_rnn.answering.protocol import AnySession
from vqa_rnn.answering.session import Session
from vqa_rnn.benchmarks import read_annotations
from vqa_rnn.errors import UserError
from vqa_rnn.features.images import read_image
from vqa_rnn.records import Question

NUM_EXAMPLES = 6


@dataclass(frozen=True, slots=True)
class Example:
    """An image with a question about it.

    Attributes:
        image: The image file.
        question: The question.
        choices: Candidate answers.
        caption: A sentence about the image, for a dialog model.
    """

    image: Path
    question: str
    choices: tuple[str, ...] = ()
    caption: str = ""


def find_examples(session: AnySession) -> list[Example]:
    """Choose example questions from the validation split.

    Args:
        session: The session with the model.

    Returns:
        Questions about different images, spread over the split. Empty if the data set is not available, if the model uses text
        only, or if it is a Hugging Face model.
    """
    if not isinstance(session, Session) or not session.sees_images:
        return []
    try:
        annotations = read_annotations(session.run.config.dataset, ["val"])
    except UserError:
        return []
    by_image: dict[str, list[Question]] = {}
    for question in annotations.questions:
        if not question.history and not question.choice_regions:
            by_image.setdefault(question.image_id, []).append(question)
    some = list(by_image.values())[:: max(1, len(by_image) // NUM_EXAMPLES)][:NUM_EXAMPLES]
    examples = []
    for number, questions in enumerate(some):
        question = questions[number % len(questions)]  # for variety, as each image may have the same kinds in the same order
        path = annotations.images[question.image_id]
        try:
            read_image(path, intensity="image")
        except UserError:
            continue
        examples.append(Example(path, question.question, question.choices, question.caption or ""))
    return examples
