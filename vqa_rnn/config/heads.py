"""`model.head`: how the joint vector becomes an answer."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from vqa_rnn.config.section import Section
from vqa_rnn.config.text import CellName, RecurrentOptions


class ClassifierHead(Section):
    """Scores every answer of the answer vocabulary."""

    name: Literal["classifier"] = "classifier"
    hidden_size: int | None = Field(512, ge=1)
    """Size of the layer before the answers; null goes from the joint vector to the answers at once."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout on that layer."""
    loss: Literal["softmax", "sigmoid"] = "softmax"
    """`softmax`: one answer is right, its share given by what people said; `sigmoid`: each is right or not by itself."""
    unknown_answers: Literal["skip", "zero_target"] = "skip"
    """Training questions without an answer in the vocabulary. `skip`: they are left out; `zero_target`, for `sigmoid`: no
    answer is right."""
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    """`softmax`: share of the target spread evenly over all answers."""

    @model_validator(mode="after")
    def _options_are_used(self) -> "ClassifierHead":
        _check_label_smoothing(self.label_smoothing, self.loss)
        if self.unknown_answers == "zero_target" and self.loss != "sigmoid":
            raise ValueError("unknown_answers=zero_target needs loss=sigmoid: a softmax says that one of the answers is right")
        if self.dropout > 0 and self.hidden_size is None:
            raise ValueError("dropout is for the hidden layer, and hidden_size=null leaves it out: set one of them")
        return self


def _check_label_smoothing(label_smoothing: float, loss: str) -> None:
    if label_smoothing > 0 and loss != "softmax":
        raise ValueError(f"label_smoothing is for loss=softmax; loss={loss} does not use it")


def _check_target(target: str, loss: str, choices: str) -> None:
    if target == "relevance" and (loss != "softmax" or choices != "texts"):
        raise ValueError("target=relevance needs loss=softmax and choices=texts: it is a share for each choice, and of texts")


def _check_cell(cell: str | None, choices: str) -> None:
    if cell is not None and choices != "texts":
        raise ValueError("cell reads choices that are texts: leave it out with choices=regions")


class ChoiceHead(Section):
    """Scores any number of choices by a product with the joint vector."""

    name: Literal["choice"] = "choice"
    choices: Literal["texts", "regions"] = "texts"
    """`regions`: pointing, each choice is a region of the image."""
    cell: CellName | None = None
    """The cell of the network that reads choices, else like the question's; null takes the question's."""
    project: bool = True
    """Pass the joint vector and each choice through a layer first; `false`, as published for dialogs, needs a joint vector of a
    choice's size."""
    loss: Literal["softmax", "sigmoid"] = "softmax"
    """`softmax`: one choice is right; `sigmoid`: each triplet of image, question and choice is right or not by itself."""
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    """`softmax`: share of the target spread evenly over the choices."""
    target: Literal["truth", "relevance"] = "truth"
    """`truth`: the correct choice; `relevance`: what people judged, made to sum to 1; then only questions that were judged
    are trained on, and the best epoch is that of the highest NDCG."""

    @model_validator(mode="after")
    def _target_fits(self) -> "ChoiceHead":
        _check_target(self.target, self.loss, self.choices)
        _check_cell(self.cell, self.choices)
        _check_label_smoothing(self.label_smoothing, self.loss)
        return self


class MlpChoiceHead(Section):
    """Scores any number of choices by a layer over the joint vector and the choice (Jabri et al. 2016)."""

    name: Literal["mlp_choice"] = "mlp_choice"
    choices: Literal["texts", "regions"] = "texts"
    """`regions`: pointing, each choice is a region of the image."""
    cell: CellName | None = None
    """The cell of the network that reads choices, else like the question's; null takes the question's."""
    hidden_size: int = Field(1024, ge=1)
    """Size of the layer."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout on that layer."""
    loss: Literal["softmax", "sigmoid"] = "sigmoid"
    """`sigmoid`: each triplet of image, question and choice is right or not by itself; `softmax`: one choice is right."""
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    """`softmax`: share of the target spread evenly over the choices."""
    target: Literal["truth", "relevance"] = "truth"
    """`truth`: the correct choice; `relevance`: what people judged, made to sum to 1; then only questions that were judged
    are trained on, and the best epoch is that of the highest NDCG."""

    @model_validator(mode="after")
    def _target_fits(self) -> "MlpChoiceHead":
        _check_target(self.target, self.loss, self.choices)
        _check_cell(self.cell, self.choices)
        _check_label_smoothing(self.label_smoothing, self.loss)
        return self


class GenerativeHead(RecurrentOptions):
    """Writes an answer word by word, and scores a choice by how probable it is to be written (Das et al. 2017)."""

    name: Literal["generative"] = "generative"
    conditioning: Literal["first_state", "every_step"] = "first_state"
    """Where the joint vector enters: `first_state`, where writing begins; `every_step`, beside each word."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout on the words that are read, and on the states that words are predicted from."""
    max_tokens: int = Field(20, ge=1)
    """Most words of a text that is written."""

    @model_validator(mode="after")
    def _first_state_is_used(self) -> "GenerativeHead":
        if self.first_state == "learned" and self.conditioning == "first_state":
            raise ValueError("first_state=learned needs conditioning=every_step: else the joint vector is the first state")
        return self

    @model_validator(mode="before")
    @classmethod
    def _writes_forwards(cls, options: Any) -> Any:
        if isinstance(options, dict) and "bidirectional" in options:
            raise ValueError("a decoder writes from the first word to the last: it cannot be bidirectional")
        return options


Head = Annotated[ClassifierHead | ChoiceHead | MlpChoiceHead | GenerativeHead, Field(discriminator="name")]
