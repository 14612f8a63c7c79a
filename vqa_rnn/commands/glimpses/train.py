"""``vqa-rnn glimpses train``: digits to a run folder."""

import hashlib
from functools import partial

from vqa_rnn.commands.sequences.training import SequenceData, Task, Trained, train_sequences
from vqa_rnn.config.glimpses import GlimpsesConfig
from vqa_rnn.engines import Examples
from vqa_rnn.engines.handlers import ACCURACY
from vqa_rnn.progress import counted
from vqa_rnn.sequences.digits import read_digits
from vqa_rnn.sequences.glimpses import GlimpseReader, Rewarded, accuracies, right_sums
from vqa_rnn.sequences.glimpses_data import ENTRIES, SceneBatches, batches_of, fixed_scenes
from vqa_rnn.sequences.glimpses_run import GLIMPSES, READ_TOGETHER, GlimpsesRun, build_reader


def train(config: GlimpsesConfig, *, resume: bool = False, overwrite: bool = False) -> GlimpsesRun:
    """Train a reader on scenes of training digits, and choose the best epoch on scenes of validation digits.

    Args:
        config: The config.
        resume: Continue an existing run from its last checkpoint.
        overwrite: Replace an existing run.

    Returns:
        The trained run.

    Raises:
        UserError: The digits cannot be read, the run folder exists (or, to resume, does not), or the loss was not finite.
        Interrupted: A signal was received; the state is saved.
    """
    task = TASK._replace(trained=partial(_rewarded, reinforce_weight=config.training.reinforce_weight))
    return train_sequences(task, config, resume=resume, overwrite=overwrite)


def _read(config: GlimpsesConfig) -> SequenceData:
    options, batch_size = config.data, config.training.batch_size
    digits, scenes = read_digits(options.source, "train", options.folder), fixed_scenes(options)
    sha256 = hashlib.sha256(digits.images.tobytes() + digits.labels.tobytes() + scenes.images.tobytes())
    return SequenceData(
        train=SceneBatches(digits, options, batch_size, config.run.seed),
        val=batches_of(scenes, READ_TOGETHER),
        entries=ENTRIES,
        examples=Examples([str(number) for number in range(options.num_train)], "scenes", "check the digits", "scenes"),
        steps_per_batch=batch_size * (options.num_digits + 1) * config.model.glimpses_per_digit,
        description=f"{counted(options.num_train, 'training scenes')} per epoch of {len(digits.labels):,} digits, "
        f"{counted(options.num_val, 'validation scenes')}",
        file=options.folder or "the digits of scikit-learn",
        sha256=sha256.hexdigest(),
    )


def _rewarded(model: GlimpseReader, reinforce_weight: float) -> Trained:
    return Trained(Rewarded(model, reinforce_weight))


TASK = Task(
    kind=GLIMPSES,
    read=_read,
    build_model=build_reader,
    measure=ACCURACY,
    sums=right_sums,
    metrics=accuracies,
)
