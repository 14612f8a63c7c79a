"""Fusions: question and image vectors to one joint vector.

A fusion is created from the sizes of its inputs and its options as keyword arguments, so that it fits any model. It is called
with

- the questions, (N, H) float;
- image vectors, (M, D) float;
- (N,) int64, each question's row among the image vectors, or None if there is one per question;

and returns (N, J) float, where J is its ``output_size``. What depends on an image alone is computed once per image.
"""

from typing import Any

from vqa_rnn.models.fusion.count_sketch import CompactFusion
from vqa_rnn.models.fusion.factorised import BlockFusion, FactorisedFusion, LowRankFusion, MutanFusion, TuckerFusion
from vqa_rnn.models.fusion.pointwise import ConcatFusion, GatedFusion, ImageFusion, ProductFusion, SumFusion

FUSIONS: dict[str, Any] = {
    "image": ImageFusion,
    "sum": SumFusion,
    "product": ProductFusion,
    "concat": ConcatFusion,
    "gated": GatedFusion,
    "mlb": LowRankFusion,
    "mutan": MutanFusion,
    "mfb": FactorisedFusion,
    "mfh": FactorisedFusion,
    "mcb": CompactFusion,
    "tucker": TuckerFusion,
    "block": BlockFusion,
}

__all__ = [
    "FUSIONS",
    "BlockFusion",
    "CompactFusion",
    "ConcatFusion",
    "FactorisedFusion",
    "GatedFusion",
    "ImageFusion",
    "LowRankFusion",
    "MutanFusion",
    "ProductFusion",
    "SumFusion",
    "TuckerFusion",
]
