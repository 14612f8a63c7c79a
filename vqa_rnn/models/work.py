"""The amount of computation in a model, which the rules for threads and precision use."""

import torch
from torch import nn

from vqa_rnn.config import ModelConfig
from vqa_rnn.models.model import ModelSizes, VqaModel


def count_products(config: ModelConfig, sizes: ModelSizes, num_questions: int) -> int:
    """Count the multiplications of weights, one per weight and question.

    The number of words and regions and the backward pass are ignored.

    Args:
        config: The model.
        sizes: The sizes that depend on the data.
        num_questions: Number of questions that are computed together.

    Returns:
        The number of weights, without embeddings, times the number of questions.
    """
    with torch.device("meta"):
        model = VqaModel(config, sizes)
    words = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}
    return sum(parameter.numel() for parameter in model.parameters() if id(parameter) not in words) * num_questions
