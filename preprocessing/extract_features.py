"""Extraction of image features into a feature store. It can be interrupted and continued, and shows a progress bar."""

import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

from preprocessing.read_ahead import ImageBatch, ImageFiles, read_beside, read_between
from vqa_rnn.annotations.mirrored import is_mirrored
from vqa_rnn.config import OWN_OPTIONS, REGION_OPTIONS, SUFFIXES, Config
from vqa_rnn.errors import HeldError, UserError
from vqa_rnn.features.check import SETTINGS, check_store
from vqa_rnn.features.detectors import Detector
from vqa_rnn.features.extractor import Extractor, open_extractor
from vqa_rnn.features.find import find_store
from vqa_rnn.features.regions import Regions
from vqa_rnn.features.store import FeatureStore, StoreWriter, create_store, open_store, open_writer, partial_path
from vqa_rnn.features.store.joined import write_joined
from vqa_rnn.features.store.parts import JOINED, Share, count_parts, cut, joined_path, part_path
from vqa_rnn.features.weights import weights_file_hash
from vqa_rnn.files import hold
from vqa_rnn.memory import keep_freed_memory
from vqa_rnn.progress import progress_bar, show_rate
from vqa_rnn.records import Annotations
from vqa_rnn.threads import num_cpus

log = logging.getLogger("vqa_rnn")

ALONE = Share(0, 1)
IMAGES_A_CUT = 64  # parts begin at multiples of it; every automatic batch size at 224 pixels divides it
# How a store of an earlier version was computed, where it does not say so.
EARLIER = {"compiled": False, "folds_norms": False}


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
    job = _Job(config, annotations, image_ids, device, num_workers or num_cpus(), check_images)
    finished, lacking = job.open_finished(path, image_ids)
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
    if share.num_parts > 1 and finished is not None:
        raise UserError(
            f"{made} lacks {len(lacking)} of {len(image_ids)} images: run vqa-rnn preprocess in one process, or set "
            "features.store to another path"
        )
    if max(share.num_parts, count) > 1 and config.features.library != "none":
        return _extract_parts(job, path, share, count)
    return _extract_alone(job, path, range(len(image_ids)), made)


def _extract_alone(job: "_Job", path: Path, part: range, made: Path) -> ExtractionReport:
    """Make a store of some rows of all images, under a lock. ``made`` is the path of a finished store whose rows are reused."""
    busy = f"another process is making {path}: wait for it, or set features.store to another path"
    with hold(partial_path(path).with_suffix(".lock"), busy):
        return _extract(job, path, part, made)


def _extract_parts(job: "_Job", path: Path, share: Share, begun: int) -> ExtractionReport:
    """Make this process's part of a store, then the parts that no other process works on. Join them if all are finished."""
    rows, features = range(len(job.image_ids)), job.config.features
    # the same on all machines: automatic batches depend on the processor
    unit = features.batch_rows or (1 if features.output == "regions" else IMAGES_A_CUT)
    count = min(max(share.num_parts, begun), -(-len(rows) // unit))
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
            done.append(_extract_alone(job, place, cut(rows, part, unit), place))
        except HeldError:
            log.info("another process is making %s", place)
    joined = _join(path, count, job.image_ids)
    failed = {image_id: reason for report in done for image_id, reason in report.failed.items()}
    return ExtractionReport(
        store=joined or part_path(path, Share(share.number % count, count)),
        num_images=len(rows) if joined else sum(report.num_images for report in done),
        num_done=sum(report.num_done for report in done),
        failed=failed,
        seconds=sum(report.seconds for report in done),
        replaced=[image_id for report in done for image_id in report.replaced],
    )


def _join(path: Path, count: int, image_ids: Sequence[str]) -> Path | None:
    """Join the parts of a store and return the file that lists them; return None if a part is missing."""
    parts = [part_path(path, Share(number, count)) for number in range(count)]
    if not all(part.is_file() for part in parts):
        return None
    found = Counter(image_id for part in parts for image_id in open_store(part, check_rows=False).image_ids)
    wrong = next((image_id for image_id in (*image_ids, *found) if found[image_id] != 1), None)
    if wrong is not None:
        raise UserError(
            f"cannot join the parts of {path}: each image must be in one of them, but {wrong} is in {found[wrong]}: "
            f"delete {path.stem}.part-* and run vqa-rnn preprocess again"
        )
    write_joined(joined_path(path), parts)
    return joined_path(path)


class _Job:
    """The arguments of an extraction, with ``image_ids`` of all parts, and what is opened once."""

    def __init__(
        self,
        config: Config,
        annotations: Annotations,
        image_ids: list[str],
        device: str,
        num_workers: int,
        check_images: bool,
    ) -> None:
        self.config, self.annotations, self.image_ids, self.device = config, annotations, image_ids, device
        self.num_workers, self.check_images = num_workers, check_images
        self._extractors: list[tuple[Any, Extractor | Detector]] = []  # each with how it was asked to compute
        self._finished: tuple[Any, tuple[FeatureStore | None, list[str]]] | None = None

    def open_extractor(self, first: FeatureStore | None) -> Extractor | Detector:
        """Return an extractor that computes as a store was made; if it is None, as the config says."""
        compute = None if first is None else EARLIER | first.attributes["compute"]
        found = next((each for asked, each in self._extractors if compute in (None, asked, EARLIER | each.compute)), None)
        if found is None:
            if self.device == "cpu":
                keep_freed_memory()
            found = open_extractor(self.config.features, self.device, compute)
            self._extractors.append((compute, found))
        if first is not None:
            _say_what_stays(first, self.config)
            _warn_of_differences(first, found)
        return found

    def open_finished(self, path: Path, image_ids: list[str]) -> tuple[FeatureStore | None, list[str]]:
        """Return the finished store, and the images that it lacks: new ones, and those that were replaced or repaired.

        A store that did not change since the last call is not opened again, because the check may read all images.
        """
        if not path.is_file():
            return None, image_ids
        status = path.stat()
        key = path, status.st_ino, status.st_mtime_ns
        if self._finished is None or self._finished[0] != key:
            self._finished = key, self._open_finished(path, image_ids)
        return self._finished[1]

    def _open_finished(self, path: Path, image_ids: list[str]) -> tuple[FeatureStore, list[str]]:
        config, images = self.config, self.annotations.images
        store = open_store(path)
        check_store(store, config.features)
        made = None if self.check_images else path.stat().st_mtime

        def is_there(image_id: str) -> bool:
            if image_id not in store.row_of and image_id not in store.skipped:
                return False
            return config.features.library == "none" or not _was_replaced(store, image_id, images[image_id], made)

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


def _extract(job: _Job, path: Path, part: range, made: Path) -> ExtractionReport:
    config, image_ids = job.config, job.image_ids[part.start : part.stop]
    # checked again, because another process may have finished it in the meantime
    finished, lacking = job.open_finished(path if path.is_file() else made, image_ids)
    if finished is not None and not lacking:
        return _report_finished(finished, config, image_ids)
    if config.features.library == "none":
        return _write_blanks(path, config, image_ids)
    absent = [image_id for image_id in image_ids if not job.annotations.images[image_id].is_file()]
    if absent and not config.features.skip_damaged:
        raise UserError(_absent_image(job.annotations, absent))
    if config.features.output == "boxes" and not job.annotations.boxes:
        raise UserError(
            f"features.output=boxes: {config.dataset.name} has no boxes; use a data set with boxes, such as Visual7W pointing"
        )
    replaced = set(lacking).intersection(finished.image_ids) if finished is not None else set()
    begun, replaced_since = _open_begun(job, path)
    replaced |= set(replaced_since)
    if replaced:
        few = ", ".join(sorted(replaced)[:5]) + (", …" if len(replaced) > 5 else "")
        log.info("replaced or repaired since, extracted again: %s", few)
    first = begun or finished  # determines how to compute
    extractor = job.open_extractor(first)
    if begun is not None and begun.fingerprint != extractor.fingerprint:
        raise UserError(
            f"{begun.path} was begun with another backbone or other settings: delete it, or set features.store to another path"
        )
    goes_on = begun is not None and begun.image_ids == image_ids and not replaced_since
    earlier = [store for store in (finished, None if goes_on else begun) if store is not None]
    del begun, first  # an LMDB file that is open for reading cannot be opened for writing
    if goes_on:
        writer = open_writer(path)
        writer.forget_failures()
    else:
        writer = _create_writer(path, extractor, job, image_ids, earlier)
    taken = {image_id for store in earlier for image_id in store.row_of}
    started = time.perf_counter()
    num_done, failed = _run(job, extractor, writer, part, taken)
    seconds = time.perf_counter() - started
    return ExtractionReport(writer.finish(), len(image_ids), num_done, failed, seconds, sorted(replaced))


def _open_begun(job: _Job, path: Path) -> tuple[FeatureStore | None, list[str]]:
    """Return the unfinished store, and its images that were replaced or repaired since; their rows are ignored."""
    partial, images = partial_path(path), job.annotations.images
    if not partial.is_file():
        return None, []
    begun = open_store(partial)
    stopped = None if job.check_images else partial.stat().st_mtime
    replaced = [name for name in begun.row_of if name in images and _was_replaced(begun, name, images[name], stopped)]
    for image_id in replaced:
        del begun.row_of[image_id]
    return begun, replaced


def _run(
    job: _Job, extractor: Extractor | Detector, writer: StoreWriter, part: range, taken: set[str]
) -> tuple[int, dict[str, str]]:
    """Extract the pending images of a part, except those ``taken`` from earlier stores.

    Return the number of extracted images, and the reason for each skipped one.
    """
    annotations, image_ids = job.annotations, job.image_ids
    boxes = {row: annotations.boxes[image_id] for row, image_id in enumerate(image_ids) if image_id in annotations.boxes}
    mirrored = frozenset(row for row, image_id in enumerate(image_ids) if is_mirrored(image_id))
    files = ImageFiles([annotations.images[image_id] for image_id in image_ids], extractor.transform, boxes, mirrored)
    pending = _batches(writer, part, extractor.batch_rows, image_ids, taken)
    on_gpu = job.device != "cpu"
    if on_gpu:
        batches = read_beside(files, pending, job.num_workers, pin_memory=job.device.startswith("cuda"))
    else:
        batches = read_between(files, pending)
    ahead = 1 if on_gpu else 0  # a GPU computes one batch while the next is copied to it
    computed = _compute(extractor, batches, ahead, skip_damaged=job.config.features.skip_damaged)
    failed: dict[str, str] = {}
    num_done = 0
    started = time.perf_counter()
    with progress_bar() as progress, _commit_at_the_end(writer), ThreadPoolExecutor(1) as write_pool:
        task = progress.add_task("features", total=sum(row in part for rows in pending for row in rows), rate="")
        written: Future[None] | None = None
        for batch, found in computed:
            own, regions = _own_rows(batch, found, part)
            for row, each in zip(own.good, regions, strict=True):
                extractor.check(each.features, files.paths[part[row]])
            if written is not None:
                written.result()
            written = write_pool.submit(_write, writer, own, regions)  # while the next batch is computed
            failed |= {image_ids[part[row]]: str(error) for row, error in own.failed.items()}
            num_done += len(own.good)
            rate = show_rate(num_done / (time.perf_counter() - started))
            progress.update(task, advance=len(own.good) + len(own.failed), rate=f"{rate} images/s")
        if written is not None:
            written.result()
    return num_done, failed


def _batches(writer: StoreWriter, part: range, batch_rows: int, image_ids: Sequence[str], taken: set[str]) -> list[list[int]]:
    """Return the rows of each batch, counted in ``image_ids``.

    Batches are the same as with one process. The first and the last batch of a part may therefore have images of other parts,
    whose features are not written.
    """
    found = []
    for rows in writer.pending(batch_rows, part.start):
        start = part[rows.start] // batch_rows * batch_rows
        whole = range(start, min(start + batch_rows, len(image_ids)))
        batch = [row for row in whole if row not in part or image_ids[row] not in taken]
        if any(row in part for row in batch):
            found.append(batch)
    return found


def _compute(
    extractor: Extractor | Detector, batches: Iterable[ImageBatch], ahead: int, *, skip_damaged: bool
) -> Iterator[tuple[ImageBatch, list[Regions]]]:
    """Yield batches with their regions. ``ahead`` batches are begun before the regions of one are awaited."""
    in_flight: deque[tuple[ImageBatch, Callable[[], list[Regions]]]] = deque()
    error: UserError | None = None
    for batch in batches:
        if batch.failed and not skip_damaged:
            error = batch.failed[min(batch.failed)]
            break
        in_flight.append((batch, extractor.begin(batch.images) if batch.good else list))
        if len(in_flight) > ahead:
            begun, finish = in_flight.popleft()
            yield begun, finish()
    for begun, finish in in_flight:
        yield begun, finish()
    if error is not None:
        raise UserError(f"{error}; or set features.skip_damaged=true to leave it out") from error


def _own_rows(batch: ImageBatch, found: list[Regions], part: range) -> tuple[ImageBatch, list[Regions]]:
    """Return the images of a batch that belong to a part, with rows counted in the part, and their regions."""
    places = [place for place, row in enumerate(batch.good) if row in part]
    own = ImageBatch(
        good=[batch.good[place] - part.start for place in places],
        hashes=[batch.hashes[place] for place in places],
        failed={row - part.start: error for row, error in batch.failed.items() if row in part},
        images=None,
    )
    return own, [found[place] for place in places]


def _say_what_stays(store: FeatureStore, config: Config) -> None:
    """Log how a store was computed, if the config asks for something else. The store does not change."""
    compute, features = store.attributes["compute"], config.features
    made = {"precision": compute["precision"], "batch_rows": compute["batch_rows"], "compile": bool(compute.get("compiled"))}
    asked = {"precision": None if features.precision == "auto" else features.precision, "batch_rows": features.batch_rows}
    asked["compile"] = features.compile or None
    for name, value in asked.items():
        if value not in (None, made[name]):
            log.info("%s was made with features.%s=%s and keeps it", store.path, name, str(made[name]).lower())


def _warn_of_differences(store: FeatureStore, extractor: Extractor | Detector) -> None:
    """Log a warning if an extractor cannot compute as a store was made, for example because there is no compiler."""
    made, now = (EARLIER | compute for compute in (store.attributes["compute"], extractor.compute))
    differ = ", ".join(f"{name}={value}" for name, value in made.items() if now.get(name) != value)
    if differ:
        log.warning(
            "%s was computed with %s, which is not possible here: new rows differ slightly from its own", store.path, differ
        )


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
        advice = "import theirs too, or set features.skip_damaged=true to leave them out"
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
            f"{next(iter(failed))}: replace them and run this again, or set features.skip_damaged=true to leave them out"
        )
    return ExtractionReport(store.path, len(store.image_ids), 0, failed, 0.0)


def _write_blanks(path: Path, config: Config, image_ids: list[str]) -> ExtractionReport:
    """Write a store with one region of zeros per image, so that text-only models need no special case."""
    features = config.features
    transform = {name: getattr(features, name) for name in (*SETTINGS, *REGION_OPTIONS)}
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
    path: Path, extractor: Extractor | Detector, job: _Job, image_ids: list[str], earlier: list[FeatureStore]
) -> StoreWriter:
    """Create a store with the rows of earlier ones."""
    config, num_regions = job.config, extractor.num_regions
    if config.features.output == "boxes":
        num_regions = 1 + max(len(boxes) for boxes in job.annotations.boxes.values())  # the whole image comes first
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
