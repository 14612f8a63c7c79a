"""``vqa-rnn seq2seq evaluate``: how many targets are written exactly, by length of the source, with floors."""

import importlib.util
import logging
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from vqa_rnn.config.files import check_changes, override_config
from vqa_rnn.config.seq2seq import PairsData
from vqa_rnn.engines import choose_device
from vqa_rnn.errors import UserError
from vqa_rnn.files import file_hash
from vqa_rnn.metrics.formatting import format_metric
from vqa_rnn.metrics.intervals import FEWEST_IMAGES, bootstrap_interval
from vqa_rnn.sequences.run import load_model
from vqa_rnn.sequences.seq2seq import Seq2Seq
from vqa_rnn.sequences.seq2seq_data import Pair, PairVocabulary, Splits, pair_batches, split
from vqa_rnn.sequences.seq2seq_run import Seq2SeqRun, build_seq2seq, read_splits, unit_of, vocabulary_of

log = logging.getLogger("vqa_rnn")

BATCH_SIZE = 256
MOST_ROWS = 20  # of the table by length
FLOORS = {"most_frequent_target": "most frequent target", "copy_of_source": "copy of the source"}


def evaluate(run: Seq2SeqRun, which: str = "val", overrides: Sequence[str] = (), *, by_length: bool = False) -> dict[str, Any]:
    """Evaluate a model, writing targets greedily.

    Args:
        run: The run.
        which: ``train``, ``val`` or ``test``.
        overrides: A new location of the file of pairs, ``data.path=…``.
        by_length: Also report the exact matches by length of the source.

    Returns:
        ``data``, ``split``, ``num_pairs``, ``metrics``, ``intervals`` and ``floors``; on request ``by_length``, a list of rows.
        ``exact_match`` is the share of targets that are written exactly; its 95% interval is a bootstrap over the sources.
        For a file also ``bleu`` from 0 to 1, and sacrebleu's ``signature``, if sacrebleu is installed.

    Raises:
        UserError: The file of pairs is missing or has changed, the split is empty, or there are no weights yet.
    """
    splits = _splits(run, overrides)
    pairs = splits[which]
    if not pairs:
        share = "validation" if which == "val" else which
        raise UserError(f"{run.path} has no {which} split: it was trained with data.{share}_share=0")
    device = choose_device(run.config.run.device)
    written = write_all(load_model(run, build_seq2seq(run.config, run.entries), device), vocabulary_of(run), pairs, device)
    sources = [pair.source for pair in pairs]
    scores = np.array([text == pair.target for text, pair in zip(written, pairs, strict=True)], dtype=np.float64)
    frequent = Counter(pair.target for pair in splits["train"]).most_common(1)[0][0]
    report: dict[str, Any] = {
        "data": run.config.data.name,
        "split": which,
        "num_pairs": len(pairs),
        "metrics": {"exact_match": float(scores.mean())},
        "intervals": {"exact_match": list(bootstrap_interval(scores, sources))},
        "floors": {
            "most_frequent_target": {"exact_match": sum(pair.target == frequent for pair in pairs) / len(pairs)},
            "copy_of_source": {"exact_match": sum(pair.target == pair.source for pair in pairs) / len(pairs)},
        },
    }
    if isinstance(run.config.data, PairsData):
        _add_bleu(report, written, [pair.target for pair in pairs])
    if by_length:
        lengths = np.array([len(split(source, unit_of(run.config.data))) for source in sources])
        report["by_length"] = scores_by_length(scores, lengths, sources)
    return report


def _splits(run: Seq2SeqRun, overrides: Sequence[str]) -> Splits:
    config = override_config(run.config, overrides)
    check_changes(run.config, config, ("data.path",), str(run.path), "this command")
    splits = read_splits(config.data, config.run.seed)
    if isinstance(config.data, PairsData) and config.data.path and file_hash(config.data.path) != run.data_sha256:
        raise UserError(f"{config.data.path} has changed since {run.path} began: restore it, or train again with --overwrite")
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


def _add_bleu(report: dict[str, Any], written: Sequence[str], targets: Sequence[str]) -> None:
    if importlib.util.find_spec("sacrebleu") is None:
        log.info('BLEU is left out, because sacrebleu is not installed: pip install "vqa-rnn[captions]"')
        return
    from sacrebleu.metrics.bleu import BLEU

    bleu = BLEU()
    report["metrics"]["bleu"] = bleu.corpus_score(written, [targets]).score / 100
    report["signature"] = str(bleu.get_signature())


def print_evaluation(report: dict[str, Any], run: str) -> None:
    """Print the report of ``evaluate``.

    Args:
        report: The report.
        run: Name of the run.
    """
    console = Console()
    title = f"{escape(run)}, {report['split']} split, {report['num_pairs']:,} pairs"
    table = Table("", "exact match", "95% interval", title=title, title_justify="left")
    table.add_row(
        "[bold]this model", f"[bold]{_percent(report['metrics']['exact_match'])}", _ends(report["intervals"]["exact_match"])
    )
    for name, floor in report["floors"].items():
        table.add_row(FLOORS[name], _percent(floor["exact_match"]), "")
    console.print(_right(table))
    if "bleu" in report["metrics"]:
        bleu = 100 * report["metrics"]["bleu"]
        console.print(f"BLEU {bleu:.2f}  ({report['signature']})", highlight=False, markup=False, soft_wrap=True)
    if "by_length" in report:
        table = Table("length of the source", "pairs", "exact match", "95% interval")
        for row in report["by_length"]:
            length = f"{row['from']}" if row["from"] == row["to"] else f"{row['from']} to {row['to']}"
            table.add_row(
                length,
                f"{row['num_pairs']:,}",
                _percent(row["exact_match"]),
                _ends(row["interval"]) if row["num_pairs"] >= FEWEST_IMAGES else "-",
            )
        console.print(_right(table))


def _right(table: Table) -> Table:
    for column in table.columns[1:]:
        column.justify = "right"
    return table


def _percent(share: float) -> str:
    return format_metric("exact_match", share)


def _ends(interval: Sequence[float]) -> str:
    return f"{100 * interval[0]:.2f} to {100 * interval[1]:.2f}"
