"""`training`: the optimisation."""

import itertools
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from vqa_rnn.config.section import Positive, Section, Share


class AdamWOptimizer(Section):
    """Adam with decoupled weight decay."""

    name: Literal["adamw"] = "adamw"
    betas: tuple[Share, Share] = (0.9, 0.999)
    """Decay of the running means of gradients and of their squares."""


class AdamOptimizer(Section):
    """Adam."""

    name: Literal["adam"] = "adam"
    betas: tuple[Share, Share] = (0.9, 0.999)
    """Decay of the running means of gradients and of their squares."""


class AdamaxOptimizer(Section):
    """Adam by the infinity norm; what the bottom-up top-down model was trained with."""

    name: Literal["adamax"] = "adamax"
    betas: tuple[Share, Share] = (0.9, 0.999)
    """Decay of the running mean of gradients and of their largest size."""


class SgdOptimizer(Section):
    """Stochastic gradient descent."""

    name: Literal["sgd"] = "sgd"
    momentum: Share = 0.9
    """Share of the last step that is taken again."""
    nesterov: bool = False
    """Look ahead along the momentum."""

    @model_validator(mode="after")
    def _nesterov_has_momentum(self) -> "SgdOptimizer":
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov needs a momentum above 0")
        return self


Optimizer = Annotated[AdamWOptimizer | AdamOptimizer | AdamaxOptimizer | SgdOptimizer, Field(discriminator="name")]


class CosineSchedule(Section):
    """Warm-up, then down to 0 along a cosine."""

    name: Literal["cosine"] = "cosine"
    warmup_fraction: Share = 0.05
    """Share of all steps in which the learning rate rises along a line."""


def _rising(milestones: tuple[float, ...]) -> tuple[float, ...]:
    if any(later <= earlier for earlier, later in itertools.pairwise(milestones)):
        raise ValueError("each milestone must lie after the one before it")
    return milestones


class StepSchedule(Section):
    """Warm-up, then a drop at each milestone."""

    name: Literal["steps"] = "steps"
    warmup_fraction: Share = 0.05
    """Share of all steps in which the learning rate rises along a line."""
    milestones: Annotated[tuple[Positive, ...], AfterValidator(_rising)] = (10.0, 15.0)
    """Epochs after which it drops, in rising order; fractions are allowed."""
    factor: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """What it is multiplied by."""


class ExponentialSchedule(Section):
    """Warm-up, then down by the same factor each step."""

    name: Literal["exponential"] = "exponential"
    warmup_fraction: Share = 0.0
    """Share of all steps in which the learning rate rises along a line."""
    factor: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """What it has been multiplied by after each epoch."""
    lowest: Share = 0.0
    """Share of the peak that it never falls below."""


class ConstantSchedule(Section):
    """Warm-up, then always the same."""

    name: Literal["constant"] = "constant"
    warmup_fraction: Share = 0.0
    """Share of all steps in which the learning rate rises along a line."""


Schedule = Annotated[CosineSchedule | StepSchedule | ExponentialSchedule | ConstantSchedule, Field(discriminator="name")]


def _in_order(steps: tuple[int, int]) -> tuple[int, int]:
    if not 1 <= steps[0] <= steps[1]:
        raise ValueError("the first step and the last are needed, such as [20, 30]")
    return steps


def _each_once(names: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(names)) < len(names):
        raise ValueError("a logger comes twice")
    return names


class TrainingConfig(Section):
    """The optimisation."""

    start_from: Path | None = None
    """Begin with the weights, words and answers of this run, as for dense fine-tuning; null begins with random weights."""
    batch_size: int = Field(256, ge=1)
    """Questions an optimizer step, over all processes."""
    accumulation: int = Field(1, ge=1)
    """Compute a step's questions in this many parts, one after the other, to save memory. The gradient stays the same."""
    group_by_image: bool = True
    """Keep the questions of an image together in a batch, which is quicker; `false` shuffles every question by itself, as most
    published code does, so that a batch holds many more images."""
    max_epochs: int = Field(20, ge=1)
    """Passes over the training questions."""
    refit: int | None = Field(None, ge=1)
    """Train on the validation questions as well, and stop after this many of the `max_epochs`, such as the best epoch of an
    earlier run. There is no validation, and the last weights are kept. null: train on train alone and keep the best epoch."""
    mirror: bool = False
    """Mirror each training image with probability 1/2 in each epoch, and swap left and right in its questions and answers.
    `vqa-rnn preprocess` with this option makes the features of the mirrored images too."""
    learning_rate: float = Field(2e-3, gt=0)
    """Peak learning rate."""
    word_vectors_rate: float = Field(1.0, ge=0)
    """Learning rate of word vectors, as a share of the others': 0 leaves them as they begin, 0.1 moves them slowly."""
    transformer_rate: float = Field(0.02, gt=0)
    """Learning rate of the layers of a question transformer that are trained, as a share of the others'."""
    weight_decay: float = Field(0.01, ge=0)
    """Weight decay, on weight matrices alone."""
    optimizer: Optimizer = AdamWOptimizer()
    """How gradients become steps."""
    schedule: Schedule = CosineSchedule()
    """How the learning rate changes."""
    clip_norm: float | None = Field(1.0, gt=0)
    """Largest norm of the whole gradient; null switches it off."""
    clip_value: float | None = Field(None, gt=0)
    """Largest size of each number in the gradient, before `clip_norm`; null switches it off."""
    precision: Literal["auto", "float32", "tf32", "bfloat16", "float16", "float64"] = "auto"
    """`auto`: bfloat16 by autocast on a GPU that has it, and for a large model on a CPU with AMX; else float32. On a GPU
    `float32` is exact; `tf32` rounds the inputs of products to 10 bits, and so do recurrent layers within `bfloat16`."""
    num_threads: int | None = Field(None, ge=1)
    """Threads of a training process on a CPU; null: OMP_NUM_THREADS, else by the size of the model and the batch. A resumed run
    keeps the number that it began with."""
    compile: bool = False
    """Compile the model with torch.compile. The first steps take minutes."""
    ema_decay: float | None = Field(None, gt=0, lt=1)
    """Evaluate and keep an exponential moving average of the weights, with this decay a step; null switches it off."""
    patience: int | None = Field(None, ge=1)
    """Stop after this many epochs without a better validation score; null trains all epochs."""
    num_workers: int | None = Field(None, ge=0)
    """Loader processes, for each training process; 0 loads between the steps. null: none on a CPU; on a GPU 2 where features
    are there already, and 4 where they come along."""
    features_on: Literal["auto", "host", "device"] = "auto"
    """Where features are while a GPU trains. `device`: all are copied to its memory first; `host`: each batch brings its own;
    `auto`: `device` where they take no more than half of what is free. The result is the same."""
    checkpoint_minutes: float | None = Field(10.0, gt=0)
    """Save the full state this often, besides at the end of every epoch; null saves at the end of epochs alone."""
    keep: Literal["best", "last"] = "best"
    """The weights that a run answers with: those of the best validation score, or those of the last epoch."""
    keep_checkpoints: int = Field(2, ge=1)
    """Full states kept, the newest, besides the weights that the run answers with."""
    log_steps: int = Field(50, ge=1)
    """Steps between lines with the training loss in `metrics.jsonl`."""
    loggers: Annotated[tuple[Literal["tensorboard", "mlflow", "wandb"], ...], AfterValidator(_each_once)] = ("tensorboard",)
    """Who gets the losses, scores and rates besides the files of the run folder: `tensorboard` writes into its `tensorboard/`;
    `mlflow` and `wandb` (Weights & Biases) come with `pip install "vqa-rnn[loggers]"`. `[]`: nobody."""
    profile_steps: Annotated[tuple[int, int], AfterValidator(_in_order)] | None = None
    """Record these steps, such as [20, 30], with torch's profiler into the run folder's `profile/`."""

    @property
    def num_epochs(self) -> int:
        """How many epochs are trained at most; the schedule is that of `max_epochs`."""
        return self.refit or self.max_epochs

    @property
    def splits(self) -> tuple[Literal["train", "val"], ...]:
        """The splits whose questions are learned from."""
        return ("train",) if self.refit is None else ("train", "val")

    @model_validator(mode="after")
    def _refit_ends(self) -> "TrainingConfig":
        if self.refit is not None and self.refit > self.max_epochs:
            raise ValueError(f"refit={self.refit} is more than max_epochs={self.max_epochs}")
        if self.refit is not None and self.patience is not None:
            raise ValueError("refit learns from the validation questions, which patience needs: leave one out")
        return self

    @model_validator(mode="after")
    def _parts_have_questions(self) -> "TrainingConfig":
        if self.accumulation > self.batch_size:
            raise ValueError(f"accumulation={self.accumulation} cuts a batch of batch_size={self.batch_size} into empty parts")
        return self
