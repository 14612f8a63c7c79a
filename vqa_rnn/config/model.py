"""The section ``model``: the network, from features and tokens to scores."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from vqa_rnn.config.attention import Attention, NoAttention, RecurrentAttention, StackedAttention
from vqa_rnn.config.fusion import Fusion, McbFusion, NoFusion, ProductFusion, SumFusion
from vqa_rnn.config.heads import ChoiceHead, ClassifierHead, Head
from vqa_rnn.config.history import History, NoHistory
from vqa_rnn.config.reasoning import Mcan, NoReasoning, Reasoning
from vqa_rnn.config.section import Section
from vqa_rnn.config.text import RecurrentTextEncoder, TextEncoderConfig


class ModelConfig(Section):
    """The network, from features and tokens to scores."""

    question: TextEncoderConfig = RecurrentTextEncoder()
    """How questions and choices are encoded."""
    history: History = NoHistory()
    """How the dialog history is encoded."""
    attention: Attention = NoAttention()
    """How the regions are combined into one image vector."""
    fusion: Fusion = ProductFusion()
    """How question and image are combined into one joint vector."""
    reasoning: Reasoning = NoReasoning()
    """A network that computes the joint vector from words and regions, in place of attention and fusion."""
    head: Head = ClassifierHead()
    """How the answer is predicted from the joint vector, and with which loss."""
    feature_scaling: Literal["standardise", "unit"] = "standardise"
    """`standardise`: scale each channel by its mean and standard deviation over the training images; `unit`: scale each region
    to length 1."""
    geometry: bool = False
    """Append to each region the corners and the area of its box. Regions without boxes are taken as the cells of a square
    grid."""
    feature_dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout on the region features."""
    ablate: Literal["none", "question_only", "image_only", "choices_only"] = "none"
    """Hide inputs from the model: `question_only` hides the image, `image_only` the question, `choices_only` both."""

    @field_validator("question", mode="before")
    @classmethod
    def _default_question_encoder(cls, value: Any) -> Any:
        return {"name": "recurrent", **value} if isinstance(value, Mapping) else value

    @model_validator(mode="after")
    def _check_transformer(self) -> "ModelConfig":
        """Refuse a transformer for parts that read word by word: its word states depend on the whole text."""
        if self.question.name == "transformer":
            for part, name in (("head", "generative"), ("history", "late_fusion")):
                if getattr(self, part).name == name:
                    raise ValueError(f"{part}.name={name} reads word by word: it needs question.name=recurrent")
        return self

    @model_validator(mode="after")
    def _check_hard_attention(self) -> "ModelConfig":
        if isinstance(self.attention, RecurrentAttention) and self.attention.hard and self.head.name == "generative":
            raise ValueError("attention.hard=true learns from answer scores, which head.name=generative does not have")
        return self

    @model_validator(mode="after")
    def _check_word_attention(self) -> "ModelConfig":
        part = "attention" if self.reasoning.name == "none" else "reasoning"
        name = getattr(self, part).name
        if name not in ("co_attention", "bilinear", "mcan", "word_attention"):
            return self
        if self.history.name != "none":
            raise ValueError(
                f"{part}.name={name} reads only the words of the question and would ignore the history: "
                f"set history.name=none, or take another {part}"
            )
        if self.question.pooling == "attention":
            raise ValueError(
                f"{part}.name={name} weighs the words by itself and ignores question.pooling=attention: "
                "set question.pooling=last"
            )
        return self

    @property
    def has_published_history(self) -> bool:
        """Whether the history encoder computes the joint vector, in place of attention and fusion."""
        return getattr(self.history, "published", False)

    @model_validator(mode="after")
    def _check_published_history(self) -> "ModelConfig":
        if not self.has_published_history:
            return self
        if (self.attention, self.reasoning) != (NoAttention(), NoReasoning()) or self.fusion not in (
            NoFusion(),
            ProductFusion(),
        ):
            raise ValueError(
                "history.published=true joins question, history and image by itself: set model.attention.name=none, "
                "model.fusion.name=none and model.reasoning.name=none"
            )
        question = self.question
        if question.name != "recurrent" or question.bidirectional or question.pooling != "last":
            raise ValueError(
                "history.published=true reads the last state of words in one direction: set question.name=recurrent, "
                "question.bidirectional=false and question.pooling=last"
            )
        if self.ablate in ("image_only", "choices_only"):
            raise ValueError(
                f"history.published=true cannot leave the question out: set history.published=false for ablate={self.ablate}"
            )
        return self

    @model_validator(mode="after")
    def _check_choice_projection(self) -> "ModelConfig":
        head = self.head
        if isinstance(head, ChoiceHead) and not head.project and (not self.has_published_history or head.choices != "texts"):
            raise ValueError(
                "head.project=false needs history.published=true and head.choices=texts, whose vectors have the same size: "
                "set them, or head.project=true"
            )
        return self

    @model_validator(mode="after")
    def _check_reasoning(self) -> "ModelConfig":
        if self.has_published_history:
            return self
        if self.reasoning.name == "none":
            if self.fusion == NoFusion():
                raise ValueError(
                    "fusion.name=none needs a reasoning network: set model.reasoning.name, or another model.fusion.name"
                )
        elif self.attention != NoAttention() or self.fusion not in (NoFusion(), ProductFusion()):
            raise ValueError(
                f"reasoning.name={self.reasoning.name} stands in for attention and fusion: set model.attention.name=none and "
                "model.fusion.name=none"
            )
        return self

    @model_validator(mode="after")
    def _check_ablation(self) -> "ModelConfig":
        if isinstance(self.fusion, McbFusion) and self.ablate != "none":
            raise ValueError(
                f"fusion.name=mcb has no weights, so that ablate={self.ablate} would make its output zero: use another fusion"
            )
        return self

    @model_validator(mode="after")
    def _check_image_fusion(self) -> "ModelConfig":
        if self.fusion.name == "image" and self.attention.name != "stacked":
            raise ValueError("fusion.name=image needs attention.name=stacked, whose image vector includes the question")
        return self

    @model_validator(mode="after")
    def _check_projection_sizes(self) -> "ModelConfig":
        question, attention, reasoning = self.question, self.attention, self.reasoning
        if question.name == "transformer" and question.alone:
            return self  # the config does not contain the size of its states
        size = question.hidden_size * (2 if question.bidirectional else 1)
        if question.name == "recurrent" and question.alone:
            size = question.embedding_size
        vector_size = None if question.pooling == "all_states" else size * question.num_glimpses
        if isinstance(attention, StackedAttention) and not attention.project_question and vector_size != attention.hidden_size:
            raise ValueError(
                f"attention.project_question=false needs a question vector of attention.hidden_size={attention.hidden_size}, "
                f"but question.hidden_size={question.hidden_size} gives another size: change one of them, or set "
                "project_question=true"
            )
        if isinstance(reasoning, Mcan) and not reasoning.project_words and size != reasoning.hidden_size:
            raise ValueError(
                f"reasoning.project_words=false needs word states of reasoning.hidden_size={reasoning.hidden_size}, but "
                f"question.hidden_size={question.hidden_size} gives another size: change one of them, or set "
                "project_words=true"
            )
        return self

    @model_validator(mode="after")
    def _check_sum_fusion(self) -> "ModelConfig":
        if isinstance(self.fusion, SumFusion) and self.fusion.hidden_size is None and self.attention.name != "bilinear":
            raise ValueError(
                "fusion.name=sum with hidden_size=null needs attention.name=bilinear, whose vectors have the same size"
            )
        return self

    @model_validator(mode="after")
    def _check_history_cell(self) -> "ModelConfig":
        other = getattr(self.history, "cell", None)
        if self.question.pooling == "all_states" and other not in (None, self.question.cell):
            raise ValueError("question.pooling=all_states makes vectors whose size depends on the cell: leave out history.cell")
        if self.question.alone and other is not None:
            raise ValueError("question.alone=true and history.cell give vectors of different sizes: leave one of them out")
        return self
