"""Batches on a GPU: features kept in GPU memory, and copies that overlap with the computation."""

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vqa_rnn.batch import Batch
from vqa_rnn.data.columns import Ints
from vqa_rnn.data.loader import Loader
from vqa_rnn.data.packed import PackedBatch
from vqa_rnn.data.sources import Regions
from vqa_rnn.errors import UserError
from vqa_rnn.features.store import FeatureStore

Place = Literal["host", "device"]
LARGEST_SHARE = 0.5  # of the free memory; the rest is for the model and its activations
_AT_ONCE = 256 * 2**20  # bytes per copy


class NoFeatures:
    """Empty feature source, used if ``DeviceFeatures`` adds the features later."""

    shape = (0, 0)
    dtype = np.dtype(np.float16)

    def read(self, images: Ints, out: NDArray[Any] | None = None) -> Regions:
        """Return images without regions.

        Args:
            images: (B,) indices into ``EncodedQuestions.image_ids``.
            out: Is ignored.

        Returns:
            (B, 0, 0) float16 features, (B,) numbers of regions, all 0, and no boxes.
        """
        return np.empty((len(images), 0, 0), dtype=np.float16), np.zeros(len(images), dtype=np.int32), None


class DeviceFeatures:
    """Features of a set of images in GPU memory.

    Attributes:
        rows: (images,) int64 on the device, row of each image in the stored features.
    """

    def __init__(self, features: Tensor, num_regions: Tensor, boxes: Tensor | None, rows: Tensor) -> None:
        """Store tensors on the device, as made by ``hold_on_device``.

        Args:
            features: (R, K, D) features.
            num_regions: (R,) int32, number of regions of each row.
            boxes: (R, K, 4) float32 boxes, or None.
            rows: (images,) int64, row of each image.
        """
        self._features, self._num_regions, self._boxes = features, num_regions, boxes
        self.rows = rows

    def put_into(self, batch: Batch) -> Batch:
        """Add the features to a batch.

        Args:
            batch: A batch on the device, made with ``NoFeatures``.

        Returns:
            The batch, equal to one whose features were read from the store.
        """
        rows_B = self.rows.index_select(0, batch.images)
        place_K = torch.arange(self._features.shape[1], device=rows_B.device)
        return replace(
            batch,
            features=self._features.index_select(0, rows_B),
            region_mask=place_K < self._num_regions.index_select(0, rows_B)[:, None],
            boxes=None if self._boxes is None else self._boxes.index_select(0, rows_B),
        )


def choose_place(wanted: str, store: FeatureStore, num_images: int, device: torch.device) -> Place:
    """Choose where features are kept during training. The choice does not change the results.

    Args:
        wanted: Value of ``training.features_on``.
        store: The feature store.
        num_images: Number of images of the store that are used.
        device: Device of the model.

    Returns:
        ``host`` or ``device``. ``auto`` gives ``device`` if it is a GPU with enough free memory.

    Raises:
        UserError: ``device`` is requested, but the model is not on a GPU or there is not enough free memory.
    """
    if wanted == "host" or (wanted == "auto" and device.type != "cuda"):
        return "host"
    if device.type != "cuda":
        raise UserError(f"training.features_on=device keeps features on a GPU, and this run is on {device}: leave it out")
    needed = num_images * store.bytes_per_image
    free = int(LARGEST_SHARE * torch.cuda.mem_get_info(device)[0])
    if needed <= free:
        return "device"
    if wanted == "device":
        raise UserError(
            f"training.features_on=device: the features take {needed / 1e9:.1f} GB, and half of what is free on the GPU is "
            f"{free / 1e9:.1f} GB: set training.features_on=host"
        )
    return "host"


def hold_on_device(store: FeatureStore, splits: Sequence[Ints], device: torch.device) -> list[DeviceFeatures]:
    """Copy the features of several sets of images to a device, each image once.

    Args:
        store: The feature store.
        splits: For each set, (images,) rows of the store.
        device: The target device.

    Returns:
        The features of each set. All sets share the same memory.
    """
    held, places = np.unique(np.concatenate(splits), return_inverse=True)
    features = _copy(store.read, held, store.bytes_per_image, device)
    num_regions = torch.from_numpy(store.num_regions[held]).to(device)
    boxes = None
    if store.has_boxes:
        boxes = _copy(functools.partial(store.read_column, "boxes"), held, store.bytes_per_image, device)
    borders = np.cumsum([len(rows) for rows in splits])[:-1]
    return [
        DeviceFeatures(features, num_regions, boxes, torch.from_numpy(rows).to(device)) for rows in np.split(places, borders)
    ]


def _copy(read: Callable[[Ints], NDArray[Any]], rows: Ints, row_bytes: int, device: torch.device) -> Tensor:
    """Copy rows of a store to a device in chunks."""
    at_once = max(1, _AT_ONCE // max(1, row_bytes))
    first = torch.from_numpy(read(rows[:1]))
    there = torch.empty((len(rows), *first.shape[1:]), dtype=first.dtype, device=device)
    for start in range(0, len(rows), at_once):
        there[start : start + at_once] = torch.from_numpy(read(rows[start : start + at_once])).to(device)
    return there


class DeviceLoader:
    """Loader whose batches are on a device.

    On a GPU, a batch is copied on a separate stream while the previous step is computed.
    """

    def __init__(
        self,
        loader: Loader,
        device: torch.device,
        features: DeviceFeatures | None = None,
    ) -> None:
        """Wrap a loader.

        Args:
            loader: A loader with batches in pinned memory.
            device: The target device.
            features: Features to add to each batch; None if batches contain their features.
        """
        self._loader = loader
        self._device = device
        self._features = features
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    def __len__(self) -> int:
        return len(self._loader)

    def __iter__(self) -> Iterator[tuple[Batch, ...]]:
        for parts in self._loader:
            yield tuple(self._put(part) for part in parts)

    def _put(self, part: Batch | PackedBatch) -> Batch:
        if self._stream is None:
            batch = part.to(self._device)
        else:
            computing = torch.cuda.current_stream(self._device)
            with torch.cuda.stream(self._stream):
                batch = part.to(self._device, non_blocking=True)
            computing.wait_stream(self._stream)
            batch.record_stream(computing)  # its memory may be reused only after its step
        return batch if self._features is None else self._features.put_into(batch)
