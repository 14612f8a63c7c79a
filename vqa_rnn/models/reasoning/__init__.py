"""Reasoning networks: words and regions to a joint vector, in place of an attention and a fusion.

A reasoning network is created and called like an attention, and returns ``Reasoned``. What depends on an image alone is
computed once per image.
"""

from typing import Any

from vqa_rnn.models.reasoning.film import Film
from vqa_rnn.models.reasoning.mac import Mac
from vqa_rnn.models.reasoning.mcan import Mcan
from vqa_rnn.models.reasoning.reasoned import Reasoned
from vqa_rnn.models.reasoning.relation import RelationNetwork
from vqa_rnn.models.reasoning.word_attention import WordAttention

REASONING: dict[str, Any] = {
    "relation": RelationNetwork,
    "film": Film,
    "mac": Mac,
    "mcan": Mcan,
    "word_attention": WordAttention,
}

__all__ = ["REASONING", "Film", "Mac", "Mcan", "Reasoned", "RelationNetwork", "WordAttention"]
