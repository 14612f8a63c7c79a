"""Attentions: regions to image vectors.

An attention is created from the sizes of its inputs and its options as keyword arguments, so that it fits any model. One that
reads words (``reads_words``) also takes ``word_size``. It is called with

- the regions of the distinct images, (B, K, D) float, and (B, K) bool, which of them exist;
- the questions (``EncodedTexts``), with word states if it reads words;
- (N,) int64, the image of each question;

and returns ``Attended``. What depends on an image alone is computed once per image.
"""

from typing import Any

from vqa_rnn.models.attention.attended import Attended, Policy
from vqa_rnn.models.attention.bilinear import BilinearAttention
from vqa_rnn.models.attention.co_attention import CoAttention
from vqa_rnn.models.attention.glimpses import GlimpseAttention, MfbAttention, MutanAttention
from vqa_rnn.models.attention.mean import MeanPooling
from vqa_rnn.models.attention.recurrent import RecurrentAttention
from vqa_rnn.models.attention.stacked import StackedAttention
from vqa_rnn.models.attention.top_down import TopDownAttention

ATTENTIONS: dict[str, Any] = {
    "none": MeanPooling,
    "top_down": TopDownAttention,
    "stacked": StackedAttention,
    "glimpses": GlimpseAttention,
    "mutan": MutanAttention,
    "mfb": MfbAttention,
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
    "MfbAttention",
    "MutanAttention",
    "Policy",
    "RecurrentAttention",
    "StackedAttention",
    "TopDownAttention",
]
