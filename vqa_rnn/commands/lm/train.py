"""``vqa-rnn lm train``: a text file to a run folder."""

import math

import numpy as np

from vqa_rnn.commands.lm.sample import continue_text
from vqa_rnn.commands.sequences.training import SequenceData, Task, Trained
from vqa_rnn.config.language import LanguageConfig
from vqa_rnn.engines import Examples
from vqa_rnn.engines.handlers import Measure
from vqa_rnn.errors import UserError
from vqa_rnn.files import file_hash, write_text
from vqa_rnn.sequences.language_model import Carried, LanguageModel, bits, loss_sums
from vqa_rnn.sequences.language_run import LANGUAGE, LanguageRun, build_language_model
from vqa_rnn.sequences.text_streams import TextStreams
from vqa_rnn.sequences.text_vocabulary import TextVocabulary, read_text

BITS = Measure("bits", "{:.4f} bits".format, sign=-1, show_loss=lambda nats: f"{nats / math.log(2):.4f} bits")


def split_text(text: str, validation_share: float) -> tuple[str, str]:
    """Split a text into a training part and a validation part.

    Args:
        text: The text.
        validation_share: Share of its characters in the validation part, at the end.

    Returns:
        Both parts; the validation part is empty if the share is 0.

    Raises:
        UserError: One part has only one character.
    """
    length = len(text) - round(validation_share * len(text))
    train, val = text[:length], text[length:]
    if len(train) < 2 or (validation_share > 0 and len(val) < 2):
        raise UserError(
            f"text.validation_share={validation_share} splits {len(text)} characters into {len(train)} and {len(val)}: each "
            "part needs at least two; set it to 0 to train on the whole text"
        )
    return train, val


def _read(config: LanguageConfig) -> SequenceData:
    options = config.text
    if options.path is None:
        raise UserError("text.path is missing: give the text file")
    text = read_text(options.path)
    parts = split_text(text, options.validation_share)
    # all characters of the file have an entry, so that every text of its kind can be read; words only of the training part
    vocabulary = TextVocabulary.build(text if options.unit == "characters" else parts[0], options.unit, options.min_count)
    train, val = (vocabulary.encode(part) for part in parts)
    if 1 in (len(train), len(val)):
        raise UserError(f"{options.path} is too short: a part of it has only one of its {options.unit}")
    batch_size, chunk_length = config.training.batch_size, config.training.chunk_length
    streams = TextStreams(train, batch_size, chunk_length)
    names = [str(number) for number in range(streams.num_streams)]
    return SequenceData(
        train=streams,
        val=TextStreams(val, batch_size, chunk_length) if len(val) else None,
        entries=vocabulary.entries,
        examples=Examples(names, "streams", "check the text", options.unit),
        steps_per_batch=batch_size * chunk_length,
        description=f"{len(train):,} training and {len(val):,} validation {options.unit}, {len(vocabulary):,} different",
        file=options.path,
        sha256=file_hash(options.path),
    )


def _carried(model: LanguageModel) -> Trained:
    carried = Carried(model)
    return Trained(carried, {"carried": carried.state})


def _write_sample(run: LanguageRun, model: LanguageModel, epoch: int) -> None:
    """Write a sample to ``samples/``, if one is wanted. Its random numbers depend only on the seed and the epoch."""
    if not run.config.training.sample_length:
        return
    seed = int(np.random.SeedSequence([run.config.run.seed, epoch]).generate_state(1)[0])
    text = continue_text(run, model, "", run.config.training.sample_length, seed=seed)
    write_text(run.path / "samples" / f"epoch-{epoch:03d}.txt", text + "\n")


TASK = Task(
    kind=LANGUAGE,
    read=_read,
    build_model=build_language_model,
    measure=BITS,
    sums=loss_sums,
    metrics=bits,
    trained=_carried,
    after_epoch=_write_sample,
)
