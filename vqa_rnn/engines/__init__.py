"""Ignite engines: functions that return them wired."""

from vqa_rnn.engines.evaluator import CollectAnswers, build_evaluator
from vqa_rnn.engines.handlers import attach_handlers, copy_for_average
from vqa_rnn.engines.precision import faster_precision
from vqa_rnn.engines.trainer import build_optimizer, build_schedule, build_trainer

__all__ = [
    "CollectAnswers",
    "attach_handlers",
    "build_evaluator",
    "build_optimizer",
    "build_schedule",
    "build_trainer",
    "copy_for_average",
    "faster_precision",
]
