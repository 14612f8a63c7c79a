"""Optimizers and learning rate schedules, by name."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, Adamax, AdamW
from torch.optim.lr_scheduler import LambdaLR

from vqa_rnn.config import ConstantSchedule, CosineSchedule, ExponentialSchedule, StepSchedule, TrainingConfig
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


def build_optimizer(model: nn.Module, config: TrainingConfig) -> torch.optim.Optimizer:
    """Build the optimizer.

    Weight decay is applied to weight matrices only, but not to word vectors with a learning rate of their own. Word vectors
    with a rate of 0 are frozen. A pretrained transformer has a learning rate of its own.

    Args:
        model: The model.
        config: Optimizer, learning rates and weight decay.

    Returns:
        The optimizer.
    """
    pretrained = {id(p) for module in model.modules() if isinstance(module, Transformer) for p in module.parameters()}
    embeddings = [module.weight for module in model.modules() if isinstance(module, nn.Embedding)]
    words = [weight for weight in embeddings if id(weight) not in pretrained]
    if config.word_vectors_rate == 0:
        for weight in words:
            weight.requires_grad_(False)
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    shares = dict.fromkeys(pretrained, config.transformer_rate)
    if config.word_vectors_rate not in (0, 1):
        shares |= {id(weight): config.word_vectors_rate for weight in words}
    parts: dict[tuple[float, bool], list[nn.Parameter]] = {(1.0, True): [], (1.0, False): []}
    for parameter in parameters:
        share = shares.get(id(parameter), 1.0)
        is_slow_word = share != 1 and id(parameter) not in pretrained
        parts.setdefault((share, parameter.dim() > 1 and not is_slow_word), []).append(parameter)
    groups = [
        {"params": part, "weight_decay": config.weight_decay if decays else 0.0, "lr": config.learning_rate * share}
        for (share, decays), part in parts.items()
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


def build_schedule(optimizer: torch.optim.Optimizer, config: TrainingConfig, steps_per_epoch: int) -> LambdaLR:
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
    model: nn.Module, config: TrainingConfig, *, precision: str, device: torch.device, steps_per_epoch: int
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
