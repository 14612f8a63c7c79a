"""The training engine. Only its step calls ``backward()`` to train a model.

A step never waits for the device. Its results are tensors, which are read every ``read_every`` steps.
"""

import math
import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any, NamedTuple, Protocol

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import get_total_norm

from vqa_rnn.config import Optimisation
from vqa_rnn.engines.distributed import gather
from vqa_rnn.engines.optimization import Optimization, step_unless
from vqa_rnn.errors import ReportedElsewhere, UserError

AUTOCAST = {"bfloat16": torch.bfloat16, "float16": torch.float16}
MOST_NAMED = 20


class Part(Protocol):
    """A part of a step: a batch of questions, or a chunk of a text."""

    @property
    def num_examples(self) -> int:
        """Number of examples."""
        ...

    @property
    def example_index(self) -> Tensor:
        """(N,) int64, index of each loss among the names of ``Examples``."""
        ...

    def to(self, device: torch.device, *, non_blocking: bool = False) -> Any:
        """Copy the part to a device.

        Args:
            device: The device.
            non_blocking: As in ``Tensor.to``.

        Returns:
            The input of the model.
        """
        ...


class Examples(NamedTuple):
    """What a model is trained on, for the messages of errors and the logs.

    Attributes:
        names: The names that ``Part.example_index`` refers to.
        kind: What has these names.
        advice: What to check if their loss is not finite.
        unit: What is counted in the throughput.
    """

    names: Sequence[str]
    kind: str = "questions"
    advice: str = "check their features"
    unit: str = "questions"


class Step(NamedTuple):
    """The results of a step.

    Attributes:
        loss_sum: () float64 (float32 on MPS) on the device, the sum of the losses of all counted examples of all processes.
        num_counted: () of the same dtype, the number of counted examples.
        gradient_norm: () float, the norm of the gradient before clipping.
        num_examples: Number of examples of this process.
    """

    loss_sum: Tensor
    num_counted: Tensor
    gradient_norm: Tensor
    num_examples: int


class _Unread(NamedTuple):
    """A step whose results are not read yet, with what is needed to name the examples if it failed.

    Attributes:
        step: Number of the step.
        failed: () bool, whether this step or an earlier unread one failed.
        output: Results of the step.
        losses: (N,) float losses of each part.
        examples: (N,) int64 ``example_index`` of each part.
    """

    step: int
    failed: Tensor
    output: Step
    losses: list[Tensor]
    examples: list[Tensor]


def read_every(device: torch.device, log_steps: int) -> int:
    """Return how often the results of steps are read.

    Args:
        device: Device of the training.
        log_steps: ``training.log_steps``.

    Returns:
        Number of steps: ``log_steps``, or 1 on a CPU, where reading does not wait.
    """
    return 1 if device.type == "cpu" else log_steps


def build_trainer(
    model: torch.nn.Module,
    optimization: Optimization,
    *,
    config: Optimisation,
    precision: str,
    device: torch.device,
    examples: Examples,
    find_unused_parameters: bool = True,
) -> Engine:
    """Build the training engine.

    The gradient of a step is that of the mean loss over the examples of all its parts and all processes. Every example has
    the same weight, however the examples are distributed. If the loss or the gradient of a step is not finite, neither this
    step nor those after it change anything, until the failure is read.

    Args:
        model: The model, on ``device``. It takes a part and returns an output; its method ``losses`` takes both, and returns
            (N,) losses, and how many examples each of them is the sum of.
        optimization: From ``build_optimization`` for ``model``.
        config: Batch size, clipping and ``log_steps``.
        precision: ``float32``, ``float64``, or ``bfloat16`` or ``float16`` by autocast.
        device: Device of the computation.
        examples: What the model is trained on.
        find_unused_parameters: With several processes, whether parts of a step may leave parameters unused.

    Returns:
        An engine over tuples, the parts of a step. ``engine.state.output`` is a ``Step``. Every ``read_every``
        steps and at the end of an epoch, the engine raises ``UserError`` if a loss or gradient was not finite. Weights,
        optimizer and schedule are then as they were before that step.
    """
    optimizer, schedule, scaler = optimization
    autocast = torch.autocast(device.type, AUTOCAST[precision]) if precision in AUTOCAST else nullcontext()
    sums_in = torch.float32 if device.type == "mps" else torch.float64
    world_size = idist.get_world_size()
    replica: torch.nn.Module = model
    if world_size > 1:
        replica = DistributedDataParallel(model, find_unused_parameters=find_unused_parameters, gradient_as_bucket_view=True)
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    # torch warns because the schedule is also stepped if the first optimizer step is skipped
    warnings.filterwarnings("ignore", message="Detected call of `lr_scheduler.step")
    nominal = config.batch_size / world_size  # the gradients of the processes are averaged
    unread: list[_Unread] = []
    no_failure = torch.zeros((), dtype=torch.bool, device=device)

    def step(engine: Engine, parts: tuple[Part, ...]) -> Step:
        model.train()
        optimizer.zero_grad(set_to_none=True)
        sums = torch.zeros(2, dtype=sums_in, device=device)
        num_examples = 0
        each_losses, each_examples = [], []
        for number, part in enumerate(parts, start=1):
            is_last = number == len(parts)
            if part.num_examples == 0 and (world_size == 1 or not is_last):
                continue
            batch = part.to(device, non_blocking=True)
            exchange_later = nullcontext() if is_last or world_size == 1 else replica.no_sync()  # type: ignore[operator]
            with exchange_later:
                with autocast:
                    losses, counts = model.losses(replica(batch), batch)  # type: ignore[operator]
                loss = losses.sum()
                scaler.scale(loss / nominal).backward()
            sums += torch.stack([loss.detach().to(sums_in), counts.sum().to(sums_in)])
            num_examples += part.num_examples
            each_losses.append(losses.detach())
            each_examples.append(part.example_index.clone())  # a copy: a view would keep the whole batch in memory
        if world_size > 1:
            sums = idist.all_reduce(sums)  # type: ignore[assignment]
        loss_sum, num_counted = sums
        scale = scaler.scale(torch.ones((), device=device))
        scaler.unscale_(optimizer)
        norm = _scale_and_clip([p.grad for p in parameters if p.grad is not None], num_counted, config)
        overflows = ~norm.isfinite()
        # float16: a step whose gradient overflows is skipped, and the scaler lowers its scale
        failed = (unread[-1].failed if unread else no_failure) | ~loss_sum.isfinite() | (overflows & (scale <= 1))
        step_unless(failed | overflows, optimizer)
        scaler.update()
        schedule.step()
        output = Step(loss_sum, num_counted, norm, num_examples)
        unread.append(_Unread(engine.state.iteration, failed, output, each_losses, each_examples))
        return output

    def read(engine: Engine) -> None:
        steps = unread.copy()
        unread.clear()
        if not steps or not steps[-1].failed:
            return
        first = next(step for step in steps if step.failed)
        schedule.last_epoch = first.step - 2  # as it was before that step
        schedule.step()
        raise _not_finite(first, examples)

    engine = Engine(step)
    engine.add_event_handler(Events.ITERATION_COMPLETED(every=read_every(device, config.log_steps)), read)
    engine.add_event_handler(Events.EPOCH_COMPLETED, read)
    return engine


def _scale_and_clip(gradients: list[Tensor], num_counted: Tensor, config: Optimisation) -> Tensor:
    """Scale the gradient to that of the mean over the counted examples, clip it, and return its () norm before clipping."""
    if not gradients:
        return torch.zeros_like(num_counted)
    factor = torch.where(num_counted > 0, config.batch_size / num_counted, 1.0).to(gradients[0].dtype)
    norm = get_total_norm(gradients) * factor
    norm_to_clip = norm
    if config.clip_value is not None:
        torch._foreach_mul_(gradients, factor)
        torch._foreach_clamp_min_(gradients, -config.clip_value)
        torch._foreach_clamp_max_(gradients, config.clip_value)
        factor, norm_to_clip = torch.ones_like(factor), get_total_norm(gradients)
    if config.clip_norm is not None:
        factor = factor * (config.clip_norm / (norm_to_clip + 1e-6)).clamp(max=1.0)  # as torch.nn.utils.clip_grad_norm_
    torch._foreach_mul_(gradients, factor)
    return norm


def _not_finite(failed: _Unread, examples: Examples) -> UserError:
    """Build the error to raise: with a message in the first process, ``ReportedElsewhere`` in the others."""
    loss = float(failed.output.loss_sum / failed.output.num_counted.clamp(min=1))
    norm = float(failed.output.gradient_norm)
    nothing = torch.empty(0, dtype=torch.int64)  # a process may have no examples
    losses = torch.cat([nothing, *(part.cpu() for part in failed.losses)])
    index = torch.cat([nothing, *(part.cpu() for part in failed.examples)])
    is_wrong = ~losses.isfinite()
    is_sure = bool(is_wrong.any())
    mine: list[int] = (index[is_wrong] if is_sure else index).tolist()
    everyone: list[tuple[bool, list[str]]] = gather((is_sure, [examples.names[i] for i in mine]))
    if idist.get_rank() > 0:
        return ReportedElsewhere()
    found = any(sure for sure, _ in everyone)
    names = [name for sure, names in everyone if sure or not found for name in names]
    what = f"the loss is {loss}" if not math.isfinite(loss) else f"the norm of the gradient is {norm}"
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    which = "with a non-finite loss" if found else "of that step"
    return UserError(
        f"{what} at step {failed.step}: training stopped before the weights changed; the {examples.kind} "
        f"{which} are {', '.join(names[:MOST_NAMED])}{more}; {examples.advice}, or lower training.learning_rate"
    )
