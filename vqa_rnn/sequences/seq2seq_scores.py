"""The validation scores of sequence-to-sequence models. Shape letters: N pairs."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from vqa_rnn.models.decoding import Written
from vqa_rnn.models.text_encoder import PADDING_ID
from vqa_rnn.sequences.seq2seq import Seq2Seq
from vqa_rnn.sequences.seq2seq_data import PairBatch


def pair_sums(model: Seq2Seq) -> Callable[[PairBatch], Tensor]:
    """Return a function that measures a model on a batch, for ``build_sums_evaluator``.

    Args:
        model: The model.

    Returns:
        A function of a batch. It returns (4,) float64: the summed cross-entropy in nats, the number of predictions, the number
        of sources whose target is written exactly by ``greedy``, and the number of pairs.
    """

    def sums(batch: PairBatch) -> Tensor:
        losses_N, counts_N = model.losses(model(batch), batch)
        written = model.write(batch.source, batch.source_lengths)
        return torch.stack(
            [part.double().sum() for part in (losses_N, counts_N, matches(written, batch), batch.source[:, 0] >= 0)]
        )

    return sums


def matches(written: Written, batch: PairBatch) -> Tensor:
    """Compare what was written with the targets.

    Args:
        written: N texts.
        batch: The pairs.

    Returns:
        (N,) bool, True where both are the same.
    """
    longest = max(written.tokens.shape[1], batch.target.shape[1])
    texts = [functional.pad(each, (0, longest - each.shape[1]), value=PADDING_ID) for each in (written.tokens, batch.target)]
    return (texts[0] == texts[1]).all(dim=1)


def pair_scores(sums: Sequence[float]) -> dict[str, float]:
    """Compute the validation metrics.

    Args:
        sums: The sums of ``pair_sums`` over a split.

    Returns:
        ``exact_match``, the share of targets that are written exactly, and ``loss``, the mean cross-entropy of an entry in
        nats.
    """
    loss, num_predictions, num_matches, num_pairs = sums
    return {"exact_match": num_matches / num_pairs, "loss": loss / num_predictions}
