"""The training engine. Its step is the only place with ``backward()``."""

import math
import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from typing import NamedTuple

import ignite.distributed as idist
import torch
from ignite.engine import Engine
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import clip_grad_value_, clip_grads_with_norm_, get_total_norm
from torch.optim.lr_scheduler import LambdaLR

from vqa_rnn.batch import Batch
from vqa_rnn.config import TrainingConfig
from vqa_rnn.engines.distributed import gather, total
from vqa_rnn.errors import ReportedElsewhere, UserError
from vqa_rnn.models import VqaModel

AUTOCAST = {"bfloat16": torch.bfloat16, "float16": torch.float16}
MOST_NAMED = 20


class Step(NamedTuple):
    """What a step leaves behind, over all processes.

    Attributes:
        loss_sum: Sum of the losses of the questions that count.
        num_counted: How many those are.
        num_questions: Questions.
        gradient_norm: Norm of the gradient before clipping.
    """

    loss_sum: float
    num_counted: int
    num_questions: int
    gradient_norm: float


def build_trainer(
    model: VqaModel,
    optimizer: torch.optim.Optimizer,
    schedule: LambdaLR,
    scaler: torch.amp.GradScaler,
    *,
    config: TrainingConfig,
    precision: str,
    device: torch.device,
    question_ids: Sequence[str],
) -> Engine:
    """Wire the training engine.

    A step's gradient is that of the mean loss over the questions of all its parts and all processes, each question with the
    same weight, however they are spread.

    Args:
        model: The model, on ``device``.
        optimizer: Of its parameters.
        schedule: Of the optimizer.
        scaler: Of the loss; enabled for float16 alone.
        config: Batch size and clipping.
        precision: ``float32``, ``float64``, or ``bfloat16`` or ``float16`` by autocast.
        device: Where to compute.
        question_ids: Names of the questions that ``Batch.question_index`` refers to.

    Returns:
        An engine over tuples of batches, the parts of a step. ``engine.state.output`` is a ``Step``. The engine raises
        ``UserError`` before the weights change if the loss or the gradient is not finite.
    """
    autocast = torch.autocast(device.type, AUTOCAST.get(precision), enabled=precision in AUTOCAST)
    world_size = idist.get_world_size()
    replica: torch.nn.Module = model
    if world_size > 1:
        # which parameters a part uses depends on what is in it: one without questions uses few
        replica = DistributedDataParallel(model, find_unused_parameters=True)
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if scaler.is_enabled():  # a step that overflows is skipped, the schedule goes on
        warnings.filterwarnings("ignore", message="Detected call of `lr_scheduler.step")
    nominal = config.batch_size / world_size  # processes' gradients are averaged

    def step(engine: Engine, parts: tuple[Batch, ...]) -> Step:
        model.train()
        optimizer.zero_grad(set_to_none=True)
        loss_sum, num_counted, num_questions = 0.0, 0, 0
        wrong: list[int] = []
        for number, part in enumerate(parts, start=1):
            is_last = number == len(parts)
            if part.num_questions == 0 and (world_size == 1 or not is_last):
                continue
            batch = part.to(device, non_blocking=True)
            exchange_later = nullcontext() if is_last or world_size == 1 else replica.no_sync()  # type: ignore[operator]
            with exchange_later:
                with autocast:
                    losses, counts = model.losses(replica(batch), batch)
                loss = losses.sum()
                scaler.scale(loss / nominal).backward()
            loss_sum += loss.item()
            num_counted += int(counts.sum())
            num_questions += batch.num_questions
            if not loss.isfinite():
                wrong += batch.question_index[~losses.detach().isfinite()].tolist()
        loss_sum, counted, questions = total([loss_sum, num_counted, num_questions])
        scaler.unscale_(optimizer)
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        if counted not in (0, config.batch_size):
            torch._foreach_mul_(gradients, config.batch_size / counted)
        norm = get_total_norm(gradients)
        gradient_norm = float(norm)
        overflows = scaler.is_enabled() and scaler.get_scale() > 1  # float16: the scaler skips the step and scales less
        if not math.isfinite(loss_sum) or not (math.isfinite(gradient_norm) or overflows):
            asked = wrong or [int(question) for part in parts for question in part.question_index]
            raise _not_finite(
                engine.state.iteration, loss_sum / max(counted, 1), gradient_norm, asked, bool(wrong), question_ids
            )
        if config.clip_value is not None:
            clip_grad_value_(parameters, config.clip_value)
            norm = get_total_norm(gradients)
        if config.clip_norm is not None:
            clip_grads_with_norm_(parameters, config.clip_norm, norm)
        scaler.step(optimizer)
        scaler.update()
        schedule.step()
        return Step(loss_sum, int(counted), int(questions), gradient_norm)

    return Engine(step)


def _not_finite(
    step: int, loss: float, gradient_norm: float, mine: list[int], is_sure: bool, question_ids: Sequence[str]
) -> UserError:
    """The error of the first process; the others raise it without words."""
    everyone: list[tuple[bool, list[str]]] = gather((is_sure, [question_ids[i] for i in mine]))
    if idist.get_rank() > 0:
        return ReportedElsewhere()
    found = any(sure for sure, _ in everyone)
    names = [name for sure, names in everyone if sure or not found for name in names]
    what = f"the loss is {loss}" if not math.isfinite(loss) else f"the norm of the gradient is {gradient_norm}"
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    which = "behind it" if found else "of that step"
    return UserError(
        f"{what} at step {step}: training stopped before the weights changed; the questions {which} "
        f"are {', '.join(names[:MOST_NAMED])}{more}; look at their features, or lower training.learning_rate"
    )
