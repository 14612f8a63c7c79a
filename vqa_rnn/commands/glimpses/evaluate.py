"""``vqa-rnn glimpses evaluate``: how well a reader reads, with intervals and floors."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vqa_rnn.commands.sequences.evaluation import Measured, choose_split, evaluate_run, move_run
from vqa_rnn.metrics.intervals import bootstrap_interval
from vqa_rnn.records import Split
from vqa_rnn.sequences.digits import SPLITS, read_digits
from vqa_rnn.sequences.glimpses_data import END, IGNORED, SceneBatches, Scenes, fixed_scenes
from vqa_rnn.sequences.glimpses_run import GLIMPSES, GlimpsesRun, Reading, build_reader, read_scenes, text_of
from vqa_rnn.sequences.run import load_model

RANDOM_SEED = 0


def evaluate(run: GlimpsesRun, split: Split | None = None, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Measure a reader on the validation scenes, or on as many scenes of training digits.

    Args:
        run: The run.
        split: ``train`` or ``val``, the default: whose digits the scenes have.
        overrides: A new location of MNIST, ``data.folder=…``.

    Returns:
        The report of ``evaluate_run``. ``accuracy`` is the share of scenes of which every digit and the end is right. The other
        metrics are ``digit_1`` and so on from left to right, ``end``, and ``digit_accuracy`` of all digits. The floors are the
        most frequent sequence of the training scenes, the same reader at random places, and the same reader if it keeps looking
        at the first place it chose.

    Raises:
        UserError: There is no such split, the digits cannot be read, or there are no weights yet.
    """
    run = move_run(run, GLIMPSES, overrides)
    return evaluate_run(run, GLIMPSES, lambda: _measure(run, split))


def _measure(run: GlimpsesRun, split: Split | None) -> Measured:
    data, chosen = run.config.data, choose_split(run, split, SPLITS)
    scenes, model = fixed_scenes(data, chosen), load_model(run, build_reader(run.config, run.entries))
    found = read_scenes(model, scenes)
    random = torch.rand(found.places.shape, generator=torch.Generator().manual_seed(RANDOM_SEED)) * 2 - 1
    first = found.places[:, :1].expand_as(found.places)
    right_NT, names = found.right.numpy().astype(np.float64), [str(number) for number in range(len(scenes.images))]
    digits_NT = np.where((scenes.targets != IGNORED) & (scenes.targets != END), right_NT, np.nan)
    of_digits = [name for name in names for _ in range(digits_NT.shape[1])]
    return Measured(
        data=data.source,
        variant={"digits": data.num_digits},
        split=chosen,
        examples="scenes",
        groups="scenes",
        group_of=names,
        data_sha256=hashlib.sha256(scenes.images.tobytes() + scenes.targets.tobytes()).hexdigest(),
        scores={
            "accuracy": _all_right(found),
            **{f"digit_{place + 1}": digits_NT[:, place] for place in range(digits_NT.shape[1] - 1)},
            "end": right_NT[scenes.targets == END],
        },
        floors={
            "most_frequent_sequence": _as_most_frequent(run, scenes),
            "random_places": _all_right(read_scenes(model, scenes, random)),
            "one_glimpse": _all_right(read_scenes(model, scenes, first)),
        },
        totals={"digit_accuracy": (float(np.nanmean(digits_NT)), bootstrap_interval(digits_NT.ravel(), of_digits))},
        answers=[
            {"answer": text_of(read, run.entries), "digits": text_of(correct, run.entries)}
            for read, correct in zip(found.classes.tolist(), scenes.targets.tolist(), strict=True)
        ],
    )


def _all_right(reading: Reading) -> NDArray[np.float64]:
    """(N,) 1 where every digit and the end of a scene is right."""
    return reading.right.all(dim=1).double().numpy()


def _as_most_frequent(run: GlimpsesRun, scenes: Scenes) -> NDArray[np.float64]:
    """(N,) 1 for scenes with the most frequent sequence of the first epoch of training."""
    options = run.config.data
    digits = read_digits(options.source, "train", options.folder)
    batches = SceneBatches(digits, options, run.config.training.batch_size, run.config.run.seed)
    batches.epoch = 1
    counts = Counter(tuple(targets) for (batch,) in batches for targets in batch.targets.tolist())
    most = max(counts, key=lambda sequence: (counts[sequence], sequence))
    return (scenes.targets == np.array(most)).all(axis=1).astype(np.float64)
