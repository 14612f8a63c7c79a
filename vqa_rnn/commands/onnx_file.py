"""``vqa-rnn export --onnx``: a model as an ONNX file (https://onnx.ai), which runs without torch."""

import importlib.util
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

import vqa_rnn
from vqa_rnn.answering.answerer import open_run_extractor
from vqa_rnn.answering.calibration import read_calibration
from vqa_rnn.checkpoint import Run, load_model
from vqa_rnn.commands.onnx_card import FILE, onnx_card
from vqa_rnn.errors import UserError
from vqa_rnn.models.plain import AXES, PlainModel

PACKAGES = ("onnx", "onnxscript", "onnxruntime")
LARGEST_DIFFERENCE = 1e-4  # largest accepted difference of a probability
REPEATS = 3  # random inputs of each size

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """The sizes of some inputs.

    Attributes:
        images: Number of images, B.
        regions: Number of regions, K.
        questions: Number of questions, N.
        words: Number of words in a text, T.
        choices: Number of choices, C.
    """

    images: int
    regions: int
    questions: int
    words: int
    choices: int


TRACED = Sizes(images=3, regions=5, questions=4, words=6, choices=2)  # all differ and none is 1, so that no axis becomes fixed
COMPARED = (
    Sizes(images=1, regions=1, questions=1, words=1, choices=2),
    Sizes(images=4, regions=9, questions=7, words=12, choices=5),
    Sizes(images=2, regions=3, questions=16, words=4, choices=3),
)


@dataclass(frozen=True, slots=True)
class Compared:
    """Comparison of a file with torch.

    Attributes:
        num_random: Number of random questions that both answered.
        num_real: Number of questions of the training split that both answered.
        largest: The largest difference of a probability.
    """

    num_random: int
    num_real: int
    largest: float

    def __str__(self) -> str:
        real = f" and {self.num_real} real" if self.num_real else ""
        return f"{self.num_random} random{real} questions, probabilities differ from torch's by {self.largest:.0e} at most"


def check_onnx(run: Run) -> None:
    """Check that a run's model can be exported, before anything is written.

    Args:
        run: The run.

    Raises:
        UserError: The model cannot be exported, or a package is missing.
    """
    model = run.config.model
    why = None
    if model.head.name == "generative":
        why = "it writes its answers word by word (model.head.name=generative)"
    elif model.history.name != "none":
        why = f"it reads a dialog (model.history.name={model.history.name})"
    if why is not None:
        raise UserError(f"{run.path} cannot become {FILE}: {why}; leave --onnx out")
    if any(importlib.util.find_spec(name) is None for name in PACKAGES):
        raise UserError(f'--onnx needs {", ".join(PACKAGES)}: pip install "vqa-rnn[onnx]"')


def write_onnx(run: Run, path: Path) -> tuple[Compared, list[str]]:
    """Export the model of a run and compare the file with torch.

    Args:
        run: A run that passed ``check_onnx``.
        path: The file.

    Returns:
        The comparison, and the lines of the model card that describe the file.

    Raises:
        UserError: Torch cannot export the model, or the file gives other probabilities than torch.
    """
    plain = PlainModel(load_model(run), read_calibration(run).temperature).eval()
    num_regions = open_run_extractor(run, None, torch.device("cpu")).num_regions if plain.needs_grid else None
    generator = np.random.default_rng(0)
    draw = partial(draw_inputs, plain, run.sizes.vocabulary_size, generator=generator, num_regions=num_regions)
    try:
        write_graph(plain, draw(TRACED), path, num_regions, _metadata(run, plain))
        random = [draw(sizes) for sizes in COMPARED * REPEATS]
        real = [real_inputs(plain, run, generator, num_regions)] if run.examples else []
        largest = compare_graph(plain, path, [*random, *real])
    except ArithmeticError as error:
        raise UserError(f"{run.path} cannot become {FILE}: {error}") from error
    except Exception as error:  # errors of the exporter or of the runtime
        raise UserError(f"{run.path} cannot become {FILE}: {_reason(error)}") from error
    compared = Compared(sum(len(inputs["tokens"]) for inputs in random), len(run.examples), largest)
    return compared, onnx_card(run, plain, num_regions, str(compared))


def write_graph(
    module: nn.Module, inputs: Arrays, path: Path, num_regions: int | None = None, metadata: Mapping[str, str] | None = None
) -> None:
    """Export a module to an ONNX file.

    Args:
        module: A module that takes the inputs by name and returns one or several tensors.
        inputs: Example inputs by the names of ``AXES``. No size may be 1.
        path: The file; it also holds the weights.
        num_regions: The only number of regions that the file accepts; None if it accepts any.
        metadata: Texts to store in the file.
    """
    axes = {axis: torch.export.Dim(axis) for name in inputs for axis in AXES[name] if axis != "regions" or not num_regions}
    shapes = {name: {n: axes[axis] for n, axis in enumerate(AXES[name]) if axis in axes} for name in inputs}
    with _quietly(), torch.no_grad():
        exported = torch.export.export(module, (), _tensors(inputs), dynamic_shapes=shapes)  # raises if an axis becomes fixed
        program = torch.onnx.export(
            exported,
            input_names=list(inputs),
            output_names=["probabilities"] if isinstance(module, PlainModel) else None,
            dynamo=True,
            verbose=False,
        )
        assert program is not None
        program.model.metadata_props.update(metadata or {})
        program.save(path, external_data=False)


def compare_graph(module: nn.Module, path: Path, cases: Sequence[Arrays]) -> float:
    """Compare a file with torch.

    Args:
        module: The exported module.
        path: The file.
        cases: Inputs of different sizes.

    Returns:
        The largest difference of a number.

    Raises:
        ArithmeticError: A number differs by more than ``LARGEST_DIFFERENCE``.
    """
    onnxruntime = import_module("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # errors are reported once, by an exception
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    largest = 0.0
    for inputs in cases:
        with torch.inference_mode():
            computed = module(**_tensors(inputs))
        expected = [computed] if isinstance(computed, torch.Tensor) else computed
        for one, other in zip(session.run(None, dict(inputs)), expected, strict=True):
            differences = np.abs(one - other.numpy())
            largest = max(largest, float(np.nan_to_num(differences, nan=np.inf).max(initial=0)))
    if largest > LARGEST_DIFFERENCE:
        raise ArithmeticError(f"onnxruntime gives other numbers than torch, by {largest:.1e}")
    return largest


def draw_inputs(
    plain: PlainModel, vocabulary_size: int, sizes: Sizes, generator: np.random.Generator, num_regions: int | None = None
) -> dict[str, NDArray[Any]]:
    """Draw random inputs: features distributed as in training, some regions missing, texts of all lengths.

    Args:
        plain: The model whose inputs are drawn.
        vocabulary_size: Size of its vocabulary.
        sizes: Sizes of the inputs.
        generator: The random generator.
        num_regions: The only number of regions that the model accepts, if there is one; then no region is missing.

    Returns:
        The inputs by name.
    """
    images, questions, words = sizes.images, sizes.questions, sizes.words
    regions = _draw_regions(plain, images, num_regions or sizes.regions, generator, all_exist=num_regions is not None)
    tokens, lengths = _draw_texts((questions,), words, vocabulary_size, generator)
    choice_tokens, choice_lengths = _draw_texts((questions, sizes.choices), words, vocabulary_size, generator)
    choice_lengths[:, 2:] *= generator.integers(0, 2, choice_lengths[:, 2:].shape)  # 0: there is no such choice
    choice_tokens[np.arange(choice_tokens.shape[2]) >= choice_lengths[:, :, None]] = 0
    drawn = {
        **regions,
        "image_index": generator.integers(0, images, questions),
        "tokens": tokens,
        "lengths": lengths,
        "choice_tokens": choice_tokens,
        "choice_lengths": choice_lengths,
        "choice_regions": generator.integers(0, regions["features"].shape[1], (questions, sizes.choices)),
    }
    return {name: drawn[name] for name in plain.inputs}


def real_inputs(
    plain: PlainModel, run: Run, generator: np.random.Generator, num_regions: int | None = None
) -> dict[str, NDArray[Any]]:
    """Return the most frequent training questions of a run, with random features.

    Args:
        plain: The model.
        run: Its run, which has example questions.
        generator: The random generator of the features.
        num_regions: The only number of regions that the model accepts, if there is one.

    Returns:
        The inputs by name.
    """
    ids = run.tokenizer.encode(list(run.examples))
    longest = max(map(len, ids))
    sizes = Sizes(images=len(ids), regions=9, questions=len(ids), words=longest, choices=4)
    inputs = draw_inputs(plain, run.sizes.vocabulary_size, sizes, generator, num_regions)
    inputs["tokens"] = np.array([[*each, *[0] * (longest - len(each))] for each in ids])
    inputs["lengths"] = np.array([len(each) for each in ids])
    return inputs


def _draw_regions(
    plain: PlainModel, images: int, regions: int, generator: np.random.Generator, *, all_exist: bool
) -> dict[str, NDArray[Any]]:
    mean, std = plain.model.feature_mean.numpy(), plain.model.feature_std.numpy()
    features = mean + std * generator.normal(size=(images, regions, len(mean)))
    mask = np.full((images, regions), True)
    if not all_exist:
        mask[:, 1:] = generator.random((images, regions - 1)) < 0.7
    corners = np.sort(generator.random((2, images, regions, 2)), axis=0)
    boxes = np.concatenate(list(corners), axis=2)
    return {"features": features.astype(np.float32), "region_mask": mask, "boxes": boxes.astype(np.float32)}


def _draw_texts(
    shape: tuple[int, ...], longest: int, vocabulary: int, generator: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draw (…, T) tokens, padded with 0, and (…) lengths of at least 1."""
    lengths = generator.integers(1, longest + 1, shape)
    tokens = generator.integers(1, vocabulary, (*shape, longest))
    tokens[np.arange(longest) >= lengths[..., None]] = 0
    return tokens, lengths


def _metadata(run: Run, plain: PlainModel) -> dict[str, str]:
    return {
        "made_by": f"vqa-rnn {vqa_rnn.__version__}",
        "run": run.path.name,
        "backbone": str(run.features["backbone"]),
        "features_fingerprint": str(run.features["fingerprint"]),
        "temperature": str(plain.temperature),
    }


def _tensors(inputs: Arrays) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(values) for name, values in inputs.items()}


def _reason(error: BaseException) -> str:
    """Return the first line of an error's original cause."""
    while error.__cause__ is not None:
        error = error.__cause__
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


@contextmanager
def _quietly() -> Iterator[None]:
    """Hide what the exporter logs and warns for its own developers."""
    loggers = [logging.getLogger(name) for name in ("onnxscript", "onnx_ir", "torch.onnx", "torch.export", "torch._dynamo")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
