"""The section ``model.head``: how the answer is predicted from the joint vector."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from vqa_rnn.config.section import Section
from vqa_rnn.config.text import CellName, RecurrentOptions


class ClassifierHead(Section):
    """Scores every answer of the answer vocabulary."""

    name: Literal["classifier"] = "classifier"
    hidden_size: int | None = Field(512, ge=1)
    """Size of the hidden layer; null leaves it out."""
    activation: Literal["relu", "gated_tanh"] = "relu"
    """Activation of the hidden layer: relu, or a gated tanh (Teney et al. 2018), which has twice the weights."""
    weight_norm: bool = False
    """Weight normalisation of both layers: learn the direction and the length of each row of weights separately."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout on the hidden layer."""
    loss: Literal["softmax", "sigmoid"] = "softmax"
    """`softmax`: cross-entropy with the answer scores, normalised to sum to 1; `sigmoid`: binary cross-entropy for each
    answer."""
    unknown_answers: Literal["skip", "zero_target"] = "skip"
    """Training questions whose answers are not in the vocabulary. `skip`: leave them out; `zero_target`, with `sigmoid` only:
    train on them with no correct answer."""
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    """With `softmax`, share of the target that is spread evenly over all answers."""

    @model_validator(mode="after")
    def _check_options(self) -> "ClassifierHead":
        _check_label_smoothing(self.label_smoothing, self.loss)
        if self.unknown_answers == "zero_target" and self.loss != "sigmoid":
            raise ValueError("unknown_answers=zero_target needs loss=sigmoid: a softmax needs a correct answer")
        if self.dropout > 0 and self.hidden_size is None:
            raise ValueError("dropout is for the hidden layer, and hidden_size=null leaves it out: set one of them")
        if self.activation != "relu" and self.hidden_size is None:
            raise ValueError("activation is for the hidden layer, and hidden_size=null leaves it out: set one of them")
        return self


def _check_label_smoothing(label_smoothing: float, loss: str) -> None:
    if label_smoothing > 0 and loss != "softmax":
        raise ValueError(f"label_smoothing is for loss=softmax; loss={loss} does not use it")


def _check_target(target: str, loss: str, choices: str) -> None:
    if target == "relevance" and (loss != "softmax" or choices != "texts"):
        raise ValueError("target=relevance needs loss=softmax and choices=texts")


def _check_encoder(cell: str | None, num_layers: int | None, choices: str) -> None:
    for name, value in (("cell", cell), ("num_layers", num_layers)):
        if value is not None and choices != "texts":
            raise ValueError(f"{name} is for choices=texts; choices=regions does not use it")


class ChoiceHead(Section):
    """Scores any number of choices by their dot product with the joint vector."""

    name: Literal["choice"] = "choice"
    choices: Literal["texts", "regions"] = "texts"
    """`texts`: each choice is a text; `regions`: each choice is a region of the image (pointing)."""
    cell: CellName | None = None
    """Recurrent cell of the encoder that reads the choices, otherwise like the question encoder; null uses the question
    encoder's cell."""
    num_layers: int | None = Field(None, ge=1)
    """Number of layers of that encoder; null uses the question encoder's."""
    project: bool = True
    """Pass the joint vector and each choice through a linear layer first. `false`, as published for dialogs, needs a joint
    vector and choice vectors of the same size."""
    loss: Literal["softmax", "sigmoid"] = "softmax"
    """`softmax`: cross-entropy over the choices; `sigmoid`: binary cross-entropy for each triplet of image, question and
    choice."""
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    """With `softmax`, share of the target that is spread evenly over the choices."""
    target: Literal["truth", "relevance"] = "truth"
    """`truth`: the correct choice; `relevance`: the relevance scores given by people, normalised to sum to 1. `relevance`
    trains only on questions with such scores and selects the epoch with the highest NDCG."""

    @model_validator(mode="after")
    def _check_options(self) -> "ChoiceHead":
        _check_target(self.target, self.loss, self.choices)
        _check_encoder(self.cell, self.num_layers, self.choices)
        _check_label_smoothing(self.label_smoothing, self.loss)
        return self


class MlpChoiceHead(Section):
    """Scores any number of choices by an MLP over the joint vector and the choice (Jabri et al. 2016)."""

    name: Literal["mlp_choice"] = "mlp_choice"
    choices: Literal["texts", "regions"] = "texts"
    """`texts`: each choice is a text; `regions`: each choice is a region of the image (pointing)."""
    cell: CellName | None = None
    """Recurrent cell of the encoder that reads the choices, otherwise like the question encoder; null uses the question
    encoder's cell."""
    num_layers: int | None = Field(None, ge=1)
    """Number of layers of that encoder; null uses the question encoder's."""
    hidden_size: int = Field(1024, ge=1)
    """Size of the hidden layer."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout on the hidden layer."""
    loss: Literal["softmax", "sigmoid"] = "sigmoid"
    """`sigmoid`: binary cross-entropy for each triplet of image, question and choice; `softmax`: cross-entropy over the
    choices."""
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    """With `softmax`, share of the target that is spread evenly over the choices."""
    target: Literal["truth", "relevance"] = "truth"
    """`truth`: the correct choice; `relevance`: the relevance scores given by people, normalised to sum to 1. `relevance`
    trains only on questions with such scores and selects the epoch with the highest NDCG."""

    @model_validator(mode="after")
    def _check_options(self) -> "MlpChoiceHead":
        _check_target(self.target, self.loss, self.choices)
        _check_encoder(self.cell, self.num_layers, self.choices)
        _check_label_smoothing(self.label_smoothing, self.loss)
        return self


class GenerativeHead(RecurrentOptions):
    """Generates an answer or a caption word by word, and scores a choice by its log-probability (Das et al. 2017)."""

    name: Literal["generative"] = "generative"
    conditioning: Literal["first_state", "first_word", "first_step", "every_step"] = "first_state"
    """Where the joint vector enters the decoder. `first_state`: it sets the first state; `first_word`: it is read as a word
    before all others (Show and Tell); `first_step` and `every_step`: it is concatenated to the first or to each word, so that
    its product with a weight matrix is added in the recurrence."""
    look: Literal["none", "soft", "spatial"] = "none"
    """Attention over the regions at each word. `soft`: the state before the last word looks, and the decoder reads what it saw
    with that word (Show, Attend and Tell); `spatial`: the state after the last word looks (Lu et al. 2017)."""
    look_size: int = Field(256, ge=1)
    """Size of the hidden layer of the attention."""
    coverage: float = Field(0.0, ge=0)
    """With `look`, weight of the penalty that asks for a total weight of 1 for each region over all words (doubly
    stochastic attention)."""
    objective: Literal["cross_entropy", "self_critical"] = "cross_entropy"
    """What training optimises. `self_critical`: the CIDEr-D of sampled captions, compared with that of the greedy ones
    (Rennie et al. 2017); start from a trained run with `training.start_from`."""
    scheduled_sampling: float = Field(0.0, ge=0, le=1)
    """In training, read a word that the decoder sampled instead of the true word with this probability."""
    scheduled_sampling_steps: int = Field(1000, ge=1)
    """Optimizer steps over which the probability of `scheduled_sampling` rises linearly from 0 to its value."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout on the decoder's word vectors and on the states that words are predicted from."""
    max_tokens: int = Field(20, ge=1)
    """Maximum number of words in a generated text."""

    @model_validator(mode="after")
    def _check_first_state(self) -> "GenerativeHead":
        if self.first_state == "learned" and self.conditioning == "first_state":
            raise ValueError("first_state=learned needs another conditioning: with first_state the joint vector sets the state")
        return self

    @model_validator(mode="after")
    def _check_look(self) -> "GenerativeHead":
        if self.coverage > 0 and self.look == "none":
            raise ValueError("coverage is for look=soft or spatial: without attention there are no weights")
        return self

    @model_validator(mode="after")
    def _check_objective(self) -> "GenerativeHead":
        if self.objective == "self_critical":
            for name in ("scheduled_sampling", "coverage"):
                if getattr(self, name) > 0:
                    raise ValueError(f"{name} is for objective=cross_entropy; self_critical samples whole captions")
        return self

    @model_validator(mode="before")
    @classmethod
    def _check_direction(cls, options: Any) -> Any:
        if isinstance(options, dict) and "bidirectional" in options:
            raise ValueError("a decoder writes from the first word to the last: it cannot be bidirectional")
        return options


Head = Annotated[ClassifierHead | ChoiceHead | MlpChoiceHead | GenerativeHead, Field(discriminator="name")]
