"""Evaluation of a sequence run of any kind: from the scores of single examples to a report in the run folder.

Shape letters: N examples.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from vqa_rnn.config.files import change_config
from vqa_rnn.errors import UserError
from vqa_rnn.files import file_hash, write_json
from vqa_rnn.metrics.accuracy import Scores
from vqa_rnn.metrics.intervals import Interval, bootstrap_interval
from vqa_rnn.metrics.signature import signature
from vqa_rnn.records import Split
from vqa_rnn.sequences.run import Kind, SequenceRun

SplitT = TypeVar("SplitT", bound=str)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """The scores of a run on each example of a split.

    Attributes:
        data: Name of the data.
        variant: What else the scores depend on, for the signature.
        split: The split.
        examples: What is scored, such as ``labels``.
        groups: What the bootstrap draws, such as ``videos``; the same as ``examples`` if each is drawn alone.
        group_of: (N,) the group of each example.
        data_sha256: Hash of the examples, with what is right.
        scores: (N,) scores by metric, the headline metric first; NaN where a metric does not apply.
        floors: (N,) headline scores of each floor.
        ceilings: (N,) the best possible headline scores, by name.
        totals: Metrics of the whole split that are no means over the examples, each with its interval or None.
        answers: What is kept of each example besides its scores, such as ``answer``.
        parts: Further parts of the report.
    """

    data: str
    variant: Mapping[str, str | int | None] = field(default_factory=dict)
    split: Split
    examples: str
    groups: str
    group_of: Sequence[str]
    data_sha256: str
    scores: Mapping[str, Scores]
    floors: Mapping[str, Scores]
    ceilings: Mapping[str, Scores] = field(default_factory=dict)
    totals: Mapping[str, tuple[float, Interval | None]] = field(default_factory=dict)
    answers: Sequence[Mapping[str, str]]
    parts: Mapping[str, Any] = field(default_factory=dict)


def move_run(run: SequenceRun[Any], kind: Kind, overrides: Sequence[str]) -> SequenceRun[Any]:
    """Apply overrides to the config of a run: new locations of its data, or another device.

    Args:
        run: The run.
        kind: Its kind.
        overrides: ``section.key=value`` each, of ``kind.may_move`` or ``run.device``.

    Returns:
        The run with the changed config.

    Raises:
        UserError: An override is invalid, or changes another option.
    """
    if not overrides:
        return run
    changed = change_config(run.config, overrides, (*kind.may_move, "run.device"), str(run.path))
    return dataclasses.replace(run, config=changed)


def choose_split(run: SequenceRun[Any], split: Split | None, there: Sequence[SplitT]) -> SplitT:
    """Choose the split to evaluate on.

    Args:
        run: The run.
        split: The split that was asked for; by default ``test`` if there is one, else ``val``.
        there: The splits that have examples.

    Returns:
        The split.

    Raises:
        UserError: It has no examples.
    """
    wanted = split or ("test" if "test" in there else "val")
    chosen = next((name for name in there if name == wanted), None)
    if chosen is None:
        raise UserError(f"{run.path} has no {wanted} split: give {' or '.join(f'--split {name}' for name in there)}")
    return chosen


def evaluate_run(run: SequenceRun[Any], kind: Kind, measure: Callable[[], Measured]) -> dict[str, Any]:
    """Evaluate a run, and write ``evaluation/SPLIT.json`` and ``evaluation/SPLIT_predictions.json`` into its folder.

    The files have the form that ``vqa-rnn compare`` reads: an example takes the place of a question, and its
    group that of an image.

    Args:
        run: The run.
        kind: Its kind.
        measure: Scores it on a split.

    Returns:
        ``kind``, ``data``, ``split``; ``counts``, of the examples and of their groups; ``metrics``, the headline metric first;
        ``intervals`` (95%, by bootstrap over the groups); ``floors``, each with the headline metric and its ``interval``;
        ``ceilings``; the further parts; ``signature``; ``questions_sha256`` and ``weights_sha256``, the hashes of the examples
        and of the weights. Scores are fractions, or nats.

    Raises:
        UserError: What ``measure`` raises, or a file cannot be written.
    """
    weights = file_hash(run.model_path) if run.model_path.is_file() else None  # read first, as training may go on
    measured = measure()
    headline = next(iter(measured.scores))
    totals, counts = measured.totals, {measured.examples: len(measured.group_of)}
    counts |= {measured.groups: len(set(measured.group_of))}

    def interval(scores: Scores) -> list[float]:
        return list(bootstrap_interval(scores, measured.group_of))

    report: dict[str, Any] = {
        "kind": kind.name,
        "data": measured.data,
        "split": measured.split,
        "counts": counts,
        "metrics": _means(measured.scores) | {name: value for name, (value, _) in totals.items()},
        "intervals": {name: interval(scores) for name, scores in measured.scores.items()}
        | {name: list(ends) for name, (_, ends) in totals.items() if ends is not None},
        "floors": {
            name: _means({headline: scores}) | {"interval": interval(scores)} for name, scores in measured.floors.items()
        },
        "ceilings": {name: _means({headline: scores}) for name, scores in measured.ceilings.items()},
        **measured.parts,
        "signature": signature(
            kind.name,
            data=measured.data,
            **measured.variant,
            metric=headline,
            split=measured.split,
            n=len(measured.group_of),
        ),
        "questions_sha256": measured.data_sha256,
        "weights_sha256": weights,
    }
    rows = [
        {
            "question_id": str(place),
            "image_id": group,
            **answer,
            "scores": {
                name: None if math.isnan(scores[place]) else float(scores[place]) for name, scores in measured.scores.items()
            },
        }
        for place, (group, answer) in enumerate(zip(measured.group_of, measured.answers, strict=True))
    ]
    folder = run.path / "evaluation"
    write_json(folder / f"{measured.split}.json", report)
    write_json(folder / f"{measured.split}_predictions.json", rows)
    return report


def _means(scores: Mapping[str, Scores]) -> dict[str, Any]:
    return {name: float(np.nanmean(values)) for name, values in scores.items()}
