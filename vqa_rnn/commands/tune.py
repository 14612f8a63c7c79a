"""``vqa-rnn tune``: the options that are fastest on this machine."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from vqa_rnn.benchmarks import read_annotations
from vqa_rnn.commands.shared import images_of, readable_questions, store_of_config
from vqa_rnn.commands.training_data import build_vocabularies, encode_splits, find_questions, measure_sizes
from vqa_rnn.config import Config
from vqa_rnn.data.device import DeviceLoader
from vqa_rnn.data.loader import build_loader
from vqa_rnn.data.sampler import QuestionSampler
from vqa_rnn.data.store_features import StoreFeatures
from vqa_rnn.engines import (
    Examples,
    build_optimization,
    build_trainer,
    choose_device,
    computing_with,
    manual_seed,
    training_rate,
)
from vqa_rnn.errors import UserError
from vqa_rnn.features.extractor import Extractor
from vqa_rnn.features.store import FeatureStore
from vqa_rnn.memory import keep_freed_memory
from vqa_rnn.models import VqaModel, count_products
from vqa_rnn.precision import auto_precision, native_precision, set_float32_products
from vqa_rnn.progress import progress_bar
from vqa_rnn.records import Annotations
from vqa_rnn.threads import choose_threads, num_cpus

NOTICEABLE = 1.05  # a setting is recommended only if it is this much faster than the default
BATCH_ROWS = (1, 4, 8, 16, 32, 64)


@dataclass(frozen=True, slots=True)
class Trial:
    """A setting that was tried.

    Attributes:
        option: Name of the option.
        value: Value of the option.
        rate: Questions per second, or images per second for the options of ``features``.
        is_default: Whether the config gives this value without the option.
        is_best: Whether it is recommended.
    """

    option: str
    value: str | int
    rate: float
    is_default: bool
    is_best: bool


def tune(config: Config, seconds: float = 3.0) -> list[Trial]:
    """Measure the speed of training and of feature extraction with different settings, one after the other.

    The store and the questions of the config are used; no run is made. Other work on the machine affects the rates.

    Args:
        config: The config; its feature store must exist.
        seconds: How long to try each setting.

    Returns:
        The trials, grouped by option. Each option is tried with the best values of the options before it.

    Raises:
        UserError: ``seconds`` is not a time above 0, features are missing, or the data do not fit the config.
    """
    if not seconds > 0 or math.isinf(seconds):
        raise UserError(f"--seconds {seconds:g}: a time above 0 is needed")
    device = choose_device(config.run.device)
    annotations = read_annotations(config.dataset.with_all_questions())
    trainings = _Trainings(config, annotations, device, seconds)
    trials: list[Trial] = []
    with progress_bar() as progress:
        task = progress.add_task("trying settings", total=None, rate="")

        def try_out(option: str, values: Sequence[Any], default: Any, measure: Any) -> Any:
            rates = {}
            for value in dict.fromkeys([default, *values]):
                progress.update(task, rate=f"{option}={value}")
                rates[value] = measure(value)
                progress.advance(task)
            fastest = max(rates, key=lambda value: rates[value])
            best = fastest if rates[fastest] >= NOTICEABLE * rates[default] else default
            trials.extend(Trial(option, v, rates[v], v == default, v == best) for v in sorted(rates, key=_order))
            return best

        on_gpu = device.type == "cuda"
        products = trainings.products
        chosen = config.training.precision
        precision = auto_precision(device, products) if chosen == "auto" else chosen
        threads = config.training.num_threads or choose_threads(products)
        workers = config.training.num_workers or 0
        if chosen == "auto":
            others = ["float32", *(["tf32"] if on_gpu else []), *({native_precision(device)} - {"float32"})]
            precision = try_out("training.precision", others, precision, lambda value: trainings.rate(value, threads, workers))
        if not on_gpu:
            powers = [2**power for power in range(num_cpus().bit_length()) if 2**power <= num_cpus()]
            threads = try_out(
                "training.num_threads", [*powers, num_cpus()], threads, lambda value: trainings.rate(precision, value, workers)
            )
        at_most = [number for number in (0, 1, 2, 4, 8) if number <= num_cpus()]
        try_out("training.num_workers", at_most, workers, lambda value: trainings.rate(precision, threads, value))
        images = [path for path in annotations.images.values() if path.is_file()]
        if config.features.library not in ("none", "imported") and images and config.features.output in ("grid", "pooled"):
            extractor = Extractor(config.features.model_copy(update={"compile": False}), device=str(device))
            values = [rows for rows in BATCH_ROWS if rows <= len(images)]
            rows = min(extractor.batch_rows, len(images))
            loaded = [extractor.transform.load(path) for path in images[: max([*values, rows])]]
            rows = try_out(
                "features.batch_rows", values, rows, lambda value: _extraction_rate(extractor, loaded[:value], seconds)
            )

            def compiled_rate(compiles: bool) -> float:
                features = config.features.model_copy(update={"compile": compiles, "batch_rows": rows})
                return _extraction_rate(Extractor(features, device=str(device)), loaded[:rows], seconds)

            try_out("features.compile", [False, True], config.features.compile, compiled_rate)
    return trials


def _order(value: Any) -> tuple[bool, Any]:
    return isinstance(value, str), value


class _Trainings:
    """Short trainings on the questions and features of the config."""

    def __init__(self, config: Config, annotations: Annotations, device: torch.device, seconds: float) -> None:
        questions = find_questions(config, annotations)["train"]
        store: FeatureStore = store_of_config(config, images_of(questions, annotations))
        questions = readable_questions(config, store, questions, "training")
        tokenizer, answers = build_vocabularies(config, questions)
        self._encoded = encode_splits(config, {"train": questions}, tokenizer, answers)["train"]
        self._features = StoreFeatures(store, self._encoded.image_ids)
        self._config, self._device, self._seconds = config, device, seconds
        self.sizes = measure_sizes(config, tokenizer, store, answers)
        questions_a_part = -(-config.training.batch_size // config.training.accumulation)
        self.products = count_products(config.model, self.sizes, questions_a_part)
        if device.type == "cpu":
            keep_freed_memory()

    def rate(self, precision: str, threads: int, num_workers: int) -> float:
        """Return questions per second."""
        config, device = self._config.training, self._device
        set_float32_products(precision)
        manual_seed(self._config.run.seed)
        model = VqaModel(self._config.model, self.sizes).to(device, torch.float64 if precision == "float64" else torch.float32)
        batches = QuestionSampler(
            self._encoded.image,
            config.batch_size,
            shuffle=True,
            group_by_image=config.group_by_image,
            seed=self._config.run.seed,
            accumulation=config.accumulation,
        )
        on_gpu = device.type == "cuda"
        trainer = build_trainer(
            model,
            build_optimization(model, config, precision=precision, device=device, steps_per_epoch=len(batches)),
            config=config,
            precision=precision,
            device=device,
            examples=Examples(self._encoded.question_ids),
        )
        loader = build_loader(self._encoded, self._features, batches, num_workers=num_workers, pin_memory=on_gpu)
        with computing_with(threads, device):
            return training_rate(trainer, DeviceLoader(loader, device) if on_gpu else loader, self._seconds, device)


def _extraction_rate(extractor: Extractor, images: Sequence[Any], seconds: float) -> float:
    extractor.regions(images)
    done, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        extractor.regions(images)
        done += len(images)
    return done / (time.perf_counter() - started)


def overrides(trials: Sequence[Trial], command: str) -> str:
    """Return the recommended options of one command.

    Args:
        trials: From ``tune``.
        command: ``train`` or ``preprocess``.

    Returns:
        ``option=value`` for each, separated by spaces; empty if the defaults are as fast.
    """
    section = "features." if command == "preprocess" else "training."
    best = [trial for trial in trials if trial.is_best and not trial.is_default and trial.option.startswith(section)]
    return " ".join(f"{trial.option}={str(trial.value).lower()}" for trial in best)
