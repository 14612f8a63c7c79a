"""Optimizers and learning rate schedules, by name."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.optim import SGD, Adam, Adamax, AdamW
from torch.optim.lr_scheduler import LambdaLR

from vqa_rnn.config import ConstantSchedule, CosineSchedule, StepSchedule, TrainingConfig

# adamw: Loshchilov and Hutter 2019, https://arxiv.org/abs/1711.05101; adam, adamax: Kingma and Ba 2015,
# https://arxiv.org/abs/1412.6980. Weight decay is decoupled in adamw alone; in the others it is an L2 penalty.
OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {"adamw": AdamW, "adam": Adam, "adamax": Adamax, "sgd": SGD}


def build_optimizer(model: nn.Module, config: TrainingConfig) -> torch.optim.Optimizer:
    """Make the optimizer; weight decay is for matrices alone.

    Args:
        model: The model.
        config: Optimizer, learning rate and weight decay.

    Returns:
        The optimizer.
    """
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    matrices = [parameter for parameter in parameters if parameter.dim() > 1]
    others = [parameter for parameter in parameters if parameter.dim() <= 1]
    groups = [{"params": matrices, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}]
    options = config.optimizer.model_dump(exclude={"name"})
    return OPTIMIZERS[config.optimizer.name](groups, lr=config.learning_rate, **options)


def _constant(schedule: ConstantSchedule, progress: float, epoch: float) -> float:
    return 1.0


def _steps(schedule: StepSchedule, progress: float, epoch: float) -> float:
    return schedule.factor ** sum(epoch >= milestone for milestone in schedule.milestones)


def _cosine(schedule: CosineSchedule, progress: float, epoch: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * progress))


# Each takes its options, the share of the steps after warm-up that are done, and the epochs that are done; gives the factor
# of the learning rate.
SCHEDULES: dict[str, Callable[[Any, float, float], float]] = {"constant": _constant, "steps": _steps, "cosine": _cosine}


def build_schedule(optimizer: torch.optim.Optimizer, config: TrainingConfig, steps_per_epoch: int) -> LambdaLR:
    """Warm-up along a line, then what ``training.schedule`` says.

    Args:
        optimizer: The optimizer.
        config: Schedule and number of epochs.
        steps_per_epoch: Optimizer steps an epoch.

    Returns:
        The schedule, to be stepped after every optimizer step.
    """
    schedule = config.schedule
    num_steps = config.max_epochs * steps_per_epoch
    warmup = round(schedule.warmup_fraction * num_steps)

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        return SCHEDULES[schedule.name](schedule, (step - warmup) / max(1, num_steps - warmup), step / steps_per_epoch)

    return LambdaLR(optimizer, factor)
