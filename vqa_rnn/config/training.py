"""The section ``training``: optimizer, schedule and everything else about training."""

import itertools
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from vqa_rnn.config.section import Positive, Section, Share


class AdamWOptimizer(Section):
    """Adam with decoupled weight decay."""

    name: Literal["adamw"] = "adamw"
    betas: tuple[Share, Share] = (0.9, 0.999)
    """Decay rates of the running averages of the gradient and of its square."""


class AdamOptimizer(Section):
    """Adam."""

    name: Literal["adam"] = "adam"
    betas: tuple[Share, Share] = (0.9, 0.999)
    """Decay rates of the running averages of the gradient and of its square."""


class AdamaxOptimizer(Section):
    """Adam with the infinity norm, as in a well-known reimplementation of the bottom-up top-down model."""

    name: Literal["adamax"] = "adamax"
    betas: tuple[Share, Share] = (0.9, 0.999)
    """Decay rates of the running average of the gradient and of its running maximum."""


class SgdOptimizer(Section):
    """Stochastic gradient descent."""

    name: Literal["sgd"] = "sgd"
    momentum: Share = 0.9
    """Momentum coefficient."""
    nesterov: bool = False
    """Use Nesterov momentum."""

    @model_validator(mode="after")
    def _check_nesterov(self) -> "SgdOptimizer":
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov needs a momentum above 0")
        return self


Optimizer = Annotated[AdamWOptimizer | AdamOptimizer | AdamaxOptimizer | SgdOptimizer, Field(discriminator="name")]


class CosineSchedule(Section):
    """Warm-up, then a cosine decay to 0."""

    name: Literal["cosine"] = "cosine"
    warmup_fraction: Share = 0.05
    """Share of all steps in which the learning rate rises linearly."""


def _rising(milestones: tuple[float, ...]) -> tuple[float, ...]:
    if any(later <= earlier for earlier, later in itertools.pairwise(milestones)):
        raise ValueError("milestones must be in increasing order")
    return milestones


class StepSchedule(Section):
    """Warm-up, then a drop at each milestone."""

    name: Literal["steps"] = "steps"
    warmup_fraction: Share = 0.05
    """Share of all steps in which the learning rate rises linearly."""
    milestones: Annotated[tuple[Positive, ...], AfterValidator(_rising)] = (10.0, 15.0)
    """Epochs after which the learning rate drops, in increasing order; fractions are allowed."""
    factor: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """What the learning rate is multiplied by at each milestone."""


class ExponentialSchedule(Section):
    """Warm-up, then an exponential decay."""

    name: Literal["exponential"] = "exponential"
    warmup_fraction: Share = 0.0
    """Share of all steps in which the learning rate rises linearly."""
    factor: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """What the learning rate is multiplied by over each epoch."""
    lowest: Share = 0.0
    """Lower bound of the learning rate, as a share of the peak."""


class ConstantSchedule(Section):
    """Warm-up, then a constant learning rate."""

    name: Literal["constant"] = "constant"
    warmup_fraction: Share = 0.0
    """Share of all steps in which the learning rate rises linearly."""


Schedule = Annotated[CosineSchedule | StepSchedule | ExponentialSchedule | ConstantSchedule, Field(discriminator="name")]


def _in_order(steps: tuple[int, int]) -> tuple[int, int]:
    if not 1 <= steps[0] <= steps[1]:
        raise ValueError("give the first and the last step, such as [20, 30]")
    return steps


def _each_once(names: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(names)) < len(names):
        raise ValueError("a logger is listed twice")
    return names


class Optimisation(Section):
    """What the training of every kind of model has in common."""

    batch_size: int = Field(256, ge=1)
    """Examples per optimizer step."""
    max_epochs: int = Field(20, ge=1)
    """Passes over the training data."""
    learning_rate: float = Field(2e-3, gt=0)
    """Peak learning rate."""
    weight_decay: float = Field(0.01, ge=0)
    """Weight decay, applied to weight matrices only."""
    optimizer: Optimizer = AdamWOptimizer()
    """The optimizer."""
    schedule: Schedule = CosineSchedule()
    """The learning rate schedule."""
    clip_norm: float | None = Field(1.0, gt=0)
    """Clip the gradient to this norm; null switches it off."""
    clip_value: float | None = Field(None, gt=0)
    """Clip each element of the gradient to this absolute value, before `clip_norm`; null switches it off."""
    precision: Literal["auto", "float32", "tf32", "bfloat16", "float16", "float64"] = "auto"
    """`auto`: bfloat16 autocast on a GPU that supports it and for large models on a CPU with AMX, else float32. On a GPU,
    `float32` never uses TF32; `tf32` rounds the inputs of matrix products to 10 bits, as recurrent layers also do under
    `bfloat16`."""
    num_threads: int | None = Field(None, ge=1)
    """CPU threads of each training process. null: OMP_NUM_THREADS, else chosen from the size of the model and the batch. A
    resumed run keeps its number."""
    ema_decay: float | None = Field(None, gt=0, lt=1)
    """Evaluate and keep an exponential moving average of the weights, with this decay per step; null switches it off."""
    patience: int | None = Field(None, ge=1)
    """Early stopping: stop after this many epochs without a better validation score; null trains all epochs."""
    checkpoint_minutes: float | None = Field(10.0, gt=0)
    """Minutes between checkpoints within an epoch, besides the one at the end of every epoch; null saves only at the end of
    epochs."""
    keep: Literal["best", "last"] = "best"
    """Which weights the run uses afterwards: those with the best validation score, or those of the last epoch."""
    keep_checkpoints: int = Field(2, ge=1)
    """Number of newest checkpoints to keep, besides the weights chosen by `keep`."""
    log_steps: int = Field(50, ge=1)
    """Write the training loss to `metrics.jsonl` every this many steps."""
    loggers: Annotated[tuple[Literal["tensorboard", "mlflow", "wandb"], ...], AfterValidator(_each_once)] = ("tensorboard",)
    """Loggers for losses, scores and learning rates, in addition to the files of the run folder. `tensorboard` writes to
    `tensorboard/` in the run folder; `mlflow` and `wandb` (Weights & Biases) need `pip install "vqa-rnn[loggers]"`; `[]`
    switches them off."""
    profile_steps: Annotated[tuple[int, int], AfterValidator(_in_order)] | None = None
    """First and last step to record with torch's profiler, such as [20, 30]. The result goes to `profile/` in the run
    folder."""

    @property
    def num_epochs(self) -> int:
        """Number of epochs to train."""
        return self.max_epochs


class TrainingConfig(Optimisation):
    """The optimisation."""

    start_from: Path | None = None
    """Start from the weights and the vocabularies of this run folder, as for fine-tuning on graded relevance; null starts from
    random weights."""
    batch_size: int = Field(256, ge=1)
    """Questions per optimizer step, over all processes."""
    accumulation: int = Field(1, ge=1)
    """Gradient accumulation: process each batch in this many parts, to save memory. The gradient stays the same."""
    group_by_image: bool = True
    """Keep the questions of an image together in a batch, which is faster. `false` shuffles the questions individually, as most
    published code does; a batch then holds many more images."""
    max_epochs: int = Field(20, ge=1)
    """Passes over the training questions."""
    refit: int | None = Field(None, ge=1)
    """Also train on the validation questions, and stop after this many of the `max_epochs`, such as the best epoch of an
    earlier run. There is no validation, and the last weights are kept. null trains on the training split only."""
    mirror: bool = False
    """In each epoch, mirror each training image with probability 1/2, and swap left and right in its questions and answers.
    With this option, `vqa-rnn preprocess` also extracts the features of the mirrored images."""
    word_vectors_rate: float = Field(1.0, ge=0)
    """Learning rate of the word vectors, as a factor of `learning_rate`; 0 keeps them fixed. Unless it is 1, they have
    no weight decay."""
    transformer_rate: float = Field(0.02, gt=0)
    """Learning rate of the trained layers of a question transformer, as a factor of `learning_rate`."""
    compile: bool = False
    """Compile the model with torch.compile; the first steps take minutes."""
    num_workers: int | None = Field(None, ge=0)
    """Data loading processes per training process; 0 loads in the training process. null: 0 on a CPU; on a GPU, 2 if the
    features are in its memory, else 4."""
    features_on: Literal["auto", "host", "device"] = "auto"
    """Where the features are kept while training on a GPU. `device`: in GPU memory; `host`: in CPU memory, copied batch by
    batch; `auto`: `device` if they fit into half of the free GPU memory. The result is the same."""

    @property
    def num_epochs(self) -> int:
        """Maximum number of epochs. With ``refit``, the schedule is still that of ``max_epochs``."""
        return self.refit or self.max_epochs

    @property
    def splits(self) -> tuple[Literal["train", "val"], ...]:
        """The splits that the model is trained on."""
        return ("train",) if self.refit is None else ("train", "val")

    @model_validator(mode="after")
    def _check_refit(self) -> "TrainingConfig":
        if self.refit is not None and self.refit > self.max_epochs:
            raise ValueError(f"refit={self.refit} is more than max_epochs={self.max_epochs}")
        if self.refit is not None and self.patience is not None:
            raise ValueError("refit and patience cannot be combined: with refit there is no validation")
        return self

    @model_validator(mode="after")
    def _check_accumulation(self) -> "TrainingConfig":
        if self.accumulation > self.batch_size:
            raise ValueError(f"accumulation={self.accumulation} cuts a batch of batch_size={self.batch_size} into empty parts")
        return self
