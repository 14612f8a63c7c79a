"""How much a model computes: what the rules for threads and precision go by."""

import torch
from torch import nn

from vqa_rnn.config import ModelConfig
from vqa_rnn.models.model import ModelSizes, VqaModel


def count_products(config: ModelConfig, sizes: ModelSizes, num_questions: int) -> int:
    """Count the products of weights and questions, one each: words, regions and the backward pass are not counted.

    Args:
        config: The model.
        sizes: What the data fixes about it.
        num_questions: Questions that are computed together.

    Returns:
        Weights, without the vectors of words, times questions.
    """
    with torch.device("meta"):
        model = VqaModel(config, sizes)
    words = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}
    return sum(parameter.numel() for parameter in model.parameters() if id(parameter) not in words) * num_questions
