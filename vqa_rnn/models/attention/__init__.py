"""Regions to image vectors.

An attention takes the sizes of its inputs and its options by name, so that it serves in any model; one that reads words
(``reads_words``) takes ``word_size`` as well. Called, it takes

- the regions of distinct images, (B, K, D) float, and (B, K) bool, which of them exist;
- the questions (``EncodedTexts``), with the states of their words where it reads them;
- (N,) int64, each question's image;

and gives ``Attended``. What depends on an image alone is computed once an image.
"""

from typing import Any

from vqa_rnn.models.attention.attended import Attended, Policy
from vqa_rnn.models.attention.bilinear import BilinearAttention
from vqa_rnn.models.attention.co_attention import CoAttention
from vqa_rnn.models.attention.glimpses import GlimpseAttention
from vqa_rnn.models.attention.mean import MeanPooling
from vqa_rnn.models.attention.recurrent import RecurrentAttention
from vqa_rnn.models.attention.stacked import StackedAttention
from vqa_rnn.models.attention.top_down import TopDownAttention

ATTENTIONS: dict[str, Any] = {
    "none": MeanPooling,
    "top_down": TopDownAttention,
    "stacked": StackedAttention,
    "glimpses": GlimpseAttention,
    "co_attention": CoAttention,
    "bilinear": BilinearAttention,
    "recurrent": RecurrentAttention,
}

__all__ = [
    "ATTENTIONS",
    "Attended",
    "BilinearAttention",
    "CoAttention",
    "GlimpseAttention",
    "MeanPooling",
    "Policy",
    "RecurrentAttention",
    "StackedAttention",
    "TopDownAttention",
]
