"""Extraction of image features into a feature store. It can be interrupted and continued, and shows a progress bar."""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

from preprocessing.read_ahead import ImageBatch, ImageFiles, read_beside, read_between
from vqa_rnn.annotations.mirrored import is_mirrored
from vqa_rnn.config import OWN_OPTIONS, PRESET_OPTIONS, REGION_OPTIONS, SUFFIXES, Config
from vqa_rnn.errors import HeldError, UserError
from vqa_rnn.features.check import check_store
from vqa_rnn.features.detectors import Detector
from vqa_rnn.features.extractor import Extractor, open_extractor
from vqa_rnn.features.find import find_store
from vqa_rnn.features.regions import Regions
from vqa_rnn.features.store import FeatureStore, StoreWriter, create_store, open_store, open_writer, partial_path
from vqa_rnn.features.store.parts import JOINED, Share, count_parts, cut, join_parts, part_path
from vqa_rnn.features.weights import weights_file_hash
from vqa_rnn.files import hold
from vqa_rnn.memory import keep_freed_memory
from vqa_rnn.progress import progress_bar, show_rate
from vqa_rnn.records import Annotations
from vqa_rnn.threads import num_cpus

log = logging.getLogger("vqa_rnn")

ALONE = Share(0, 1)


@dataclass(frozen=True, slots=True)
class ExtractionReport:
    """The result of an extraction.

    Attributes:
        store: The finished store, or a part of it while other parts are missing.
        num_images: Number of images in the store, including skipped ones.
        num_done: Number of images extracted by this job; the others were extracted before.
        failed: Reason by image id, for skipped images.
        seconds: Time from reading the first image to writing the last row.
        replaced: Ids of images whose files were replaced or repaired, and which were extracted again.
    """

    store: Path
    num_images: int
    num_done: int
    failed: dict[str, str]
    seconds: float
    replaced: Sequence[str] = ()


def extract_features(
    config: Config,
    annotations: Annotations,
    device: str = "cpu",
    share: Share = ALONE,
    num_workers: int | None = None,
    *,
    check_images: bool = False,
) -> ExtractionReport:
    """Make the feature store of a config, or continue an unfinished one.

    Rows are extracted in fixed ranges of ``features.batch_rows``, so a store made in several runs is byte for byte the same as
    one made in a single run. An existing store determines how to compute.

    Each of several processes makes its own part of the store, and then the parts that no process works on, because it died or
    has not started. The process that finishes the last part joins them. A single process continues the parts of several.

    Args:
        config: The config; its ``features`` section has the settings.
        annotations: The annotations, with the paths of the images.
        device: The device of the backbone.
        share: The part of this process, if there are several processes.
        num_workers: Number of processes that decode images if a GPU is used; by default one per processor.
        check_images: Read every image file to check that its features are up to date. By default only files that were changed
            after the store are read.

    Returns:
        The report. A finished store is not changed. If it lacks images, a new store is made, which reuses the existing rows
        except those of images that were replaced or repaired.

    Raises:
        UserError: An image cannot be read (and ``features.skip_damaged`` is off), a store made with other settings or for other
            images is in the way, another process makes this store, there is not enough disk space, or ``features.store`` is a
            list of parts that does not exist or lacks images.
    """
    image_ids = sorted(annotations.images)
    if not image_ids:
        raise UserError(f"{config.dataset.name}: there are no images to extract features from")
    path = find_store(config, annotations.images, unfinished=True)
    if config.features.library == "imported":
        if check_images:
            log.warning("%s was imported: it does not record its image files", path)
        return _report_imported(path, config, image_ids)
    absent = [image_id for image_id in image_ids if not annotations.images[image_id].is_file()] if check_images else []
    finished, lacking = _open_finished(path, config, annotations, image_ids, check_images)
    if finished is not None and absent:
        log.warning("%s; their features stay as they are", _absent_image(annotations, absent))
    if finished is not None and not lacking:
        _say_what_stays(finished, config)
        return _report_finished(finished, config, image_ids)
    made = path
    if made.suffix == JOINED:
        path = made.with_suffix(SUFFIXES[config.features.format])
        if config.features.store == made:  # a training from the list would keep the old features
            found = f"lacks {len(lacking)} of {len(image_ids)} images, or they were replaced" if finished else "is not there"
            raise UserError(
                f"{made} names the parts of a store and {found}: set features.store={path} to make one of all images"
            )
    count = count_parts(path) if finished is None else 0
    job = _Job(config, annotations, device, num_workers or num_cpus(), check_images)
    if share.num_parts > 1 and finished is not None:
        raise UserError(
            f"{made} lacks {len(lacking)} of {len(image_ids)} images: run vqa-rnn preprocess in one process, or set "
            "features.store to another path"
        )
    if max(share.num_parts, count) > 1 and config.features.library != "none":
        return _extract_parts(job, path, image_ids, share, count)
    return _extract_alone(job, path, image_ids, made)


def _extract_alone(job: "_Job", path: Path, image_ids: Sequence[str], made: Path) -> ExtractionReport:
    """Make a store, or a part of one, under a lock. ``made`` is the path of a finished store whose rows are reused."""
    busy = f"another process is making {path}: wait for it, or set features.store to another path"
    with hold(partial_path(path).with_suffix(".lock"), busy):
        return _extract(job, path, list(image_ids), made)


def _extract_parts(job: "_Job", path: Path, image_ids: list[str], share: Share, begun: int) -> ExtractionReport:
    """Make this process's part of a store, then the parts that no other process works on. Join them if all are finished."""
    batch_rows = job.open_extractor(None).batch_rows
    count = min(max(share.num_parts, begun), -(-len(image_ids) // batch_rows))
    if begun not in (0, count):
        raise UserError(
            f"there are {begun} parts of {path}, not {count}: run {begun} processes, or one, which continues all of them, "
            f"or delete {path.stem}.part-*"
        )
    done: list[ExtractionReport] = []
    for number in range(share.number, share.number + count):
        part = Share(number % count, count)
        place = part_path(path, part)
        try:
            done.append(_extract_alone(job, place, cut(image_ids, part, batch_rows), place))
        except HeldError:
            log.info("another process is making %s", place)
    joined = join_parts(path, count)
    failed = {image_id: reason for report in done for image_id, reason in report.failed.items()}
    return ExtractionReport(
        store=joined or part_path(path, Share(share.number % count, count)),
        num_images=len(image_ids) if joined else sum(report.num_images for report in done),
        num_done=sum(report.num_done for report in done),
        failed=failed,
        seconds=sum(report.seconds for report in done),
        replaced=[image_id for report in done for image_id in report.replaced],
    )


class _Job:
    """The arguments of an extraction, and its extractor, which is loaded once."""

    def __init__(self, config: Config, annotations: Annotations, device: str, num_workers: int, check_images: bool) -> None:
        self.config, self.annotations, self.device = config, annotations, device
        self.num_workers, self.check_images = num_workers, check_images
        self._extractors: list[Extractor | Detector] = []

    def open_extractor(self, compute: Mapping[str, Any] | None) -> Extractor | Detector:
        """Return an extractor that computes as in ``compute``; with None, a loaded one, or a new one as the config says."""
        for extractor in self._extractors:
            if compute is None or extractor.compute == compute:
                return extractor
        if self.device == "cpu":
            keep_freed_memory()
        self._extractors.append(open_extractor(self.config.features, self.device, compute))
        return self._extractors[-1]


def _open_finished(
    path: Path, config: Config, annotations: Annotations, image_ids: list[str], check_images: bool
) -> tuple[FeatureStore | None, list[str]]:
    """Return the finished store, and the images that it lacks: new ones, and those that were replaced or repaired."""
    if not path.is_file():
        return None, image_ids
    store = open_store(path)
    check_store(store, config.features)
    made = None if check_images else path.stat().st_mtime

    def is_there(image_id: str) -> bool:
        if image_id not in store.row_of and image_id not in store.skipped:
            return False
        return config.features.library == "none" or not _was_replaced(store, image_id, annotations.images[image_id], made)

    lacking = [image_id for image_id in image_ids if not is_there(image_id)]
    for image_id in lacking:
        store.row_of.pop(image_id, None)
    return store, lacking


def _was_replaced(store: FeatureStore, image_id: str, image: Path, made: float | None) -> bool:
    """Return whether an image file differs from the one in the store. It is read only if it changed after the time ``made``."""
    if not image.is_file() or (made is not None and _touched(image) <= made):
        return False
    row = store.row_of.get(image_id)
    return row is None or xxhash.xxh64_intdigest(image.read_bytes()) != store.source_hash[row]


def _touched(image: Path) -> float:
    """Return the time when a file was written or put in its place, whichever is later."""
    times = image.stat()
    return max(times.st_mtime, times.st_ctime)


def _extract(job: _Job, path: Path, image_ids: list[str], made: Path) -> ExtractionReport:
    config, annotations = job.config, job.annotations
    # checked again, because another process may have finished it in the meantime
    finished, lacking = _open_finished(path if path.is_file() else made, config, annotations, image_ids, job.check_images)
    if finished is not None and not lacking:
        return _report_finished(finished, config, image_ids)
    if config.features.library == "none":
        return _write_blanks(path, config, image_ids)
    absent = [image_id for image_id in image_ids if not annotations.images[image_id].is_file()]
    if absent and not config.features.skip_damaged:
        raise UserError(_absent_image(annotations, absent))
    if config.features.output == "boxes" and not annotations.boxes:
        raise UserError(f"features.output=boxes: {config.dataset.name} gives no boxes; Visual7W pointing does")
    earlier = [finished] if finished is not None else []
    replaced = sorted(set(lacking).intersection(finished.image_ids)) if finished is not None else []
    begun = open_store(partial_path(path)) if partial_path(path).is_file() else None
    first = begun or finished  # determines how to compute
    extractor = job.open_extractor(first.attributes["compute"] if first else None)
    if first is not None:
        _say_what_stays(first, config)
    if begun is not None and begun.fingerprint != extractor.fingerprint:
        raise UserError(
            f"{partial_path(path)} was begun with another backbone or other settings: "
            "delete it, or set features.store to another path"
        )
    goes_on = begun is not None and begun.image_ids == image_ids
    if begun is not None:
        stopped = None if job.check_images else partial_path(path).stat().st_mtime
        images = annotations.images
        since = [name for name in begun.row_of if name in images and _was_replaced(begun, name, images[name], stopped)]
        for image_id in since:
            del begun.row_of[image_id]
        goes_on = goes_on and not since
        replaced = sorted({*replaced, *since})
    if begun is not None and not goes_on:
        earlier.append(begun)
    if replaced:
        log.info(
            "replaced or repaired since, extracted again: %s%s", ", ".join(replaced[:5]), ", …" if len(replaced) > 5 else ""
        )
    del begun, first  # an LMDB file that is open for reading cannot be opened for writing
    num_regions = extractor.num_regions
    if config.features.output == "boxes":
        num_regions = 1 + max(len(boxes) for boxes in annotations.boxes.values())  # the whole image comes first
    if goes_on:
        writer = open_writer(path)
        writer.forget_failures()
    else:
        writer = _create_writer(path, extractor, config, image_ids, earlier, num_regions)
    taken = {image_id for store in earlier for image_id in store.row_of}
    pending = [[row for row in rows if image_ids[row] not in taken] for rows in writer.pending(extractor.batch_rows)]
    pending = [rows for rows in pending if rows]

    boxes = {row: annotations.boxes[image_id] for row, image_id in enumerate(image_ids) if image_id in annotations.boxes}
    mirrored = frozenset(row for row, image_id in enumerate(image_ids) if is_mirrored(image_id))
    files = ImageFiles([annotations.images[image_id] for image_id in image_ids], extractor.transform, boxes, mirrored)
    on_gpu = job.device != "cpu"
    if on_gpu:
        batches = read_beside(files, pending, job.num_workers, pin_memory=job.device.startswith("cuda"))
    else:
        batches = read_between(files, pending)
    failed: dict[str, str] = {}
    num_done = 0
    started = time.perf_counter()
    with progress_bar() as progress, _commit_at_the_end(writer), ThreadPoolExecutor(1) as write_pool:
        task = progress.add_task("features", total=sum(map(len, pending)), rate="")
        written: Future[None] | None = None

        def keep(batch: ImageBatch, finish: Callable[[], list[Regions]]) -> None:
            """Check and write the features of a batch, while the next one is computed."""
            nonlocal written, num_done
            found = finish()
            for row, regions in zip(batch.good, found, strict=True):
                extractor.check(regions.features, files.paths[row])
            if written is not None:
                written.result()
            written = write_pool.submit(_write, writer, batch, found)
            num_done += len(batch.good)
            rate = show_rate(num_done / (time.perf_counter() - started))
            progress.update(task, advance=len(batch.good) + len(batch.failed), rate=f"{rate} images/s")

        in_flight: deque[tuple[ImageBatch, Callable[[], list[Regions]]]] = deque()

        def keep_all_but(number: int) -> None:
            while len(in_flight) > number:
                keep(*in_flight.popleft())

        for batch in batches:
            if batch.failed and not config.features.skip_damaged:
                keep_all_but(0)
                error = batch.failed[min(batch.failed)]
                raise UserError(f"{error}; or set features.skip_damaged=true to leave its questions out") from error
            failed |= {image_ids[row]: str(error) for row, error in batch.failed.items()}
            in_flight.append((batch, extractor.begin(batch.images) if batch.good else list))
            keep_all_but(1 if on_gpu else 0)  # a GPU computes one batch while the next is copied to it
        keep_all_but(0)
        if written is not None:
            written.result()
    seconds = time.perf_counter() - started
    return ExtractionReport(writer.finish(), len(image_ids), num_done, failed, seconds, replaced)


def _say_what_stays(store: FeatureStore, config: Config) -> None:
    """Log how a store was computed, if the config asks for something else. The store does not change."""
    compute, features = store.attributes["compute"], config.features
    made = {"precision": compute["precision"], "batch_rows": compute["batch_rows"], "compile": bool(compute.get("compiled"))}
    asked = {"precision": None if features.precision == "auto" else features.precision, "batch_rows": features.batch_rows}
    asked["compile"] = features.compile or None
    for name, value in asked.items():
        if value not in (None, made[name]):
            log.info("%s was made with features.%s=%s and keeps it", store.path, name, str(made[name]).lower())


def _absent_image(annotations: Annotations, absent: list[str]) -> str:
    """Return the error message for missing images: the first of them, where it is named, and a file of a similar name."""
    path = annotations.images[absent[0]]
    more = f" (and {len(absent) - 1} more are missing)" if len(absent) > 1 else ""
    asked = [question.question_id for question in annotations.questions if question.image_id == absent[0]]
    where = f"{annotations.named_at[absent[0]]}: " if absent[0] in annotations.named_at else ""
    who = f", which question '{asked[0]}' asks about" if asked and not where else ""
    if path.is_dir():
        return f"{where}{path} is a folder, and an image is needed{who}{more}"
    others = path.parent.iterdir() if path.parent.is_dir() else ()
    near = next((other.name for other in others if other.stem.lower() == path.stem.lower()), None)
    guess = f": did you mean {near}?" if near else ""
    return f"{where}no image at {path}{who}{guess}{more}"


def _write(writer: StoreWriter, batch: ImageBatch, found: list[Regions]) -> None:
    if found:
        columns = {name: [regions.columns[name] for regions in found] for name in found[0].columns}
        writer.write(batch.good, [regions.features for regions in found], batch.hashes, **columns)
    for row in batch.failed:
        writer.fail(row)


@contextmanager
def _commit_at_the_end(writer: StoreWriter) -> Iterator[None]:
    """Commit the written rows, however the block ends."""
    try:
        yield
    finally:
        writer.commit()


def _report_imported(path: Path, config: Config, image_ids: list[str]) -> ExtractionReport:
    """Check that imported features are those of the data set's images, and report."""
    store = open_store(path)
    check_store(store, config.features)
    lacking = [image_id for image_id in image_ids if image_id not in store.row_of]
    has_none = len(lacking) == len(image_ids)
    if lacking and (has_none or not config.features.skip_damaged):
        names_differ = f"its images are called like {next(iter(store.row_of), 'nothing')}: import it with other --ids"
        advice = "import theirs too, or set features.skip_damaged=true to leave their questions out"
        raise UserError(
            f"{path} has no features of {len(lacking)} of {len(image_ids)} images of {config.dataset.name}, such as "
            f"{lacking[0]}; {names_differ if has_none else advice}"
        )
    return ExtractionReport(path, len(image_ids), 0, dict.fromkeys(lacking, f"not in {path}"), 0.0)


def _report_finished(store: FeatureStore, config: Config, image_ids: list[str]) -> ExtractionReport:
    failed = {image_id: f"could not be read when {store.path} was made" for image_id in image_ids if image_id in store.skipped}
    if failed and not config.features.skip_damaged:
        raise UserError(
            f"{store.path}: {len(failed)} of {len(image_ids)} images could not be read when it was made, such as "
            f"{next(iter(failed))}: replace them and run this again, or set features.skip_damaged=true to leave their "
            "questions out"
        )
    return ExtractionReport(store.path, len(store.image_ids), 0, failed, 0.0)


def _write_blanks(path: Path, config: Config, image_ids: list[str]) -> ExtractionReport:
    """Write a store with one region of zeros per image, so that text-only models need no special case."""
    features = config.features
    settings = ("resize", "output", "grid_size", "intensity", *PRESET_OPTIONS, *REGION_OPTIONS)
    transform = {name: getattr(features, name) for name in settings}
    description = {
        "backbone": f"none/{features.backbone}",
        "weights": "none",
        "weights_file_sha256": "",
        "weights_sha256": "",
        "layer": list(features.layers or ()),
        "asked": features.model_dump(mode="json", include=set(OWN_OPTIONS)),
    }
    compute = {"precision": "float32", "layout": "none", "compiled": False, "batch_rows": 1}
    writer = create_store(
        path,
        image_ids,
        num_regions=1,
        feature_size=1,
        dtype=features.dtype,
        attributes={**description, "transform": transform, "compute": compute, "fingerprint": "none"},
    )
    writer.write(range(len(image_ids)), np.zeros((len(image_ids), 1, 1)), [0] * len(image_ids))
    return ExtractionReport(writer.finish(), len(image_ids), 0, {}, 0.0)


def _create_writer(
    path: Path,
    extractor: Extractor | Detector,
    config: Config,
    image_ids: list[str],
    earlier: list[FeatureStore],
    num_regions: int,
) -> StoreWriter:
    """Create a store with the rows of earlier ones."""
    for store in earlier:
        if store.fingerprint != extractor.fingerprint:
            raise UserError(f"{store.path} was made with other weights: delete it, or set features.store to another path")
        log.info("reusing the features of %d images from %s", len(store.row_of), store.path)
    return create_store(
        path,
        image_ids,
        num_regions=num_regions,
        feature_size=extractor.feature_size,
        dtype=config.features.dtype,
        region_columns=extractor.region_columns,
        attributes={
            **extractor.description,
            "asked": config.features.model_dump(mode="json", include=set(OWN_OPTIONS)),
            **({"label_names": extractor.label_names} if isinstance(extractor, Detector) else {}),
            "weights": extractor.weights,
            "weights_file_sha256": weights_file_hash(config.features),
            "compute": extractor.compute,
            "fingerprint": extractor.fingerprint,
        },
        earlier=earlier,
    )
