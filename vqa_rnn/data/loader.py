"""From a set of encoded questions to a stream of batches."""

from torch.utils.data import DataLoader, Dataset

from vqa_rnn.batch import Batch
from vqa_rnn.data.collate import make_batch
from vqa_rnn.data.encoding import EncodedQuestions, Ints
from vqa_rnn.data.sampler import ImageGroupedBatches
from vqa_rnn.data.sources import FeatureSource


class QuestionBatches(Dataset[Batch]):
    """Indexed by the questions of a batch, gives the batch."""

    def __init__(self, encoded: EncodedQuestions, source: FeatureSource) -> None:
        """Hold what batches are gathered from.

        Args:
            encoded: All questions.
            source: Where features come from.
        """
        self.encoded = encoded
        self.source = source

    def __getitem__(self, questions: Ints) -> Batch:
        return make_batch(self.encoded, questions, self.source)


def build_loader(
    encoded: EncodedQuestions,
    source: FeatureSource,
    batches: ImageGroupedBatches,
    *,
    num_workers: int = 0,
    pin_memory: bool = False,
) -> DataLoader[Batch]:
    """Make a loader that gathers each batch in one piece.

    Args:
        encoded: All questions.
        source: Where features come from.
        batches: Which questions make a batch.
        num_workers: Processes that gather; 0 gathers in the main process.
        pin_memory: Hand batches over in pinned memory.

    Returns:
        The loader.
    """
    return DataLoader(
        QuestionBatches(encoded, source),
        sampler=batches,  # type: ignore[arg-type]
        batch_size=None,
        num_workers=num_workers,
        pin_memory=pin_memory,
        persistent_workers=num_workers > 0,
    )
