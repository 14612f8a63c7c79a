"""Optimizers and learning rate schedules, by name."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, Adamax, AdamW
from torch.optim.lr_scheduler import LambdaLR

from vqa_rnn.config import (
    ConstantSchedule,
    CosineSchedule,
    ExponentialSchedule,
    Optimisation,
    StepSchedule,
    TrainingConfig,
)
from vqa_rnn.models.text_encoder import TextEncoder
from vqa_rnn.models.transformer import Transformer


class DeviceAdamax(Adamax):
    """Adamax whose step can be skipped on the device with ``found_inf``, like the step of torch's fused optimizers.

    On a CPU it is torch's Adamax (Kingma and Ba 2015, https://arxiv.org/abs/1412.6980, algorithm 2).

    Attributes:
        found_inf: () float. 1 skips the step: weights and state are not changed. None is the same as 0.
    """

    found_inf: Tensor | None = None

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Take a step, unless ``found_inf`` is set.

        Args:
            closure: Unused.
        """
        if self.found_inf is None or self.found_inf.is_cpu:
            if not self.found_inf:
                super().step()
        else:
            self.step_on_device(self.found_inf)

    @torch.no_grad()
    def step_on_device(self, found_inf: Tensor) -> None:
        """Take a step without waiting for the device.

        Args:
            found_inf: () float. 1 skips the step: weights and state are not changed.
        """
        skip = found_inf > 0
        for group in self.param_groups:
            parameters: list[Tensor] = []
            gradients: list[Tensor] = []
            means: list[Tensor] = []
            largest: list[Tensor] = []
            steps: list[Tensor] = []
            self._init_group(group, parameters, gradients, means, largest, steps)  # type: ignore[attr-defined]
            if not parameters:
                continue
            beta1, beta2 = group["betas"]
            if group["weight_decay"]:
                gradients = torch._foreach_add(gradients, parameters, alpha=group["weight_decay"])  # type: ignore[assignment]
            gradients = [torch.where(skip, 0.0, gradient) for gradient in gradients]
            torch._foreach_add_(steps, [1 - found_inf] * len(steps))
            torch._foreach_mul_(means, torch.where(skip, 1.0, beta1))
            torch._foreach_add_(means, gradients, alpha=1 - beta1)
            sizes = torch._foreach_abs(gradients)
            torch._foreach_add_(sizes, group["eps"])
            torch._foreach_mul_(largest, torch.where(skip, 1.0, beta2))
            torch._foreach_maximum_(largest, sizes)
            changes = torch._foreach_div(means, largest)
            torch._foreach_mul_(changes, torch.where(skip, 0.0, group["lr"] / (beta1 ** steps[0] - 1)))
            torch._foreach_add_(parameters, changes)


# adamw: Loshchilov and Hutter 2019, https://arxiv.org/abs/1711.05101; adam, adamax: Kingma and Ba 2015,
# https://arxiv.org/abs/1412.6980. Weight decay is decoupled in adamw only; in the others it is an L2 penalty.
OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {"adamw": AdamW, "adam": Adam, "adamax": DeviceAdamax, "sgd": SGD}


class Rate(NamedTuple):
    """How a parameter is trained.

    Attributes:
        factor: Its learning rate as a factor of ``learning_rate``.
        decays: Whether weight decay is applied to it.
    """

    factor: float
    decays: bool


def text_rates(model: nn.Module, config: TrainingConfig) -> dict[int, Rate]:
    """Find the parameters with a learning rate of their own: pretrained transformers and word vectors.

    Word vectors with a rate of 0 are frozen.

    Args:
        model: The model.
        config: ``transformer_rate`` and ``word_vectors_rate``.

    Returns:
        The rate of each of these parameters, by its ``id``.
    """
    transformers = [module for module in model.modules() if isinstance(module, Transformer)]
    rates = {id(p): Rate(config.transformer_rate, p.dim() > 1) for module in transformers for p in module.parameters()}
    encoders = [module for module in model.modules() if isinstance(module, TextEncoder)]
    for embedding in (encoder.embedding for encoder in encoders if isinstance(encoder.embedding, nn.Embedding)):
        if config.word_vectors_rate == 0:
            embedding.weight.requires_grad_(False)
        elif config.word_vectors_rate != 1:
            rates[id(embedding.weight)] = Rate(config.word_vectors_rate, decays=False)
    return rates


def build_optimizer(model: nn.Module, config: Optimisation) -> torch.optim.Optimizer:
    """Build the optimizer.

    Weight decay is applied to weight matrices only, but not to word vectors with a learning rate of their own.

    Args:
        model: The model.
        config: Optimizer, learning rates and weight decay.

    Returns:
        The optimizer.
    """
    rates = text_rates(model, config) if isinstance(config, TrainingConfig) else {}
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    parts: dict[Rate, list[nn.Parameter]] = {Rate(1.0, decays=True): [], Rate(1.0, decays=False): []}
    for parameter in parameters:
        parts.setdefault(rates.get(id(parameter), Rate(1.0, parameter.dim() > 1)), []).append(parameter)
    groups = [
        {"params": part, "weight_decay": config.weight_decay if decays else 0.0, "lr": config.learning_rate * factor}
        for (factor, decays), part in parts.items()
    ]
    name, options = config.optimizer.name, config.optimizer.model_dump(exclude={"name"})
    device = parameters[0].device.type
    if name == "adamax":
        options["capturable"] = device != "cpu"  # the step count is kept on the device
    else:
        options["fused"] = device in ("cpu", "cuda")
    optimizer = OPTIMIZERS[name](groups, lr=config.learning_rate, **options)
    if options.get("momentum"):  # torch would leave them uninitialised if the first step is skipped
        for parameter in parameters:
            optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return optimizer


def step_unless(skip: Tensor, optimizer: torch.optim.Optimizer) -> None:
    """Take an optimizer step unless ``skip`` is True, decided on the device.

    Args:
        skip: () bool. True leaves weights and state unchanged.
        optimizer: From ``build_optimizer``. If it cannot skip on the device, ``skip`` is read, which waits for the device.
    """
    if optimizer.defaults.get("fused") or isinstance(optimizer, DeviceAdamax):
        # the attributes that torch's GradScaler sets on fused optimizers
        optimizer.grad_scale, optimizer.found_inf = None, skip.float()  # type: ignore[attr-defined]
        optimizer.step()
    elif not skip:
        optimizer.step()


def _constant(schedule: ConstantSchedule, progress: float, epoch: float) -> float:
    return 1.0


def _steps(schedule: StepSchedule, progress: float, epoch: float) -> float:
    return schedule.factor ** sum(epoch >= milestone for milestone in schedule.milestones)


def _exponential(schedule: ExponentialSchedule, progress: float, epoch: float) -> float:
    return max(schedule.lowest, schedule.factor**epoch)


def _cosine(schedule: CosineSchedule, progress: float, epoch: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * progress))


# Each function takes its options, the share of the steps after warm-up that are done and the number of epochs that are done,
# and returns the factor of the learning rate.
SCHEDULES: dict[str, Callable[[Any, float, float], float]] = {
    "constant": _constant,
    "steps": _steps,
    "exponential": _exponential,
    "cosine": _cosine,
}


def build_schedule(optimizer: torch.optim.Optimizer, config: Optimisation, steps_per_epoch: int) -> LambdaLR:
    """Build the learning rate schedule: a linear warm-up, then ``training.schedule``.

    Args:
        optimizer: The optimizer.
        config: Schedule and number of epochs.
        steps_per_epoch: Optimizer steps per epoch.

    Returns:
        The schedule, which must be stepped after every optimizer step.
    """
    schedule = config.schedule
    num_steps = config.max_epochs * steps_per_epoch
    warmup = round(schedule.warmup_fraction * num_steps)

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        return SCHEDULES[schedule.name](schedule, (step - warmup) / max(1, num_steps - warmup), step / steps_per_epoch)

    return LambdaLR(optimizer, factor)


class Optimization(NamedTuple):
    """Optimizer, learning rate schedule and gradient scaler of a model.

    Attributes:
        optimizer: The optimizer.
        schedule: The learning rate schedule, stepped after every optimizer step.
        scaler: The gradient scaler; enabled for float16 only.
    """

    optimizer: torch.optim.Optimizer
    schedule: LambdaLR
    scaler: torch.amp.GradScaler


def build_optimization(
    model: nn.Module, config: Optimisation, *, precision: str, device: torch.device, steps_per_epoch: int
) -> Optimization:
    """Build optimizer, schedule and gradient scaler.

    Args:
        model: The model, on ``device``.
        config: Optimizer, schedule, learning rate, weight decay and number of epochs.
        precision: As in ``build_trainer``.
        device: Device of the computation.
        steps_per_epoch: Optimizer steps per epoch.

    Returns:
        Optimizer, schedule and scaler.
    """
    optimizer = build_optimizer(model, config)
    scaler = torch.amp.GradScaler(device.type, enabled=precision == "float16")
    return Optimization(optimizer, build_schedule(optimizer, config, steps_per_epoch), scaler)
