"""The whole model: texts and features in, scores out.

Shape letters: B images, N questions, K regions, D region size, H question vector size, J joint size.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from vqa_rnn.batch import Batch
from vqa_rnn.config import ChoiceHead as ChoiceConfig
from vqa_rnn.config import MlpChoiceHead, ModelConfig, NoHistory, Section, TextEncoderOptions
from vqa_rnn.dropout import Dropout
from vqa_rnn.models.attention import ATTENTIONS, Attended, Policy
from vqa_rnn.models.attention.mean import mean_of_regions
from vqa_rnn.models.decoding import Method, Written, greedy
from vqa_rnn.models.dialog import PUBLISHED
from vqa_rnn.models.fusion import FUSIONS
from vqa_rnn.models.generative import GenerativeHead
from vqa_rnn.models.heads import ANSWER_HEADS, ChoiceHead, TextChoices
from vqa_rnn.models.history import HISTORY_ENCODERS
from vqa_rnn.models.layers import grid_side
from vqa_rnn.models.reasoning import REASONING, Reasoned
from vqa_rnn.models.text_encoder import EncodedTexts, TextEncoder

GEOMETRY_SIZE = 5
SMALLEST_STD = 0.01


@dataclass(frozen=True, slots=True)
class ModelSizes:
    """Sizes of a model that depend on the data.

    Attributes:
        vocabulary_size: Number of words, with padding and the unknown word.
        feature_size: D.
        num_answers: Size of the answer vocabulary; used by the classifier only.
        transformer: Settings of a pretrained text encoder, from ``pretrained_text.read_settings``; None without one.
    """

    vocabulary_size: int
    feature_size: int
    num_answers: int
    transformer: Mapping[str, Any] | None = None


class Encoded(NamedTuple):
    """A batch before the answer head.

    Attributes:
        joint: (N, J) float, the joint vector of question and image.
        regions: (B, K, D) float, the regions as the model sees them.
        maps: (N, looks, K) float, the weight of each region in each look; None if regions are not weighed.
        word_maps: (N, looks, T) float, the weight of each word of the question; None if words are not weighed.
        policy: The regions that a hard attention sampled in training; else None.
    """

    joint: Tensor
    regions: Tensor
    maps: Tensor | None
    word_maps: Tensor | None = None
    policy: Policy | None = None


class Sampled(NamedTuple):
    """Output of ``VqaModel.forward`` in training with a hard attention, which depends on sampled regions.

    Attributes:
        logits: (N, A) or (N, C) float32, depending on the head.
        policy: The sampled regions.
    """

    logits: Tensor
    policy: Policy


class VqaModel(nn.Module):
    """Question encoder, history encoder, image attention and fusion, and answer head.

    A reasoning network can replace attention and fusion; a published dialog encoder replaces the history encoder as well.
    Features are standardised per channel with the mean and standard deviation over the training images, which are buffers
    and are saved with the weights; by option each region is scaled to length 1 instead. An ablated image is replaced by zeros
    before the attention, an ablated question after its encoder, so that what remains of it is a learned constant.
    """

    feature_mean: Tensor
    feature_std: Tensor

    def __init__(self, config: ModelConfig, sizes: ModelSizes) -> None:
        super().__init__()
        self.sees_question = config.ablate in ("none", "question_only")
        self.sees_image = config.ablate in ("none", "image_only")
        self.register_buffer("feature_mean", torch.zeros(sizes.feature_size))
        self.register_buffer("feature_std", torch.ones(sizes.feature_size))
        self.feature_scaling = config.feature_scaling
        self.has_geometry = config.geometry
        # little would be learned from few numbers among many: they are scaled to weigh as much as all features together
        self.geometry_weight = ((1 if config.feature_scaling == "unit" else sizes.feature_size) / GEOMETRY_SIZE) ** 0.5
        self.feature_dropout = Dropout(config.feature_dropout)
        region_size = sizes.feature_size + (GEOMETRY_SIZE if config.geometry else 0)
        published = config.has_published_history
        beside_size = getattr(config.history, "image_embedding_size", 0) if published else 0
        self.question_encoder = TextEncoder(config.question, sizes.vocabulary_size, sizes.transformer, beside_size=beside_size)
        self.dialog: nn.Module | None = None
        self.reasoning: nn.Module | None = None
        self.attention: nn.Module | None = None
        self.fusion: nn.Module | None = None
        self.reads_words = False
        if published:
            facts = self._another_encoder(config.question.with_cell(getattr(config.history, "cell", None)), sizes)
            self.dialog = PUBLISHED[config.history.name](config.history, region_size, facts)  # type: ignore[arg-type]
            joint_size: Any = self.dialog.output_size
        else:
            joint_size = self._join_question_and_image(config, region_size)
        choices = config.question
        if isinstance(config.head, ChoiceConfig | MlpChoiceHead):
            choices = choices.with_cell(config.head.cell, config.head.num_layers)
        choice_encoder = self._another_encoder(choices, sizes)
        head = ANSWER_HEADS[config.head.name]
        self.head = head(config.head, joint_size, sizes.num_answers, region_size, choice_encoder)  # type: ignore[arg-type]
        history = NoHistory() if published else config.history
        fact_cell = getattr(history, "cell", None)
        facts = self._another_encoder(config.question.with_cell(fact_cell), sizes) if fact_cell else self.question_encoder
        self.history = HISTORY_ENCODERS[history.name](history, facts)  # type: ignore[arg-type]

    def _join_question_and_image(self, config: ModelConfig, region_size: int) -> int:
        """Create attention and fusion, or the reasoning network that replaces them; return J."""
        reasons = config.reasoning.name != "none"
        looks = REASONING[config.reasoning.name] if reasons else ATTENTIONS[config.attention.name]
        self.reads_words = looks.reads_words
        word_size = {"word_size": self.question_encoder.word_size} if looks.reads_words else {}
        options = _options(config.reasoning if reasons else config.attention)
        look = looks(region_size, self.question_encoder.output_size, **word_size, **options)
        if reasons:
            self.reasoning = look
            return int(look.output_size)
        self.attention = look
        self.fusion = FUSIONS[config.fusion.name](look.question_size, look.output_size, **_options(config.fusion))
        return int(self.fusion.output_size)  # type: ignore[arg-type]

    def _another_encoder(self, config: TextEncoderOptions, sizes: ModelSizes) -> TextEncoder:
        """Create a text encoder with its own recurrent network that shares the question encoder's embedding."""
        encoder = TextEncoder(config, sizes.vocabulary_size, sizes.transformer)
        encoder.embedding = self.question_encoder.embedding
        return encoder

    def set_feature_statistics(self, mean_D: Tensor, std_D: Tensor) -> None:
        """Set the mean and standard deviation that features are standardised with.

        Args:
            mean_D: (D,) float.
            std_D: (D,) float; constant channels are not scaled. The others are clamped to at least ``SMALLEST_STD`` times
                their median: a channel that is constant except in a few regions has a standard deviation near 0, and its
                standardised values would reach hundreds of thousands there.
        """
        changes_D = std_D > 1e-6
        smallest = SMALLEST_STD * std_D[changes_D].median() if changes_D.any() else 1.0
        self.feature_mean.copy_(mean_D)
        self.feature_std.copy_(torch.where(changes_D, std_D.clamp(min=smallest), torch.ones_like(std_D)))

    @property
    def standardises(self) -> bool:
        """Whether the model uses the mean and standard deviation of each channel."""
        return self.feature_scaling == "standardise" and self.sees_image

    def compile_parts(self) -> None:
        """Compile attention, fusion and reasoning in place.

        The recurrent text encoders depend on the lengths of texts and have their own kernels.
        """
        for part in (self.attention, self.fusion, self.reasoning):
            if part is not None:
                part.compile(dynamic=True)

    def regions(self, batch: Batch) -> Tensor:
        """Compute the regions as the model sees them.

        Args:
            batch: The batch, on the model's device.

        Returns:
            (B, K, D) float, with D including the geometry; 0 if the image is ablated.
        """
        features_BKD = batch.features.to(self.feature_mean.dtype)
        if self.feature_scaling == "unit":
            features_BKD = functional.normalize(features_BKD, dim=2)
        else:
            features_BKD = (features_BKD - self.feature_mean) / self.feature_std
        features_BKD = self.feature_dropout(features_BKD)
        if self.has_geometry:
            boxes = grid_boxes(features_BKD) if batch.boxes is None else batch.boxes
            geometry_BK5 = _geometry(boxes.to(features_BKD)) * self.geometry_weight
            features_BKD = torch.cat([features_BKD, geometry_BK5], dim=2)
        return features_BKD if self.sees_image else torch.zeros_like(features_BKD)

    def encode(self, batch: Batch) -> Encoded:
        """Compute everything before the answer head.

        Args:
            batch: The batch, on the model's device.

        Returns:
            The joint vectors, the regions that a head may choose from, and the attention maps.
        """
        if self.dialog is not None:
            regions_BKD = self.regions(batch)
            images_BD = mean_of_regions(regions_BKD, batch.region_mask)
            return Encoded(self.dialog(self.question_encoder, images_BD, batch), regions_BKD, None)
        questions, regions_BKD = self._read_questions(batch), self.regions(batch)  # this order fixes that of the dropout masks
        inputs = regions_BKD, batch.region_mask, questions, batch.image_index
        if self.reasoning is not None:
            reasoned: Reasoned = self.reasoning(*inputs)
            return Encoded(reasoned.joint, regions_BKD, reasoned.maps, reasoned.word_maps)
        assert self.attention is not None
        assert self.fusion is not None
        attended: Attended = self.attention(*inputs)
        joint_NJ = self.fusion(attended.question, attended.image, attended.image_index)
        return Encoded(joint_NJ, regions_BKD, attended.maps, attended.word_maps, attended.policy)

    def _read_questions(self, batch: Batch) -> EncodedTexts:
        """Encode the questions with their history, and their words if attention or reasoning reads them."""
        if self.reads_words:
            questions = self.question_encoder.encode_words(batch.question_tokens, batch.question_lengths)
        else:
            vectors_NH = self.question_encoder.encode_texts(batch.question_tokens, batch.question_lengths)
            questions = EncodedTexts.without_words(vectors_NH)
        if len(batch.fact_tokens) > 0:
            questions = questions._replace(vectors=self.history(questions.vectors, batch))
        if not self.sees_question:
            zeros = torch.zeros_like
            questions = EncodedTexts(zeros(questions.vectors), zeros(questions.words), questions.mask)
        return questions

    def answer(self, encoded: Encoded, batch: Batch) -> Tensor:
        """Apply the answer head.

        Args:
            encoded: Output of ``encode``.
            batch: The same batch.

        Returns:
            (N, A) or (N, C) float32 logits, depending on the head; (N,) log-probabilities from a generative head in training.
        """
        return self.head(encoded.joint, encoded.regions, batch)

    def forward(self, batch: Batch) -> Tensor | Sampled:
        """Score the answers of every question.

        Args:
            batch: The batch, on the model's device.

        Returns:
            (N, A) or (N, C) float32 logits, depending on the head. In training a generative head returns (N,)
            log-probabilities, and with a hard attention the logits are in ``Sampled``.
        """
        encoded = self.encode(batch)
        logits = self.answer(encoded, batch)
        return logits if encoded.policy is None else Sampled(logits, encoded.policy)

    @property
    def text_choices(self) -> TextChoices | None:
        """The part of the head that encodes choice texts, independently of the question; None if there is none."""
        choices = self.head.choices if isinstance(self.head, ChoiceHead) else None
        return choices if isinstance(choices, TextChoices) else None

    def write(self, batch: Batch, method: Method = greedy, encoded: Encoded | None = None) -> Written:
        """Generate an answer to every question.

        Args:
            batch: The batch, on the model's device.
            method: ``greedy``, or a ``partial`` of ``draw`` or ``beam_search``, from ``models.decoding``.
            encoded: Output of ``encode`` for the same batch, if it exists already.

        Returns:
            The texts.

        Raises:
            TypeError: If the head does not generate text.
        """
        if not isinstance(self.head, GenerativeHead):
            raise TypeError(f"only head.name=generative generates text, not {type(self.head).__name__}")
        encoded = encoded or self.encode(batch)
        return self.head.generate(encoded.joint, encoded.regions, batch, method)

    def looks(self, batch: Batch, written: Written, encoded: Encoded) -> Tensor | None:
        """Compute where a generative head looked before each word that it wrote.

        Args:
            batch: The batch, on the model's device.
            written: Texts of ``write`` for the batch.
            encoded: Output of ``encode`` for the same batch.

        Returns:
            (N, T + 1, K) float, the weights of the regions before each word and before the end, 0 after it; None if the head
            does not look.
        """
        head = self.head
        if not isinstance(head, GenerativeHead) or head.look is None or batch.num_questions == 0:
            return None
        return head.score(encoded.joint, encoded.regions, batch, written.tokens, written.lengths.cpu()).weights

    def probabilities(self, logits: Tensor) -> Tensor:
        """Compute the probability of each answer or choice.

        Args:
            logits: Output of ``forward``.

        Returns:
            The same shape, from 0 to 1.
        """
        return self.head.probabilities(logits)

    def losses(self, logits: Tensor | Sampled, batch: Batch) -> tuple[Tensor, Tensor]:
        """Compute the loss of each question.

        With a hard attention the gradient includes that of REINFORCE (Ba et al. 2015, section 3) and of the squared error of
        the baseline; the value is the loss of the head alone.

        Args:
            logits: Output of ``forward``.
            batch: The same batch.

        Returns:
            (N,) float32, 0 for questions that do not count because the correct answer is unknown or not among the answers;
            and (N,) bool, True for questions that count.
        """
        if not isinstance(logits, Sampled):
            return self.head.losses(logits, batch)
        losses_N, counts_N = self.head.losses(logits.logits, batch)
        reward_N = self.head.question_scores(logits.logits.detach(), batch).float()
        surplus_N = reward_N - logits.policy.baseline.float()
        chosen_N = surplus_N.square() - surplus_N.detach() * logits.policy.log_p.float()
        return losses_N + (chosen_N - chosen_N.detach()) * counts_N, counts_N

    def loss(self, logits: Tensor | Sampled, batch: Batch) -> Tensor:
        """Compute the mean loss.

        Args:
            logits: Output of ``forward``.
            batch: The same batch.

        Returns:
            () float32, the mean over the questions that count; 0 if there are none.
        """
        losses_N, counts_N = self.losses(logits, batch)
        return losses_N.sum() / counts_N.sum().clamp(min=1)

    def question_scores(self, logits: Tensor, batch: Batch) -> Tensor:
        """Compute the score of the top answer to each question, or the NDCG of its choices.

        Args:
            logits: Output of ``forward``.
            batch: The same batch.

        Returns:
            (N,) float32, as fractions.
        """
        return self.head.question_scores(logits, batch)


def _options(section: Section) -> dict[str, Any]:
    """Return the options of a section as keyword arguments of its class."""
    return {name: value for name, value in section if name != "name"}


def grid_boxes(features_BKD: Tensor) -> Tensor:
    """Return the boxes of the cells of a square grid.

    Args:
        features_BKD: (B, K, D); K is a square number, with the cells row by row.

    Returns:
        (B, K, 4) x1 y1 x2 y2 as fractions of the image.

    Raises:
        ValueError: If K is not a square number.
    """
    num_images, num_regions = features_BKD.shape[:2]
    side = grid_side(num_regions)
    cell = torch.arange(num_regions, device=features_BKD.device)
    corner_K2 = torch.stack([cell % side, cell // side], dim=1).to(features_BKD.dtype)
    return (torch.cat([corner_K2, corner_K2 + 1], dim=1) / side).expand(num_images, -1, -1)


def _geometry(boxes_BK4: Tensor) -> Tensor:
    """Return (B, K, 5): the corners and the area of each box, each scaled to -1 to 1."""
    width_height_BK2 = boxes_BK4[:, :, 2:] - boxes_BK4[:, :, :2]
    area_BK1 = width_height_BK2.prod(dim=2, keepdim=True)
    return 2 * torch.cat([boxes_BK4, area_BK1], dim=2) - 1
