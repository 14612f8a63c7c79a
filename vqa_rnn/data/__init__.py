"""Questions and features to batches."""

from vqa_rnn.data.collate import StoreFeatures, make_batch
from vqa_rnn.data.encoding import EncodedQuestions, choice_order, encode_questions
from vqa_rnn.data.loader import QuestionBatches, build_loader
from vqa_rnn.data.sampler import ImageGroupedBatches

__all__ = [
    "EncodedQuestions",
    "ImageGroupedBatches",
    "QuestionBatches",
    "StoreFeatures",
    "build_loader",
    "choice_order",
    "encode_questions",
    "make_batch",
]
