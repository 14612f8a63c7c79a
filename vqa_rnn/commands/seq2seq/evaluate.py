"""``vqa-rnn seq2seq evaluate``: how many targets are written exactly, by length of the source, with floors."""

import hashlib
import importlib.util
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.table import Table

from vqa_rnn.commands.sequences.evaluation import Measured, choose_split, evaluate_run, move_run
from vqa_rnn.commands.sequences.tables import right_aligned, show_ends
from vqa_rnn.config.seq2seq import PairsData
from vqa_rnn.engines import choose_device
from vqa_rnn.errors import UserError
from vqa_rnn.files import file_hash
from vqa_rnn.metrics.formatting import format_metric
from vqa_rnn.metrics.intervals import FEWEST_IMAGES, bootstrap_interval
from vqa_rnn.records import SPLITS, Split
from vqa_rnn.sequences.run import load_model
from vqa_rnn.sequences.seq2seq import Seq2Seq
from vqa_rnn.sequences.seq2seq_data import Pair, PairVocabulary, Splits, pair_batches, split
from vqa_rnn.sequences.seq2seq_run import SEQ2SEQ, Seq2SeqRun, build_seq2seq, read_splits, unit_of, vocabulary_of

log = logging.getLogger("vqa_rnn")

BATCH_SIZE = 256
MOST_ROWS = 20  # of the table by length


def evaluate(
    run: Seq2SeqRun, split: Split | None = None, overrides: Sequence[str] = (), *, by_length: bool = False
) -> dict[str, Any]:
    """Evaluate a model, writing targets greedily.

    Args:
        run: The run.
        split: The split; by default ``test`` if there are such pairs, else ``val``.
        overrides: A new location of the file of pairs, ``data.path=…``, or ``run.device=…``.
        by_length: Also report the exact matches by length of the source.

    Returns:
        The report of ``evaluate_run``; on request with ``by_length``, a list of rows. ``exact_match`` is the share of targets
        that are written exactly; its 95% interval is a bootstrap over the sources. For a file also ``bleu`` from 0 to 1, and
        sacrebleu's ``bleu_signature``, if sacrebleu is installed.

    Raises:
        UserError: The file of pairs is missing or has changed, the split is empty, or there are no weights yet.
    """
    run = move_run(run, SEQ2SEQ, overrides)
    return evaluate_run(run, SEQ2SEQ, lambda: _measure(run, split, by_length=by_length))


def _measure(run: Seq2SeqRun, wanted: Split | None, *, by_length: bool) -> Measured:
    data, splits = run.config.data, _splits(run)
    which = choose_split(run, wanted, [name for name in SPLITS if splits[name]])
    pairs = splits[which]
    device = choose_device(run.config.run.device)
    written = write_all(load_model(run, build_seq2seq(run.config, run.entries), device), vocabulary_of(run), pairs, device)
    sources = [pair.source for pair in pairs]
    scores = np.array([text == pair.target for text, pair in zip(written, pairs, strict=True)], dtype=np.float64)
    frequent = Counter(pair.target for pair in splits["train"]).most_common(1)[0][0]
    totals, parts = _bleu(written, [pair.target for pair in pairs]) if isinstance(data, PairsData) else ({}, {})
    if by_length:
        lengths = np.array([len(split(source, unit_of(data))) for source in sources])
        parts["by_length"] = scores_by_length(scores, lengths, sources)
    return Measured(
        data=data.name,
        variant={"unit": unit_of(data)},
        split=which,
        examples="pairs",
        groups="sources",
        group_of=sources,
        data_sha256=hashlib.sha256("".join(f"{pair.source}\t{pair.target}\n" for pair in pairs).encode()).hexdigest(),
        scores={"exact_match": scores},
        floors={
            "most_frequent_target": np.array([pair.target == frequent for pair in pairs], dtype=np.float64),
            "copy_of_source": np.array([pair.target == pair.source for pair in pairs], dtype=np.float64),
        },
        totals=totals,
        answers=[{"answer": text, "target": pair.target} for text, pair in zip(written, pairs, strict=True)],
        parts=parts,
    )


def _splits(run: Seq2SeqRun) -> Splits:
    data = run.config.data
    splits = read_splits(data)
    if isinstance(data, PairsData) and data.path and file_hash(data.path) != run.data_sha256:
        raise UserError(f"{data.path} has changed since {run.path} began: restore it, or train again with --overwrite")
    return splits


@torch.inference_mode()
def write_all(model: Seq2Seq, vocabulary: PairVocabulary, pairs: Sequence[Pair], device: torch.device) -> list[str]:
    """Write the target of each source greedily.

    Args:
        model: The model, in evaluation mode.
        vocabulary: Its vocabularies.
        pairs: The pairs.
        device: The device of the model.

    Returns:
        The written texts.
    """
    texts = []
    for (batch,) in pair_batches(pairs, vocabulary, BATCH_SIZE):
        written = model.write(batch.source.to(device), batch.source_lengths)
        for tokens, length in zip(written.tokens.tolist(), written.lengths.tolist(), strict=True):
            texts.append(vocabulary.target.decode(tokens[:length]))
    return texts


def scores_by_length(scores: NDArray[np.float64], lengths: NDArray[np.int64], sources: Sequence[str]) -> list[dict[str, Any]]:
    """Average scores by length.

    Args:
        scores: (N,) score of each pair.
        lengths: (N,) length of each source.
        sources: (N,) sources, for the intervals.

    Returns:
        For each range of lengths that occurs: its ends ``from`` and ``to``, ``num_pairs``, ``exact_match`` and ``interval``.
        All ranges are of the same width, and there are at most 20 of them.
    """
    first, last = int(lengths.min()), int(lengths.max())
    width = -(-(last - first + 1) // MOST_ROWS)
    rows = []
    for start in range(first, last + 1, width):
        (chosen,) = np.nonzero((lengths >= start) & (lengths < start + width))
        if len(chosen):
            interval = bootstrap_interval(scores[chosen], [sources[place] for place in chosen.tolist()])
            rows.append(
                {
                    "from": start,
                    "to": min(start + width - 1, last),
                    "num_pairs": len(chosen),
                    "exact_match": float(scores[chosen].mean()),
                    "interval": list(interval),
                }
            )
    return rows


def _bleu(written: Sequence[str], targets: Sequence[str]) -> tuple[dict[str, tuple[float, None]], dict[str, Any]]:
    """Return BLEU, which has no interval, and its signature; nothing without sacrebleu."""
    if importlib.util.find_spec("sacrebleu") is None:
        log.info('BLEU is left out, because sacrebleu is not installed: pip install "vqa-rnn[captions]"')
        return {}, {}
    from sacrebleu.metrics.bleu import BLEU

    bleu = BLEU()
    score = bleu.corpus_score(written, [targets]).score / 100
    return {"bleu": (score, None)}, {"bleu_signature": str(bleu.get_signature())}


def parts_of(report: Mapping[str, Any]) -> list[Table | str]:
    """Format the parts of a report that only sequence-to-sequence models have.

    Args:
        report: From ``evaluate``.

    Returns:
        For ``print_evaluation``: sacrebleu's signature, and the exact matches by length.
    """
    parts: list[Table | str] = []
    if "bleu_signature" in report:
        parts.append(f"bleu is that of sacrebleu: {report['bleu_signature']}")
    if "by_length" in report:
        table = right_aligned(Table("length of the source", "pairs", "exact_match", "95% interval"))
        for row in report["by_length"]:
            table.add_row(
                f"{row['from']}" if row["from"] == row["to"] else f"{row['from']} to {row['to']}",
                f"{row['num_pairs']:,}",
                format_metric("exact_match", row["exact_match"]),
                show_ends("exact_match", row["interval"], few=row["num_pairs"] < FEWEST_IMAGES),
            )
        parts.append(table)
    return parts
