"""``vqa-rnn seq2seq translate``: targets for new sources, and pictures of where the decoder looked."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray

from vqa_rnn.errors import UserError
from vqa_rnn.files import atomic_path
from vqa_rnn.models.decoding import beam_search, greedy
from vqa_rnn.sequences.seq2seq import Seq2Seq
from vqa_rnn.sequences.seq2seq_data import PairBatch, join, pad, split
from vqa_rnn.sequences.seq2seq_run import Seq2SeqRun, longest_texts, unit_of, vocabulary_of
from vqa_rnn.sequences.text_vocabulary import Unit

log = logging.getLogger("vqa_rnn")

INCH_PER_ENTRY = {"characters": 0.22, "words": 0.4}


@dataclass(frozen=True, slots=True)
class Translation:
    """What was written for a source.

    Attributes:
        source: The source.
        target: What was written for it.
        log_p: Its log-probability with its end, in nats.
        read: The S characters or words of the source.
        written: The T characters or words of the target.
        alignment: (T + 1, S) weights of the source's entries when each entry and the end were written; None without attention.
    """

    source: str
    target: str
    log_p: float
    read: Sequence[str]
    written: Sequence[str]
    alignment: NDArray[np.float32] | None


@torch.inference_mode()
def translate(run: Seq2SeqRun, model: Seq2Seq, texts: Sequence[str], *, beam: int = 1) -> list[Translation]:
    """Write the target of each text.

    Args:
        run: The run.
        model: Its model; it is put into evaluation mode.
        texts: The sources.
        beam: Width of the beam search; 1 takes the most probable entry at each step.

    Returns:
        A translation for each text.

    Raises:
        UserError: A text is empty or too long, or has a character that the model does not know.
    """
    model.eval()
    unit, longest, vocabulary = unit_of(run.config.data), longest_texts(run.config.data).source, vocabulary_of(run)
    texts = [text.strip() for text in texts]
    for text in texts:
        length = len(split(text, unit))
        if not text:
            raise UserError("a text is empty: give at least one character")
        if length > longest:
            raise UserError(f"{text!r} is too long: it has {length} {unit}, and this model reads at most {longest}")
    encoded = vocabulary.source.encode(texts)
    unknown = [word for text in texts for word in split(text, unit) if word not in vocabulary.source.entries]
    if unknown:
        log.warning("read as the unknown word: %s", ", ".join(word.strip() for word in unknown))
    device = model.output.weight.device
    translations = []
    for text, numbers in zip(texts, encoded, strict=True):
        source, length_1 = pad([numbers])
        source = source.to(device)
        written = model.write(source, length_1, greedy if beam == 1 else partial(beam_search, width=beam))
        batch = PairBatch(source, length_1, written.tokens, written.lengths.cpu(), torch.zeros(1, dtype=torch.int64))
        weights_TS = model.alignments(batch)[0].cpu().float().numpy()
        entries = [vocabulary.target.entries[number] for number in written.tokens[0].tolist()]
        translations.append(
            Translation(
                source=text,
                target=join(entries, unit),
                log_p=float(written.log_p),
                read=split(text, unit),
                written=entries,
                alignment=None if model.attention is None else weights_TS,
            )
        )
    return translations


def draw_alignment(translation: Translation, unit: Unit, path: Path) -> None:
    """Draw the weights of the attention, as figure 3 of Bahdanau et al. 2015: black is 0, white is 1.

    Args:
        translation: A translation by a model with attention.
        unit: Characters or words.
        path: The picture: ``.png``, ``.pdf`` or ``.svg``.

    Raises:
        UserError: The model has no attention, or the file cannot be written.
    """
    if translation.alignment is None:
        raise UserError("this model has no attention to draw: train one with model.attention.name=bahdanau or luong")
    rows, columns = translation.alignment.shape
    inch = INCH_PER_ENTRY[unit]
    margin = 0.6 if unit == "characters" else 1.3
    figure = Figure(figsize=(columns * inch + margin, rows * inch + margin), layout="constrained")
    axes = figure.subplots()
    axes.imshow(translation.alignment, cmap="gray", vmin=0, vmax=1, aspect="equal", interpolation="nearest")
    turn = {"rotation": 0} if unit == "characters" else {"rotation": 60, "ha": "left", "rotation_mode": "anchor"}
    axes.set_xticks(range(columns), [_label(entry) for entry in translation.read], **turn)
    axes.set_yticks(range(rows), [*(_label(entry) for entry in translation.written), "end"])
    axes.tick_params(top=True, bottom=False, labeltop=True, labelbottom=False, length=0)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=130, format=path.suffix.removeprefix(".").lower())


def _label(entry: str) -> str:
    return entry.strip().replace("$", r"\$") or "␣"
