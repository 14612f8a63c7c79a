"""All sections of the config of a sequence-to-sequence model: `Seq2SeqConfig`."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from vqa_rnn.config.section import Section, Share
from vqa_rnn.config.text import CellName, RecurrentOptions
from vqa_rnn.config.training import Optimisation
from vqa_rnn.config.whole import RunConfig

NUM_SYMBOLS = {"letters": 26, "digits": 10}
NUM_DATES = 36_525  # of the years 1950 to 2049


class GeneratedData(Section):
    """Generated pairs. No source occurs twice, in one split or in two."""

    num_train: int = Field(20_000, ge=1)
    """Number of training pairs."""
    num_val: int = Field(1_000, ge=1)
    """Number of validation pairs."""
    num_test: int = Field(2_000, ge=1)
    """Number of test pairs. Training does not read them."""
    seed: int = Field(0, ge=0)
    """Seed of the pairs."""

    @property
    def num_pairs(self) -> int:
        """Number of pairs of all splits."""
        return self.num_train + self.num_val + self.num_test


class SymbolData(GeneratedData):
    """Random strings of letters or digits. Every length is equally likely."""

    symbols: Literal["letters", "digits"] = "letters"
    """What the strings are made of."""
    num_symbols: int | None = Field(None, ge=2)
    """Use only this many of them, such as the letters a to e; null uses all 26 letters or 10 digits."""
    min_length: int = Field(1, ge=1)
    """Shortest length."""
    max_length: int = Field(20, ge=1)
    """Longest length."""

    @property
    def alphabet(self) -> str:
        """The letters or digits."""
        return ("abcdefghijklmnopqrstuvwxyz" if self.symbols == "letters" else "0123456789")[: self.num_symbols]

    @model_validator(mode="after")
    def _check(self) -> Self:
        most = NUM_SYMBOLS[self.symbols]
        if self.num_symbols is not None and self.num_symbols > most:
            raise ValueError(f"num_symbols={self.num_symbols} is too many: there are {most} {self.symbols}")
        if self.min_length > self.max_length:
            raise ValueError(f"min_length={self.min_length} is more than max_length={self.max_length}")
        size = len(self.alphabet)
        longest = min(self.max_length, 64)  # enough for any number of pairs
        there_are = sum(size**length for length in range(min(self.min_length, longest), longest + 1))
        if 2 * self.num_pairs > there_are:
            raise ValueError(
                f"{self.num_pairs:,} different strings are too many: {there_are:,} exist, and at most half of them are used; "
                "raise max_length or num_symbols, or lower num_train"
            )
        return self


class ReversalData(SymbolData):
    """Random strings and the same strings backwards."""

    name: Literal["reversal"] = "reversal"


class SortingData(SymbolData):
    """Random strings and the same symbols in alphabetical order."""

    name: Literal["sorting"] = "sorting"


class DatesData(GeneratedData):
    """Dates from 1950 to 2049, written in many ways, and in the form of ISO 8601. No date is in two splits."""

    name: Literal["dates"] = "dates"

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.num_pairs > NUM_DATES:
            raise ValueError(f"{self.num_pairs:,} different dates are too many: there are {NUM_DATES:,} from 1950 to 2049")
        return self


class PairsData(Section):
    """Pairs of a file."""

    name: Literal["pairs"] = "pairs"
    path: Path | None = None
    """The file, UTF-8: one pair per line, the source and the target separated by a tab."""
    unit: Literal["characters", "words"] = "characters"
    """What the model reads and writes. A word keeps the space before it; punctuation marks are words."""
    min_count: int = Field(2, ge=1)
    """Words that occur less often in the training split are replaced by the unknown word, which is never written. Every
    character is kept."""
    max_length: int = Field(100, ge=1)
    """Pairs with a longer source or target are left out."""
    validation_share: Share = 0.1
    """Share of the sources that are used for validation; 0 trains without validation and keeps the last weights."""
    test_share: Share = 0.0
    """Share of the sources that training does not read."""
    split_seed: int = Field(0, ge=0)
    """Seed of both choices."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.validation_share + self.test_share >= 1:
            raise ValueError(
                f"validation_share={self.validation_share} and test_share={self.test_share} leave nothing to train on"
            )
        return self


Seq2SeqData = Annotated[ReversalData | SortingData | DatesData | PairsData, Field(discriminator="name")]


class EncoderOptions(RecurrentOptions):
    """The network that reads the source."""

    hidden_size: int = Field(128, ge=1)
    """Size of the recurrent state in each direction."""
    bidirectional: bool = True
    """Read the source in both directions."""


class DecoderOptions(Section):
    """The network that writes the target. Its weights are initialised by the options of the encoder."""

    cell: CellName | None = None
    """The recurrent cell; null takes that of the encoder."""
    hidden_size: int | None = Field(None, ge=1)
    """Size of the recurrent state; null takes that of the encoder."""
    num_layers: int | None = Field(None, ge=1)
    """Number of layers; null takes that of the encoder."""


class WithoutAttention(Section):
    """The decoder knows the source only through its first state, as in Sutskever et al. 2014."""

    name: Literal["none"] = "none"


class BahdanauAttention(Section):
    """Additive attention before each step of the decoder (Bahdanau et al. 2015)."""

    name: Literal["bahdanau"] = "bahdanau"


class LuongAttention(Section):
    """Multiplicative attention after each step of the decoder (Luong et al. 2015)."""

    name: Literal["luong"] = "luong"
    score: Literal["dot", "general"] = "general"
    """`dot`: the product of both states, which need the same size; `general`: with a matrix between them."""


Seq2SeqAttention = Annotated[WithoutAttention | BahdanauAttention | LuongAttention, Field(discriminator="name")]


class Seq2SeqModelConfig(Section):
    """The network."""

    embedding_size: int = Field(64, ge=1)
    """Size of the vectors of characters or words."""
    encoder: EncoderOptions = EncoderOptions()
    """The network that reads the source."""
    decoder: DecoderOptions = DecoderOptions()
    """The network that writes the target."""
    attention: Seq2SeqAttention = BahdanauAttention()
    """How the decoder looks at the states of the encoder."""
    reverse_source: bool = False
    """Read the source backwards, as in Sutskever et al. 2014."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout on the input vectors, between layers and before the output layer."""

    @model_validator(mode="after")
    def _check_dot(self) -> "Seq2SeqModelConfig":
        if self.attention.name == "luong" and self.attention.score == "dot":
            encoder = self.encoder.hidden_size * (2 if self.encoder.bidirectional else 1)
            decoder = self.decoder.hidden_size or self.encoder.hidden_size
            if encoder != decoder:
                raise ValueError(
                    f"attention.score=dot needs states of the same size, and the encoder has {encoder}, the decoder {decoder}: "
                    f"set attention.score=general or decoder.hidden_size={encoder}"
                )
        return self


class Seq2SeqTrainingConfig(Optimisation):
    """The optimisation."""

    batch_size: int = Field(64, ge=1)
    """Pairs per optimizer step."""
    max_epochs: int = Field(6, ge=1)
    """Passes over the training pairs."""
    select_by: Literal["exact_match", "loss"] = "exact_match"
    """The validation score that selects the best epoch. `exact_match`: the share of sources whose target is written exactly;
    `loss`: the mean negative log-probability of an entry of the target, for data that nobody translates exactly."""


class Seq2SeqConfig(Section):
    """All options of a sequence-to-sequence model."""

    data: Seq2SeqData = ReversalData()
    """The pairs of source and target."""
    model: Seq2SeqModelConfig = Seq2SeqModelConfig()
    """The network."""
    training: Seq2SeqTrainingConfig = Seq2SeqTrainingConfig()
    """How the model is trained."""
    run: RunConfig = RunConfig()
    """Where the run is saved, the seed and the device."""
