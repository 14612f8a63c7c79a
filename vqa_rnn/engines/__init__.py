"""Training and evaluation with Ignite engines, in one process or several."""

from ignite.utils import manual_seed

from vqa_rnn.engines.captions import CollectTexts, TokenCider, build_caption_evaluator, build_writer
from vqa_rnn.engines.distributed import (
    choose_device,
    computing_with,
    is_first,
    launched,
    launched_here,
    on_first,
    own_device,
    processes,
    processes_here,
)
from vqa_rnn.engines.evaluator import CollectAnswers, build_evaluator, largest_of_all
from vqa_rnn.engines.handlers import ACCURACY, CIDER, Training, copy_for_average
from vqa_rnn.engines.loggers import Loggers
from vqa_rnn.engines.optimization import build_optimization
from vqa_rnn.engines.rate import training_rate
from vqa_rnn.engines.trainer import Examples, build_trainer

__all__ = [
    "ACCURACY",
    "CIDER",
    "CollectAnswers",
    "CollectTexts",
    "Examples",
    "Loggers",
    "TokenCider",
    "Training",
    "build_caption_evaluator",
    "build_evaluator",
    "build_optimization",
    "build_trainer",
    "build_writer",
    "choose_device",
    "computing_with",
    "copy_for_average",
    "is_first",
    "largest_of_all",
    "launched",
    "launched_here",
    "manual_seed",
    "on_first",
    "own_device",
    "processes",
    "processes_here",
    "training_rate",
]
