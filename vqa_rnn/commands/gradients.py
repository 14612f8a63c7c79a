"""``vqa-rnn gradients``: how far back the gradient of a loss reaches, for untrained cells and a trained question encoder."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import torch
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor, nn

from vqa_rnn.batch import Batch
from vqa_rnn.benchmarks import read_annotations
from vqa_rnn.checkpoint import load_model, load_run
from vqa_rnn.commands.shared import check_questions, images_of, move_run, open_features, readable_questions, store_of_config
from vqa_rnn.data.encoding import encode_questions
from vqa_rnn.data.loader import build_loader
from vqa_rnn.data.sampler import QuestionSampler
from vqa_rnn.engines import choose_device
from vqa_rnn.errors import UserError
from vqa_rnn.files import atomic_path, unknown_name
from vqa_rnn.models import VqaModel
from vqa_rnn.models.generative import GenerativeHead
from vqa_rnn.records import Question
from vqa_rnn.rnn import CELLS
from vqa_rnn.rnn.gradients import Flow, by_distance, has_one_matrix, make_network, measure_flow

SIZE, SEQUENCES = 64, 16
SMALL = 1e-6  # scale of the inputs, so that no activation saturates
SINGULAR_VALUES = (0.9, 1.1)
SMALLEST_SHOWN = 1e-15
FORMATS = ("png", "pdf", "svg", "jpg")  # picture formats that need no other program


def flow_of_cells(
    cells: Sequence[str],
    length: int,
    singular_value: float | None = None,
    clip: float | None = None,
    forget_bias: float = 1.0,
    seed: int = 0,
    start: Literal["orthogonal", "uniform"] = "orthogonal",
) -> dict[str, list[float]]:
    """Measure the gradient of a loss on the last output at each step of a sequence of small random inputs.

    Args:
        cells: Names from ``CELLS``; all if empty.
        length: Length of the sequence.
        singular_value: The value of all singular values of the recurrent matrix, for cells with a single one. If None, such a
            cell is measured as it is initialised, and with orthogonal matrices, whose singular values are 1, also with
            ``SINGULAR_VALUES``.
        clip: Also return the norms after clipping the weight gradient to this norm, where it is larger.
        forget_bias: Bias of an LSTM's forget gate.
        seed: Seed of weights, inputs and loss.
        start: Initialisation of the recurrent matrices, ``orthogonal`` or ``uniform``.

    Returns:
        For each cell, the norms at the distances 0, 1, … from the end.

    Raises:
        UserError: A cell is unknown, or a gradient overflows.
    """
    for cell in cells:
        if cell not in CELLS:
            raise UserError(unknown_name("cell", cell, CELLS))
    generator = torch.Generator().manual_seed(seed)
    inputs = SMALL * torch.randn(SEQUENCES, length, SIZE, generator=generator, dtype=torch.float64)
    flows: dict[str, Flow] = {}
    for cell in cells or list(CELLS):
        variants = {cell: singular_value}
        if singular_value is None and start == "orthogonal" and has_one_matrix(cell):
            variants |= {f"{cell} {value}": value for value in SINGULAR_VALUES}
        for label, value in variants.items():
            flow = measure_flow(make_network(cell, SIZE, value, forget_bias, seed, start), inputs, seed)
            if not all(map(math.isfinite, flow.norms)):
                raise UserError(f"the gradient of {label} overflows within {length} steps: use a shorter --length")
            flows[label] = flow
            if clip is not None and flow.total > clip:
                flows[f"{label} clipped"] = flow.clipped(clip)
    return {label: flow.norms for label, flow in flows.items()}


def flow_of_run(path: Path, overrides: Sequence[str] = ()) -> dict[str, list[float]]:
    """Measure the gradient of a trained model's loss at each word vector of its validation questions.

    Args:
        path: The run folder.
        overrides: ``section.key=value`` each, of ``MAY_MOVE``.

    Returns:
        For the question encoder's cell, the norms at the distances 0, 1, … from a question's last word. Each norm is of the
        gradient of a question's own loss, and a mean over the questions that are long enough and have a loss.

    Raises:
        UserError: The model was trained without the question, or reads it with a transformer or in two directions; there are no
            validation questions with answers, or with answers that the model knows; or features are missing.
    """
    run = move_run(load_run(path), overrides)
    config = run.config
    if config.model.ablate not in ("none", "question_only"):
        raise UserError(f"{path} was trained without the question (model.ablate={config.model.ablate})")
    if config.model.question.name != "recurrent":
        raise UserError(
            f"{path} reads questions with a transformer, which sees all words at once: there are no steps back to count"
        )
    if config.model.question.bidirectional:
        raise UserError(f"{path} reads questions in two directions: there is no single end to count from")
    annotations = read_annotations(config.dataset, ["val"])
    questions: Sequence[Question] = [q for q in annotations.split("val") if q.human_answers]
    if not questions:
        raise UserError(f"{config.dataset.name} has no questions with answers in its val split")
    check_questions(config, questions)
    writes = config.model.head.name == "generative"
    store = store_of_config(config, images_of(questions, annotations), run)
    questions = readable_questions(config, store, questions, "validation")
    encoded = encode_questions(questions, run.tokenizer, run.answers, answers_as_text=writes)
    device = choose_device(config.run.device)
    model = load_model(run, device)
    batches = QuestionSampler(encoded.image, config.training.batch_size, shuffle=False)
    gradients, lengths = [], []
    with torch.backends.cudnn.flags(enabled=False):  # it has no backward pass in evaluation mode
        for (batch,) in build_loader(encoded, open_features(store, encoded), batches):
            batch = batch.to(device)
            with _WordVectors(model.question_encoder.embedding) as words:
                losses_N, counts_N = model.losses(_outputs(model, batch), batch)
            (gradient_NTE,) = torch.autograd.grad(losses_N.sum(), [words.vectors])
            gradients.append(gradient_NTE[counts_N].norm(dim=2).cpu())
            lengths.append(batch.question_lengths[counts_N.cpu()].clamp(min=1))
    if not any(map(len, lengths)):
        raise UserError(f"none of the validation questions has an answer that {path} knows")
    return {config.model.question.cell: by_distance(gradients, lengths)}


def _outputs(model: VqaModel, batch: Batch) -> Tensor:
    """Return the outputs that the training loss needs. A generative head scores the true answers only, not every choice."""
    if isinstance(model.head, GenerativeHead):
        encoded = model.encode(batch)
        return model.head.answer_log_p(encoded.joint, encoded.regions, batch)
    return model(batch)


class _WordVectors:
    """Keeps the first output of an embedding, the word vectors of the questions; those of facts and choices come later."""

    def __init__(self, embedding: nn.Module) -> None:
        self.embedding = embedding
        self.vectors: Tensor = torch.empty(0)

    def __enter__(self) -> "_WordVectors":
        self.hook = self.embedding.register_forward_hook(self._keep)
        return self

    def __exit__(self, *error: object) -> None:
        self.hook.remove()

    def _keep(self, embedding: nn.Module, tokens: tuple[Tensor, ...], vectors: Tensor) -> None:
        if not len(self.vectors):
            self.vectors = vectors


def check_picture(path: Path) -> None:
    """Check that a picture can be written in the format of its suffix, before anything is measured.

    Args:
        path: The picture.

    Raises:
        UserError: The suffix is not a known format.
    """
    if path.suffix.removeprefix(".").lower() not in FORMATS:
        raise UserError(f"--picture {path}: name it with a format, such as gradients.png (known: {', '.join(FORMATS)})")


def draw(cells: Mapping[str, Sequence[float]], path: Path, title: str, unit: str) -> None:
    """Plot the norms against the distance on a logarithmic scale.

    Args:
        cells: Norms by name.
        path: The picture.
        title: The title of the picture.
        unit: The unit of the distances.
    """
    figure = Figure(figsize=(9, 5.2))
    axes = figure.subplots()
    kinds = list(dict.fromkeys(label.partition(" ")[0] for label in cells))
    ends = []
    for label, norms in cells.items():
        kind, _, variant = label.partition(" ")
        style = ":" if variant.endswith("clipped") else {"0.9": "--", "1.1": "-."}.get(variant, "-")
        colour = colormaps["tab10"](kinds.index(kind) % 10)
        axes.semilogy(range(len(norms)), norms, style, color=colour, linewidth=1.8)
        ends.append((norms[-1], label, colour))
    low, high = axes.get_ylim()
    axes.set_ylim(max(low, SMALLEST_SHOWN), high)
    _label_ends(axes, ends)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel(f"{unit} back from the end")
    axes.set_ylabel("norm of the loss's gradient")
    axes.set_title(title, fontsize=12, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.25)
    figure.tight_layout()
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=130, format=path.suffix.removeprefix(".").lower())


def _label_ends(axes: Axes, ends: Sequence[tuple[float, str, tuple[float, ...]]]) -> None:
    """Write each name next to the end of its line.

    A name that would overlap another is moved up. The names of lines that end below the plot are written below it.
    """
    to_axes = axes.transAxes.inverted()
    lowest = -0.16
    for value, label, colour in sorted(ends):
        if value >= axes.get_ylim()[0]:
            lowest = max(float(to_axes.transform(axes.transData.transform((0, value)))[1]), lowest)
        else:
            label = f"{label}: {value:.0e}"
        axes.annotate(
            label, (1.01, lowest), xycoords="axes fraction", color=colour, fontsize=9, va="center", annotation_clip=False
        )
        lowest += 0.042
