"""From features and tokens to scores: text encoder, image attention, fusion, answer head."""

from vqa_rnn.models.model import ModelSizes, VqaModel

__all__ = ["ModelSizes", "VqaModel"]
