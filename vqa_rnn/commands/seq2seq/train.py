"""``vqa-rnn seq2seq train``: pairs of texts to a run folder."""

from vqa_rnn.commands.sequences.training import SequenceData, Task, train_sequences
from vqa_rnn.config.seq2seq import PairsData, Seq2SeqConfig
from vqa_rnn.engines import Examples
from vqa_rnn.engines.handlers import Measure
from vqa_rnn.files import file_hash
from vqa_rnn.progress import counted
from vqa_rnn.sequences.seq2seq_data import pair_batches, split
from vqa_rnn.sequences.seq2seq_run import SEQ2SEQ, Seq2SeqRun, build_seq2seq, build_vocabulary, read_splits, unit_of
from vqa_rnn.sequences.seq2seq_scores import pair_scores, pair_sums

MEASURES = {
    "exact_match": Measure("exact_match", lambda share: f"{100 * share:6.2f}% exact"),
    "loss": Measure("loss", "loss {:.4f}".format, sign=-1),
}


def train(config: Seq2SeqConfig, *, resume: bool = False, overwrite: bool = False) -> Seq2SeqRun:
    """Train a model on pairs of texts, and choose the best epoch on the validation pairs.

    Args:
        config: The config.
        resume: Continue an existing run from its last checkpoint.
        overwrite: Replace an existing run.

    Returns:
        The trained run.

    Raises:
        UserError: The file of pairs cannot be read or is too short, the run folder exists (or, to resume, does not), or the
            loss was not finite.
        Interrupted: A signal was received; the state is saved.
    """
    task = TASK._replace(measure=MEASURES[config.training.select_by])
    return train_sequences(task, config, resume=resume, overwrite=overwrite)


def _read(config: Seq2SeqConfig) -> SequenceData:
    data, unit, batch_size = config.data, unit_of(config.data), config.training.batch_size
    splits = read_splits(data)
    vocabulary = build_vocabulary(data, splits)
    train, val = splits["train"], splits["val"]
    train_batches = pair_batches(train, vocabulary, batch_size, shuffle=True, seed=config.run.seed)
    file = data.path if isinstance(data, PairsData) else None
    sizes = " and ".join(f"{len(side.entries) - 1:,}" for side in vocabulary)
    return SequenceData(
        train=train_batches,
        val=pair_batches(val, vocabulary, batch_size) if val else None,
        entries=vocabulary.entries,
        examples=Examples([repr(pair.source) for pair in train], "sources", "check the pairs", "pairs"),
        steps_per_batch=batch_size * sum(len(split(pair.target, unit)) for pair in train) // len(train),
        description=f"{counted(len(train), 'training pairs')}, {counted(len(val), 'validation pairs')}, "
        f"{sizes} different {unit}",
        file=file,
        sha256=None if file is None else file_hash(file),
    )


TASK = Task(
    kind=SEQ2SEQ,
    read=_read,
    build_model=build_seq2seq,
    measure=MEASURES["exact_match"],
    sums=pair_sums,
    metrics=pair_scores,
)
