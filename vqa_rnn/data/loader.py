"""Loader that makes batches from encoded questions."""

import signal
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, get_worker_info

from vqa_rnn.batch import Batch
from vqa_rnn.data.collate import make_batch
from vqa_rnn.data.columns import EncodedQuestions
from vqa_rnn.data.packed import PackedBatch
from vqa_rnn.data.sampler import Parts, QuestionSampler
from vqa_rnn.data.sources import FeatureSource

SECONDS_AFTER_SIGTERM = 5
Loader = DataLoader[tuple[Batch | PackedBatch, ...]]


class QuestionBatches(Dataset[tuple[Batch | PackedBatch, ...]]):
    """Data set that is indexed by the parts of a step and returns one batch per part."""

    def __init__(self, encoded: EncodedQuestions, source: FeatureSource, packed: bool) -> None:
        """Store the sources of the batches.

        Args:
            encoded: All questions.
            source: Source of the features.
            packed: Whether to return packed batches.
        """
        self.encoded = encoded
        self.source = source
        self.packed = packed

    def __getitem__(self, parts: Parts) -> tuple[Batch | PackedBatch, ...]:
        shared = get_worker_info() is not None
        batches = tuple(make_batch(self.encoded, questions, self.source, shared=shared) for questions in parts)
        return tuple(PackedBatch.of(batch, shared=shared) for batch in batches) if self.packed else batches


def build_loader(
    encoded: EncodedQuestions,
    source: FeatureSource,
    batches: QuestionSampler,
    *,
    num_workers: int = 0,
    pin_memory: bool = False,
) -> Loader:
    """Build a loader that gathers whole batches instead of collating single questions.

    Args:
        encoded: All questions.
        source: Source of the features.
        batches: Sampler of the questions of each batch.
        num_workers: Number of loader processes; 0 gathers batches in the main process.
        pin_memory: Whether to return batches in pinned memory.

    Returns:
        A loader. Each item is what this process computes in one step: a tuple of one batch, or of several batches whose
        gradients are accumulated. Batches that come from another process or go to a GPU are packed. ``Batch.to`` and
        ``PackedBatch.to`` both return a ``Batch``.
    """
    return DataLoader(
        QuestionBatches(encoded, source, packed=num_workers > 0 or pin_memory),
        sampler=batches,  # type: ignore[arg-type]
        batch_size=None,
        collate_fn=_as_it_is,  # the default would return a list instead of a tuple
        num_workers=num_workers,
        pin_memory=pin_memory,
        worker_init_fn=outlive_signals if num_workers else None,
        generator=torch.Generator(),  # a loader draws a seed per epoch, which must not change dropout
    )


def _as_it_is(parts: Any) -> Any:
    return parts


def outlive_signals(worker: int) -> None:
    """Keep a loader process alive when its job is interrupted.

    Ctrl-C and the SIGTERM of a cluster reach all processes of a job, but the last step still needs the loader. After a SIGTERM
    the process ends with a delay of ``SECONDS_AFTER_SIGTERM``, because a main process that fails also stops its workers with
    SIGTERM.

    Args:
        worker: Index of the loader process.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda number, frame: signal.alarm(SECONDS_AFTER_SIGTERM))
