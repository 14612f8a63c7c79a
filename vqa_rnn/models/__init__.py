"""Models, from features and tokens to scores: text encoder, image attention, fusion, answer head."""

from vqa_rnn.models.model import ModelSizes, VqaModel
from vqa_rnn.models.work import count_products

__all__ = ["ModelSizes", "VqaModel", "count_products"]
