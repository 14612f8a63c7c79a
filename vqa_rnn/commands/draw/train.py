"""``vqa-rnn draw train``: digits to a run folder."""

from vqa_rnn.commands.sequences.training import SequenceData, Task
from vqa_rnn.config.draw import DrawConfig
from vqa_rnn.engines import Examples
from vqa_rnn.engines.handlers import Measure
from vqa_rnn.sequences.draw_data import digits_hash, evaluation_batches, read_draw_digits, training_batches
from vqa_rnn.sequences.draw_run import DRAW, bound, bound_sums, build_draw

NATS = Measure("nats", "{:.2f} nats".format, sign=-1, show_loss="{:.2f} nats".format)


def _read(config: DrawConfig) -> SequenceData:
    train, val = read_draw_digits(config.data, "train"), read_draw_digits(config.data, "val")
    options, batch_size = config.model, config.training.batch_size
    side = config.data.side
    return SequenceData(
        train=training_batches(train, batch_size, config.run.seed),
        val=evaluation_batches(val, batch_size, options.steps, options.latent_size),
        entries=(),
        examples=Examples([str(place) for place in range(len(train.images))], "digits", "check the images", "images"),
        steps_per_batch=batch_size * options.steps,
        description=f"{len(train.images):,} training and {len(val.images):,} validation digits of {side} x {side} pixels",
        file=f"the data ({config.data.source})",
        sha256=digits_hash([train, val]),
    )


TASK = Task(
    kind=DRAW,
    read=_read,
    build_model=build_draw,
    measure=NATS,
    sums=bound_sums,
    metrics=bound,
)
