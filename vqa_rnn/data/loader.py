"""From a set of encoded questions to a stream of batches."""

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
    """Indexed by the questions of a step's parts, gives a batch for each."""

    def __init__(self, encoded: EncodedQuestions, source: FeatureSource, packed: bool) -> None:
        """Hold what batches are gathered from.

        Args:
            encoded: All questions.
            source: Where features come from.
            packed: Give batches in one piece.
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
    """Make a loader that gathers each batch in one piece.

    Args:
        encoded: All questions.
        source: Where features come from.
        batches: Which questions make a batch.
        num_workers: Processes that gather; 0 gathers in the main process.
        pin_memory: Hand batches over in pinned memory.

    Returns:
        A loader whose items are what this process has to do in a step: a batch, or several to be accumulated. Batches that
        come from another process or go to a GPU are packed; ``Batch.to`` and ``PackedBatch.to`` give a ``Batch`` alike.
    """
    return DataLoader(
        QuestionBatches(encoded, source, packed=num_workers > 0 or pin_memory),
        sampler=batches,  # type: ignore[arg-type]
        batch_size=None,
        collate_fn=_as_it_is,  # else the tuple comes back as a list
        num_workers=num_workers,
        pin_memory=pin_memory,
        worker_init_fn=outlive_signals if num_workers else None,
        generator=torch.Generator(),  # a loader draws a number each pass, which must not come out of dropout's
    )


def _as_it_is(parts: Any) -> Any:
    return parts


def outlive_signals(worker: int) -> None:
    """Let a loader process live on: Ctrl-C and a cluster's SIGTERM reach all processes of a job, and the last step needs it.

    It still ends some time after a SIGTERM, as that is also how a main process that breaks off ends its workers.

    Args:
        worker: Its number.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda number, frame: signal.alarm(SECONDS_AFTER_SIGTERM))
