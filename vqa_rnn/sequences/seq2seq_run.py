"""The run of a sequence-to-sequence model: its kind, its data, its vocabularies and its model."""

import logging
from collections.abc import Sequence
from typing import NamedTuple

from vqa_rnn.config.seq2seq import DatesData, PairsData, Seq2SeqConfig, Seq2SeqData
from vqa_rnn.errors import UserError
from vqa_rnn.progress import counted
from vqa_rnn.sequences.run import Kind, SequenceRun
from vqa_rnn.sequences.seq2seq import Seq2Seq
from vqa_rnn.sequences.seq2seq_data import Pair, PairVocabulary, Splits, Vocabulary, read_pairs, split, split_pairs
from vqa_rnn.sequences.seq2seq_generated import (
    ISO_LENGTH,
    LONGEST_DATE,
    date_characters,
    date_pairs,
    in_order,
    reverse,
    symbol_pairs,
)
from vqa_rnn.sequences.text_vocabulary import Unit

log = logging.getLogger("vqa_rnn")

SEQ2SEQ = Kind("seq2seq", "a sequence-to-sequence model", "vqa-rnn seq2seq train", Seq2SeqConfig, ("data.path",))
Seq2SeqRun = SequenceRun[Seq2SeqConfig]

TARGETS = {"reversal": reverse, "sorting": in_order}


def unit_of(data: Seq2SeqData) -> Unit:
    """Return what a model reads and writes.

    Args:
        data: The section ``data``.

    Returns:
        Characters or words.
    """
    return data.unit if isinstance(data, PairsData) else "characters"


class Longest(NamedTuple):
    """Characters or words of the longest texts.

    Attributes:
        source: Of a text that a model reads.
        target: Of a text that it writes.
    """

    source: int
    target: int


def longest_texts(data: Seq2SeqData) -> Longest:
    """Return how long the texts of a model can be.

    Args:
        data: The section ``data``.

    Returns:
        The longest source and the longest target.
    """
    if isinstance(data, DatesData):
        return Longest(LONGEST_DATE, ISO_LENGTH)
    return Longest(data.max_length, data.max_length)


def vocabulary_of(run: Seq2SeqRun) -> PairVocabulary:
    """Return the vocabularies of a run.

    Args:
        run: The run.

    Returns:
        Its characters or words.
    """
    return PairVocabulary.of(run.entries, unit_of(run.config.data))


def read_splits(data: Seq2SeqData) -> Splits:
    """Read or generate the pairs of all splits.

    Args:
        data: The section ``data``.

    Returns:
        The pairs of ``train``, ``val`` and ``test``. Of a file, those whose source or target is too long are left out.

    Raises:
        UserError: The file cannot be read, or there are too few pairs in it that are not too long.
    """
    if isinstance(data, PairsData):
        return split_pairs(_read_file(data), data.validation_share, data.test_share, data.split_seed)
    if isinstance(data, DatesData):
        pairs = date_pairs(data.num_pairs, data.seed)
    else:
        target_of = TARGETS[data.name]
        pairs = symbol_pairs(target_of, data.alphabet, data.min_length, data.max_length, data.num_pairs, data.seed)
    held_out = data.num_val + data.num_test
    return {"val": pairs[: data.num_val], "test": pairs[data.num_val : held_out], "train": pairs[held_out:]}


def _read_file(data: PairsData) -> list[Pair]:
    if data.path is None:
        raise UserError("data.path is missing: give the file of pairs")
    pairs = read_pairs(data.path)
    kept = [pair for pair in pairs if max(len(split(text, data.unit)) for text in pair) <= data.max_length]
    if len(kept) < len(pairs):
        left_out = counted(len(pairs) - len(kept), "pairs")
        log.info("%s: left out %s with more than data.max_length=%d %s", data.path, left_out, data.max_length, data.unit)
    if not kept:
        raise UserError(f"{data.path}: every pair has more than data.max_length={data.max_length} {data.unit}: raise it")
    return kept


def build_vocabulary(data: Seq2SeqData, splits: Splits) -> PairVocabulary:
    """Collect the characters or words of pairs.

    Args:
        data: The section ``data``.
        splits: The pairs.

    Returns:
        Of generated pairs, all characters that could occur. Of a file, all its characters, so that every text of its kind can
        be read, but only the words of its training split.
    """
    if isinstance(data, DatesData):
        return PairVocabulary(*(Vocabulary.build(text, "characters") for text in (date_characters(), "0123456789-")))
    if not isinstance(data, PairsData):
        return PairVocabulary(*[Vocabulary.build(data.alphabet, "characters")] * 2)
    pairs = splits["train"] if data.unit == "words" else [pair for part in splits.values() for pair in part]
    return PairVocabulary(*(Vocabulary.build(texts, data.unit, data.min_count) for texts in zip(*pairs, strict=True)))


def build_seq2seq(config: Seq2SeqConfig, entries: Sequence[str]) -> Seq2Seq:
    """Build a model with random weights.

    Args:
        config: The config.
        entries: The entries of the vocabularies.

    Returns:
        The model.
    """
    vocabulary = PairVocabulary.of(entries, unit_of(config.data))
    encoder, decoder, attention = config.model.encoder, config.model.decoder, config.model.attention
    return Seq2Seq(
        len(vocabulary.source.entries),
        len(vocabulary.target.entries),
        encoder.cell,
        encoder.hidden_size,
        max_tokens=longest_texts(config.data).target,
        embedding_size=config.model.embedding_size,
        num_layers=encoder.num_layers,
        bidirectional=encoder.bidirectional,
        attention=f"luong_{attention.score}" if attention.name == "luong" else attention.name,
        decoder_cell=decoder.cell,
        decoder_size=decoder.hidden_size,
        decoder_layers=decoder.num_layers,
        reverse_source=config.model.reverse_source,
        dropout=config.model.dropout,
        unknown_id=vocabulary.target.unknown_id,
        **encoder.start(),
    )
